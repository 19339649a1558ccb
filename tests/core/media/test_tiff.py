"""TIFF files of several pages: each page is sent, with a label, as those of a PDF."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import DocumentBlock, ImageBlock
from llama_index.core.llms import ChatMessage, TextBlock
from PIL import Image as PillowImage
from PIL import TiffImagePlugin

from langchain_qwen_vl import ChatQwenVL, QwenVLOCRLoader
from llama_index.llms.qwen_vl import QwenVL, QwenVLOCRReader, document_block, image_block
from qwen_vl import OcrReader, QwenVLSettings, count_tokens
from qwen_vl.content import Document, Image, Inline, LocalFile, OpenFile, Pixels, Text, Turn, Url
from qwen_vl.errors import (
    MediaOptionError,
    MediaTooLargeError,
    MediaTooSmallError,
    UnsupportedContentError,
)
from qwen_vl.grounding.drawing.opened import open_upright
from qwen_vl.media import prepare_media
from qwen_vl.media.data_url import read_data_url
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.vision import count_image_tokens
from qwen_vl_sandbox import Sandbox

WHERE = "messages[0].content[0]"
COLORS = ("red", "green", "blue")
SIZES = ((320, 240), (240, 320), (64, 48))
REDUCED, MASK = 1, 4


def written(images: Any = None, **options: Any) -> bytes:
    images = images or [
        PillowImage.new("RGB", size, color) for size, color in zip(SIZES, COLORS, strict=True)
    ]
    file = io.BytesIO()
    images[0].save(file, "TIFF", save_all=True, append_images=images[1:], **options)
    return file.getvalue()


TIFF = written()


def marked(*images: tuple[PillowImage.Image, dict[int, int]]) -> bytes:
    """A TIFF whose images bear tags of their own."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, new=True) as writer:
        for image, tags in images:
            one = io.BytesIO()
            held = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in tags.items():
                held[tag] = value
            image.save(one, "TIFF", tiffinfo=held)
            writer.write(one.getvalue())
            writer.newFrame()
    return file.getvalue()


def prepared(part: Image | Document, **policy: Any) -> tuple[Any, ...]:
    turn = Turn(role="user", parts=(part,))
    request = Request(model="qwen3-vl-plus", turns=(turn,), policy=MediaPolicy(**policy))
    return tuple(prepare_media(request).turns[0].parts)


def opened(part: Any) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(read_data_url(part.source)))


def opened_bytes(path: Path) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(path.read_bytes()))


def labels(parts: tuple[Any, ...]) -> list[str]:
    return [part.text for part in parts if isinstance(part, Text)]


def shown(parts: tuple[Any, ...]) -> list[tuple[Any, tuple[int, int]]]:
    images = [opened(part) for part in parts if isinstance(part, Image)]
    return [(image.convert("RGB").getpixel((9, 9)), image.size) for image in images]


EXPECTED = [
    (PillowImage.new("RGB", (1, 1), color).getpixel((0, 0)), size)
    for color, size in zip(COLORS, SIZES, strict=True)
]

FORMS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: Inline(path.read_bytes()),
    "file": lambda path: LocalFile(path, is_trusted=True),
    "open file": lambda path: OpenFile(io.BytesIO(path.read_bytes())),
    "Base64": lambda path: Inline(base64.b64encode(path.read_bytes()).decode()),
    "data URL": lambda path: Url(
        f"data:image/tiff;base64,{base64.b64encode(path.read_bytes()).decode()}"
    ),
    "Pillow": lambda path: Pixels(PillowImage.open(io.BytesIO(path.read_bytes()))),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "scan.tif"
    path.write_bytes(TIFF)
    return path


