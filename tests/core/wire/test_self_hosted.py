"""What leaves for each subject: the table of docs/servers.md, cell by cell.

Every body goes to the sandbox's strict imitation of that subject. Where a cell names a form, the
form is that of self-hosted servers' own documents or of measurements (vLLM 0.32.0, 2026-11-22).
"""

import base64
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image as Pillow

from audio_samples import make_wav
from qwen_vl.client import QwenVLClient
from qwen_vl.content import (
    Audio,
    Document,
    Frames,
    Image,
    Inline,
    LocalFile,
    Part,
    Pixels,
    Reasoning,
    Text,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    FrameCountError,
    InvalidRequestError,
    MediaFormatError,
    MediaOptionError,
    MediaTooSmallError,
    UnsupportedContentError,
)
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.servers import SERVERS, Server
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl_sandbox import Sandbox

# Gateways differ too much for one imitation of them; see `test_gateways.py`.
IMITATED = tuple(name for name in SERVERS if name != "openai_compatible")
PAGE = Path(__file__).parents[3] / "docs" / "servers.md"
MODEL = "Qwen/Qwen3-VL-8B-Instruct"
CAT = "https://example.com/cat.png"
WALK = "https://example.com/walk.mp4"
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "cat",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
    },
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": name,
            "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
    }
    for name in ("crop", "turn")
]
NAMED = {"type": "function", "function": {"name": "turn"}}


def _image(kind: str, color: str = "red") -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (64, 48), color).save(file, kind)
    return file.getvalue()


PNG, JPEG = _image("PNG"), _image("JPEG")
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
JPEG_TEXT = base64.b64encode(JPEG).decode()
JPEG_URL = "data:image/jpeg;base64," + JPEG_TEXT
MP4_TEXT = base64.b64encode(BIG_BUCK_BUNNY.read_bytes()).decode()
WHOLE = Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), where="messages[0].content[0]")
FRAMES = Frames((Inline(JPEG),) * 4)
WAV = base64.b64encode(make_wav(0.1)).decode()


def _page() -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (64, 48)).save(file, "PDF")
    return file.getvalue()


PDF = Document(source=Inline(_page()), where="messages[0].content[0]")


@dataclass(frozen=True)
class Warns:
    """The option is left out, with a warning that names it."""

    name: str


@dataclass(frozen=True)
class Raises:
    """Nothing is sent."""

    words: str
    kind: type[Exception] = UnsupportedContentError


class Subject:
    """One subject's imitation, and a client that asks it."""

    def __init__(self, server: Server, sandbox: Sandbox) -> None:
        self.server = server
        self.sandbox = sandbox

    def ask(self, *parts: Part, before: tuple[Turn, ...] = (), **options: Any) -> Reply:
        turn = Turn(role="user", parts=(*parts, Text(text="What is this?")))
        return self.ask_turns((*before, turn), **options)

    def ask_turns(self, turns: tuple[Turn, ...], **options: Any) -> Reply:
        settings = QwenVLSettings(
            model="qwen3.8-flash" if self.server == "dashscope" else MODEL,
            server=self.server,
            base_url=self.sandbox.base_url,
            api_key="sk-of-the-subject",
            max_inline_bytes=options.pop("max_inline_bytes", 7 * 2**20),
            max_total_inline_bytes=2**26,
        )
        request = build_request(settings, turns, **options)
        return QwenVLClient(build_connection(settings)).ask(request)

    @property
    def body(self) -> dict[str, Any]:
        """What left last."""
        body: dict[str, Any] = self.sandbox.last_request.json
        return body

    @property
    def parts(self) -> list[Any]:
        """The parts of the last message, the question apart."""
        content = self.body["messages"][-1]["content"]
        return [] if isinstance(content, str) else content[:-1]


Cell = tuple[str, Any]
Row = tuple[Callable[[Subject, Any], None], dict[str, Cell]]
ROWS: dict[str, Row] = {}


def row(name: str, **cells: Cell) -> Callable[[Callable[[Subject, Any], None]], Any]:
    """Name a row of the table, and say of each subject what the page says and what must be."""

    def keep(check: Callable[[Subject, Any], None]) -> Callable[[Subject, Any], None]:
        assert cells.keys() == set(IMITATED)
        ROWS[name] = (check, cells)
        return check

    return keep


def outcome(subject: Subject, wanted: Any, ask: Callable[[], object]) -> bool:
    """Ask, and tell whether there is a body to look at."""
    match wanted:
        case Raises():
            with pytest.raises(wanted.kind, match=wanted.words):
                ask()
            assert subject.sandbox.requests == []
            return False
        case Warns():
            server_name = SERVERS[subject.server].title
            words = rf"{re.escape(server_name)} does not read [^:]*\b{wanted.name}\b"
            with pytest.warns(UserWarning, match=words):
                ask()
            assert f"'{wanted.name}':" not in str(subject.body)
            return False
        case _:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                ask()
            assert subject.sandbox.last_request.unknown_fields == ()
            return True


IMAGE = {"type": "image_url", "image_url": {"url": CAT}}


