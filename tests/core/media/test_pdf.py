"""PDF documents: their pages arrive as images that the model can read."""

import base64
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, DocumentBlock, TextBlock
from PIL import Image as PillowImage
from PIL import ImageDraw

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, document_block
from qwen_vl import count_tokens
from qwen_vl.content import DataUrl, Document, Image, Inline, LocalFile, Pixels, Text, Turn, Url
from qwen_vl.errors import (
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    MediaTooLargeError,
    MediaTooSmallError,
    UnsupportedContentError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.pages import read_page_numbers
from qwen_vl.media.pdf.document import limit_page_size
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import CHELSEA
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.vision import count_image_tokens
from qwen_vl_sandbox import Sandbox

COLORS = ("red", "green", "blue", "orange", "purple")
A4_AT_150 = (1241, 1754)
WHERE = "messages[0].content[0]"


def written(n_pages: int = 3, size: tuple[int, int] = (1241, 1754), dpi: float = 150) -> bytes:
    """A PDF whose pages are each of one color, with a line of text."""
    pages = [PillowImage.new("RGB", size, COLORS[n % len(COLORS)]) for n in range(n_pages)]
    for number, page in enumerate(pages, start=1):
        ImageDraw.Draw(page).text((40, 40), f"Page {number}", "white", font_size=40)
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=dpi)
    return buffer.getvalue()


PDF = written()


def prepared(
    source: Any = None,
    *,
    model: str = "qwen3-vl-plus",
    policy: dict[str, Any] | None = None,
    **say: Any,
) -> tuple[Any, ...]:
    document = Document(source=source or Inline(PDF), where=WHERE, **say)
    turn = Turn(role="user", parts=(document, Text(text="?")))
    request = Request(model=model, turns=(turn,), policy=MediaPolicy(**(policy or {})))
    *parts, question = prepare_media(request).turns[0].parts
    assert question == Text(text="?")
    return tuple(parts)


def image(part: Image) -> PillowImage.Image:
    assert isinstance(part.source, Url | DataUrl)
    data = base64.b64decode(part.source.url.partition(",")[2])
    return PillowImage.open(io.BytesIO(data))


def color(part: Image) -> str:
    pixel: Any = image(part).convert("RGB").getpixel((600, 900))

    def distance(name: str) -> int:
        known: Any = PillowImage.new("RGB", (1, 1), name).getpixel((0, 0))
        return sum(abs(one - other) for one, other in zip(known, pixel, strict=True))

    return min(COLORS, key=distance)


def test_each_page_is_a_picture_behind_its_label() -> None:
    parts = prepared(title="report.pdf")
    assert [part.text for part in parts[::2]] == [
        f'Page {number} of 3 of "report.pdf":' for number in (1, 2, 3)
    ]
    assert [color(part) for part in parts[1::2]] == ["red", "green", "blue"]
    assert {image(part).size for part in parts[1::2]} == {A4_AT_150}
    assert parts[3].where == f"{WHERE}.pages[2]"


@pytest.mark.parametrize(
    ("pages", "colors"),
    [
        ("2", ["green"]),
        ([3, 1], ["blue", "red"]),
        ("1-2", ["red", "green"]),
        ("3,1-2", ["blue", "red", "green"]),
    ],
)
def test_pages_that_are_wanted(pages: str | Sequence[int], colors: list[str]) -> None:
    assert [color(part) for part in prepared(pages=pages)[1::2]] == colors


@pytest.mark.parametrize("pages", ["", "0", "2-1", "a", [0], [True], [1.5], "1;2", []])
def test_pages_that_are_none(pages: Any) -> None:
    with pytest.raises(MediaOptionError, match=r"content\[0\]: pages is"):
        prepared(pages=pages)
    with pytest.raises(MediaOptionError):
        read_page_numbers(pages, WHERE)


@pytest.mark.parametrize("pages", ["9" * 5_000, "1-999999999", "1-90000,1-90000"])
def test_pages_that_no_document_has_are_refused_before_they_are_listed(pages: str) -> None:
    with pytest.raises(MediaOptionError, match=r"pages is '[-19,0…]{5,40}',"):
        read_page_numbers(pages, WHERE)


