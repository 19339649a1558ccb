"""Documents parsed from end to end: files in, requests to the sandbox, blocks with boxes out."""

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from qwen_vl.documents.ledger import PageLedger
from qwen_vl.documents.parser import DocumentParser
from qwen_vl.documents.results import ParsedDocument, ParsedPage
from qwen_vl.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    MediaFormatError,
    MediaNotFoundError,
)
from qwen_vl.samples import CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer
from scripted_server import Server, good_answer

MakeParser = Callable[..., DocumentParser]
Parse = Callable[[DocumentParser, Any], ParsedDocument]
RED = (100, 200, 300, 400)
TWO = (
    "```html\n<html><body>\n"
    '<h1 data-bbox="100 50 500 90">Results</h1>\n'
    '<table data-bbox="100 100 900 400"><tr><td>a</td><td>b</td></tr></table>\n'
    "</body></html>\n```"
)


def write_pdf(path: Path, n_pages: int = 3) -> Path:
    """A PDF of pages with 620 x 877 pixels at 75 dots per inch, each with a colored box."""
    pages = [Pillow.new("RGB", (620, 877), "white") for _ in range(n_pages)]
    for number, page in enumerate(pages):
        page.paste((("red", "blue", "green")[number % 3]), RED)
        page.paste("black", (0, 0, number + 1, 1))
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=75)
    return path


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "scan.pdf")


@pytest.fixture
def make_parser(qwen_vl_sandbox: Sandbox, speaking: dict[str, Any]) -> MakeParser:
    def make(fields: dict[str, Any] | None = None, **options: Any) -> DocumentParser:
        place = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
        settings = QwenVLSettings(**{**place, **speaking, **(fields or {})})
        return DocumentParser(settings, **{"dpi": 75, **options})

    return make


@pytest.fixture(params=["parse", "aparse"])
def parse(request: pytest.FixtureRequest) -> Parse:
    """Parse a document, waiting or not."""
    if request.param == "parse":
        return DocumentParser.parse
    return lambda parser, source: asyncio.run(parser.aparse(source))


def boxes(document: ParsedDocument, kind: str) -> list[Any]:
    return [block.box for block in document.blocks if block.kind == kind]


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_pages_of_a_pdf(make_parser: MakeParser, parse: Parse, pdf: Path, form: Any) -> None:
    document = parse(make_parser(form=form), pdf)

    assert [(page.page, page.n_pages, page.size) for page in document] == [
        (number, 3, (620, 877)) for number in (1, 2, 3)
    ]
    assert [block.page for block in document.blocks] == [1, 1, 2, 2, 3, 3]
    assert [block.kind for block in document.blocks] == ["paragraph", "image"] * 3
    # The model counts in thousandths of the page.
    for box in boxes(document, "image"):
        assert all(abs(got - real) <= 1 for got, real in zip(box, RED, strict=True))
    assert document.pages[0].finish_reason == "stop"
    assert document.pages[0].usage
    assert not any(page.problems for page in document)