@pytest.mark.parametrize("kind", [Image, Document])
@pytest.mark.parametrize("name", FORMS)
def test_each_page_is_sent_and_counted(name: str, kind: Any, path: Path) -> None:
    if kind is Document and name == "Pillow":
        pytest.skip("A document is a file.")
    part = kind(source=FORMS[name](path), where=WHERE, cache_control={"type": "ephemeral"})
    parts = prepared(part)
    named = ' of "scan.tif"' if name == "file" else ""
    assert labels(parts) == [f"Page {number} of 3{named}:" for number in (1, 2, 3)]
    assert shown(parts) == EXPECTED
    assert [part.cache_control for part in parts] == [*[None] * 5, {"type": "ephemeral"}]
    assert parts[3].where == f"{WHERE}.pages[2]"
    spec = get_model_spec("qwen3-vl-plus")
    images = sum(count_image_tokens(*size, spec) for size in SIZES)
    part = kind(source=FORMS[name](path), where=WHERE)
    counted = count_tokens(part, "qwen3-vl-plus", count_text=lambda text: len(text) * 1_000)
    assert counted == images + sum(len(label) for label in labels(parts)) * 1_000


@pytest.mark.parametrize(
    "data",
    [
        written(big_tiff=True),
        written(compression="tiff_deflate"),
        written([PillowImage.new("1", size, n % 2) for n, size in enumerate(SIZES)]),
        written(
            [PillowImage.new("1", size, n % 2) for n, size in enumerate(SIZES)],
            compression="group4",
        ),
        written(
            [PillowImage.new("1", size, n % 2) for n, size in enumerate(SIZES)],
            compression="group3",
        ),
        written([PillowImage.new("CMYK", size) for size in SIZES]),
    ],
    ids=["BigTIFF", "deflate", "1 bit", "group4", "group3", "CMYK"],
)
def test_kinds_of_files(data: bytes) -> None:
    parts = prepared(Image(source=Inline(data), where=WHERE))
    assert [size for _, size in shown(parts)] == list(SIZES)
    assert len(labels(parts)) == 3


def test_pages_are_turned_as_they_say() -> None:
    upright, turned = (PillowImage.new("RGB", (320, 240), color) for color in COLORS[:2])
    turned.paste("white", (0, 0, 320, 20))
    parts = prepared(Image(source=Inline(marked((upright, {}), (turned, {274: 6})))))
    assert [size for _, size in shown(parts)] == [(320, 240), (240, 320)]
    page = opened(parts[3]).convert("RGB")
    # Its upper edge is to the right.
    assert (page.getpixel((230, 160)), page.getpixel((9, 160))) == ((255,) * 3, (0, 128, 0))


def test_file_of_one_page_goes_out_byte_for_byte() -> None:
    data = written([PillowImage.new("RGB", (64, 48))])
    (part,) = prepared(Image(source=Inline(data), where=WHERE))
    assert read_data_url(part.source) == data
    (part,) = prepared(Document(source=Inline(data), where=WHERE))
    assert read_data_url(part.source) == data


@pytest.mark.parametrize(
    "tags", [{254: REDUCED}, {254: MASK}, {254: REDUCED | MASK}, {255: 2}], ids=str
)
def test_thumbnails_and_masks_are_not_pages(tags: dict[int, int]) -> None:
    page, thumbnail = (PillowImage.new("RGB", size, "red") for size in ((640, 480), (64, 48)))
    data = marked((page, {}), (thumbnail, tags))
    (part,) = prepared(Image(source=Inline(data), where=WHERE))
    assert read_data_url(part.source) == data
    (part,) = prepared(Image(source=Inline(marked((thumbnail, tags), (page, {}))), where=WHERE))
    assert opened(part).size == (640, 480)
    pages = prepared(Image(source=Inline(marked((page, {}), (thumbnail, tags), (page, {254: 2})))))
    assert labels(pages) == ["Page 1 of 2:", "Page 2 of 2:"]


@pytest.mark.parametrize(
    ("pages", "numbers"), [("2", [2]), ([3, 1], [3, 1]), ("1-2", [1, 2]), ([2], [2])]
)
def test_pages_that_are_wanted(pages: Any, numbers: list[int]) -> None:
    parts = prepared(Image(source=Inline(TIFF), pages=pages, where=WHERE))
    assert labels(parts) == [f"Page {number} of 3:" for number in numbers]
    assert shown(parts) == [EXPECTED[number - 1] for number in numbers]


