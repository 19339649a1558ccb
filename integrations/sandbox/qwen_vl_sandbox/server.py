"""The sandbox as an object: a server in a thread, its recorder and its script."""

import contextlib
import os
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self, TextIO, TypedDict, Unpack, get_args

from qwen_vl_sandbox.batches.faults import BatchFault, BatchFaultSettings
from qwen_vl_sandbox.batches.files import BatchFile
from qwen_vl_sandbox.batches.jobs import DEFAULT_SECONDS, BatchRecord
from qwen_vl_sandbox.faults import Fault, FaultSettings, RawAnswer, ScriptedAnswer
from qwen_vl_sandbox.http.app import HostGuard, build_app
from qwen_vl_sandbox.http.log import RequestLog
from qwen_vl_sandbox.http.running import Running
from qwen_vl_sandbox.ocr.engine import HOW_TO_INSTALL, is_installed
from qwen_vl_sandbox.rate_limits import CallRates, RateLimits
from qwen_vl_sandbox.recorder import MAX_RECORDED_BYTES, RecordedRequest, Recorder
from qwen_vl_sandbox.specs.batches import CALLS
from qwen_vl_sandbox.specs.servers import SERVERS, ServerName
from qwen_vl_sandbox.storage import Upload

HOST = "127.0.0.1"
BASE_PATH = "/compatible-mode/v1"
NATIVE_BASE_PATH = "/api/v1"
SELF_HOSTED_BASE_PATH = "/v1"
_ANY_KEY = "sk-sandbox"


class SandboxLimits(TypedDict, total=False):
    """Who may ask a sandbox, what it answers, and how much of what was asked it keeps.

    Args:
        allowed_hosts: Host names that requests may be sent to, beside `localhost`, the name that
            the sandbox listens on, and IP addresses. Requests to others, and those of web pages,
            are answered with 403.
        max_recorded_bytes: Maximum number of bytes of the bodies that `requests` holds, 64 MiB by
            default; the oldest requests are dropped, never the newest.
        reads: Whether to read the text in images with OCR, for which the extra `sandbox-ocr` must
            be installed. With `None` it reads if the extra is installed; otherwise its answers say
            how to install it.
        batch: Whether to imitate the service's host of Batch Chat, which answers calls of the
            OpenAI-compatible protocol whole, by the models that it has.
        rpm: Requests per minute that are answered; more get a 429, by each second too. No limit by
            default.
        tpm: Tokens per minute, likewise.
        batch_seconds: How long a batch job takes, 0.2 by default: it is validated, its lines are
            answered, and its results are written meanwhile.
        batch_rates: Whether the limits of calls that manage files and batch jobs are enforced:
            uploads 3 a second, lists of jobs 100 a minute, and so on.
        matryoshka: Whether vLLM is configured to allow shorter vectors of its embedding model; by
            default it refuses `dimensions`.
    """

    allowed_hosts: Collection[str]
    max_recorded_bytes: int
    reads: bool | None
    batch: bool
    rpm: float
    tpm: float
    batch_seconds: float
    batch_rates: bool
    matryoshka: bool