@row(
    "image by URL",
    dashscope=("yes", [IMAGE]),
    vllm=("yes", [IMAGE]),
    sglang=("yes", [IMAGE]),
    llamacpp=("yes", [IMAGE]),
    ollama=("raises", Raises("Ollama takes no images by URL. Download it")),
)
def _picture_by_address(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Image(source=Url(CAT)))):
        assert subject.parts == wanted


INLINE = {"type": "image_url", "image_url": {"url": PNG_URL}}


@row(
    "image from a file, bytes, Base64",
    dashscope=("yes", [INLINE]),
    vllm=("yes", [INLINE]),
    sglang=("yes", [INLINE]),
    llamacpp=("yes", [INLINE]),
    ollama=("PNG, JPEG, WEBP", [INLINE]),
)
def _picture_within(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Image(source=Inline(PNG)))):
        assert subject.parts == wanted


@row(
    '`oss://` URL, `video_mode="upload"`',
    dashscope=("yes", [{"type": "image_url", "image_url": {"url": "oss://b/cat.png"}}]),
    vllm=("raises", Raises("vLLM takes no oss:// URLs")),
    sglang=("raises", Raises("SGLang takes no oss:// URLs")),
    llamacpp=("raises", Raises("llama.cpp takes no oss:// URLs")),
    ollama=("raises", Raises("Ollama takes no oss:// URLs")),
)
def _stored(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Image(source=Url("oss://b/cat.png")))):
        assert subject.parts == wanted
    if isinstance(wanted, Raises):
        upload = Raises(r'video_mode="upload" needs', ConfigurationError)
        outcome(
            subject,
            upload,
            lambda: subject.ask(Video(source=WHOLE.source, video_mode="upload")),
        )


def _size(low: int, high: int) -> dict[str, Any]:
    """Write limits as transformers 5.23 and vLLM take them: always both."""
    return {"size": {"shortest_edge": low, "longest_edge": high}}


LIMITS = {"min_pixels": 70_000, "max_pixels": 700_000}


@row(
    "`min_pixels`, `max_pixels` of images",
    dashscope=("beside the image", {}),
    vllm=(
        "`mm_processor_kwargs`, once for all",
        {"mm_processor_kwargs": {"images_kwargs": _size(70_000, 700_000)}},
    ),
    sglang=("warns", Warns("min_pixels")),
    llamacpp=("warns", Warns("min_pixels")),
    ollama=("warns", Warns("min_pixels")),
)
def _limits(subject: Subject, wanted: Any) -> None:
    image = Image(source=Inline(PNG), **LIMITS)
    if not outcome(subject, wanted, lambda: subject.ask(image)):
        return
    beside = LIMITS if subject.server == "dashscope" else {}
    assert subject.parts == [{**INLINE, **beside}]
    assert {name: subject.body[name] for name in wanted} == wanted


LARGE = Pillow.effect_noise((1_200, 900), 40)


@row(
    "`max_pixels` of a local image",
    dashscope=("downscaled here", (960, 704)),
    vllm=("sent to the server", (1_200, 900)),
    sglang=("downscaled here", (960, 704)),
    llamacpp=("downscaled here", (960, 704)),
    ollama=("downscaled here", (960, 704)),
)
def _shrunk(subject: Subject, wanted: Any) -> None:
    file = io.BytesIO()
    LARGE.save(file, "JPEG")
    image = Image(source=Inline(file.getvalue()), max_pixels=700_000)
    if outcome(subject, wanted, lambda: subject.ask(image, model="qwen3-vl-plus")):
        data = subject.parts[0]["image_url"]["url"].partition(",")[2]
        assert Pillow.open(io.BytesIO(base64.b64decode(data))).size == wanted


@row(
    "`detail`",
    dashscope=("sent", "high"),
    vllm=("warns", Warns("detail")),
    sglang=("sent", "high"),
    llamacpp=("warns", Warns("detail")),
    ollama=("warns", Warns("detail")),
)
def _detail(subject: Subject, wanted: Any) -> None:
    image = Image(source=Inline(PNG), detail="high")
    # What the hosted service does with it, no page says: the sandbox calls it unknown.
    subject.sandbox.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        subject.ask(image)
    sent = subject.parts[0]["image_url"].get("detail")
    reported = [str(warning.message) for warning in caught]
    if isinstance(wanted, Warns):
        assert sent is None
        assert any("does not read detail" in text for text in reported)
    else:
        assert (sent, reported) == (wanted, [])


VIDEO = {"type": "video_url", "video_url": {"url": WALK}}


@row(
    "video by URL",
    dashscope=("`video_url`", [VIDEO]),
    vllm=("`video_url`", [VIDEO]),
    sglang=("`video_url`", [VIDEO]),
    llamacpp=("`input_video`", [{"type": "input_video", "input_video": {"url": WALK}}]),
    ollama=("raises", Raises("Ollama takes no videos by URL")),
)
def _video_by_address(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Video(source=Url(WALK)))):
        assert subject.parts == wanted


HELD = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + MP4_TEXT}}


