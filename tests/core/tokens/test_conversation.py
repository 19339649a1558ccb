"""Conversations counted before they are sent, against what the sandbox counts on its own."""

import base64
import functools
import io
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pydantic import SecretStr

from qwen_vl.client import QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import (
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Part,
    Pixels,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
)
from qwen_vl.media import measure
from qwen_vl.media.measure import measure_video
from qwen_vl.reply import Usage
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.tokens import conversation
from qwen_vl.tokens.conversation import TokenCounter, count_tokens
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl_sandbox import Sandbox

PLUS = "qwen3-vl-plus"
MODELS = [PLUS, "qwen3.8-max", "qwen2.5-vl-72b-instruct", "qwen3-vl-8b-instruct"]
CAT = LocalFile(CHELSEA, is_trusted=True)
CAT_TOKENS = 128  # 14 x 9 squares of 32 pixels, and two markers.
BUNNY = LocalFile(BIG_BUCK_BUNNY, is_trusted=True)


@pytest.fixture
def ask(qwen_vl_sandbox: Sandbox) -> Callable[..., Usage]:
    """What the sandbox counts for one part."""
    url = Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))
    client = QwenVLClient(url)

    def make(part: Part, model: str = PLUS, **parameters: Any) -> Usage:
        turn = Turn(role="user", parts=(part, Text(text="What?")))
        usage = client.ask(Request(model=model, turns=(turn,), parameters=parameters)).usage
        assert usage is not None
        return usage

    return make


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*arguments: object) -> None:
        raise AssertionError(f"counting opened a connection: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", reject)
    monkeypatch.setattr(socket, "getaddrinfo", reject)


@functools.cache
def _encoded(size: tuple[int, int], kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", size, "red").save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", [CHELSEA, COFFEE, ROCKET], ids=lambda path: path.stem)
def test_real_picture_counts_as_at_the_sandbox(
    path: Path, model: str, ask: Callable[..., Usage]
) -> None:
    image = Image(source=LocalFile(path, is_trusted=True))

    assert count_tokens(image, model) == ask(image, model).image_tokens


@pytest.mark.slow
@pytest.mark.parametrize("size", [(11, 11), (12, 2000), (33, 47), (1920, 1080), (4000, 3000)])
@pytest.mark.parametrize(
    ("limits", "parameters"),
    [
        ({}, {}),
        ({"max_pixels": 100_000}, {}),
        ({"min_pixels": 1_000_000, "max_pixels": 1_100_000}, {}),
        ({"max_pixels": 100_000}, {"vl_high_resolution_images": True}),
    ],
)
def test_picture_of_any_size_counts_as_at_the_sandbox(
    size: tuple[int, int],
    limits: dict[str, int],
    parameters: dict[str, Any],
    ask: Callable[..., Usage],
) -> None:
    image = Image(source=Inline(_encoded(size)), **limits)

    counted = count_tokens(image, PLUS, parameters=parameters)

    assert counted == ask(image, **parameters).image_tokens


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fps": 1.0},
        {"fps": 10.0},
        {"fps": 0.1},
        {"max_pixels": 100_000},
        {"total_pixels": 500_000},
        {"min_pixels": 500_000, "max_pixels": 600_000},
    ],
    ids=str,
)
def test_real_video_counts_as_at_the_sandbox(
    model: str, options: dict[str, Any], ask: Callable[..., Usage]
) -> None:
    video = Video(source=BUNNY, **options)

    assert count_tokens(video, model) == ask(video, model).video_tokens


@pytest.mark.parametrize("n_frames", [4, 5, 8])
def test_frames_count_as_at_the_sandbox(n_frames: int, ask: Callable[..., Usage]) -> None:
    rocket = LocalFile(ROCKET, is_trusted=True)
    video = Video(source=Frames((rocket,) * n_frames), fps=2)

    assert count_tokens(video, PLUS) == ask(video).video_tokens