def test_pages_that_cannot_be_sent() -> None:
    image = Image(source=Inline(TIFF), where=WHERE)
    with pytest.raises(MediaTooLargeError, match=r'3 pages.*at most 2.*pages="1-2"'):
        prepared(image, pdf_max_pages=2)
    with pytest.raises(MediaTooLargeError, match="3 pages"):
        count_tokens(image, "qwen3-vl-plus", policy=MediaPolicy(pdf_max_pages=2))
    with pytest.raises(MediaOptionError, match="Page 4 does not exist: the document has 3"):
        prepared(Image(source=Inline(TIFF), pages="4", where=WHERE))
    single = written([PillowImage.new("RGB", (64, 48))])
    with pytest.raises(MediaOptionError, match="Page 2 does not exist: the document has 1"):
        prepared(Image(source=Inline(single), pages=[2], where=WHERE))
    with pytest.raises(UnsupportedContentError, match="pages cannot be honored"):
        prepared(Image(source=Url("https://example.com/a.tif"), pages=[2], where=WHERE))
    small = written([PillowImage.new("RGB", (64, 48)), PillowImage.new("RGB", (64, 8))])
    with pytest.raises(MediaTooSmallError) as caught:
        prepared(Image(source=Inline(small), where=WHERE))
    assert caught.value.where == f"{WHERE}.pages[2]"


def test_file_that_is_too_long_for_a_request_is_sent_page_by_page(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(TIFF)
    for source in (Inline(TIFF), LocalFile(path, is_trusted=True), OpenFile(io.BytesIO(TIFF))):
        parts = prepared(
            Image(source=source), max_inline_bytes=len(TIFF) - 1, downscale_images=False
        )
        assert len(labels(parts)) == 3


def test_what_follows_the_pages_is_left_out_with_a_warning() -> None:
    data = bytearray(written([PillowImage.new("RGB", (64, 48))]))
    # The first directory names another one, where the file ends.
    offset = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[offset : offset + 2], "little")
    following = offset + 2 + 12 * count
    data[following : following + 4] = (len(data) - 3).to_bytes(4, "little")
    # Pillow has a warning of its own, of corrupt data.
    with pytest.warns(UserWarning, match="Corrupt|what follows image 1 of the TIFF") as warned:
        (part,) = prepared(Image(source=Inline(bytes(data)), where=WHERE))
    assert "what follows image 1 of the TIFF" in str(warned[-1].message)
    assert read_data_url(part.source) == data


def test_image_that_stands_at_a_page_is_that_page(path: Path) -> None:
    image = opened_bytes(path)
    image.seek(1)
    parts = prepared(Image(source=Pixels(image), where=WHERE))
    assert shown(parts) == EXPECTED[1:2]
    assert image.tell() == 1


def test_where_one_image_is_wanted_the_first_page_is_taken(
    path: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.warns(UserWarning, match="3 pages, and one image is wanted"):
        found = chat.locate(path, "red")
    assert found.boxes[0].xyxy == (0, 0, *SIZES[0])
    assert open_upright(path, MediaPolicy()).size == SIZES[0]


class Listener(BaseCallbackHandler):
    """Makes LangChain trace."""


TEXT = base64.b64encode(TIFF).decode()
BLOCKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "image, bytes": lambda _: {"type": "image", "image": TIFF},
    "image, path": lambda path: {"type": "image", "image": path},
    "image, Pillow": lambda path: {"type": "image", "image": opened_bytes(path)},
    "image, Base64": lambda _: {"type": "image", "base64": TEXT, "mime_type": "image/tiff"},
    "image_url": lambda _: {
        "type": "image_url",
        "image_url": {"url": f"data:image/tiff;base64,{TEXT}"},
    },
    "file, Base64": lambda _: {"type": "file", "base64": TEXT, "mime_type": "image/tiff"},
    "file, path": lambda path: {"type": "file", "url": path},
}


def sent(sandbox: Sandbox, index: int = 0) -> list[str]:
    parts = sandbox.last_request.json["messages"][index]["content"]
    return [part.get("text", "image") for part in parts]


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_langchain(
    name: str, path: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, *, is_traced: bool
) -> None:
    config: Any = {"callbacks": [Listener()]} if is_traced else None
    block = {**BLOCKS[name](path), "pages": "1,3"}
    chat.invoke([HumanMessage([block, "What is this?"])], config)
    named = ' of "scan.tif"' if "path" in name else ""
    assert sent(qwen_vl_sandbox) == [
        f"Page 1 of 3{named}:",
        "image",
        f"Page 3 of 3{named}:",
        "image",
        "What is this?",
    ]