def test_page_beyond_the_last() -> None:
    with pytest.raises(MediaOptionError, match="Page 9 does not exist: the document has 3"):
        prepared(pages="2,9")


def test_too_many_pages() -> None:
    with pytest.raises(MediaTooLargeError, match=r'3 pages.*at most 2.*pages="1-2"'):
        prepared(policy={"pdf_max_pages": 2})
    assert len(prepared(policy={"pdf_max_pages": 2}, pages="2-3")) == 4


@pytest.mark.parametrize(("dpi", "size"), [(75, (620, 877)), (150, A4_AT_150)])
def test_dpi(dpi: float, size: tuple[int, int]) -> None:
    assert image(prepared(dpi=dpi)[1]).size == size
    assert image(prepared(policy={"pdf_dpi": dpi})[1]).size == size


@pytest.mark.parametrize("dpi", [0.5, 5000, True, "fine", float("nan")])
def test_dpi_out_of_range(dpi: Any) -> None:
    with pytest.raises(MediaOptionError, match="dpi is"):
        prepared(dpi=dpi)


@pytest.mark.slow
def test_no_page_is_larger_than_the_model_looks_at() -> None:
    width, high = image(prepared(dpi=600)[1]).size
    assert (width, high) == (1344, 1920)
    width, high = image(prepared(dpi=600, model="Qwen/Qwen3-VL-8B-Instruct")[1]).size
    assert 16_000_000 < width * high <= 16_777_216


def test_text_stays_lossless_and_photographs_do_not() -> None:
    assert image(prepared()[1]).format == "PNG"
    buffer = io.BytesIO()
    PillowImage.effect_noise((800, 800), 90).convert("RGB").save(buffer, "PDF", quality=95)
    assert image(prepared(Inline(buffer.getvalue()))[1]).format == "JPEG"


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen2.5-vl-72b-instruct"])
def test_tokens_are_counted_without_rendering(model: str) -> None:
    spec = get_model_spec(model)
    document = Document(source=Inline(PDF), pages="1-2", title="a.pdf")
    counted = count_tokens(document, model)
    images = 2 * count_image_tokens(*A4_AT_150, spec)
    assert images < counted < images + 50


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        (Inline(b"Dear reader"), MediaFormatError, "text"),
        (Inline(CHELSEA.read_bytes()), MediaFormatError, "image"),
        (Inline(PDF[:200]), MediaFormatError, "cannot be read"),
        (Pixels(PillowImage.new("RGB", (64, 64))), MediaFormatError, "decoded image"),
        (Url("https://example.com/a.pdf"), MediaFormatError, "Download it"),
        (LocalFile(Path("/no/such.pdf"), is_trusted=True), MediaNotFoundError, "such.pdf"),
        (LocalFile(Path("/etc/passwd"), is_trusted=False), MediaAccessError, "media_roots"),
        (Inline(written(1, (8, 300))), MediaTooSmallError, "pixels"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_what_cannot_be_read(source: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        prepared(source)
    assert getattr(caught.value, "where", "").startswith(WHERE)


def test_encrypted_document_says_so() -> None:
    # A trailer that names an encryption dictionary of an unknown kind is as good as a password.
    locked = PDF.replace(b"/Root", b"/Encrypt << /Filter /Standard /V 9 >> /Root", 1)
    with pytest.raises(MediaFormatError, match="encrypted"):
        prepared(Inline(locked))


@pytest.mark.slow
def test_threads_may_read_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: [color(part) for part in prepared()[1::2]], range(16)))
    assert found == [["red", "green", "blue"]] * 16