def _sources(tmp_path: Path) -> dict[str, Source]:
    data = CHELSEA.read_bytes()
    text = base64.b64encode(data).decode()
    (tmp_path / "cat.png").write_bytes(data)
    return {
        "path": CAT,
        "path in text": LocalFile(tmp_path / "cat.png", is_trusted=False),
        "bytes": Inline(data),
        "base64": Inline(text),
        "base64 bytes": Inline(text.encode()),
        "base64 in lines": Inline("\n".join(text[at : at + 76] for at in range(0, len(text), 76))),
        "base64url": Inline(text.replace("+", "-").replace("/", "_").rstrip("=")),
        "data url": Url(f"data:image/jpeg;base64,{text}"),
        "data url in text": Inline(f"data:image/png;base64,{text}"),
        "data url in percents": Url("data:image/png," + "".join(f"%{byte:02x}" for byte in data)),
        "file object": OpenFile(io.BytesIO(data)),
        "pillow": Pixels(Pillow.new("RGB", (451, 300))),
        "array": Pixels(np.zeros((300, 451, 3), dtype=np.uint8)),
        "gray array": Pixels(np.zeros((300, 451), dtype=np.uint8)),
    }


@pytest.mark.usefixtures("no_network")
def test_same_picture_counts_the_same_from_any_source(tmp_path: Path) -> None:
    policy = MediaPolicy(media_roots=(tmp_path, CHELSEA.parent))

    for name, source in _sources(tmp_path).items():
        assert count_tokens(Image(source=source), PLUS, policy=policy) == CAT_TOKENS, name


def test_pixels_are_not_decoded() -> None:
    with Pillow.open(CHELSEA) as image:
        assert count_tokens(Image(source=Pixels(image)), PLUS) == CAT_TOKENS
        # An image that Pillow has not decoded yet still has its file open.
        assert image.fp is not None


def test_file_object_is_left_where_it_was() -> None:
    file = io.BytesIO(CHELSEA.read_bytes())
    file.seek(100)

    count_tokens(Image(source=OpenFile(file)), PLUS)

    assert file.tell() == 100


@pytest.mark.usefixtures("no_network")
@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_picture_behind_an_address_counts_as_the_largest() -> None:
    far = Url("https://example.com/cat.png")
    counter = TokenCounter(model=PLUS, parameters={}, policy=MediaPolicy())

    assert counter.measure(Image(source=far)).is_assumed
    assert count_tokens(Image(source=far), PLUS) == 2_560 + 2
    assert count_tokens(Image(source=far, max_pixels=65_536), PLUS) == 64 + 2
    high = {"vl_high_resolution_images": True}
    assert count_tokens(Image(source=far), PLUS, parameters=high) == 16_384 + 2


@pytest.mark.usefixtures("no_network")
@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_video_behind_an_address_counts_as_a_minute_of_the_largest_frames() -> None:
    far = Url("https://example.com/film.mp4")

    assert count_tokens(Video(source=far), PLUS) == 60 * 640 + 2
    assert count_tokens(Video(source=far, fps=1), PLUS) == 30 * 640 + 2
    assert count_tokens(Video(source=far, total_pixels=1_024_000), PLUS) == 60 * 16 + 2
    assert count_tokens(Video(source=far), PLUS, video_seconds=10) == 10 * 640 + 2
    assert count_tokens(Video(source=far), PLUS, video_seconds=3_600) <= 131_072 + 2


@pytest.mark.usefixtures("no_network")
@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_frames_behind_addresses_take_the_size_of_one_that_is_here() -> None:
    far = Url("https://example.com/1.jpg")
    near = LocalFile(ROCKET, is_trusted=True)
    here = count_tokens(Video(source=Frames((near,) * 4)), PLUS)

    assert count_tokens(Video(source=Frames((far, far, near, far))), PLUS) == here
    assert count_tokens(Video(source=Frames((far,) * 4)), PLUS) == 2 * 640 + 2


def test_video_counts_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "has_av", lambda: False)

    monkeypatch.setattr(conversation, "has_av", lambda: False)
    assert measure_video(BUNNY, MediaPolicy(), "") is None
    words = r'pip install "qwen-vl\[video\]" measures it\); 38,402 tokens are .* 130 to 131,002'
    with pytest.warns(UserWarning, match=words):
        assert count_tokens(Video(source=BUNNY), PLUS) == 60 * 640 + 2


