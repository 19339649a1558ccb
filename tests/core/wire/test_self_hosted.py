"""What leaves for each subject: the table of docs/servers.md, cell by cell.

Every body goes to the sandbox's strict imitation of that subject. Where a cell names a form, the
form is that of self-hosted servers' own documents or of measurements (vLLM 0.32.0, 2026-11-22).
"""

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image as Pillow

from qwen_vl.client import QwenVLClient
from qwen_vl.content import (
    Audio,
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
from qwen_vl.errors import ConfigurationError, UnsupportedContentError
from qwen_vl.reply import Reply
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
        )
        request = settings.make_request(turns, **options)
        return QwenVLClient(settings.connection()).ask(request)

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
            words = rf"{re.escape(server_name)} cannot be told [^:]*\b{wanted.name}\b"
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
    "picture by address",
    dashscope=("yes", [IMAGE]),
    vllm=("yes", [IMAGE]),
    sglang=("yes", [IMAGE]),
    llamacpp=("yes", [IMAGE]),
    ollama=("raises", Raises("Ollama takes no pictures by address. Download it")),
)
def _picture_by_address(subject: Subject, wanted: Any) -> None:
    if outcome(subject, wanted, lambda: subject.ask(Image(source=Url(CAT)))):
        assert subject.parts == wanted


INLINE = {"type": "image_url", "image_url": {"url": PNG_URL}}