@row(
    "video from a file",
    dashscope=("`video_url`", [HELD]),
    vllm=("`video_url`", [HELD]),
    sglang=("`video_url`", [HELD]),
    llamacpp=("`input_video`", [{"type": "input_video", "input_video": {"data": MP4_TEXT}}]),
    ollama=("its frames, as images", 10),
)
def _video_within(subject: Subject, wanted: Any) -> None:
    if not outcome(subject, wanted, lambda: subject.ask(WHOLE)):
        return
    if isinstance(wanted, int):
        label, *images = subject.parts
        # From the first of 132 frames to the last, at 25 a second.
        rate = f"{9 / (131 / 25):.6g}"
        words = f"The next 10 pictures are frames of a video, taken at {rate} per second, in order."
        assert label["text"] == words
        assert len(images) == wanted
        heads = {image["image_url"]["url"][:23] for image in images}
        assert heads == {"data:image/jpeg;base64,"}
    else:
        assert subject.parts == wanted


LABEL = {
    "type": "text",
    "text": "The next 4 pictures are frames of a video, taken at 2 per second, in order.",
}
SMALL_IMAGE = {"type": "image_url", "image_url": {"url": JPEG_URL}}
JOINED = "data:video/jpeg;base64," + ",".join([JPEG_TEXT] * 4)


@row(
    "list of frames, with its `fps`",
    dashscope=("`video`", [{"type": "video", "video": [JPEG_URL] * 4, "fps": 2}]),
    vllm=(
        "one `data:video/jpeg` URL, `media_io_kwargs`",
        [{"type": "video_url", "video_url": {"url": JOINED}}],
    ),
    sglang=("images, `fps` as text", [LABEL, *[SMALL_IMAGE] * 4]),
    llamacpp=("images, `fps` as text", [LABEL, *[SMALL_IMAGE] * 4]),
    ollama=("images, `fps` as text", [LABEL, *[SMALL_IMAGE] * 4]),
)
def _frames(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Video(source=FRAMES, fps=2))):
        assert subject.parts == wanted
        kwargs = {"video": {"num_frames": -1, "fps": 2}} if subject.server == "vllm" else None
        assert subject.body.get("media_io_kwargs") == kwargs


@row(
    "`fps` of a video file",
    dashscope=("beside the video", {}),
    vllm=("`media_io_kwargs`, once for all", {"media_io_kwargs": {"video": {"fps": 1}}}),
    sglang=("warns", Warns("fps")),
    llamacpp=("warns", Warns("fps")),
    ollama=("by the frames sampled here", {}),
)
def _fps(subject: Subject, wanted: Any) -> None:
    video = Video(source=WHOLE.source, fps=1)
    if not outcome(subject, wanted, lambda: subject.ask(video)):
        return
    if subject.server == "dashscope":
        assert subject.parts[0]["fps"] == 1
    elif subject.server == "ollama":
        assert len(subject.parts) == 1 + 5
    assert {name: subject.body[name] for name in wanted} == wanted


@row(
    "`total_pixels`",
    dashscope=("beside the video", {}),
    vllm=(
        "`mm_processor_kwargs`, of each frame instead of a pair",
        {"mm_processor_kwargs": {"videos_kwargs": _size(4_096, 2 * 1_048_576)}},
    ),
    sglang=("warns", Warns("total_pixels")),
    llamacpp=("warns", Warns("total_pixels")),
    ollama=("by the frames sampled here", {}),
)
def _total_pixels(subject: Subject, wanted: Any) -> None:
    video = Video(source=WHOLE.source, total_pixels=1_048_576)
    if subject.server == "ollama":
        with pytest.warns(UserWarning, match="total_pixels"):
            subject.ask(video)
        data = subject.parts[1]["image_url"]["url"].partition(",")[2]
        width, height = Pillow.open(io.BytesIO(base64.b64decode(data))).size
        assert width * height * 10 <= 2 * 1_048_576
    elif outcome(subject, wanted, lambda: subject.ask(video)):
        assert {name: subject.body[name] for name in wanted} == wanted


@row(
    "`enable_thinking`",
    dashscope=("yes", {"enable_thinking": False}),
    vllm=("`chat_template_kwargs`", {"chat_template_kwargs": {"enable_thinking": False}}),
    sglang=("`chat_template_kwargs`", {"chat_template_kwargs": {"enable_thinking": False}}),
    llamacpp=("`chat_template_kwargs`", {"chat_template_kwargs": {"enable_thinking": False}}),
    ollama=("`reasoning_effort`", {"reasoning_effort": "none"}),
)
def _thinking(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(enable_thinking=False)):
        assert {name: subject.body[name] for name in wanted} == wanted
        assert ("enable_thinking" in subject.body) is (subject.server == "dashscope")


@row(
    "`thinking_budget`",
    dashscope=("yes", {"thinking_budget": 100}),
    vllm=("`thinking_token_budget`", {"thinking_token_budget": 100}),
    sglang=("warns", Warns("thinking_budget")),
    llamacpp=("warns", Warns("thinking_budget")),
    ollama=("warns", Warns("thinking_budget")),
)
def _budget(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(thinking_budget=100)):
        assert {name: subject.body[name] for name in wanted} == wanted


