"""Reading images and PDF pages one after another."""

import asyncio
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    InvalidRequestError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaTooLargeError,
)
from qwen_vl.ocr.reader import OcrPage, OcrReader
from qwen_vl.samples import CHELSEA, COFFEE
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

MakeReader = Callable[..., OcrReader]
Read = Callable[..., list[OcrPage]]
URL = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20241022/emyrja/dog_and_girl.jpeg"


def written(n_pages: int = 3) -> bytes:
    """A PDF whose pages are of different sizes: 100 and 50, 200 and 100, … points."""
    pages = [PillowImage.new("RGB", (n * 100, n * 50), "white") for n in range(1, n_pages + 1)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    return buffer.getvalue()


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "scan.pdf"
    path.write_bytes(written())
    return path


@pytest.fixture
def make_reader(qwen_vl_sandbox: Sandbox, speaking: dict[str, Any]) -> MakeReader:
    def make(fields: dict[str, Any] | None = None, **options: Any) -> OcrReader:
        place = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
        settings = {"model": "qwen-vl-ocr", **place, **speaking, **(fields or {})}
        return OcrReader(QwenVLSettings(**settings), **options)

    return make


@pytest.fixture(params=["read", "aread"])
def read(request: pytest.FixtureRequest) -> Read:
    """Read all pages, waiting or not."""
    if request.param == "read":
        return lambda reader, sources: list(reader.read(sources))

    async def gather(reader: OcrReader, sources: Any) -> list[OcrPage]:
        return [page async for page in reader.aread(sources)]

    return lambda reader, sources: asyncio.run(gather(reader, sources))


def boxes(pages: Sequence[OcrPage]) -> list[tuple[str, int, int]]:
    return [(page.source, page.page, page.n_pages) for page in pages]


def test_pages_and_pictures_in_order(
    make_reader: MakeReader, read: Read, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    pages = read(make_reader(), [CHELSEA, pdf, str(COFFEE), URL])
    assert boxes(pages) == [
        (str(CHELSEA), 1, 1),
        (str(pdf), 1, 3),
        (str(pdf), 2, 3),
        (str(pdf), 3, 3),
        (str(COFFEE), 1, 1),
        (URL, 1, 1),
    ]
    # At 150 dots per inch of 72 points.
    sizes = [page.result.text.partition("received ")[2].split(",")[0] for page in pages]
    assert sizes[:5] == ["PNG 451x300", "PNG 208x104", "PNG 417x208", "PNG 625x312", "PNG 600x400"]
    assert len(qwen_vl_sandbox.requests) == 6


def test_request_holds_the_picture_alone(qwen_vl_sandbox: Sandbox, read: Read, pdf: Path) -> None:
    place = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
    settings = QwenVLSettings(model="qwen-vl-ocr", protocol="native", **place)
    read(OcrReader(settings, task="table_parsing", pages=[2]), [pdf])
    body = qwen_vl_sandbox.last_request.json
    (part,) = body["input"]["messages"][0]["content"]
    assert part.keys() == {"image"}
    assert part["image"].startswith("data:image/png;base64,")
    assert body["parameters"] == {"ocr_options": {"task": "table_parsing"}}


@pytest.mark.parametrize(
    "give",
    [
        Path.read_bytes,
        lambda path: path.open("rb"),
        lambda path: PillowImage.open(path).convert("RGB"),
        lambda path: path.as_uri(),
        str,
    ],
    ids=["bytes", "open", "pixels", "file", "text"],
)
def test_sources(make_reader: MakeReader, read: Read, give: Callable[[Path], Any]) -> None:
    source = give(CHELSEA)
    try:
        (page,) = read(make_reader(), [source])
    finally:
        if hasattr(source, "close"):
            source.close()
    assert "PNG 451x300" in page.result.text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (b"", "bytes"),
        (PillowImage.new("RGB", (20, 20)), "a decoded image"),
    ],
)
def test_name_of_what_has_none(make_reader: MakeReader, source: Any, name: str) -> None:
    if not source:
        source = CHELSEA.read_bytes()
    (page,) = make_reader().read([source])
    assert page.source == name


def test_open_file_has_a_name(make_reader: MakeReader) -> None:
    with CHELSEA.open("rb") as file:
        (page,) = make_reader().read([file])
    assert page.source == str(CHELSEA)


