"""Conversations of a framework, answered by batch files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from qwen_vl.batches.job import DEFAULT_POLL, BatchJob
from qwen_vl.batches.status import StatusCallback
from qwen_vl.errors import ConfigurationError, QwenVLError
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import DEFAULT_WINDOW

_Output = TypeVar("_Output")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput(Generic[_Output]):
    """What came of one input.

    Args:
        number: Its place among the inputs.
        output: What the framework makes of the answer; `None` if there is none.
        reply: The answer as it came.
        error_code: Why the output is missing: the service's code, or the class of the error.
        error_message: What is wrong.
        request_id: What the service's support asks for.
    """

    number: int
    output: _Output | None = None
    reply: Reply | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None


class ChatBatch(Generic[_Output]):
    """A batch job whose answers are those of a framework, for `with`.

    Args:
        job: The job; its methods do the single steps.
        to_output: Makes of an answer what the framework returns.
    """

    def __init__(self, job: BatchJob, to_output: Callable[[Reply], _Output]) -> None:
        self.job = job
        self._to_output = to_output

    @classmethod
    def open(
        cls,
        requests: Iterable[tuple[str, Request]],
        folder: str | Path,
        settings: QwenVLSettings,
        to_output: Callable[[Reply], _Output],
        *,
        window: str = DEFAULT_WINDOW,
        name: str | None = None,
        max_lines: int | None = None,
    ) -> Self:
        """Prepare a job, or open that of the same inputs: a program that is run again goes on.

        Args:
            requests: A digest of the input, and what to ask.
            folder: For the job.
            settings: How to reach the endpoint.
            to_output: Makes of an answer what the framework returns.
            window: Within which the job is to be done.
            name: Of the job at the service; by default that of the folder.
            max_lines: Fewer lines in a file than the service takes.

        Raises:
            ConfigurationError: The folder holds a job of other inputs, or the requests cannot be
                in batch files.
        """
        if not BatchJob.is_in(folder):
            job = BatchJob.prepare(
                requests, folder, settings, window=window, name=name, max_lines=max_lines
            )
            return cls(job, to_output)
        job = BatchJob(folder, settings)
        for number, (key, held) in enumerate(zip_longest((one for one, _ in requests), job.keys())):
            if key != held:
                job.close()
                raise ConfigurationError(
                    f"{str(folder)!r} holds a batch job of other inputs: input {number} differs. "
                    "Pass the same inputs, or another folder."
                )
        return cls(job, to_output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the job; what is submitted goes on."""
        self.job.close()

    def run(
        self, *, poll: float = DEFAULT_POLL, on_progress: StatusCallback | None = None
    ) -> list[BatchOutput[_Output]]:
        """Submit the job, wait for it, and return what came of each input, in their order.

        Args:
            poll: Seconds between the first two status calls; later ones come more slowly.
            on_progress: Is called after each look.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all. Run again to go on.
        """
        self.job.submit()
        self.job.wait(poll=poll, on_progress=on_progress)
        self.job.collect()
        return list(self.outputs())

    def outputs(self) -> Iterator[BatchOutput[_Output]]:
        """Read what came of each input, in their order; for those that are collected."""
        for result in self.job.results():
            output, code, message = None, result.error_code, result.error_message
            if result.reply is not None:
                try:
                    output = self._to_output(result.reply)
                except (QwenVLError, ValueError) as error:
                    # Parsers of frameworks raise `ValueError` of answers that they cannot read.
                    code, message = type(error).__name__, str(error)
            yield BatchOutput(
                number=result.number,
                output=output,
                reply=result.reply,
                error_code=code,
                error_message=message,
                request_id=result.request_id,
            )