@row(
    "earlier reasoning",
    dashscope=("`reasoning_content`", "reasoning_content"),
    vllm=("`reasoning`", "reasoning"),
    sglang=("`reasoning_content`", "reasoning_content"),
    llamacpp=("`reasoning_content`", "reasoning_content"),
    ollama=("`reasoning`", "reasoning"),
)
def _earlier(subject: Subject, wanted: Any) -> None:
    said = Turn(role="assistant", parts=(Reasoning(text="Hm."), Text(text="A cat.")))
    first = Turn(role="user", parts=(Text(text="What is it?"),))
    with warnings.catch_warnings():
        # Ollama reads the reasoning, and cannot be told to show it to the model.
        warnings.filterwarnings("ignore", message="Ollama does not read preserve_thinking")
        subject.ask(before=(first, said), preserve_thinking=True)
    assert subject.body["messages"][1] == {"role": "assistant", "content": "A cat.", wanted: "Hm."}


@row(
    "reasoning in answers",
    dashscope=("`reasoning_content`", "reasoning_content"),
    vllm=("`reasoning`", "reasoning"),
    sglang=("`reasoning_content`", "reasoning_content"),
    llamacpp=("`reasoning_content`", "reasoning_content"),
    ollama=("`reasoning`", "reasoning"),
)
def _answers(subject: Subject, wanted: Any) -> None:
    for stream in (False, True):
        message = f'{{"role":"assistant","content":"A cat.","{wanted}":"Hm."}}'
        name = "delta" if stream else "message"
        choice = f'{{"index":0,"{name}":{message},"finish_reason":"stop"}}'
        body = f'{{"choices":[{choice}]}}'
        text = f"data: {body}\n\ndata: [DONE]\n\n" if stream else body
        kind = "text/event-stream" if stream else "application/json"
        subject.sandbox.script_raw(text.encode(), headers={"content-type": kind})
        reply = subject.ask(stream=stream)
        assert (reply.text, reply.reasoning) == ("A cat.", "Hm.")


ONE = {"tools": TOOLS[1:], "tool_choice": "required"}


@row(
    "a tool forced by name",
    dashscope=("yes, thinking is turned off", {"tool_choice": NAMED}),
    vllm=("yes", {"tool_choice": NAMED}),
    sglang=("yes", {"tool_choice": NAMED}),
    llamacpp=('the only tool sent, `"required"`', ONE),
    ollama=("warns", Warns("tool_choice")),
)
def _forced(subject: Subject, wanted: Any) -> None:
    replies: list[Reply] = []
    if outcome(
        subject, wanted, lambda: replies.append(subject.ask(tools=TOOLS, tool_choice=NAMED))
    ):
        assert {name: subject.body[name] for name in wanted} == wanted
        assert [call.name for call in replies[0].tool_calls] == ["turn"]
        # vLLM says "stop" of a call that was forced by name.
        assert replies[0].finish_reason == "tool_calls"


@row(
    "JSON schema",
    dashscope=("Qwen3.7, 3.8 and 4", SCHEMA),
    vllm=("yes", SCHEMA),
    sglang=("yes", SCHEMA),
    llamacpp=("yes", SCHEMA),
    ollama=("yes", SCHEMA),
)
def _schema(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(response_format=SCHEMA)):
        assert subject.body["response_format"] == wanted


@row(
    "`cache_control`",
    dashscope=("yes", {"type": "ephemeral"}),
    vllm=("warns", Warns("cache_control")),
    sglang=("warns", Warns("cache_control")),
    llamacpp=("warns", Warns("cache_control")),
    ollama=("warns", Warns("cache_control")),
)
def _cache(subject: Subject, wanted: Any) -> None:
    marked = Text(text="Long.", cache_control={"type": "ephemeral"})
    if outcome(subject, wanted, lambda: subject.ask(marked)):
        assert subject.parts[0]["cache_control"] == wanted


@row(
    "`thinking_display` of Qwen4",
    dashscope=("yes", "summarized"),
    vllm=("warns", Warns("thinking_display")),
    sglang=("warns", Warns("thinking_display")),
    llamacpp=("warns", Warns("thinking_display")),
    ollama=("warns", Warns("thinking_display")),
)
def _display(subject: Subject, wanted: Any) -> None:
    model = {"model": "qwen4-max"} if subject.server == "dashscope" else {}
    replies: list[Reply] = []

    def ask() -> None:
        replies.append(subject.ask(thinking_display="summarized", **model))

    if outcome(subject, wanted, ask):
        assert subject.body["thinking_display"] == wanted
        assert replies[0].encrypted_content


_NO_QUEUE = ("raises", Raises("queue_seconds is read by the hosted service", ConfigurationError))


@row(
    "`queue_seconds`",
    dashscope=("yes", "30"),
    vllm=_NO_QUEUE,
    sglang=_NO_QUEUE,
    llamacpp=_NO_QUEUE,
    ollama=_NO_QUEUE,
)
def _queue(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(queue_seconds=30)):
        headers = subject.sandbox.last_request.headers
        assert headers["x-dashscope-wait-timeout"] == wanted