@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_video_whose_header_says_nothing_counts_as_unknown() -> None:
    cut = BIG_BUCK_BUNNY.read_bytes()[:2_000]

    assert count_tokens(Video(source=Inline(cut)), PLUS) == 60 * 640 + 2


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Image(source=LocalFile(Path("/nowhere/cat.png"), is_trusted=True)), MediaNotFoundError),
        (Image(source=LocalFile(CHELSEA, is_trusted=False)), MediaAccessError),
        (Image(source=Inline(b"Dear reader,")), MediaFormatError),
        (Image(source=Inline("iVBORw0KGgo*")), MediaFormatError),
        (Image(source=Inline(b"")), MediaFormatError),
        (Image(source=Url("ftp:cat.png")), MediaFormatError),
        (Image(source=Pixels(np.zeros((10, 10), complex))), MediaFormatError),
        (Image(source=CAT, max_pixels=1), MediaOptionError),
        (Video(source=CAT), MediaFormatError),
        (Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=False)), MediaAccessError),
        (Video(source=Pixels(Pillow.new("RGB", (32, 32)))), MediaFormatError),
        (Video(source=BUNNY, fps=0), MediaOptionError),
        (Video(source=Frames((CAT, CAT, Inline(b"no"), CAT))), None),
    ],
)
def test_media_that_cannot_be_read_raise_what_sending_raises(
    part: Image | Video, error: type[Exception] | None
) -> None:
    if error is None:
        # Of frames the first that says its size is enough; sending looks at them all.
        assert count_tokens(part, PLUS)
        return
    with pytest.raises(error):
        count_tokens(part, PLUS)


def test_pipe_is_not_used_up() -> None:
    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

    with pytest.raises(MediaAccessError, match="only once"):
        count_tokens(Image(source=OpenFile(Pipe())), PLUS)


def test_limits_on_bytes_are_left_to_sending() -> None:
    policy = MediaPolicy(max_inline_bytes=100)

    assert count_tokens(Image(source=CAT), PLUS, policy=policy) == CAT_TOKENS
    assert count_tokens(Video(source=BUNNY), PLUS, policy=policy) > CAT_TOKENS


def test_guide_s_question_costs_what_the_service_says_around_its_picture() -> None:
    # `text_tokens` of the reply in the OpenAI-Chat page (2026-07).
    turn = Turn(role="user", parts=(Text(text="What is depicted in the image?"),))

    assert count_tokens([turn], "qwen3.7-plus") == 17


def test_conversation_adds_up() -> None:
    turns = [
        Turn(role="system", parts=(Text(text="Be brief."),)),
        Turn(role="user", parts=(Image(source=CAT), Text(text="What is this?"))),
        Turn(role="assistant", parts=(ToolCall(id="1", name="crop", arguments='{"left": 10}'),)),
        Turn(role="tool", parts=(ToolResult(tool_call_id="1", parts=(Image(source=CAT),)),)),
    ]
    counts = [count_tokens(turns[:length], PLUS) for length in range(5)]

    assert counts == sorted(counts)
    assert counts[2] - counts[1] > CAT_TOKENS
    assert counts[4] - counts[3] > CAT_TOKENS
    assert counts[4] < 2 * CAT_TOKENS + 150


def test_reasoning_counts_where_it_is_sent() -> None:
    thought = Reasoning(text="It has whiskers. " * 100)
    answered = Turn(role="assistant", parts=(thought, Text(text="A cat.")))
    asked = Turn(role="user", parts=(Text(text="And now?"),))

    without = count_tokens([answered, asked], PLUS)

    assert without < 50
    assert count_tokens([answered, asked], "qwen3.8-max") > without + 300
    kept = {"preserve_thinking": True}
    assert count_tokens([answered, asked], PLUS, parameters=kept) > without + 300
    assert count_tokens([asked, answered], PLUS) > without + 300


def test_tools_count() -> None:
    tool = {"type": "function", "function": {"name": "crop", "description": "Cuts. " * 100}}

    with_tool = count_tokens([], PLUS, parameters={"tools": [tool]})

    assert with_tool > count_tokens([], PLUS) + 200


def test_tokenizer_of_the_caller_is_used() -> None:
    assert count_tokens(Text(text="a b c"), PLUS, count_text=len) == 5


def test_video_of_five_megabytes_in_base64_is_no_text(tmp_path: Path) -> None:
    data = BIG_BUCK_BUNNY.read_bytes()
    # MP4 may hold free space, which is nothing to look at.
    data += struct.pack(">I", 4_000_008) + b"free" + bytes(4_000_000)
    video = Video(source=Inline(base64.b64encode(data).decode()))

    assert count_tokens(video, PLUS) == count_tokens(Video(source=BUNNY), PLUS)


def test_counting_takes_few_steps() -> None:
    text = Text(text="A cat sits on the windowsill. " * 30)
    longer = Text(text="A cat sits on the windowsill. " * 3_000)
    image = Image(source=CAT)
    for part in (text, image):
        # What is imported and looked up at the first use.
        count_tokens(part, PLUS)

    n_calls = _count_calls(lambda: count_tokens(text, PLUS))
    assert n_calls < 60
    assert _count_calls(lambda: count_tokens(longer, PLUS)) == n_calls
    assert _count_calls(lambda: count_tokens(image, PLUS)) < 600