class Sandbox:
    """A local endpoint that speaks as the service documents itself.

    It decodes the media it is sent, counts their tokens, refuses what the service
    refuses, and answers by saying what it received: an honest double, never a model.
    It contacts loopback addresses only. With `reads=True` it reads the text in images.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Host name or IP address to listen on.
        api_keys: Keys that may pass; any key that is not empty if not given.
        strict: Also refuses where the documentation leaves open what the service does,
            such as pixel knobs in the wrong place; without it these requests pass.
        keep_alive: Sends one comment line in each stream, as the service may.
        server: Which server to imitate: the service, or one that holds the model itself
            (`vllm`, `sglang`, `llamacpp`, `ollama`). The latter need a key only if
            `api_keys` are given.
        trust_request_mm_kwargs: Whether vLLM was started with the flag of this name; without it,
            as by default, it refuses `mm_processor_kwargs` and `media_io_kwargs`.
        served_models: Names under which a server that holds models itself serves them, such as
            `{"vision": "Qwen/Qwen2.5-VL-7B-Instruct"}`.
        **limits: As of `SandboxLimits`.

    Example:
        >>> from openai import OpenAI
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox, OpenAI(base_url=sandbox.base_url, api_key="any") as client:
        ...     reply = client.chat.completions.create(
        ...         model="qwen3-vl-plus", messages=[{"role": "user", "content": "你好"}]
        ...     )
        >>> print(reply.choices[0].message.content)
        I am the qwen-vl sandbox, not a model. I received the text: "你好".
        >>> sandbox.last_request.json["model"]
        'qwen3-vl-plus'
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = HOST,
        api_keys: Collection[str] | None = None,
        strict: bool = True,
        keep_alive: bool = True,
        server: ServerName = "dashscope",
        trust_request_mm_kwargs: bool = True,
        served_models: Mapping[str, str] | None = None,
        **limits: Unpack[SandboxLimits],
    ) -> None:
        if server not in get_args(ServerName):
            known = ", ".join(get_args(ServerName))
            raise ValueError(f"The server {server!r} is not one of {known}.")
        self._server = SERVERS.get(server)
        batch = limits.get("batch", False)
        if batch and self._server is not None:
            raise ValueError(f"Batch Chat is the service's; the server {server!r} lacks it.")
        if self._server is not None:
            self._server = replace(
                self._server,
                trusts_kwargs=trust_request_mm_kwargs,
                served=dict(served_models or {}),
            )
        reads = limits.get("reads", False)
        if reads and not is_installed():
            raise ImportError(f"The sandbox cannot read text. {HOW_TO_INSTALL}", name="rapidocr")
        is_open = self._server is not None and not self._server.checks_keys
        self._ledger = Recorder(
            api_keys=None if is_open else api_keys,
            strict=strict,
            # The other servers send no comment lines.
            keep_alive=keep_alive and self._server is None,
            needs_key=self._server is None,
            batch=batch,
            reads=reads is not False,
            matryoshka=limits.get("matryoshka", False),
            max_recorded_bytes=limits.get("max_recorded_bytes", MAX_RECORDED_BYTES),
        )
        self._ledger.rates = RateLimits(limits.get("rpm"), limits.get("tpm"))
        self._ledger.call_rates = CallRates(CALLS if limits.get("batch_rates") else {})
        self._ledger.batch_jobs.seconds = limits.get("batch_seconds", DEFAULT_SECONDS)
        self._allowed_hosts = (host, *limits.get("allowed_hosts", ()))
        self._host = host
        self._port = port
        self._running: Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start to listen; the endpoint is ready when this returns.

        Raises:
            OSError: The port is in use, or the host is not one of this machine.
        """
        if self._running is None:
            guarded = HostGuard(build_app(self._ledger, self._server), self._allowed_hosts)
            app = RequestLog(guarded, self._ledger)
            self._running = Running(app, self._host, self._port)
            self._port = self._running.port

    def stop(self) -> None:
        """Stop to listen; what was recorded stays, uploaded files do not.

        In a forked child this does nothing: the server and the files are the parent's.
        """
        if self._running is not None and self._running.pid != os.getpid():
            return
        if self._running is not None:
            self._running.stop()
            self._running = None
        self._ledger.storage.drop_files()
        self._ledger.batch_files.clear()

    @property
    def url(self) -> str:
        """The root, such as `http://127.0.0.1:8000`.

        Raises:
            RuntimeError: The port is not known before the start.
        """
        if not self._port:
            raise RuntimeError("The sandbox has not been started: use `with Sandbox() as sandbox`.")
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """The base URL for a client, such as `http://127.0.0.1:8000/compatible-mode/v1`.

        Of a server other than the service's it ends in `/v1` alone.
        """
        return self.url + (BASE_PATH if self._server is None else SELF_HOSTED_BASE_PATH)

    @property
    def native_base_url(self) -> str:
        """The base URL of the native protocol, such as `http://127.0.0.1:8000/api/v1`.

        Raises:
            RuntimeError: The server does not support the native protocol.
        """
        if self._server is not None:
            raise RuntimeError(f"The server {self._server.name!r} has no native protocol.")
        return self.url + NATIVE_BASE_PATH

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, the oldest first; see `max_recorded_bytes`."""
        return list(self._ledger.requests)

    @property
    def n_requests(self) -> int:
        """Number of requests so far, dropped ones among them."""
        return self._ledger.n_requests

    @property
    def last_request(self) -> RecordedRequest:
        """The newest request.

        Raises:
            LookupError: No request has come.
        """
        if not self._ledger.requests:
            raise LookupError("The sandbox has received no request.")
        return self._ledger.requests[-1]

    @property
    def uploads(self) -> list[Upload]:
        """All files uploaded so far, the oldest first."""
        return self._ledger.storage.uploads

    @property
    def batches(self) -> list[BatchRecord]:
        """All batch jobs so far, the oldest first: their files, and how many lines were run."""
        return [job.to_record() for job in self._ledger.batch_jobs.jobs]

    @property
    def batch_files(self) -> list[BatchFile]:
        """The files of batch jobs that were not deleted, results included, the oldest first."""
        return self._ledger.batch_files.files

    def log_requests(self, file: TextIO | None) -> None:
        """Write a line for each request that is answered from now on.

        Args:
            file: Where to write, such as `sys.stderr`; `None` for nowhere, as by default.

        Example:
            >>> import sys
            >>> sandbox = Sandbox()
            >>> sandbox.log_requests(sys.stderr)
        """
        self._ledger.log = file

    def expire_uploads(self) -> None:
        """Let all files uploaded so far count as older than 48 hours."""
        self._ledger.storage.expire()

    def clear(self) -> None:
        """Forget all requests, files, batch jobs, cached prefixes, scripted answers and faults."""
        self._ledger.clear()

    def script(self, *answers: ScriptedAnswer | str) -> None:
        """Set the next answers, in order; a `str` is an answer's text.

        Example:
            >>> sandbox = Sandbox()
            >>> sandbox.script("a cat", ScriptedAnswer(text="cut off", finish_reason="length"))
        """
        for answer in answers:
            scripted = ScriptedAnswer(text=answer) if isinstance(answer, str) else answer
            self._ledger.script.append(scripted)

    def script_raw(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Set the next answer as exact bytes.

        Args:
            body: The HTTP body.
            status: HTTP status.
            headers: Headers; JSON is the content type if none is given.
        """
        values = {"content-type": "application/json"} if headers is None else dict(headers)
        self._ledger.script.append(RawAnswer(status, body, values))

    def fail(self, fault: Fault | None = None, /, **settings: Unpack[FaultSettings]) -> None:
        """Let the next requests fail, in order of the calls.

        Args:
            fault: The fault, or its settings as keyword arguments.
            **settings: As for `Fault`.

        Raises:
            TypeError: The fault is something else, such as a status.

        Example:
            >>> sandbox = Sandbox()
            >>> sandbox.fail(status=429, retry_after=0.1, times=2)
            >>> sandbox.fail(cut_after_chunks=3)
        """
        if not isinstance(fault, Fault | None):
            raise TypeError(f"Expected a Fault or keyword arguments, such as status={fault!r}.")
        self._ledger.plan(Fault(**settings) if fault is None else fault)

    def fail_batch(
        self, fault: BatchFault | None = None, /, **settings: Unpack[BatchFaultSettings]
    ) -> None:
        """Let the next batch jobs go wrong, in order of the calls.

        Args:
            fault: The fault, or its settings as keyword arguments.
            **settings: As for `BatchFault`.

        Example:
            >>> sandbox = Sandbox()
            >>> sandbox.fail_batch(failed_lines=2, in_output=True)
            >>> sandbox.fail_batch(expires_after=3)
        """
        self._ledger.batch_jobs.plan(BatchFault(**settings) if fault is None else fault)