@row(
    "prefilled answer",
    dashscope=("`partial`, thinking off", {}),
    vllm=(
        "`continue_final_message`",
        {"continue_final_message": True, "add_generation_prompt": False},
    ),
    sglang=("`continue_final_message`", {"continue_final_message": True}),
    llamacpp=("raises", Raises("llama.cpp cannot go on", ConfigurationError)),
    ollama=("raises", Raises("Ollama cannot go on", ConfigurationError)),
)
def _begun(subject: Subject, wanted: Any) -> None:
    turns = (
        Turn(role="user", parts=(Text(text="A poem?"),)),
        Turn(role="assistant", parts=(Text(text="Roses"),), is_partial=True),
    )
    thinking = {"enable_thinking": False} if subject.server == "dashscope" else {}
    if outcome(subject, wanted, lambda: subject.ask_turns(turns, **thinking)):
        assert {name: subject.body[name] for name in wanted} == wanted
        assert ("partial" in subject.body["messages"][-1]) is (subject.server == "dashscope")


@row(
    "`vl_high_resolution_images`, `enable_search`",
    dashscope=("yes", True),
    vllm=("warns", Warns("vl_high_resolution_images")),
    sglang=("warns", Warns("vl_high_resolution_images")),
    llamacpp=("warns", Warns("vl_high_resolution_images")),
    ollama=("warns", Warns("vl_high_resolution_images")),
)
def _high_resolution(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(vl_high_resolution_images=True)):
        assert subject.body["vl_high_resolution_images"] is wanted


@row(
    "`top_k`, `repetition_penalty`",
    dashscope=("yes", {"top_k": 5, "repetition_penalty": 1.1}),
    vllm=("yes", {"top_k": 5, "repetition_penalty": 1.1}),
    sglang=("yes", {"top_k": 5, "repetition_penalty": 1.1}),
    llamacpp=("`repeat_penalty`", {"top_k": 5, "repeat_penalty": 1.1}),
    ollama=("warns", Warns("repetition_penalty")),
)
def _sampling(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(top_k=5, repetition_penalty=1.1)):
        assert {name: subject.body[name] for name in wanted} == wanted


@row(
    "audio",
    dashscope=("omni models", {"input_audio": {"data": f"data:;base64,{WAV}", "format": "wav"}}),
    vllm=("`audio_url` (unsure)", {"audio_url": {"url": f"data:audio/wav;base64,{WAV}"}}),
    sglang=("`audio_url` (unsure)", {"audio_url": {"url": f"data:audio/wav;base64,{WAV}"}}),
    llamacpp=("WAV and MP3 (unsure)", {"input_audio": {"data": WAV, "format": "wav"}}),
    ollama=("raises", Raises("Ollama takes no audio")),
)
def _audio(subject: Subject, wanted: Any) -> None:
    audio = Audio(source=Inline(make_wav(0.1)))
    if outcome(subject, wanted, lambda: subject.ask(audio, model="qwen3.8-omni-flash")):
        (kind,) = wanted
        assert subject.parts[0] == {"type": kind, **wanted}


@row(
    "token counts",
    dashscope=("the service's rule", 2 * 2 + 2),
    vllm=("transformers' rule", 64 + 2),
    sglang=("transformers' rule", 64 + 2),
    llamacpp=("8 to 4,096 tokens per image", 3 * 3 + 2),
    ollama=("at most 2,048 tokens per image (unsure)", 64 + 2),
)
def _counts(subject: Subject, wanted: Any) -> None:
    # 64x64 pixels: enlarged to 65,536 by transformers, as vLLM reported.
    image = Image(source=Pixels(Pillow.new("RGB", (64, 64))))
    model = "qwen-vl-ocr" if subject.server == "dashscope" else MODEL
    assert count_tokens(image, model, server=subject.server) == wanted


@pytest.fixture
def subject(server: str) -> Iterator[Subject]:
    name = cast("Server", server)
    with Sandbox(server=name) as sandbox:
        yield Subject(name, sandbox)


@pytest.mark.parametrize("server", IMITATED)
@pytest.mark.parametrize("name", ROWS)
def test_cell(name: str, server: str, subject: Subject) -> None:
    check, cells = ROWS[name]
    check(subject, cells[server][1])


def test_page_shows_just_these_cells() -> None:
    lines = [
        "| | " + " | ".join(f"`{name}`" for name in IMITATED) + " |",
        "| --- " * (len(IMITATED) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(cells[server][0] for server in IMITATED) + " |"
            for name, (_, cells) in ROWS.items()
        ),
    ]
    assert "\n".join(lines) in PAGE.read_text()


# What the table has no room for.


@pytest.fixture
def vllm() -> Iterator[Subject]:
    with Sandbox(server="vllm") as sandbox:
        yield Subject("vllm", sandbox)