def test_content_of_a_tool(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = {"name": "scan", "args": {}, "id": "a", "type": "tool_call"}
    for kind in ("file", "image"):
        block = {"type": kind, "base64": TEXT, "mime_type": "image/tiff"}
        messages = [
            HumanMessage("Scan."),
            AIMessage("", tool_calls=[call]),
            ToolMessage([block], tool_call_id="a"),
        ]
        chat.invoke(messages)
        tool, media = qwen_vl_sandbox.last_request.json["messages"][2:]
        assert tool["content"].startswith("Page 1 of 3:\nPage 2 of 3:")
        assert [part["type"] for part in media["content"]] == ["text", *["image_url"] * 3]


LLAMA_BLOCKS: dict[str, Callable[[Path], ImageBlock | DocumentBlock]] = {
    "ImageBlock, path": lambda path: ImageBlock(path=path),
    "ImageBlock, bytes": lambda _: ImageBlock(image=TIFF),
    "image_block, path": lambda path: image_block(path, pages="1-3"),
    "image_block, bytes": lambda _: image_block(TIFF, pages=[1, 2, 3]),
    "image_block, Pillow": lambda path: image_block(opened_bytes(path)),
    "document_block, path": document_block,
    "document_block, bytes": lambda _: document_block(TIFF, pages="1-3"),
}


@pytest.mark.parametrize("name", LLAMA_BLOCKS)
def test_blocks_of_llama_index(name: str, path: Path, qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    message = ChatMessage([LLAMA_BLOCKS[name](path), TextBlock(text="?")])
    llm.chat([message])
    named = ' of "scan.tif"' if "path" in name else ""
    expected = [text for n in (1, 2, 3) for text in (f"Page {n} of 3{named}:", "image")]
    assert sent(qwen_vl_sandbox) == [*expected, "?"]


def test_pages_survive_json(qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    message = ChatMessage([image_block(TIFF, pages="1,3"), TextBlock(text="?")])
    llm.chat([ChatMessage.model_validate_json(message.model_dump_json())])
    assert sent(qwen_vl_sandbox) == ["Page 1 of 3:", "image", "Page 3 of 3:", "image", "?"]


def test_ocr_reads_each_page(path: Path, qwen_vl_sandbox: Sandbox) -> None:
    place: Any = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
    chat = ChatQwenVL(model="qwen-vl-ocr", **place)
    loaded = QwenVLOCRLoader(path, chat, pages="1,3").load()
    assert [(d.metadata["page"], d.metadata["total_pages"]) for d in loaded] == [(1, 3), (3, 3)]
    assert sent(qwen_vl_sandbox)[0] == "image"
    llm = QwenVL("qwen-vl-ocr", api_base=place["base_url"], api_key="sk-sandbox")
    read = QwenVLOCRReader(llm).load_data(path)
    assert [(d.metadata["page"], d.metadata["total_pages"]) for d in read] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


async def test_ocr_reads_pages_of_a_pillow_image_at_the_same_time(
    path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    settings = QwenVLSettings(
        model="qwen-vl-ocr", base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox"
    )
    reader = OcrReader(settings)
    with PillowImage.open(path) as image:
        pages = [page async for page in reader.aread([image])]
    assert [page.n_pages for page in pages] == [3, 3, 3]
    for page, (width, height) in zip(pages, SIZES, strict=True):
        assert f"{width}x{height}" in page.result.text


@pytest.mark.parametrize(
    ("tags", "is_page"),
    [
        ({254: 0}, True),
        ({254: 1}, False),
        ({254: 2}, True),
        ({254: 4}, False),
        # Of SubfileType, which came before (TIFF 6.0, page 40).
        ({255: 1}, True),
        ({255: 2}, False),
        ({255: 3}, True),
    ],
)
def test_subfile_types(tags: dict[int, int], *, is_page: bool) -> None:
    first = PillowImage.new("RGB", (64, 48), "red")
    second = PillowImage.new("RGB", (64, 48), "green")
    parts = prepared(Image(source=Inline(marked((first, {}), (second, tags), (first, {})))))

    assert len(shown(parts)) == (3 if is_page else 2)