def test_missing_extra_names_its_command(tmp_path: Path) -> None:
    # A module that cannot be imported stands in for a package that is not installed.
    (tmp_path / "pypdfium2.py").write_text(
        "raise ModuleNotFoundError('No module named pypdfium2', name='pypdfium2')"
    )
    code = """
from qwen_vl.content import Document, Inline, Turn
from qwen_vl.media import prepare_media
from qwen_vl.request.types import Request
turn = Turn(role="user", parts=(Document(source=Inline(b"%PDF-1.7 ")),))
prepare_media(Request(model="qwen3-vl-plus", turns=(turn,)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
        text=True,
    )
    assert 'pip install "qwen-vl[pdf]"' in done.stderr


TEXT = base64.b64encode(PDF).decode()
FORMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "v1": lambda _: {"type": "file", "base64": TEXT, "mime_type": "application/pdf"},
    "v1, bytes": lambda _: {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
    "v0": lambda _: {
        "type": "file",
        "source_type": "base64",
        "data": TEXT,
        "mime_type": "application/pdf",
    },
    "OpenAI": lambda _: {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{TEXT}"},
    },
    "Anthropic": lambda _: {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": TEXT},
    },
    "Gemini": lambda _: {"type": "media", "mime_type": "application/pdf", "data": TEXT},
    "path": lambda path: {"type": "file", "url": path},
}


def sent(sandbox: Sandbox, index: int = 0) -> list[str]:
    parts = sandbox.last_request.json["messages"][index]["content"]
    return [part["type"] for part in parts]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pdf"
    path.write_bytes(PDF)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_blocks_of_langchain(
    name: str, file: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    block = {**FORMS[name](file), "pages": "1-2"}
    answer = chat.invoke([HumanMessage([block, "What is this?"])])
    assert sent(qwen_vl_sandbox) == ["text", "image_url", "text", "image_url", "text"]
    assert answer.usage_metadata is not None
    details = answer.usage_metadata["input_token_details"]
    assert details["image"] == 2 * count_image_tokens(*A4_AT_150, get_model_spec("qwen3-vl-plus"))  # type: ignore[typeddict-item]


async def test_document_of_a_tool(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = {"name": "report", "args": {}, "id": "a", "type": "tool_call"}
    block = {"type": "file", "base64": TEXT, "mime_type": "application/pdf"}
    messages: list[BaseMessage] = [
        HumanMessage("Report."),
        AIMessage("", tool_calls=[call]),
        ToolMessage([block], tool_call_id="a"),
    ]
    await chat.ainvoke(messages)
    tool, media = qwen_vl_sandbox.last_request.json["messages"][2:]
    assert tool["content"].startswith("Page 1 of 3:")
    assert [part["type"] for part in media["content"]] == ["text", *["image_url"] * 3]


BLOCKS: dict[str, Callable[[Path], DocumentBlock]] = {
    "bytes": lambda _: DocumentBlock(data=PDF, title="a.pdf"),
    "path": lambda path: DocumentBlock(path=path),
    "open file": lambda _: DocumentBlock(data=io.BytesIO(PDF)),
    "data URL": lambda _: DocumentBlock(url=f"data:application/pdf;base64,{TEXT}"),
    "document_block": lambda path: document_block(path, pages=[1, 2, 3], dpi=150),
    "document_block, bytes": lambda _: document_block(PDF, pages="1-3"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_llama_index(name: str, file: Path, qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    block = BLOCKS[name](file)
    response = llm.chat([ChatMessage([block, TextBlock(text="What is this?")])])
    assert sent(qwen_vl_sandbox) == [*["text", "image_url"] * 3, "text"]
    each = count_image_tokens(*A4_AT_150, get_model_spec("qwen3-vl-plus"))
    assert response.additional_kwargs["image_tokens"] == 3 * each


def test_options_survive_json(qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    message = ChatMessage([document_block(PDF, pages="2", dpi=75), TextBlock(text="?")])
    llm.chat([ChatMessage.model_validate_json(message.model_dump_json())])
    label, page, _ = qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    assert label["text"] == "Page 2 of 3:"
    data = base64.b64decode(page["image_url"]["url"].partition(",")[2])
    assert PillowImage.open(io.BytesIO(data)).size == (620, 877)


@pytest.mark.parametrize("value", ["a.pdf", 7, "https://example.com/a.pdf"])
def test_what_no_document_is_made_of(value: Any) -> None:
    with pytest.raises(UnsupportedContentError, match="cannot be made of"):
        document_block(value)


def test_document_in_a_system_message(chat: ChatQwenVL) -> None:
    block = {"type": "file", "base64": TEXT, "mime_type": "application/pdf"}
    with pytest.raises(UnsupportedContentError, match="image in a message of the system"):
        chat.invoke([SystemMessage([block]), HumanMessage("?")])


SMALL_PAGE = {"max_pixels": 300_000}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["model", "call", "block"])
@pytest.mark.parametrize("server", ["dashscope", "vllm", "sglang"])
def test_pixel_limits_hold_for_pages(way: str, server: Any) -> None:
    model = "qwen3-vl-plus" if server == "dashscope" else "Qwen/Qwen3-VL-8B-Instruct"
    block = {"type": "file", "base64": PDF, "mime_type": "application/pdf", "pages": "1-2"}
    with Sandbox(server=server) as sandbox:
        chat = ChatQwenVL(
            model=model,
            server=server,
            base_url=sandbox.base_url,
            api_key="sk-sandbox",
            **(SMALL_PAGE if way == "model" else {}),
        )
        message = HumanMessage([block | (SMALL_PAGE if way == "block" else {}), "?"])
        answer = chat.invoke([message], **(SMALL_PAGE if way == "call" else {}))
    assert answer.usage_metadata is not None
    each = count_image_tokens(*A4_AT_150, get_model_spec(model), max_pixels=300_000)
    # The rest is text.
    assert 0 <= answer.usage_metadata["input_tokens"] - 2 * each < 60
    if server == "dashscope" and way != "call":
        assert 0 <= chat.get_num_tokens_from_messages([message]) - 2 * each < 60


@pytest.mark.parametrize("way", ["model", "block"])
def test_pixel_limits_of_llama_index_hold_for_pages(way: str, qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(
        api_base=qwen_vl_sandbox.base_url,
        api_key="sk-sandbox",
        **(SMALL_PAGE if way == "model" else {}),
    )
    block = document_block(PDF, pages="1", **(SMALL_PAGE if way == "block" else {}))
    response = llm.chat([ChatMessage([block, TextBlock(text="?")])])
    each = count_image_tokens(*A4_AT_150, get_model_spec("qwen3-vl-plus"), max_pixels=300_000)
    assert response.additional_kwargs["image_tokens"] == each


def test_document_given_by_its_path_is_labeled_with_its_name(
    file: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke([HumanMessage([{"type": "file", "url": file, "pages": "3"}, "?"])])
    label, *_ = qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    assert label["text"] == 'Page 3 of 3 of "a.pdf":'
    path = LocalFile(file, is_trusted=True)
    assert prepared(path, title="report")[0].text == 'Page 1 of 3 of "report":'
    long = count_tokens(Document(source=path), "qwen3-vl-plus", count_text=len)
    short = count_tokens(Document(source=Inline(PDF)), "qwen3-vl-plus", count_text=len)
    assert long - short == 3 * len(' of "a.pdf"')


def test_dpi_at_its_limits() -> None:
    # 10 x 20 inches at the least, and an inch at the most.
    large, small = written(1, (1_000, 2_000), 100), written(1, (100, 100), 100)
    assert image(prepared(Inline(large), dpi=20)[1]).size == (200, 400)
    assert image(prepared(Inline(small), dpi=600)[1]).size == (600, 600)
    for dpi in (19.9, 600.1):
        with pytest.raises(MediaOptionError, match="from 20 to 600"):
            prepared(dpi=dpi)


@pytest.mark.parametrize(
    ("size", "limited"),
    [
        # 16.7 megapixels: 4096 x 4096.
        ((4_096, 4_096), (4_096, 4_096)),
        ((8_192, 2_048), (8_192, 2_048)),
        ((16_384, 4_096), (8_192, 2_048)),
        ((4_096, 16_384), (2_048, 8_192)),
        ((8_192, 8_192), (4_096, 4_096)),
    ],
)
def test_largest_pages(size: tuple[int, int], limited: tuple[int, int]) -> None:
    assert limit_page_size(*size) == limited