@row(
    "picture from a file, bytes, Base64",
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
    '`oss://` address, `video_mode="upload"`',
    dashscope=("yes", [{"type": "image_url", "image_url": {"url": "oss://b/cat.png"}}]),
    vllm=("raises", Raises("vLLM takes no oss:// addresses")),
    sglang=("raises", Raises("SGLang takes no oss:// addresses")),
    llamacpp=("raises", Raises("llama.cpp takes no oss:// addresses")),
    ollama=("raises", Raises("Ollama takes no oss:// addresses")),
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


LIMITS = {"min_pixels": 70_000, "max_pixels": 700_000}


@row(
    "`min_pixels`, `max_pixels` of pictures",
    dashscope=("beside the picture", {}),
    vllm=(
        "`mm_processor_kwargs`, once for all",
        {"mm_processor_kwargs": {"images_kwargs": LIMITS}},
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
    "`max_pixels` of a local picture",
    dashscope=("shrunk here", (960, 704)),
    vllm=("told to the server", (1_200, 900)),
    sglang=("shrunk here", (960, 704)),
    llamacpp=("shrunk here", (960, 704)),
    ollama=("shrunk here", (960, 704)),
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
        assert any("cannot be told detail" in text for text in reported)
    else:
        assert (sent, reported) == (wanted, [])


VIDEO = {"type": "video_url", "video_url": {"url": WALK}}


@row(
    "video by address",
    dashscope=("`video_url`", [VIDEO]),
    vllm=("`video_url`", [VIDEO]),
    sglang=("`video_url`", [VIDEO]),
    llamacpp=("`input_video`", [{"type": "input_video", "input_video": {"url": WALK}}]),
    ollama=("raises", Raises("Ollama takes no videos by address")),
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
    ollama=("its frames, as pictures", 10),
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
        "one `data:video/jpeg` address, `media_io_kwargs`",
        [{"type": "video_url", "video_url": {"url": JOINED}}],
    ),
    sglang=("pictures, `fps` in words", [LABEL, *[SMALL_IMAGE] * 4]),
    llamacpp=("pictures, `fps` in words", [LABEL, *[SMALL_IMAGE] * 4]),
    ollama=("pictures, `fps` in words", [LABEL, *[SMALL_IMAGE] * 4]),
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
    ollama=("by the frames taken here", {}),
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
        {"mm_processor_kwargs": {"videos_kwargs": {"max_pixels": 2 * 1_048_576}}},
    ),
    sglang=("warns", Warns("total_pixels")),
    llamacpp=("warns", Warns("total_pixels")),
    ollama=("by the frames taken here", {}),
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
        warnings.filterwarnings("ignore", message="Ollama cannot be told preserve_thinking")
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
    "a tool that is forced by name",
    dashscope=("yes, thinking is turned off", {"tool_choice": NAMED}),
    vllm=("yes", {"tool_choice": NAMED}),
    sglang=("yes", {"tool_choice": NAMED}),
    llamacpp=('it alone is offered, `"required"`', ONE),
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
    dashscope=("Qwen3.7 and 3.8", SCHEMA),
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
    "an answer that is begun for the model",
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
    "sounds",
    dashscope=("omni models", None),
    vllm=("raises", Raises("vLLM takes no sounds")),
    sglang=("raises", Raises("SGLang takes no sounds")),
    llamacpp=("raises", Raises("llama.cpp takes no sounds")),
    ollama=("raises", Raises("Ollama takes no sounds")),
)
def _sounds(subject: Subject, wanted: Any) -> None:
    sound = Audio(source=Url("https://example.com/a.mp3"), format="mp3")
    if outcome(subject, wanted, lambda: subject.ask(sound, model="qwen3.8-omni-flash")):
        assert subject.parts[0]["type"] == "input_audio"


@row(
    "token counts",
    dashscope=("the service's rule", 2 * 2 + 2),
    vllm=("transformers' rule", 64 + 2),
    sglang=("transformers' rule", 64 + 2),
    llamacpp=("transformers' rule (unsure)", 64 + 2),
    ollama=("transformers' rule (unsure)", 64 + 2),
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
    assert vllm.body["mm_processor_kwargs"] == {"videos_kwargs": {"max_pixels": 400_000}}
    # Of each frame, for Qwen2.5-VL.
    vllm.ask(Video(source=FRAMES, max_pixels=100_000), model="Qwen/Qwen2.5-VL-7B-Instruct")
    assert vllm.body["mm_processor_kwargs"] == {"videos_kwargs": {"max_pixels": 100_000}}


def test_limits_of_a_file_s_frames_cannot_be_told(vllm: Subject) -> None:
    with pytest.warns(UserWarning, match="vLLM cannot be told max_pixels"):
        vllm.ask(Video(source=WHOLE.source, max_pixels=100_000))
    assert "mm_processor_kwargs" not in vllm.body


def test_template_s_own_parameters_come_along(vllm: Subject) -> None:
    own = {"chat_template_kwargs": {"add_vision_id": True}}
    vllm.ask(enable_thinking=True, extra_body=own)
    assert vllm.body["chat_template_kwargs"] == {"add_vision_id": True, "enable_thinking": True}


def test_key_of_the_service_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-service")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "http://127.0.0.1:9/compatible-mode/v1")
    settings = QwenVLSettings(server="vllm", base_url="http://localhost:8000/v1")
    connection = settings.connection()
    assert connection.base_url == "http://localhost:8000/v1"
    assert connection.require_api_key() == "none"
    with pytest.raises(ConfigurationError, match='pass its address, as base_url="http://localhost'):
        QwenVLSettings(server="vllm").connection()
    mine = QwenVLSettings(server="vllm", base_url="http://localhost:8000/v1", api_key="sk-mine")
    assert mine.connection().require_api_key() == "sk-mine"


def test_protocol_and_server_exclude_each_other() -> None:
    both = QwenVLSettings(server="vllm", base_url="http://a/v1", protocol="native")
    with pytest.raises(ConfigurationError, match="exclude each other"):
        both.connection()


def test_picture_of_a_kind_that_ollama_does_not_read() -> None:
    tiff = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(tiff, "TIFF")
    with (
        Sandbox(server="ollama") as sandbox,
        pytest.raises(UnsupportedContentError, match=r"Ollama takes no image/tiff\. Give it"),
    ):
        Subject("ollama", sandbox).ask(Image(source=Inline(tiff.getvalue())))


def test_limits_of_the_service_do_not_bind_other_servers(vllm: Subject) -> None:
    # The hosted service takes four frames at least, and limits from 65,536 pixels on.
    vllm.ask(Video(source=Frames((Inline(JPEG),) * 2)))
    vllm.ask(Image(source=Inline(PNG), max_pixels=5_000))
    assert vllm.body["mm_processor_kwargs"] == {"images_kwargs": {"max_pixels": 5_000}}