def test_request_is_the_page_and_the_prompt(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    """As in Qwen3-VL's document parsing cookbook; thinking is off."""
    make_parser({"model": "qwen3-vl-plus"}, form="markdown", pages=[2]).parse(pdf)
    body = qwen_vl_sandbox.last_request.json
    (message,) = body["messages"]
    image, text = message["content"]

    assert message["role"] == "user"
    assert text == {"type": "text", "text": "qwenvl markdown"}
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert (image["min_pixels"], image["max_pixels"]) == (512 * 32 * 32, 2048 * 32 * 32)
    assert body["max_tokens"] == 16_384
    assert body["enable_thinking"] is False
    assert "stream" not in body


@pytest.mark.openai_wire
def test_qwen25_counts_pixels_of_the_resized_page(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    document = make_parser({"model": "qwen2.5-vl-7b-instruct"}, pages="1").parse(pdf)
    content = qwen_vl_sandbox.last_request.json["messages"][0]["content"]

    assert content[1]["text"] == "QwenVL HTML"
    assert content[0]["max_pixels"] == 2048 * 28 * 28
    (box,) = boxes(document, "image")
    assert all(abs(got - real) <= 1 for got, real in zip(box, RED, strict=True))


def test_qwen25_knows_no_markdown(make_parser: MakeParser) -> None:
    with pytest.raises(ConfigurationError, match="'html' only"):
        make_parser({"model": "qwen2.5-vl-7b-instruct"}, form="markdown")


@pytest.mark.openai_wire
def test_settings_take_precedence(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    fields = {"model": "qwen3.8-max", "max_tokens": 5_000, "max_pixels": 1_000_000}
    make_parser({**fields, "reasoning_effort": "low"}, pages=[1], prompt="Read.").parse(pdf)
    body = qwen_vl_sandbox.last_request.json

    assert body["max_tokens"] == 5_000
    assert body["messages"][0]["content"][0]["max_pixels"] == 1_000_000
    assert body["messages"][0]["content"][1]["text"] == "Read."
    assert body["enable_thinking"] is False
    assert "reasoning_effort" not in body


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        ({"max_pixels": 300_000}, 300_000, 300_000),
        ({"max_pixels": 4_608 * 32 * 32}, 512 * 32 * 32, 4_608 * 32 * 32),
        ({"min_pixels": 3_000_000}, 3_000_000, 3_000_000),
        ({"min_pixels": 70_000, "max_pixels": 80_000}, 70_000, 80_000),
        ({"vl_high_resolution_images": True}, None, None),
    ],
)
def test_pixels_of_the_settings(
    make_parser: MakeParser,
    qwen_vl_sandbox: Sandbox,
    fields: dict[str, Any],
    least: int | None,
    most: int | None,
) -> None:
    make_parser(fields).parse(CHELSEA)
    image = qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]

    assert (image.get("min_pixels"), image.get("max_pixels")) == (least, most)


