"""Every form of block, and the exact part that leaves.

Parts are those of the OpenAI-Chat page (2026-10) and the Vision page (2026-08).
"""

import base64
import inspect
import io
import math
import re
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pybase64
import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.memory import Memory
from PIL import Image

from audio_samples import make_wav
from llama_index.llms.qwen_vl import QwenVL, document_block, frames_block, image_block, video_block
from native_wire import as_sent_by
from qwen_vl.errors import (
    FrameCountError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    QwenVLError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET
from qwen_vl_sandbox import Sandbox

PNG = CHELSEA.read_bytes()
MP4 = BIG_BUCK_BUNNY.read_bytes()
PNG_TEXT = base64.b64encode(PNG).decode()
MP4_TEXT = base64.b64encode(MP4).decode()
PNG_URL = f"data:image/png;base64,{PNG_TEXT}"
MP4_URL = f"data:video/mp4;base64,{MP4_TEXT}"
CAT = "https://example.com/cat.png"
WALK = "https://example.com/walk.mp4"
SIGNED = "https://b.oss-cn-beijing.aliyuncs.com/a%20b.mp4?Expires=17&Signature=a%2Bb%3D"
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]


def image(url: str, **beside: Any) -> dict[str, Any]:
    detail = {"detail": beside.pop("detail")} if "detail" in beside else {}
    return {"type": "image_url", "image_url": {"url": url, **detail}, **beside}


def video(url: str, **beside: Any) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}, **beside}


def frame_list(frames: list[str], **beside: Any) -> dict[str, Any]:
    return {"type": "video", "video": frames, **beside}


Shape = tuple[str, Callable[[], Any], dict[str, Any]]

SHAPES: list[Shape] = [
    ("image, url", lambda: ImageBlock(url=CAT), image(CAT)),
    (
        "image, oss",
        lambda: ImageBlock(url="oss://bucket/cat.png"),
        image("oss://bucket/cat.png"),
    ),
    ("image, data URL", lambda: ImageBlock(url=PNG_URL), image(PNG_URL)),
    ("image, path", lambda: ImageBlock(path=CHELSEA), image(PNG_URL)),
    ("image, bytes", lambda: ImageBlock(image=PNG), image(PNG_URL)),
    ("image, Base64 bytes", lambda: ImageBlock(image=PNG_TEXT.encode()), image(PNG_URL)),
    ("image, Base64 text", lambda: ImageBlock(image=PNG_TEXT), image(PNG_URL)),
    ("image, data URL as bytes", lambda: ImageBlock(image=PNG_URL), image(PNG_URL)),
    ("image, open file", lambda: ImageBlock(image=io.BytesIO(PNG)), image(PNG_URL)),
    (
        "image, wrong type stated",
        lambda: ImageBlock(image=PNG, image_mimetype="image/jpeg"),
        image(PNG_URL),
    ),
    ("image, detail", lambda: ImageBlock(url=CAT, detail="high"), image(CAT, detail="high")),
    (
        "image, url and its downloaded copy",
        lambda: ImageBlock(image=PNG, url=CAT),
        image(CAT),
    ),
    (
        "image, data URL and bytes",
        lambda: ImageBlock(image=PNG, url="data:image/png;base64,AAAA"),
        image(PNG_URL),
    ),
    (
        "image, upper-case scheme",
        lambda: ImageBlock(url="HTTPS://example.com/cat.png"),
        image(CAT),
    ),
    (
        "image_block, url",
        lambda: image_block(CAT, max_pixels=655360),
        image(CAT, max_pixels=655360),
    ),
    (
        "image_block, bytes",
        lambda: image_block(PNG, min_pixels=65536, max_pixels=655360, detail="low"),
        image(PNG_URL, detail="low", min_pixels=65536, max_pixels=655360),
    ),
    (
        "image_block, path",
        lambda: image_block(CHELSEA, min_pixels=65536),
        image(PNG_URL, min_pixels=65536),
    ),
    ("image_block, open file", lambda: image_block(io.BytesIO(PNG)), image(PNG_URL)),
    (
        "image_block, data URL",
        lambda: image_block(PNG_URL, max_pixels=655360),
        image(PNG_URL, max_pixels=655360),
    ),
    ("image_block, Base64", lambda: image_block(PNG_TEXT), image(PNG_URL)),
    ("video, url", lambda: VideoBlock(url=WALK), video(WALK)),
    ("video, url and fps", lambda: VideoBlock(url=WALK, fps=2), video(WALK, fps=2)),
    ("video, signed url", lambda: VideoBlock(url=SIGNED), video(SIGNED)),
    ("video, oss", lambda: VideoBlock(url="oss://b/walk.mp4"), video("oss://b/walk.mp4")),
    ("video, data URL", lambda: VideoBlock(url=MP4_URL), video(MP4_URL)),
    ("video, path", lambda: VideoBlock(path=BIG_BUCK_BUNNY), video(MP4_URL)),
    ("video, bytes", lambda: VideoBlock(video=MP4, fps=1), video(MP4_URL, fps=1)),
    ("video, open file", lambda: VideoBlock(video=io.BytesIO(MP4)), video(MP4_URL)),
    ("video_block, fps below one", lambda: video_block(WALK, fps=0.5), video(WALK, fps=0.5)),
    (
        "video_block, every limit",
        lambda: video_block(
            MP4, fps=0.5, min_pixels=65536, max_pixels=655360, total_pixels=6553600
        ),
        video(MP4_URL, fps=0.5, min_pixels=65536, max_pixels=655360, total_pixels=6553600),
    ),
    ("video_block, path", lambda: video_block(BIG_BUCK_BUNNY, fps=0.5), video(MP4_URL, fps=0.5)),
    (
        "video_block, open file",
        lambda: video_block(io.BytesIO(MP4), fps=0.5),
        video(MP4_URL, fps=0.5),
    ),
    ("video_block, data URL", lambda: video_block(MP4_URL, fps=0.5), video(MP4_URL, fps=0.5)),
    (
        "fragment before field",
        lambda: VideoBlock(url=f"{WALK}#fps=0.5", fps=4),
        video(WALK, fps=0.5),
    ),
    ("fragment of another kind", lambda: VideoBlock(url=f"{WALK}#t=5"), video(f"{WALK}#t=5")),
    ("frames_block", lambda: frames_block(FRAMES, fps=2), frame_list(FRAMES, fps=2)),
    (
        "frames_block, limits",
        lambda: frames_block(FRAMES, max_pixels=655360, total_pixels=6553600),
        frame_list(FRAMES, max_pixels=655360, total_pixels=6553600),
    ),
    (
        "frames_block, paths and bytes",
        lambda: frames_block([CHELSEA, PNG, PNG_URL, CAT]),
        frame_list([PNG_URL, PNG_URL, PNG_URL, CAT]),
    ),
]