def test_frames_in_other_formats_become_jpeg(vllm: Subject) -> None:
    transparent = io.BytesIO()
    Pillow.new("RGBA", (64, 48), (0, 0, 255, 0)).save(transparent, "PNG")
    frames = Frames((Inline(PNG), Inline(transparent.getvalue()), Inline(JPEG), Inline(JPEG)))
    vllm.ask(Video(source=frames))
    url = vllm.parts[0]["video_url"]["url"]
    pieces = url.removeprefix("data:video/jpeg;base64,").split(",")
    images = [Pillow.open(io.BytesIO(base64.b64decode(piece))) for piece in pieces]
    assert {image.format for image in images} == {"JPEG"}
    red, white = (image.convert("RGB").getpixel((5, 5)) for image in images[:2])
    assert max(abs(a - b) for a, b in zip(red, (255, 0, 0), strict=True)) < 5
    assert white == (255, 255, 255)
    # What was a JPEG already goes as it was.
    assert pieces[2] == JPEG_TEXT


def test_frames_by_address_cannot_be_joined(vllm: Subject) -> None:
    frames = Frames(tuple(Url(f"https://example.com/{n}.jpg") for n in range(4)))
    with pytest.raises(UnsupportedContentError, match="a list of frames only as JPEG within"):
        vllm.ask(Video(source=frames))


def test_limits_that_differ_are_refused(vllm: Subject) -> None:
    one = Image(source=Inline(PNG), max_pixels=70_000, where="messages[0].content[0]")
    other = Image(source=Inline(PNG), max_pixels=80_000, where="messages[0].content[1]")
    words = r"content\[1\]: vLLM takes one max_pixels .* 80000, and .*content\[0\] has 70000"
    with pytest.raises(UnsupportedContentError, match=words):
        vllm.ask(one, other)


def test_limits_of_frames_are_those_of_the_clip(vllm: Subject) -> None:
    vllm.ask(Video(source=FRAMES, max_pixels=100_000))
    assert vllm.body["mm_processor_kwargs"] == {"videos_kwargs": _size(4_096, 400_000)}
    # Of each frame, for Qwen2.5-VL.
    vllm.ask(Video(source=FRAMES, max_pixels=100_000), model="Qwen/Qwen2.5-VL-7B-Instruct")
    assert vllm.body["mm_processor_kwargs"] == {"videos_kwargs": _size(3_136, 100_000)}


def test_limits_of_a_file_s_frames_cannot_be_told(vllm: Subject) -> None:
    with pytest.warns(UserWarning, match="vLLM does not read max_pixels"):
        vllm.ask(Video(source=WHOLE.source, max_pixels=100_000))
    assert "mm_processor_kwargs" not in vllm.body


def test_part_without_a_limit_is_named_where_another_s_holds(vllm: Subject) -> None:
    one = Image(source=Inline(PNG), max_pixels=70_000, where="messages[0].content[0]")
    other = Image(source=Inline(PNG), where="messages[0].content[1]")
    words = (
        r"^messages\[0\]\.content\[1\]: no max_pixels is set, but vLLM takes one max_pixels for "
        r"all images of a request: 70000 of messages\[0\]\.content\[0\] applies here too\."
    )
    with pytest.warns(UserWarning, match=words):
        vllm.ask(one, other)
    with pytest.warns(UserWarning, match=words):
        vllm.ask(Video(source=FRAMES, where="messages[0].content[2]"), other, one)


def test_many_parts_without_a_limit_are_told_once(vllm: Subject) -> None:
    others = [Image(source=Inline(PNG), where=f"messages[{n}].content[0]") for n in range(1, 7)]
    with pytest.warns(
        UserWarning, match=r"^messages\[1\].*messages\[3\].* and 3 more: no min_p"
    ) as told:
        vllm.ask(
            Image(source=Inline(PNG), min_pixels=70_000, where="messages[0].content[0]"), *others
        )
    assert len(told) == 1


def test_rate_of_one_video_is_told_to_hold_for_others(vllm: Subject) -> None:
    slow = Video(source=FRAMES, fps=0.5, where="messages[0].content[0]")
    other = Video(source=FRAMES, where="messages[0].content[1]")
    with pytest.warns(UserWarning, match=r"content\[1\]: no fps is set, .* 0\.5 of .*content\[0\]"):
        vllm.ask(slow, other)
    with pytest.raises(UnsupportedContentError, match=r"content\[1\]: vLLM takes one fps"):
        vllm.ask(slow, Video(source=FRAMES, fps=2, where="messages[0].content[1]"))


def test_videos_sampled_here_may_differ_in_rate(vllm: Subject) -> None:
    # Nobody asked for these rates.
    slow, fast, other = (
        Video(
            source=Frames(FRAMES.frames, is_sampled=True),
            fps=fps,
            where=f"messages[0].content[{number}]",
        )
        for number, fps in enumerate((0.5, 2.0, 0.501))
    )
    words = r"^messages\[0\]\.content\[1\]: its frames were taken at 2 .* multiplied by 0\.25\."
    with pytest.warns(UserWarning, match=words) as told:
        vllm.ask(slow, fast, other)
    assert len(told) == 1
    assert vllm.body["media_io_kwargs"]["video"]["fps"] == 0.5
    # A file may be read at a rate like its own.
    whole = Video(source=WHOLE.source, where="messages[0].content[4]")
    vllm.ask(replace(fast, fps=1.8), whole)
    with pytest.warns(UserWarning, match=r"content\[4\]: no fps is set"):
        vllm.ask(slow, whole)
    # What somebody asks for counts, where it stands.
    asked = Video(source=FRAMES, fps=4, where="messages[0].content[3]")
    with pytest.warns(UserWarning, match=r"which is 4 of messages\[0\]\.content\[3\]"):
        vllm.ask(slow, asked)
    assert vllm.body["media_io_kwargs"]["video"]["fps"] == 4