@pytest.mark.openai_wire
def test_model_that_always_thinks_is_asked_as_it_is(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox
) -> None:
    make_parser({"model": "qwen3-vl-235b-a22b-thinking"}).parse(CHELSEA)

    assert "enable_thinking" not in qwen_vl_sandbox.last_request.json


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
def test_self_hosted_servers(server: Any, pdf: Path) -> None:
    with Sandbox(server=server) as sandbox:
        settings = QwenVLSettings(
            model="Qwen/Qwen3-VL-8B-Instruct", base_url=sandbox.base_url, server=server
        )
        document = DocumentParser(settings, dpi=75, pages=[1]).parse(pdf)

    (box,) = boxes(document, "image")
    assert all(abs(got - real) <= 1 for got, real in zip(box, RED, strict=True))


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    "give",
    [
        Path.read_bytes,
        lambda path: path.open("rb"),
        lambda path: Pillow.open(path).convert("RGB"),
        lambda path: path,
        str,
    ],
    ids=["bytes", "open", "pixels", "path", "text"],
)
def test_sources_can_be_cropped_and_drawn_later(
    make_parser: MakeParser, give: Callable[[Path], Any], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script('<div class="image" data-bbox="200 100 600 500"></div>')
    source = give(CHELSEA)
    try:
        document = make_parser().parse(source)
    finally:
        if isinstance(source, io.IOBase):
            source.close()
    (figure,) = document.figures
    real = Pillow.open(CHELSEA).convert("RGB")

    assert figure.box == (90, 30, 271, 150)
    assert document.crop(figure).tobytes() == real.crop(figure.box).tobytes()
    assert document.crop(figure, margin=500).size == (451, 300)
    assert document.pages[0].draw(legend=False).size == (451, 300)


@pytest.mark.openai_wire
def test_photo_that_stands_on_its_side_is_parsed_upright(
    make_parser: MakeParser, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    image = Pillow.new("RGB", (400, 300), "white")
    image.paste("red", (0, 0, 100, 100))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif, quality=95)
    document = make_parser().parse(path)
    (figure,) = document.figures

    assert document.pages[0].size == (300, 400)
    assert figure.box
    # What is at the top left of the sensor is at the top right of the photo.
    assert figure.box[0] in range(196, 204)
    assert document.crop(figure).getpixel((50, 50))[0] > 200  # type: ignore[index]  # RGB


@pytest.mark.openai_wire
def test_pages_of_a_tiff(make_parser: MakeParser, tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    pages = [Pillow.new("RGB", (300, 200 + 100 * number), "white") for number in range(3)]
    for page in pages:
        page.paste("blue", (30, 20, 90, 100))
    pages[0].save(path, save_all=True, append_images=pages[1:])
    document = make_parser(pages="2-3").parse(path)

    assert [(page.page, page.size) for page in document] == [(2, (300, 300)), (3, (300, 400))]
    crop = document.crop(document.figures[1])
    assert crop.getpixel((crop.width // 2, crop.height // 2)) == (0, 0, 255)


@pytest.mark.openai_wire
def test_url_is_left_to_the_service_and_has_no_boxes(make_parser: MakeParser) -> None:
    url = (
        "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20241022/emyrja/"
        "dog_and_girl.jpeg"
    )
    document = make_parser().parse(url)

    assert document.source == url
    assert document.pages[0].size is None
    assert [block.box for block in document.blocks] == [None]
    with pytest.raises(ConfigurationError, match="lacks a box"):
        document.crop(document.blocks[0])


def test_answer_that_reaches_max_tokens(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, parse: Parse, pdf: Path
) -> None:
    parser = make_parser(max_tokens=25, pages=[1])
    with pytest.warns(UserWarning, match="Page 1 of .* is cut off. Raise max_tokens"):
        document = parse(parser, pdf)
    (page,) = document.pages

    assert page.finish_reason == "length"
    assert page.is_cut_off
    assert [block.is_cut for block in page.blocks] == [True]
    assert qwen_vl_sandbox.last_request.json["max_tokens"] == 25


def test_page_that_fails_is_data_and_the_others_are_parsed(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, parse: Parse, pdf: Path
) -> None:
    qwen_vl_sandbox.fail(status=400, code="data_inspection_failed", message="Inappropriate.")
    parser = make_parser(max_concurrency=1)
    with pytest.warns(UserWarning, match="Page 1 of .* was not parsed: .*Inappropriate"):
        document = parse(parser, pdf)

    assert [len(page.blocks) for page in document] == [0, 2, 2]
    assert document.errors.keys() == {1}
    assert document.errors[1].type == "ContentModerationError"
    assert "Page 1 was not parsed" in document.to_markdown()
    with pytest.raises(InvalidRequestError, match="Inappropriate"):
        document.raise_errors()
    again = ParsedDocument.from_json(document.to_json())
    assert again == document
    with pytest.raises(Exception, match="Inappropriate"):
        again.raise_errors()


def test_errors_are_raised_if_wanted(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, parse: Parse, pdf: Path
) -> None:
    qwen_vl_sandbox.fail(status=400, code="invalid_parameter_error", message="No.")
    with pytest.raises(InvalidRequestError) as caught:
        parse(make_parser(max_concurrency=1, raise_errors=True), pdf)
    assert caught.value.__notes__ == [f"Page 1 of 3 of {pdf}."]


def test_error_of_every_page_is_raised(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, parse: Parse, pdf: Path
) -> None:
    qwen_vl_sandbox.fail(status=401, code="invalid_api_key", message="Wrong key.", times=4)
    with pytest.raises(AuthenticationError):
        parse(make_parser(), pdf)


def test_document_that_cannot_be_opened(make_parser: MakeParser, parse: Parse, pdf: Path) -> None:
    with pytest.raises(MediaNotFoundError):
        parse(make_parser(), "gone.pdf")
    damaged = b"%PDF-1.7 and no more"
    with pytest.warns(UserWarning, match="was not parsed"):
        documents = make_parser(pages=[1]).parse_all([pdf, "gone.pdf", damaged, CHELSEA])

    assert [[page.page for page in document] for document in documents] == [[1], [0], [0], [1]]
    assert [document.source for document in documents][:3] == [str(pdf), "gone.pdf", "bytes"]
    assert "sources[2]" in documents[2].errors[0].message
    with pytest.raises(MediaFormatError):
        list(make_parser(raise_errors=True).parse_pages([damaged]))


@pytest.mark.openai_wire
def test_several_documents(make_parser: MakeParser, pdf: Path) -> None:
    parser = make_parser()
    sources: Sequence[Any] = [pdf, CHELSEA, CHELSEA, pdf.read_bytes(), pdf.read_bytes()]
    documents = asyncio.run(parser.aparse_all(sources))

    assert [len(document.pages) for document in documents] == [3, 1, 1, 3, 3]
    assert parser.count_pages(sources) == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_concurrency": 0}, "at least one page"),
        ({"form": "latex"}, "must be one of html, markdown"),
        ({"from": "html"}, "Did you mean 'form'"),
        ({"space": "pixels"}, "space is 'pixels'"),
    ],
)
def test_wrong_options(make_parser: MakeParser, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_parser(**options)


def test_pages_are_reported_as_they_are_done(
    make_parser: MakeParser, parse: Parse, pdf: Path
) -> None:
    done: list[ParsedPage] = []
    parse(make_parser(on_page=done.append), pdf)

    assert [(page.page, page.is_resumed) for page in done] == [(1, False), (2, False), (3, False)]


def test_ledger_spares_requests(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, parse: Parse, pdf: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "done"
    pages = make_parser(ledger=ledger).parse_pages([pdf])
    before = [next(pages), next(pages)]
    pages.close()  # type: ignore[attr-defined]  # a generator
    copy = pdf.with_name("copy.pdf")
    copy.write_bytes(pdf.read_bytes())
    assert len(qwen_vl_sandbox.requests) == 2

    document = parse(make_parser(ledger=ledger), copy)
    assert len(qwen_vl_sandbox.requests) == 3
    assert [page.is_resumed for page in document] == [True, True, False]
    assert [page.source for page in document] == [str(copy)] * 3
    assert [page.blocks for page in document][:2] == [page.blocks for page in before]
    assert document.crop(document.figures[1]).width in range(200, 203)


@pytest.mark.parametrize(
    "other",
    [
        {"form": "markdown"},
        {"dpi": 90},
        {"max_tokens": 9_000},
        {"prompt": "Read it."},
        {"fields": {"model": "qwen3-vl-flash"}},
        {"fields": {"temperature": 0.1}},
        {"fields": {"max_pixels": 900_000}},
    ],
    ids=lambda other: next(iter(other.get("fields", other))),
)
def test_ledger_knows_what_was_asked(
    make_parser: MakeParser,
    qwen_vl_sandbox: Sandbox,
    pdf: Path,
    tmp_path: Path,
    other: dict[str, Any],
) -> None:
    make_parser(ledger=tmp_path / "done", pages=[1]).parse(pdf)
    make_parser(**{"ledger": tmp_path / "done", "pages": [1], **other}).parse(pdf)

    assert len(qwen_vl_sandbox.requests) == 2


@pytest.mark.openai_wire
def test_pages_that_failed_are_asked_about_again(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox, pdf: Path, tmp_path: Path
) -> None:
    qwen_vl_sandbox.fail(status=400, code="data_inspection_failed", message="No.")
    with pytest.warns(UserWarning, match="was not parsed"):
        make_parser(ledger=tmp_path / "done").parse(pdf)
    document = make_parser(ledger=tmp_path / "done").parse(pdf)

    assert [page.is_resumed for page in document] == [False, True, True]
    assert not document.errors


@pytest.mark.openai_wire
@pytest.mark.parametrize("damage", [b"", b"{}", b'{"blocks": 1', b"[1]"])
def test_damaged_page_of_the_ledger_is_parsed_again(
    make_parser: MakeParser, pdf: Path, tmp_path: Path, damage: bytes
) -> None:
    folder = tmp_path / "done"
    whole = make_parser(ledger=folder, pages=[1]).parse(pdf)
    (path,) = folder.iterdir()
    path.write_bytes(damage)

    with pytest.warns(UserWarning, match="parsed again"):
        document = make_parser(ledger=folder, pages=[1]).parse(pdf)
    assert document == whole
    assert ParsedPage.from_dict(whole.pages[0].to_dict()) == whole.pages[0]
    assert make_parser(ledger=folder, pages=[1]).parse(pdf).pages[0].is_resumed


def test_ledger_that_cannot_be_written(make_parser: MakeParser, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="ledger: the folder"):
        make_parser(ledger=tmp_path / "file")


PROGRAM = """
import sys
from qwen_vl.documents.parser import DocumentParser
from qwen_vl.settings import QwenVLSettings
base_url, pdf, ledger = sys.argv[1:]
settings = QwenVLSettings(base_url=base_url, api_key="sk-sandbox")
def show(page):
    print(page.page, flush=True)
DocumentParser(settings, dpi=75, ledger=ledger, on_page=show).parse(pdf)
"""


@pytest.mark.slow
def test_killed_run_is_resumed(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    pdf, ledger = write_pdf(tmp_path / "scan.pdf", 6), tmp_path / "done"
    # Those that follow take so long that the program is killed within one of them.
    qwen_vl_sandbox.fail(latency=0, times=2)
    qwen_vl_sandbox.fail(latency=30)
    command = [sys.executable, "-c", PROGRAM, qwen_vl_sandbox.base_url, str(pdf), str(ledger)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert [running.stdout.readline().strip() for _ in range(2)] == ["1", "2"]
        running.send_signal(signal.SIGKILL)
    qwen_vl_sandbox.clear()

    settings = QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    document = DocumentParser(settings, dpi=75, ledger=ledger).parse(pdf)
    assert [page.is_resumed for page in document] == [True, True, False, False, False, False]
    assert len(qwen_vl_sandbox.requests) == 4
    assert document == DocumentParser(settings, dpi=75).parse(pdf)


class _Gauge:
    """A server that counts how many requests it holds at the same time."""

    def __init__(self, expected: int) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._full = threading.Event()
        self._expected = expected

    def handle(self, connection: Any, request: bytes) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now >= self._expected:
                self._full.set()
        # Until all that may come at the same time are here.
        self._full.wait(20)
        with self._lock:
            self._now -= 1
        connection.sendall(good_answer(request))


async def test_server_sees_as_many_pages_at_the_same_time_as_allowed(tmp_path: Path) -> None:
    gauge = _Gauge(3)
    pdf = write_pdf(tmp_path / "scan.pdf", 8)
    with closing(Server(gauge.handle)) as server:
        settings = QwenVLSettings(base_url=server.url, api_key="sk-1")
        parser = DocumentParser(settings, dpi=30, max_concurrency=3)
        document = await parser.aparse(pdf)

    assert [page.page for page in document] == list(range(1, 9))
    assert gauge.most == 3


def test_answer_in_another_form_is_text_without_a_box(
    make_parser: MakeParser, qwen_vl_sandbox: Sandbox
) -> None:
    """Weights that were not trained on the prompt write prose."""
    qwen_vl_sandbox.script("This page shows a cat.", ScriptedAnswer(text=TWO))
    prose, blocks = make_parser().parse(CHELSEA), make_parser().parse(CHELSEA)

    assert [(block.kind, block.text, block.box) for block in prose.blocks] == [
        ("paragraph", "This page shows a cat.", None)
    ]
    assert [block.kind for block in blocks.blocks] == ["heading", "table"]


def test_page_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "k.json").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        PageLedger(tmp_path).add("k", ParsedPage(source="a", page=1))
    reason = os.strerror(errno.EISDIR)
    assert str(caught.value) == f"ledger: {tmp_path / 'k.json'} cannot be written: {reason}."
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]