def _count_calls(run: Callable[[], object]) -> int:
    """Count the calls of functions, those written in C too."""
    n_calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal n_calls
        n_calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return n_calls


def test_counting_text_loads_no_heavy_package() -> None:
    code = (
        "import sys; from qwen_vl import count_tokens, Text;"
        "count_tokens(Text(text='Hello'), 'qwen3-vl-plus');"
        "print(*{'PIL', 'av', 'numpy', 'openai'} & sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == ""


# At self-hosted servers: the rows of self_hosted_token_table.json by way of the parts.
QWEN3, QWEN25 = "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"


@pytest.mark.parametrize(
    ("size", "model", "options", "tokens"),
    [
        # vLLM 0.32.0's own usage (2026-11-22), markers included.
        ((640, 480), QWEN3, {}, 300 + 2),
        ((640, 480), QWEN25, {}, 391 + 2),
        ((3840, 2160), QWEN3, {}, 8160 + 2),
        ((640, 480), QWEN3, {"max_pixels": 65_536}, 54 + 2),
        ((640, 480), QWEN25, {"min_pixels": 1_048_576}, 1376 + 2),
    ],
)
def test_vllm_counts_a_picture(
    size: tuple[int, int], model: str, options: dict[str, int], tokens: int
) -> None:
    image = Image(source=Pixels(Pillow.new("RGB", size)), **options)
    assert count_tokens(image, model, server="vllm") == tokens


@pytest.mark.parametrize(
    ("n_frames", "model", "tokens"),
    # 128 x 96 pixels; a list has one frame a second unless fps says otherwise.
    [(4, QWEN3, 2 * (12 + 6 + 2) + 2), (4, QWEN25, 2 * 15 + 2)],
)
def test_vllm_counts_a_list_of_frames(n_frames: int, model: str, tokens: int) -> None:
    frames = Frames(tuple(Pixels(Pillow.new("RGB", (128, 96))) for _ in range(n_frames)))
    assert count_tokens(Video(source=frames), model, server="vllm") == tokens


def test_list_of_frames_counts_as_pictures_where_it_is_sent_so() -> None:
    frames = Frames(tuple(Pixels(Pillow.new("RGB", (640, 480))) for _ in range(5)))
    for server in ("sglang", "llamacpp", "ollama"):
        label = estimate_text_tokens("The next 5 pictures are frames of a video, in order.")
        assert count_tokens(Video(source=frames), QWEN3, server=server) == 5 * 302 + label


@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_unseen_media_count_as_the_largest() -> None:
    image = Image(source=Url("https://example.com/a.png"))
    assert count_tokens(image, QWEN3, server="vllm") == 16_384 + 2
    video = Video(source=Url("https://example.com/a.mp4"))
    assert count_tokens(video, QWEN3, server="vllm") > 12_000


def test_long_video_counts_as_the_frames_that_are_sent() -> None:
    whole = count_tokens(Video(source=BUNNY), QWEN3, server="vllm")
    cut = count_tokens(Video(source=BUNNY, video_mode="frames"), QWEN3, server="vllm")
    # 40 x 22 visual tokens a pair, of the file and of the frames that are sampled of it here.
    assert whole == cut == 5 * (880 + 8) + 2


def test_unknown_server_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"'tgi' is not known. Known are dashscope, vllm"):
        count_tokens(Video(source=BUNNY), QWEN3, server="tgi")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n_images", "end"), [(1, ""), (3, ""), (4, " So 1 more."), (5, " So 2 more.")]
)
def test_three_images_that_cannot_be_measured_are_named(n_images: int, end: str) -> None:
    url = Url("https://example.com/cat.png")
    parts = tuple(Image(source=url, where=f"messages[0].content[{n}]") for n in range(n_images))
    named = [
        f"{part.where}: the image cannot be measured; 2,562 tokens are counted, it may cost from "
        "66 to 2,562"
        for part in parts[:3]
    ]
    with pytest.warns(UserWarning, match="cannot be measured") as warned:
        count_tokens([Turn(role="user", parts=parts)], "qwen3-vl-plus")
    assert [str(each.message) for each in warned] == [". ".join(named) + "." + end]
