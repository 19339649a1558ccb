"""Lines of batch files: requests of the OpenAI-compatible protocol, and what came of them.

Forms are those of the Batch-File page (2026-10). vLLM reads and writes the same (`vllm run_batch`).
"""

from dataclasses import dataclass, replace

from qwen_vl.content import Frames, Video
from qwen_vl.errors import MediaTooLargeError, UnsupportedContentError
from qwen_vl.request.rules import thinks
from qwen_vl.request.types import Request
from qwen_vl.specs.batch_file import MAX_LINE_BYTES, TEST_MODEL, find_line_url
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import Json, encode_turns, to_wire_url, uses_oss, write_body
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import as_count, as_object, as_text, load_json
from qwen_vl.wire.openai.encode import CompatibleEncoder
from qwen_vl.wire.openai.self_hosted import encode_for_own_server

_SUCCESS = 200
_ERROR = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAnswer:
    """What came of one line.

    Args:
        custom_id: Its id in the file.
        body: JSON of the answer; empty where there is none.
        request_id: What the service's support asks for.
        error_code: Why there is no answer; `None` if there is one.
        error_message: What is wrong.
    """

    custom_id: str
    body: bytes = b""
    request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None

    @property
    def is_answer(self) -> bool:
        """Whether the line was answered."""
        return self.error_code is None


def encode_line_body(request: Request) -> bytes:
    """Write the body of a line.

    Thinking is said outright, since a file has one mode, and the models differ in their default.

    Args:
        request: What to ask; its media is ready.

    Raises:
        MediaTooLargeError: The line is longer than the service takes.
        UnsupportedContentError: A part is in the temporary storage, which a line cannot read, or
            the server does not take it.
        ConfigurationError: A parameter is nothing that JSON has.

    Example:
        >>> from qwen_vl.content import Text, Turn
        >>> turn = Turn(role="user", parts=(Text(text="Hello"),))
        >>> encode_line_body(Request(model="qwen3-vl-plus", turns=(turn,)))
        b'{"model":"qwen3-vl-plus","messages":[{"role":"user","content":"Hello"}],\
"enable_thinking":false}'
    """
    request = replace(request, stream=False)
    if request.server != DEFAULT_SERVER:
        return bytes(write_body(request, encode_for_own_server(request)))
    if uses_oss(request.turns):
        raise UnsupportedContentError(
            "A line of a batch file cannot read the temporary storage (oss:// URLs). Pass an "
            "https:// URL, which must be valid until the job ends, or a smaller file."
        )
    body = _write_body(request)
    if len(body) > MAX_LINE_BYTES:
        raise MediaTooLargeError(
            f"The line is {len(body):,} bytes long; the service takes {MAX_LINE_BYTES:,}.",
            where="messages",
            value=len(body),
            limit=MAX_LINE_BYTES,
            remedy="Pass images and videos by URL, or fewer of them.",
        )
    return bytes(body)


def _write_body(request: Request) -> Body:
    parameters = dict(request.parameters)
    # unsure: whether the test model takes parameters; the page has none in its example.
    if request.model == TEST_MODEL:
        parameters = {}
    elif get_model_spec(request.known_model).thinking in {"on", "off"}:
        parameters.setdefault("enable_thinking", thinks(request.known_model, parameters))
    messages = encode_turns(request, _ENCODER)
    return write_body(request, {"model": request.model, "messages": messages, **parameters})


def encode_line(custom_id: str, model: str, body: bytes) -> bytes:
    r"""Return a whole line.

    Args:
        custom_id: Its id; letters, digits and dashes.
        model: Model id.
        body: From `encode_line_body`.

    Example:
        >>> encode_line("a", "qwen3-vl-plus", b"{}")
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{}}\n'
    """
    url = find_line_url(model)
    head = f'{{"custom_id":"{custom_id}","method":"POST","url":"{url}","body":'
    return head.encode() + body + b"}\n"


def decode_line(line: bytes) -> LineAnswer | None:
    """Read a line of an output or error file; `None` if it is none.

    A request that failed may stand in the output file too, with the status of its error (measured
    at the service, 2026-09), and the error's fields have two spellings on the page.

    Args:
        line: JSON.

    Example:
        >>> decode_line(b'{"custom_id":"a","response":null,"error":{"code":"x","message":"No."}}')
        LineAnswer(custom_id='a', body=b'', request_id=None, error_code='x', error_message='No.')
    """
    data = as_object(load_json(line))
    custom_id = as_text(data.get("custom_id"))
    if not custom_id:
        return None
    response = as_object(data.get("response"))
    body, status = response.get("body"), as_count(response.get("status_code"))
    request_id = as_text(response.get("request_id")) or None
    error = as_object(data.get("error")) or data
    code = as_text(error.get("code")) or as_text(error.get("error_code"))
    message = as_text(error.get("message")) or as_text(error.get("error_message"))
    written = b"" if body is None else bytes(Body.write(body))
    if not (code or message) and status in {_SUCCESS, None} and body:
        return LineAnswer(custom_id=custom_id, body=written, request_id=request_id)
    if not (code or message):
        decoded = decode_error(status or _ERROR, written, {})
        code, message = decoded.code, decoded.message
    return LineAnswer(
        custom_id=custom_id,
        request_id=request_id,
        error_code=code or (f"http_{status}" if status else "no_answer"),
        error_message=message or "The service says no more.",
    )


class _BatchEncoder(CompatibleEncoder):
    """As for live requests, but for videos, which the page has as text."""

    def video(self, video: Video) -> list[Json]:
        """Write a video."""
        (written,) = super().video(video)
        if isinstance(video.source, Frames):
            return [written]
        beside = {name: value for name, value in written.items() if name not in _VIDEO_NAMES}
        return [{"type": "video", "video": to_wire_url(video.source), **beside}]


_VIDEO_NAMES = frozenset({"type", "video_url"})
_ENCODER = _BatchEncoder()