def test_limits_that_are_the_checkpoint_s_own_need_no_warning(vllm: Subject) -> None:
    vllm.ask(Image(source=Inline(PNG), max_pixels=16_777_216), Image(source=Inline(PNG)))
    # Of videos and images apart.
    vllm.ask(Image(source=Inline(PNG), max_pixels=70_000), Video(source=FRAMES))
    # Of the model, for all parts.
    vllm.ask(Image(source=Inline(PNG)), Image(source=Inline(PNG)), max_pixels=70_000)


@pytest.fixture
def untrusting() -> Iterator[Subject]:
    """Give vLLM as it is started without flags."""
    with Sandbox(server="vllm", trust_request_mm_kwargs=False) as sandbox:
        yield Subject("vllm", sandbox)


@pytest.mark.parametrize(("count", "fps"), [(2, None), (32, None), (32, 1), (4, 1.0)])
def test_frames_need_no_flag_of_the_server(
    untrusting: Subject, count: int, fps: float | None
) -> None:
    untrusting.ask(Video(source=Frames((Inline(JPEG),) * count), fps=fps))
    assert not {"media_io_kwargs", "mm_processor_kwargs"} & untrusting.body.keys()


@pytest.mark.parametrize(
    ("count", "fps", "sent"),
    [
        # vLLM keeps 32 frames where it is not asked for more, and takes 1 frame per second.
        (33, None, {"num_frames": -1}),
        (4, 2, {"num_frames": -1, "fps": 2}),
        (33, 1, {"num_frames": -1, "fps": 1}),
    ],
)
def test_more_frames_or_another_rate_are_asked_for(
    vllm: Subject, count: int, fps: float | None, sent: dict[str, float]
) -> None:
    vllm.ask(Video(source=Frames((Inline(JPEG),) * count), fps=fps))
    assert vllm.body["media_io_kwargs"] == {"video": sent}


def test_images_need_no_flag_of_the_server(untrusting: Subject) -> None:
    untrusting.ask(Image(source=Inline(PNG)), WHOLE)
    with pytest.raises(InvalidRequestError, match="requires `--trust-request-mm-kwargs`"):
        untrusting.ask(Image(source=Inline(PNG), max_pixels=70_000))


def test_family_says_how_limits_are_sent_where_the_name_does_not(vllm: Subject) -> None:
    for family, size in (("qwen2_5_vl", _size(3_136, 9_000)), ("qwen3_vl", _size(4_096, 36_000))):
        settings = QwenVLSettings(
            model="my-vl",
            server="vllm",
            base_url=vllm.sandbox.base_url,
            model_family=family,  # type: ignore[arg-type]  # One of both.
        )
        video = Video(source=FRAMES, max_pixels=9_000)
        turn = Turn(role="user", parts=(video, Text(text="?")))
        QwenVLClient(build_connection(settings)).ask(build_request(settings, [turn]))
        assert vllm.body["mm_processor_kwargs"] == {"videos_kwargs": size}


SMALL = [(5, 5), (11, 40), (332, 27), (27, 332)]


@pytest.mark.parametrize("server", ["vllm", "ollama"])
def test_small_sides_are_refused_before_qwen25_is_asked(subject: Subject) -> None:
    for size in SMALL:
        image = Pixels(Pillow.new("RGB", size))
        video = Video(source=Frames((image,) * 4), where="messages[0].content[0]")
        for model in ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5vl:7b"):
            with pytest.raises(MediaTooSmallError, match=r"each side must have 28 or more"):
                subject.ask(Image(source=image), model=model)
            with pytest.raises(MediaTooSmallError, match=r"content\[0\]\.video\[0\]: .* 28 or"):
                subject.ask(video, model=model)
    assert subject.sandbox.requests == []


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
def test_small_sides_of_the_service_do_not_bind_qwen3_elsewhere(subject: Subject) -> None:
    for size in SMALL:
        subject.ask(Image(source=Pixels(Pillow.new("RGB", size))))
        subject.ask(Image(source=Inline(_file(size, "PNG"))))


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "TIFF"])
def test_formats_above_4k_go_as_they_are_elsewhere(vllm: Subject, kind: str) -> None:
    vllm.ask(Image(source=Inline(_file((3_900, 2_200), kind))), max_inline_bytes=2**26)
    assert vllm.parts[0]["image_url"]["url"].startswith(f"data:image/{kind.lower()};base64,")


def _file(size: tuple[int, int], kind: str) -> bytes:
    file = io.BytesIO()
    Pillow.new("L", size).save(file, kind)
    return file.getvalue()


def test_frames_of_two_sizes_are_refused_by_name(vllm: Subject) -> None:
    frames = (Inline(JPEG), Inline(JPEG), Inline(_file((64, 64), "PNG")), Inline(JPEG))
    words = r"messages\[0\]\.content\[0\]\.video\[2\]: The frame has 64 x 64 pixels, .* 64 x 48"
    with pytest.raises(MediaFormatError, match=words):
        vllm.ask(Video(source=Frames(frames), where="messages[0].content[0]"))
    assert vllm.sandbox.requests == []


