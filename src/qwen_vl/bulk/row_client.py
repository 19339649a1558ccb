"""Asks about one row: with a key, once, within a budget, and as often as it takes."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from qwen_vl.bulk.job import Job, Validator
from qwen_vl.bulk.outcome import Outcome, to_failure, to_outcome
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.tasks import Question
from qwen_vl.client import ClientCache
from qwen_vl.errors import (
    AnswerFormatError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QwenVLError,
    RateLimitError,
    ServiceError,
)
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.types import Request
from qwen_vl.tokens.conversation import TokenCounter
from qwen_vl.transport.retries import retry_delay

DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_MAX_ERROR_RATE = 0.5
# Of rows, before the rate of errors means anything.
_FEWEST_ROWS = 50
# The endpoint would answer every other row likewise, too.
_FATAL = (AuthenticationError, PermissionDeniedError, NotFoundError)


class OutcomeStore(Protocol):
    """Where outcomes are kept, by their keys."""

    def find(self, key: str) -> Outcome | None:
        """Return the outcome with a key, `None` if there is none."""

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""


class RateBudget(Protocol):
    """Limits that requests share."""

    def slot(self, tokens: int) -> AbstractAsyncContextManager[None]:
        """Wait until a request may be sent, and hold its place until it is answered."""

    def correct(self, taken: int, used: int | None) -> None:
        """Correct the tokens of a request, once they are known."""

    def cool_down(self, seconds: float | None = None) -> None:
        """Have all requests wait after a 429."""


class ErrorRate:
    """Ends a run in which too many rows fail.

    Args:
        maximum: Fraction of rows that may fail, from the first 50 on.
    """

    def __init__(self, maximum: float) -> None:
        self._maximum = maximum
        self.n_answered = 0
        self.n_failed = 0

    def count(self, outcome: Outcome) -> None:
        """Count a row.

        Args:
            outcome: Of the row.

        Raises:
            AnswerFormatError: Too many have failed.
        """
        if outcome.is_answer:
            self.n_answered += 1
            return
        self.n_failed += 1
        n_done = self.n_answered + self.n_failed
        if n_done >= _FEWEST_ROWS and self.n_failed > self._maximum * n_done:
            raise AnswerFormatError(
                f"{self.n_failed:,} of {n_done:,} rows failed; the run ends. The last error: "
                f"{outcome.error_message}",
                text="",
            )


class RowClient:
    """Asks a job's question about single rows; each key is asked once.

    Args:
        job: What is asked.
        store: Where outcomes are kept; rows that have an answer there are not asked again.
        budget: Limits of rate.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        max_attempts: Maximum number of requests for a row.
        validate: Checks answers that follow the job's schema.

    Raises:
        ConfigurationError: The key of the API is missing, or a parameter is wrong.

    Example:
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.bulk import Budget, PartLedger
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> async def ask(client: RowClient, row: Row) -> bool:
        ...     outcome, is_new = await client.find_outcome(await client.find_key(row), row)
        ...     return is_new
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, PartLedger(folder) as store:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     client = RowClient(Job(settings=settings, prompt="Who?"), store, Budget())
        ...     [asyncio.run(ask(client, Row(number=number))) for number in range(2)]
        [True, False]
    """

    def __init__(
        self,
        job: Job,
        store: OutcomeStore,
        budget: RateBudget,
        *,
        retry_failed: bool = False,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        validate: Validator | None = None,
    ) -> None:
        if max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {max_attempts}; it must be 1 or more.")
        self._job = job
        self._store = store
        self._budget = budget
        self._retry_failed = retry_failed
        self._max_attempts = max_attempts
        self._validate = validate
        # Attempts are counted here, since each takes from the budget.
        self._connection = replace(build_connection(job.settings), max_retries=0)
        # A wrong parameter is found here, not at each row.
        template = build_request(job.settings, (), stream=None, **job.options, **job.parameters)
        self._counter = TokenCounter(
            model=template.known_model,
            parameters=template.parameters,
            policy=build_media_policy(job.settings),
            server=template.server,
            model_family=job.settings.model_family,
            warns=False,
        )
        self._clients = ClientCache()
        self._asking: dict[str, asyncio.Event] = {}
        self.n_requests = 0
        """Requests that were sent."""
        self.n_refused = 0
        """Those of them that were answered with a 429."""

    async def find_key(self, row: Row) -> str:
        """Return the key of a row; its files are read.

        Args:
            row: Any row.

        Raises:
            MediaError: A file does not exist, or may not be read.
        """
        return await asyncio.to_thread(self._job.find_key, row)

    async def find_outcome(self, key: str, row: Row) -> tuple[Outcome, bool]:
        """Return what came of a row, and whether it was asked for now.

        Errors of the row are outcomes, too.

        Args:
            key: From `find_key`.
            row: The row.

        Raises:
            ServiceError: The endpoint refuses the key, the account or the model.
        """
        known = self._store.find(key)
        if known is not None and (known.is_answer or not self._retry_failed):
            return known, False
        while (other := self._asking.get(key)) is not None:
            # Another row asks this question.
            await other.wait()
            found = self._store.find(key)
            if found is not None:
                return found, False
        self._asking[key] = asked = asyncio.Event()
        try:
            outcome = await self._ask(key, row)
            self._store.add(outcome)
        finally:
            del self._asking[key]
            asked.set()
        return outcome, True

    async def _ask(self, key: str, row: Row) -> Outcome:
        begun, n_attempts = time.monotonic(), 0
        try:
            question, n_tokens = await asyncio.to_thread(self._prepare, row)
            while True:
                n_attempts += 1
                try:
                    reply = await self._send(question.request, n_tokens)
                    answer = question.read(reply)
                    seconds = time.monotonic() - begun
                    return to_outcome(key, reply, answer, seconds=seconds, n_attempts=n_attempts)
                except ServiceError as error:
                    if not error.is_retryable or n_attempts >= self._max_attempts:
                        raise
                    if not isinstance(error, RateLimitError):
                        await asyncio.sleep(retry_delay(n_attempts - 1, error.headers))
        except _FATAL:
            raise
        except (QwenVLError, OSError) as error:
            seconds = time.monotonic() - begun
            return to_failure(key, error, seconds=seconds, n_attempts=n_attempts)

    def _prepare(self, row: Row) -> tuple[Question, int]:
        question = self._job.make_question(row, self._validate)
        return question, self._counter.count_turns(question.request.turns)

    async def _send(self, request: Request, n_tokens: int) -> Reply:
        client = self._clients.asynchronous(self._connection)
        async with self._budget.slot(n_tokens):
            self.n_requests += 1
            try:
                reply = await client.ask(request)
            except RateLimitError as error:
                self.n_refused += 1
                self._budget.cool_down(retry_delay(0, error.headers))
                raise
        used = reply.usage.total_tokens if reply.usage else None
        self._budget.correct(n_tokens, used)
        return reply