def send(llm: QwenVL, sandbox: Sandbox, *blocks: Any) -> list[dict[str, Any]]:
    """Ask the sandbox, and give the parts that arrived of these blocks."""
    llm.chat([ChatMessage([*blocks, TextBlock(text="What is this?")])])
    content: list[dict[str, Any]] = sandbox.last_request.json["messages"][0]["content"]
    assert content[-1] == {"type": "text", "text": "What is this?"}
    return content[:-1]


@pytest.mark.parametrize(
    ("make", "expected"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES]
)
def test_part_that_leaves(
    make: Callable[[], Any],
    expected: dict[str, Any],
    protocol: str,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    assert send(llm, qwen_vl_sandbox, make()) == [as_sent_by(protocol, expected)]


# Of LlamaIndex's own blocks, those that hold an open file cannot be written as JSON.
STORED = [shape for shape in SHAPES if shape[0] not in {"image, open file", "video, open file"}]


@pytest.mark.parametrize(
    ("make", "expected"), [shape[1:] for shape in STORED], ids=[shape[0] for shape in STORED]
)
def test_part_survives_json(
    make: Callable[[], Any],
    expected: dict[str, Any],
    protocol: str,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    stored = ChatMessage([make()]).model_dump_json()
    blocks = ChatMessage.model_validate_json(stored).blocks
    assert send(llm, qwen_vl_sandbox, *blocks) == [as_sent_by(protocol, expected)]


@pytest.mark.slow
async def test_parts_survive_memory(
    protocol: str, memory: Memory, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    await memory.aset([ChatMessage([make()]) for _, make, _ in STORED])
    messages = await memory.sql_store.get_messages(memory.session_id)
    for (name, _, expected), message in zip(STORED, messages, strict=True):
        sent = as_sent_by(protocol, expected)
        assert send(llm, qwen_vl_sandbox, *message.blocks) == [sent], name


INLINE = [shape for shape in STORED if not re.search("https:|oss:", repr(shape[2]))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "expected"), [shape[1:] for shape in INLINE], ids=[shape[0] for shape in INLINE]
)
def test_part_survives_engine(
    make: Callable[[], Any], expected: dict[str, Any], llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    """The engines with `multimodal=True` make of each block the data URL that it gives itself."""
    block = make()
    kind = ImageBlock if isinstance(block, ImageBlock) else VideoBlock
    (part,) = send(llm, qwen_vl_sandbox, kind(url=block.inline_url()))
    # They keep nothing that has a field of its own.
    part |= {"fps": block.fps} if getattr(block, "fps", None) else {}
    if getattr(block, "detail", None):
        part["image_url"]["detail"] = block.detail
    assert part == expected


def test_frames_survive_engine(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    url = frames_block(FRAMES, fps=0.5).inline_url()
    assert send(llm, qwen_vl_sandbox, VideoBlock(url=url)) == [frame_list(FRAMES, fps=0.5)]


def test_address_is_sent_with_the_header_of_temporary_storage(
    llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    send(llm, qwen_vl_sandbox, VideoBlock(url="oss://bucket/walk.mp4"))
    headers = qwen_vl_sandbox.last_request.headers
    assert headers["x-dashscope-ossresourceresolve"] == "enable"


def test_base64_of_a_block_is_passed_on_as_it_is(
    llm: QwenVL, qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = ImageBlock(image=PNG)
    monkeypatch.setattr(pybase64, "b64encode_as_string", _refuse)
    assert send(llm, qwen_vl_sandbox, block) == [image(PNG_URL)]


def _refuse(*_: Any) -> str:
    raise AssertionError("Base64 was written again")


def test_order_of_blocks_is_kept(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    blocks = [
        TextBlock(text="First:"),
        ImageBlock(url=CAT),
        TextBlock(text="Then:"),
        VideoBlock(url=WALK),
        ImageBlock(url=CAT),
    ]
    assert send(llm, qwen_vl_sandbox, *blocks) == [
        {"type": "text", "text": "First:"},
        image(CAT),
        {"type": "text", "text": "Then:"},
        video(WALK),
        image(CAT),
    ]


def test_text_alone_is_a_string(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat([ChatMessage([TextBlock(text=""), TextBlock(text="Hello")])])
    assert qwen_vl_sandbox.last_request.json["messages"] == [{"role": "user", "content": "Hello"}]


def test_cache_point_marks_what_stands_before_it(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    marked = {"cache_control": {"type": "ephemeral"}}
    parts = send(llm, qwen_vl_sandbox, TextBlock(text="Long."), point, ImageBlock(url=CAT), point)
    assert parts == [{"type": "text", "text": "Long.", **marked}, image(CAT, **marked)]


def test_citable_block_brings_its_source_along(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    content = [TextBlock(text="Cats purr."), ImageBlock(url=CAT)]
    block = CitableBlock(title="Cats", source="cats.pdf", content=content)
    assert send(llm, qwen_vl_sandbox, block) == [
        {"type": "text", "text": "Cats (cats.pdf):"},
        {"type": "text", "text": "Cats purr."},
        image(CAT),
    ]


def test_citation_block_brings_its_source_along(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    block = CitationBlock(
        title="Cats", source="cats.pdf", cited_content="They purr.", additional_location_info={}
    )
    assert send(llm, qwen_vl_sandbox, block) == [
        {"type": "text", "text": "Cats (cats.pdf):"},
        {"type": "text", "text": "They purr."},
    ]


@pytest.mark.openai_wire
def test_sound_goes_to_a_model_that_hears(
    make_llm: Callable[..., QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    wav = make_wav()
    llm = make_llm("qwen3.8-omni-flash")
    part = send(llm, qwen_vl_sandbox, AudioBlock(audio=wav, format="wav"))[0]
    assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")


BAD: list[tuple[str, Callable[[], Any], type[QwenVLError], str]] = [
    ("nothing", ImageBlock, MediaFormatError, "holds nothing"),
    ("no image", lambda: ImageBlock(image=b"Dear reader"), MediaFormatError, "text"),
    ("empty", lambda: ImageBlock(image=io.BytesIO()), MediaFormatError, "0 bytes"),
    ("video as image", lambda: ImageBlock(image=MP4), MediaFormatError, "video"),
    ("image as video", lambda: VideoBlock(video=PNG), MediaFormatError, "image"),
    ("wrong scheme", lambda: ImageBlock(url="ftp://example.com/a.png"), MediaFormatError, "ftp"),
    (
        "file address",
        lambda: ImageBlock(url=CHELSEA.as_uri()),
        MediaAccessError,
        "media_roots",
    ),
    ("fps", lambda: VideoBlock(url=f"{WALK}#fps=fast"), MediaOptionError, "'fast'"),
    ("fps out of range", lambda: video_block(WALK, fps=40), MediaOptionError, "40"),
    (
        "frames that are none",
        lambda: VideoBlock(video=b"[1]", video_mimetype="video/x-qwen-frames+json"),
        MediaFormatError,
        "frames_block",
    ),
    (
        "frames in an image",
        lambda: ImageBlock(url=frames_block(FRAMES).inline_url()),
        UnsupportedContentError,
        "VideoBlock",
    ),
    ("too few frames", lambda: frames_block(FRAMES[:3]), FrameCountError, "3"),
    ("sound", lambda: AudioBlock(audio=b"RIFF", format="wav"), UnsupportedContentError, "audio"),
    ("document", lambda: DocumentBlock(data=b"%PDF-1.7"), MediaFormatError, "cannot be read"),
    ("no document", lambda: DocumentBlock(data=b"Dear reader"), MediaFormatError, "text"),
    (
        "nothing to cache",
        lambda: CachePoint(cache_control=CacheControl(type="ephemeral")),
        UnsupportedContentError,
        "CachePoint",
    ),
]


@pytest.mark.parametrize(
    ("make", "kind", "said"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
@pytest.mark.parametrize("endpoint", ["chat", "stream_chat", "achat", "astream_chat"])
async def test_block_that_cannot_be_sent(
    endpoint: str,
    make: Callable[[], Any],
    kind: type[QwenVLError],
    said: str,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    messages = [ChatMessage("Hello", role="system"), ChatMessage([make()])]
    with pytest.raises(kind, match=re.escape(said)) as caught:
        await drain(getattr(llm, endpoint)(messages))
    assert caught.value.where.startswith("messages[1].blocks[0]")
    assert not isinstance(caught.value, ValueError | TypeError)
    assert qwen_vl_sandbox.requests == []


async def drain(called: Any) -> Any:
    """Take all that a call of any of the eight methods gives."""
    values = await called if inspect.isawaitable(called) else called
    if isinstance(values, AsyncGenerator):
        return [item async for item in values]
    return list(values) if isinstance(values, Generator) else values


def test_file_address_is_read_within_media_roots(
    make_llm: Callable[..., QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm(media_roots=[CHELSEA.parent])
    block = ImageBlock(url=f"{CHELSEA.as_uri()}#max_pixels=655360")
    assert send(llm, qwen_vl_sandbox, block) == [image(PNG_URL, max_pixels=655360)]


def test_media_roots_bind_paths_too(
    make_llm: Callable[..., QwenVL], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm(media_roots=[tmp_path])
    with pytest.raises(MediaAccessError, match="media_roots"):
        llm.chat([ChatMessage([ImageBlock(path=CHELSEA)])])
    assert qwen_vl_sandbox.requests == []


def test_text_that_looks_like_a_path_is_text(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat([ChatMessage(str(CHELSEA))])
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == str(CHELSEA)


def test_detail_of_a_video_is_not_lost_in_silence(llm: QwenVL) -> None:
    with pytest.warns(UserWarning, match="detail"):
        llm.chat([ChatMessage([VideoBlock(url=WALK, detail="low")])])


@pytest.mark.parametrize("value", ["cat.png", 7, io.StringIO("a"), object()])
def test_constructor_refuses_what_no_picture_is_made_of(value: Any) -> None:
    with pytest.raises(UnsupportedContentError, match="cannot be made of"):
        image_block(value)


def test_constructor_says_that_there_is_no_such_file(tmp_path: Path) -> None:
    for make in (image_block, video_block, lambda path: frames_block([path])):
        with pytest.raises(MediaNotFoundError, match=r"no\.png"):
            make(tmp_path / "no.png")


@pytest.mark.parametrize("make", [image_block, video_block, document_block])
def test_constructor_says_that_a_file_is_closed(make: Callable[[Any], Any]) -> None:
    file = io.BytesIO(PNG)
    file.close()
    with pytest.raises(MediaAccessError, match="closed file"):
        make(file)


def test_constructor_leaves_a_file_where_it_was() -> None:
    file = io.BytesIO(PNG)
    file.seek(7)
    assert image_block(file).image == PNG_TEXT.encode()
    assert file.tell() == 7


def test_decoded_pictures_and_arrays(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    numpy = pytest.importorskip("numpy")
    with Image.open(ROCKET) as opened:
        decoded = opened.convert("RGB")
    for value in (decoded, numpy.asarray(decoded)):
        part = send(llm, qwen_vl_sandbox, image_block(value))[0]
        data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
        with Image.open(io.BytesIO(data)) as sent:
            assert sent.convert("RGB").tobytes() == decoded.tobytes()


@pytest.mark.parametrize("server", ["dashscope", "vllm"])
def test_wrong_number_beside_a_block_names_it(server: Any) -> None:
    with Sandbox(server=server) as sandbox:
        llm = QwenVL(server=server, base_url=sandbox.base_url, api_key="sk-sandbox")
        for name, value in (("fps", math.nan), ("fps", math.inf), ("max_pixels", 0), ("fps", -1.5)):
            words = rf"messages\[0\]\.blocks\[0\]: {name} is {value!r}; it must be"
            with pytest.raises(MediaOptionError, match=words):
                llm.chat([ChatMessage(blocks=[video_block(WALK, **{name: value})])])
            with pytest.raises(MediaOptionError, match=words):
                llm.chat([ChatMessage(blocks=[video_block(WALK)])], **{name: value})
        assert sandbox.requests == []