def test_text_without_a_dot_is_a_path_and_no_base64(
    make_reader: MakeReader, read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scan").write_bytes(CHELSEA.read_bytes())
    (page,) = read(make_reader(), ["scan"])
    assert page.source == "scan"


@pytest.mark.parametrize("pages", [[3, 1], "3,1"])
def test_chosen_pages(make_reader: MakeReader, read: Read, pdf: Path, pages: Any) -> None:
    found = read(make_reader(pages=pages, dpi=72), [pdf])
    assert boxes(found) == [(str(pdf), 3, 3), (str(pdf), 1, 3)]
    assert "PNG 300x150" in found[0].result.text


def test_places_fit_the_page_as_it_was_rendered(
    make_reader: MakeReader, read: Read, pdf: Path, protocol: str
) -> None:
    (page,) = read(make_reader(task="advanced_recognition", pages=[2], dpi=144), [pdf])
    size = (400, 200) if protocol == "native" else (1000, 1000)
    assert page.result.words[0].corners == ((0, 0), (size[0], 0), size, (0, size[1]))
    assert page.to_metadata() == {
        "source": str(pdf),
        "page": 2,
        "total_pages": 3,
        "task": "advanced_recognition",
        "in_pixels": protocol == "native",
        "words": [
            {
                "text": page.result.text,
                "location": [[0, 0], [size[0], 0], [*size], [0, size[1]]],
                "rotate_rect": [size[0] / 2, size[1] / 2, *size, 0],
            }
        ],
    }


def test_values_by_a_schema(make_reader: MakeReader, read: Read, pdf: Path) -> None:
    options = {"task": "key_information_extraction", "result_schema": {"total": ""}}
    (page,) = read(make_reader(pages=[1], **options), [pdf])
    assert page.result.values
    assert page.result.values.keys() == {"total"}


def test_task_of_the_model_holds(make_reader: MakeReader, pdf: Path) -> None:
    fields = {"ocr_task": "key_information_extraction", "result_schema": {"total": ""}}
    (page,) = make_reader(fields, pages=[1]).read([pdf])
    assert page.result.values
    (other,) = make_reader(fields, task="table_parsing", pages=[1]).read([pdf])
    assert other.result.tables


def test_pages_are_read_when_they_are_wanted(
    make_reader: MakeReader, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    pages = make_reader().read([pdf, "nowhere.png"])
    assert next(iter(pages)).page == 1
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize("most", [1, 2])
async def test_so_many_pages_are_under_way_at_most(
    make_reader: MakeReader, qwen_vl_sandbox: Sandbox, pdf: Path, most: int
) -> None:
    pages = make_reader(max_concurrency=most).aread([pdf])
    assert (await anext(pages)).page == 1
    assert len(qwen_vl_sandbox.requests) <= most
    await pages.aclose()
    await asyncio.sleep(0.2)
    assert len(qwen_vl_sandbox.requests) <= most


# Answers take a while.
@pytest.mark.slow
async def test_several_pages_are_read_at_the_same_time(
    make_reader: MakeReader, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    """All answers take a while, and come in order."""
    # Small pages, and processes that run already, so that rendering takes a fraction of that time.
    reader = make_reader(max_concurrency=3, dpi=36)
    assert [page.page async for page in reader.aread([pdf])] == [1, 2, 3]
    qwen_vl_sandbox.clear()
    qwen_vl_sandbox.fail(latency=1.5, times=3)
    pages = reader.aread([pdf])
    first = await anext(pages)
    # The others were asked for before the first came.
    assert len(qwen_vl_sandbox.requests) == 3
    assert [first.page, *[page.page async for page in pages]] == [1, 2, 3]


def test_error_names_the_page(
    make_reader: MakeReader, read: Read, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    qwen_vl_sandbox.fail(status=400, code="invalid_parameter_error", message="No.")
    with pytest.raises(InvalidRequestError) as caught:
        read(make_reader(max_concurrency=1), [pdf])
    assert caught.value.__notes__ == [f"Page 1 of 3 of {pdf}."]


def test_answer_of_another_form_names_the_page(
    make_reader: MakeReader, read: Read, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    qwen_vl_sandbox.script("```html\n<table></table>\n```", "There is no table.")
    with pytest.raises(AnswerFormatError, match="no HTML table") as caught:
        read(make_reader(task="table_parsing", max_concurrency=1), [pdf])
    assert caught.value.__notes__ == [f"Page 2 of 3 of {pdf}."]


def test_answer_that_is_cut_off_is_told(
    make_reader: MakeReader, read: Read, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="Hello", finish_reason="length"))
    with pytest.warns(UserWarning, match=r"Page 2 of .*scan\.pdf holds more than"):
        read(make_reader(pages=[2]), [pdf])


async def test_what_was_found_before_an_error_comes_first(
    make_reader: MakeReader, pdf: Path
) -> None:
    pages = make_reader().aread([pdf, "nowhere.png"])
    assert [(await anext(pages)).page for _ in range(3)] == [1, 2, 3]
    with pytest.raises(MediaNotFoundError, match=r"sources\[1\]"):
        await anext(pages)


@pytest.mark.parametrize(
    ("source", "error", "problem"),
    [
        ("nowhere.pdf", MediaNotFoundError, r"sources\[0\]"),
        ("https://e.org/a.pdf?x=1", MediaFormatError, "fetches no documents"),
        (3, MediaFormatError, "A int is nothing to read"),
        (b"Hello, I am a letter.", MediaFormatError, r"sources\[0\].*looks like"),
        (b"%PDF-1.4 broken", MediaFormatError, "cannot be read"),
    ],
)
def test_what_cannot_be_read(
    make_reader: MakeReader, read: Read, source: Any, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        read(make_reader(), [source])


def test_limit_of_pages(make_reader: MakeReader, read: Read, pdf: Path) -> None:
    with pytest.raises(MediaTooLargeError, match="raise pdf_max_pages"):
        read(make_reader({"pdf_max_pages": 2}), [pdf])


def test_folders_bind_files(make_reader: MakeReader, read: Read, pdf: Path) -> None:
    inside = make_reader({"media_roots": [pdf.parent]})
    assert len(read(inside, [str(pdf)])) == 3
    with pytest.raises(MediaAccessError):
        read(inside, [os.fspath(CHELSEA)])


@pytest.mark.parametrize(
    ("fields", "options", "problem"),
    [
        ({}, {"max_concurrency": 0}, "max_concurrency is 0"),
        ({}, {"task": "read"}, "ocr_task is 'read'"),
        ({}, {"result_schema": {"total": ""}}, "ocr_task is 'text_recognition'"),
        ({"model": "qwen3-vl-plus", "protocol": "native"}, {}, "Use qwen-vl-ocr"),
    ],
)
def test_task_that_cannot_be_asked_for_is_told_at_once(
    make_reader: MakeReader, fields: dict[str, Any], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make_reader(fields, **options)
