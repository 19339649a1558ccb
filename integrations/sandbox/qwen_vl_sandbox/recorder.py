"""What the sandbox remembers of each request, and what it is scripted to do next."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TextIO

import orjson

from qwen_vl_sandbox.batches.files import FileStore
from qwen_vl_sandbox.batches.jobs import JobStore
from qwen_vl_sandbox.faults import Endpoint, Fault, RawAnswer, ScriptedAnswer
from qwen_vl_sandbox.prefix_cache import PrefixCache
from qwen_vl_sandbox.rate_limits import CallRates, RateLimits
from qwen_vl_sandbox.sealed_reasoning import SealedReasoning
from qwen_vl_sandbox.storage import Storage

SHOWN_KEY_CHARACTERS = 4
MAX_RECORDED_BYTES = 64 * 2**20
"""Of the bodies that are kept: one of the largest that the service takes."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it arrived.

    Args:
        method: HTTP method.
        path: Path, without the query.
        headers: Headers, names in lower case; of the key only the last four characters.
        body: The body's bytes; empty for a file on its way to the storage host.
        unknown_fields: Fields that no page of the service documents, as paths such as
            `frequency_penalty` or `messages[0].content[1].detail`; the service is taken
            to ignore them.
        query: What stands behind the `?` of the URL.

    Example:
        >>> RecordedRequest("POST", "/", {}, b'{"model": "qwen3-vl-plus"}').json["model"]
        'qwen3-vl-plus'
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    unknown_fields: tuple[str, ...] = ()
    query: str = ""

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return orjson.loads(self.body)


class Recorder:
    """Everything that the server's thread and its user share."""

    def __init__(
        self,
        *,
        api_keys: Collection[str] | None,
        strict: bool,
        keep_alive: bool,
        needs_key: bool = True,
        batch: bool = False,
        reads: bool = False,
        matryoshka: bool = False,
        max_recorded_bytes: int = MAX_RECORDED_BYTES,
    ) -> None:
        self.rates = RateLimits()
        self.call_rates = CallRates({})
        self.batch_files = FileStore()
        self.batch_jobs = JobStore()
        self.strict = strict
        self.keep_alive = keep_alive
        self.batch = batch
        self.reads = reads
        self.matryoshka = matryoshka
        self.requests: deque[RecordedRequest] = deque()
        self.n_requests = 0
        self._recorded_bytes = 0
        self._max_recorded_bytes = max_recorded_bytes
        self.script: deque[ScriptedAnswer | RawAnswer] = deque()
        self.storage = Storage()
        self.cache = PrefixCache()
        self.sealed = SealedReasoning()
        self.log: TextIO | None = None
        self._faults: defaultdict[Endpoint, deque[Fault]] = defaultdict(deque)
        self._needs_key = needs_key
        self._api_keys = None if api_keys is None else frozenset(api_keys)

    def accepts(self, authorization: str) -> bool:
        """Return whether an `Authorization` header holds a key that may pass."""
        if self._api_keys is None and not self._needs_key:
            return True
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return False
        return self._api_keys is None or key in self._api_keys

    def record(self, request: RecordedRequest) -> None:
        """Remember a request, and drop the oldest for it."""
        self.requests.append(request)
        self.n_requests += 1
        self._recorded_bytes += len(request.body)
        while self._recorded_bytes > self._max_recorded_bytes and len(self.requests) > 1:
            self._recorded_bytes -= len(self.requests.popleft().body)

    def plan(self, fault: Fault) -> None:
        """Let the next requests fail."""
        if fault.times > 0:
            self._faults[fault.endpoint].append(fault)

    def next_fault(self, endpoint: Endpoint) -> Fault | None:
        """The fault that applies to this request, if any."""
        faults = self._faults[endpoint]
        if not faults:
            return None
        fault = faults.popleft()
        if fault.times > 1:
            faults.appendleft(replace(fault, times=fault.times - 1))
        return fault

    def next_answer(self) -> ScriptedAnswer | RawAnswer | None:
        """The answer prescribed for this request, if any."""
        return self.script.popleft() if self.script else None

    def clear(self) -> None:
        """Forget all requests, files, batch jobs, cached prefixes, scripted answers and faults."""
        self.requests.clear()
        self.n_requests = self._recorded_bytes = 0
        self.script.clear()
        self._faults.clear()
        self.storage.clear()
        self.batch_jobs.clear()
        self.batch_files.clear()
        self.cache.clear()
        self.sealed.clear()


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Copy headers without the key, of which the last four characters stay."""
    copy = {name.lower(): value for name, value in headers.items()}
    if "authorization" in copy:
        scheme, _, key = copy["authorization"].partition(" ")
        shown = key[-SHOWN_KEY_CHARACTERS:] if len(key) > 2 * SHOWN_KEY_CHARACTERS else ""
        copy["authorization"] = f"{scheme} …{shown}"
    return copy