def test_single_frame_is_refused_where_the_model_takes_pairs(vllm: Subject) -> None:
    single = Video(source=Frames((Inline(JPEG),)), where="messages[0].content[0]")
    with pytest.raises(FrameCountError, match=r"content\[0\]: The list has 1 frames"):
        vllm.ask(single)
    assert vllm.sandbox.requests == []
    vllm.ask(single, model="Qwen/Qwen2.5-VL-7B-Instruct")


@pytest.mark.parametrize("server", ["sglang", "llamacpp", "ollama"])
def test_frames_of_two_sizes_are_images_elsewhere(subject: Subject) -> None:
    subject.ask(Video(source=Frames((Inline(JPEG), Inline(_file((64, 64), "JPEG"))))))


PIXELS = ("min_pixels", "max_pixels", "total_pixels")
WRONG: list[tuple[str, Any]] = [
    *(("fps", value) for value in ("2", 0, -1, math.nan, math.inf, True)),
    *((name, value) for name in PIXELS for value in ("70000", 0, -5, math.nan, True, 150_000.5)),
]


@pytest.mark.parametrize("server", IMITATED)
def test_wrong_number_names_the_part(subject: Subject) -> None:
    where = "messages[0].content[0]"
    for name, value in WRONG:
        words = rf"^{re.escape(where)}: {name} is {re.escape(repr(value))}; it must be "
        parts: list[Any] = [Video(source=FRAMES, where=where), WHOLE]
        if name in {"min_pixels", "max_pixels"}:
            parts += [Image(source=Inline(PNG), where=where), PDF]
        for part in parts:
            wrong = replace(part, **{name: value})
            with pytest.raises(MediaOptionError, match=words):
                subject.ask(part, **{name: value})
            with pytest.raises(MediaOptionError, match=words):
                subject.ask(wrong)
            with pytest.raises(MediaOptionError, match=words):
                count_tokens(wrong, MODEL, server=subject.server)
    assert subject.sandbox.requests == []


@pytest.mark.parametrize("server", IMITATED)
def test_least_above_the_most_names_the_part(subject: Subject) -> None:
    where = "messages[0].content[0]"
    for part in (Image(source=Inline(PNG), where=where), WHOLE, PDF):
        with pytest.raises(
            MediaOptionError, match=r"content\[0\]: min_pixels is 200000; .* 100000"
        ):
            subject.ask(part, min_pixels=200_000, max_pixels=100_000)


def test_template_s_own_parameters_come_along(vllm: Subject) -> None:
    own = {"chat_template_kwargs": {"add_vision_id": True}}
    vllm.ask(enable_thinking=True, extra_body=own)
    assert vllm.body["chat_template_kwargs"] == {"add_vision_id": True, "enable_thinking": True}


def test_key_of_the_service_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-service")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "http://127.0.0.1:9/compatible-mode/v1")
    settings = QwenVLSettings(server="vllm", base_url="http://localhost:8000/v1")
    connection = build_connection(settings)
    assert connection.base_url == "http://localhost:8000/v1"
    assert connection.require_api_key() == "none"
    with pytest.raises(ConfigurationError, match='pass its URL, as base_url="http://localhost'):
        build_connection(QwenVLSettings(server="vllm"))
    mine = QwenVLSettings(server="vllm", base_url="http://localhost:8000/v1", api_key="sk-mine")
    assert build_connection(mine).require_api_key() == "sk-mine"


def test_protocol_and_server_exclude_each_other() -> None:
    both = QwenVLSettings(server="vllm", base_url="http://a/v1", protocol="native")
    with pytest.raises(ConfigurationError, match="exclude each other"):
        build_connection(both)


def test_picture_of_a_kind_that_ollama_does_not_read() -> None:
    tiff = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(tiff, "TIFF")
    with (
        Sandbox(server="ollama") as sandbox,
        pytest.raises(UnsupportedContentError, match=r"Ollama takes no image/tiff\. Pass it"),
    ):
        Subject("ollama", sandbox).ask(Image(source=Inline(tiff.getvalue())))


def test_limits_of_the_service_do_not_bind_other_servers(vllm: Subject) -> None:
    # The hosted service takes four frames at least, and limits from 65,536 pixels on.
    vllm.ask(Video(source=Frames((Inline(JPEG),) * 2)))
    vllm.ask(Image(source=Inline(PNG), max_pixels=5_000))
    assert vllm.body["mm_processor_kwargs"] == {"images_kwargs": _size(65_536, 5_000)}


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
@pytest.mark.usefixtures("server")
def test_texts_of_an_earlier_answer_are_joined(subject: Subject) -> None:
    hello = Turn(role="user", parts=(Text(text="Hello"),))
    said = Turn(role="assistant", parts=(Text(text="A cat"), Text(text=", I think.")))
    subject.ask(before=(hello, said))

    assert subject.body["messages"][1] == {"role": "assistant", "content": "A cat, I think."}