def serve(
    port: int = 8000,
    host: str = HOST,
    *,
    strict: bool = True,
    server: ServerName = "dashscope",
    allowed_hosts: Collection[str] = (),
    reads: bool | None = False,
) -> None:
    """Run the sandbox until Ctrl-C, with a line on standard error for each request.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Host name or IP address to listen on.
        strict: Whether to reject what the documentation leaves open, as in `Sandbox`.
        server: Server to imitate, as in `Sandbox`.
        allowed_hosts: Host names that requests may be sent to, as in `SandboxLimits`.
        reads: Whether to read the text in images with OCR, as in `SandboxLimits`.

    Raises:
        ImportError: Text is to be read, and the extra `sandbox-ocr` is not installed.
        OSError: The port is in use, or the host is not one of this machine.
    """
    made = Sandbox(
        port,
        host=host,
        strict=strict,
        server=server,
        allowed_hosts=tuple(allowed_hosts),
        reads=reads,
    )
    made.log_requests(sys.stderr)
    with contextlib.suppress(KeyboardInterrupt), made as sandbox:
        sys.stdout.write(_introduce(sandbox, server))
        sys.stdout.flush()
        threading.Event().wait()


def _introduce(sandbox: Sandbox, server: ServerName) -> str:
    """Return where the sandbox listens, and how to ask it from another terminal."""
    url = sandbox.base_url
    heading = f"The qwen-vl sandbox listens at {url} (Ctrl-C ends it)\n\n"
    if server == "dashscope":
        return (
            f"{heading}In another terminal:\n\n"
            f"export DASHSCOPE_API_KEY={_ANY_KEY}\nexport DASHSCOPE_BASE_URL={url}\n\n"
        )
    # The environment's variables name the hosted service only.
    return (
        f"{heading}In another terminal:\n\n"
        f'qwen-vl ask "What is this?" cat.png --server {server} --base-url {url}\n\n'
    )
