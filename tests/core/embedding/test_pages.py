"""Pages of PDF and TIFF files as items: one page is one image."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from qwen_vl.content import Document, Image, LocalFile, Url
from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import (
    MediaAccessError,
    MediaError,
    MediaOptionError,
    MediaTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.media.data_url import decode_data_url
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

COLORS = ("red", "lime", "blue")


@pytest.fixture(params=["pdf", "tiff"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of three pages, each of one color."""
    first, *others = [PillowImage.new("RGB", (160, 120), color) for color in COLORS]
    path = tmp_path / f"colors.{request.param}"
    first.save(path, save_all=True, append_images=others)
    return path


@pytest.fixture
def settings(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> QwenVLSettings:
    return QwenVLSettings(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", media_roots=[tmp_path]
    )


def find_colors(contents: list[Any]) -> list[tuple[int, ...]]:
    """Find the color in the middle of each image, to the next step of 64."""
    found = []
    for content in contents:
        with PillowImage.open(io.BytesIO(decode_data_url(content["image"], "").data)) as image:
            color: Any = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
            found.append(tuple(round(value / 64) for value in color))
    return found


RED, LIME, BLUE = (4, 0, 0), (0, 4, 0), (0, 0, 4)


@pytest.mark.parametrize(
    "form",
    [
        lambda path, page: {"image": str(path), "page": page},
        lambda path, page: {"image": path, "page": page},
        lambda path, page: {"image": path.read_bytes(), "page": page},
        lambda path, page: Document(source=LocalFile(path, is_trusted=True), pages=[page]),
        lambda path, page: Document(source=LocalFile(path, is_trusted=True), pages=str(page)),
        lambda path, page: Image(source=LocalFile(path, is_trusted=True), pages=(page,)),
    ],
    ids=["text", "path", "bytes", "document", "pages as text", "image"],
)
def test_page_is_one_image(
    form: Callable[[Path, int], object],
    file: Path,
    settings: QwenVLSettings,
    qwen_vl_sandbox: Sandbox,
) -> None:
    embeddings = Embedder(settings).embed([form(file, page) for page in (3, 1, 2)])

    [request] = qwen_vl_sandbox.requests
    assert find_colors(request.json["input"]["contents"]) == [BLUE, RED, LIME]
    assert len(embeddings) == 3


def test_page_is_fused_with_its_text(
    file: Path, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox
) -> None:
    Embedder(settings).embed([{"text": "The second page.", "image": file, "page": 2}])

    [request] = qwen_vl_sandbox.requests
    image, text = request.json["input"]["contents"]
    assert find_colors([image]) == [LIME]
    assert text == {"text": "The second page."}
    assert request.json["parameters"] == {"enable_fusion": True}


def test_page_is_no_larger_than_the_model_sees(tmp_path: Path, settings: QwenVLSettings) -> None:
    PillowImage.new("RGB", (3000, 2000), "red").save(tmp_path / "large.pdf", resolution=50)

    embeddings = Embedder(settings).embed([{"image": tmp_path / "large.pdf", "page": 1}])

    # 1,310,720 pixels are 1,280 tokens.
    assert embeddings.usage is not None
    assert 1_150 < (embeddings.usage.image_tokens or 0) <= 1_280


def test_pages_are_ranked(file: Path, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox) -> None:
    pages = [{"image": file, "page": page} for page in (1, 2, 3)]

    ranking = Reranker(settings).rank("a blue page", pages)

    assert ranking.results[0].index == 2
    assert find_colors(qwen_vl_sandbox.requests[0].json["input"]["documents"]) == [RED, LIME, BLUE]
    with pytest.raises(MediaTooLargeError, match="There are 42 images"):
        Reranker(settings).rank("a blue page", pages * 14)


def test_only_page_of_an_image_is_the_image(
    tmp_path: Path, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox
) -> None:
    PillowImage.new("RGB", (64, 64), "blue").save(tmp_path / "blue.png")

    Embedder(settings).embed([{"image": tmp_path / "blue.png", "page": 1}])

    assert find_colors(qwen_vl_sandbox.requests[0].json["input"]["contents"]) == [BLUE]
    with pytest.raises(MediaOptionError, match=r"items\[0\]: Page 2 does not exist"):
        Embedder(settings).embed([{"image": tmp_path / "blue.png", "page": 2}])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": "a.pdf", "page": 0}, r"items\[0\]: page is 0. Pass the number of a page"),
        ({"image": "a.pdf", "page": "2"}, "page is '2'"),
        ({"image": "a.pdf", "page": True}, "page is True"),
        ({"text": "a", "page": 2}, "page lacks an image beside it"),
        (Document(source=Url("https://example.com/a.pdf")), "Several pages cannot become one"),
        (Document(source=Url("https://example.com/a.pdf"), pages=[1, 2]), "Several pages"),
        (Image(source=Url("https://example.com/a.tiff"), pages="1-2"), "Several pages"),
        (
            (Document(source=LocalFile(Path("a.pdf"), is_trusted=True)), "text"),
            r"items\[0\]\[0\]: Several pages",
        ),
    ],
)
def test_what_is_no_single_page_is_refused(
    item: object, message: str, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(UnsupportedContentError, match=message):
        Embedder(settings).embed([item])
    assert qwen_vl_sandbox.requests == []


def test_page_that_cannot_be_read_is_named(
    file: Path, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox
) -> None:
    embedder = Embedder(settings.model_copy(update={"media_roots": []}))
    with pytest.raises(MediaAccessError, match=r"items\[1\]"):
        embedder.embed(["text", {"image": str(file), "page": 1}])
    with pytest.raises(MediaOptionError, match=r"items\[0\]: Page 4 does not exist"):
        Embedder(settings).embed([{"image": file, "page": 4}])
    with pytest.raises(MediaError, match=r"items\[0\]"):
        Embedder(settings).embed([{"image": "https://example.com/a.pdf", "page": 1}])
    assert qwen_vl_sandbox.requests == []


def test_pdf_without_a_page_says_how_to_choose_one(
    tmp_path: Path, settings: QwenVLSettings
) -> None:
    PillowImage.new("RGB", (64, 64), "blue").save(tmp_path / "blue.pdf")

    for item in (tmp_path / "blue.pdf", {"image": tmp_path / "blue.pdf"}):
        with pytest.raises(MediaError, match='"page": 1'):
            Embedder(settings).embed([item])
