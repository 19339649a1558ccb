"""The text of PDF pages, and where it stands on them."""

from pathlib import Path

import pypdfium2
import pytest
from fpdf import FPDF
from PIL import Image as PillowImage

from qwen_vl.content import Document, LocalFile
from qwen_vl.errors import MediaAccessError, MediaFormatError, MediaOptionError, MediaTooLargeError
from qwen_vl.media.pdf.document import read_page_texts, read_page_words
from qwen_vl.media.pdf.page_text import PageText, TextWord, join_boxes, to_page_text
from qwen_vl.request.types import MediaPolicy

MILLIMETERS = (210, 297)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three pages: text in two columns, text on its side, and an image."""
    pdf = FPDF(format="A4")
    pdf.set_font("helvetica", size=12)
    pdf.add_page()
    pdf.text(20, 50, "Net income rose.")
    pdf.set_font("helvetica", "B", 12)
    pdf.text(20, 100, "Left column")
    pdf.text(120, 100, "Right column")
    pdf.add_page(orientation="L")
    pdf.text(30, 60, "Wide page")
    pdf.add_page()
    pdf.image(PillowImage.new("RGB", (60, 40), "red"), 10, 10)
    pdf.output(str(tmp_path / "report.pdf"))
    return tmp_path / "report.pdf"


def read(path: Path, **fields: object) -> list[PageText]:
    document = Document(source=LocalFile(path, is_trusted=True), where="items[0]", **fields)  # type: ignore[arg-type]
    return read_page_texts(document, MediaPolicy())


def test_text_and_lines_of_each_page(file: Path) -> None:
    first, second, third = read(file)

    assert first.page == 1
    assert first.text == "Net income rose.\nLeft column Right column"
    assert [line.text for line in first.lines] == [
        "Net income rose.",
        "Left column",
        "Right column",
    ]
    assert [line.text for line in second.lines] == ["Wide page"]
    assert third == PageText(page=3, text="", lines=())


def test_boxes_are_where_the_text_was_written(file: Path) -> None:
    first, second, _ = read(file)
    width, height = MILLIMETERS

    # The point that fpdf takes is the left end of the base line.
    for line, (x, y) in zip(first.lines, ((20, 50), (20, 100), (120, 100)), strict=True):
        left, top, right, bottom = line.box
        assert left * width == pytest.approx(x, abs=0.6)
        assert top * height < y <= bottom * height + 0.3
        # 12 points are 4.2 mm.
        assert 2.5 < (bottom - top) * height < 4.5
        assert right > left
    assert second.lines[0].box[0] * height == pytest.approx(30, abs=0.6)
    assert second.lines[0].box[3] * width == pytest.approx(60, abs=1.5)


def read_words(path: Path) -> list[tuple[TextWord, ...]]:
    document = Document(source=LocalFile(path, is_trusted=True), where="items[0]")
    return read_page_words(document, MediaPolicy())


def test_words_are_where_they_were_written(file: Path) -> None:
    first, second, third = read_words(file)
    width, height = MILLIMETERS
    pdf = FPDF(format="A4")
    pdf.set_font("helvetica", size=12)

    assert [word.text for word in first] == [
        *("Net", "income", "rose."),
        *("Left", "column", "Right", "column"),
    ]
    for word, before in zip(first, ("", "Net ", "Net income "), strict=False):
        left, top, right, bottom = word.box
        x = 20 + pdf.get_string_width(before)
        assert left * width == pytest.approx(x, abs=0.5)
        assert right * width == pytest.approx(x + pdf.get_string_width(word.text), abs=0.5)
        # The ink: to the base line, and as high as the letters.
        assert bottom * height == pytest.approx(50, abs=0.2)
        assert top * height == pytest.approx(50 - (3.1 if word.text != "rose." else 2.3), abs=0.3)
    assert [word.text for word in second] == ["Wide", "page"]
    assert third == ()


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_page_has_its_words_where_they_are_shown(file: Path, degrees: int) -> None:
    upright = read_words(file)[0]
    document = pypdfium2.PdfDocument(file)
    document[0].set_rotation(degrees)
    document.save(file.with_name("turned.pdf"))
    document.close()

    turned = read_words(file.with_name("turned.pdf"))[0]

    # PDFium takes the lines of a turned page in another order.
    found = {word.text: word for word in turned if word.text != "column"}
    assert len(turned) == len(upright)
    assert len(found) == 5
    for before in (word for word in upright if word.text != "column"):
        word = found[before.text]
        x1, y1, x2, y2 = before.box
        expected = {
            90: (1 - y2, x1, 1 - y1, x2),
            180: (1 - x2, 1 - y2, 1 - x1, 1 - y1),
            270: (y1, 1 - x2, y2, 1 - x1),
        }[degrees]
        assert word.box == pytest.approx(expected, abs=1e-4)


def test_words_end_with_their_lines(tmp_path: Path) -> None:
    pdf = FPDF(format="A4")
    pdf.set_font("helvetica", size=12)
    pdf.add_page()
    pdf.text(20, 50, "Net income rose by 4 per-")
    pdf.text(20, 56, "cent to \u00bb12\u00bb million (euros).")
    with pdf.rotation(90, 60, 100):
        pdf.text(60, 100, "Aside")
    pdf.output(str(tmp_path / "lines.pdf"))

    (words,) = read_words(tmp_path / "lines.pdf")

    texts = [word.text.strip("-") for word in words]
    assert texts[:12] == [
        *("Net", "income", "rose", "by", "4", "per"),
        *("cent", "to", "\u00bb12\u00bb", "million", "(euros).", texts[11]),
    ]
    # Letters of text along the height of the page are words, as each has a line.
    assert texts[11:] == list("Aside")


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_page_has_its_lines_where_they_are_shown(file: Path, degrees: int) -> None:
    upright = read(file)[0].lines[0].box
    document = pypdfium2.PdfDocument(file)
    document[0].set_rotation(degrees)
    document.save(file.with_name("turned.pdf"))
    document.close()

    lines = read(file.with_name("turned.pdf"))[0].lines

    (box,) = [line.box for line in lines if line.text == "Net income rose."]
    left, top, right, bottom = upright
    expected = {
        90: (1 - bottom, left, 1 - top, right),
        180: (1 - right, 1 - bottom, 1 - left, 1 - top),
        270: (top, 1 - right, bottom, 1 - left),
    }[degrees]
    assert box == pytest.approx(expected, abs=1e-4)


def test_some_pages_are_read(file: Path) -> None:
    assert [page.page for page in read(file, pages=[2])] == [2]
    with pytest.raises(MediaOptionError, match="Page 4 does not exist"):
        read(file, pages=[4])


def test_what_is_no_pdf_is_refused(tmp_path: Path, file: Path) -> None:
    (tmp_path / "note.pdf").write_text("not a PDF")

    with pytest.raises(MediaFormatError, match=r"items\[0\]: Expected a PDF"):
        read(tmp_path / "note.pdf")
    with pytest.raises(MediaAccessError):
        read_page_texts(
            Document(source=LocalFile(file, is_trusted=False)), MediaPolicy(media_roots=())
        )


def test_limits_of_time_hold(file: Path) -> None:
    document = Document(source=LocalFile(file, is_trusted=True))

    with pytest.raises(MediaTooLargeError, match="pdf_timeout"):
        read_page_texts(document, MediaPolicy(pdf_timeout=1e-6))


def test_runs_of_one_line_are_joined() -> None:
    runs = [
        ("Total", (0.1, 0.22, 0.2, 0.2)),
        ("42", (0.205, 0.22, 0.23, 0.2)),
        ("I", (0.234, 0.22, 0.236, 0.2)),
        ("far", (0.5, 0.22, 0.6, 0.2)),
        ("\r\n", (0.6, 0.22, 0.6, 0.2)),
        ("below", (0.5, 0.25, 0.6, 0.23)),
        ("upwards", (0.62, 0.4, 0.64, 0.2)),
    ]

    page = to_page_text(1, "Total 42  \r\nfar\n", runs)

    assert page.text == "Total 42\nfar"
    assert [(line.text, line.box) for line in page.lines] == [
        ("Total 42 I", (0.1, 0.2, 0.236, 0.22)),
        ("far", (0.5, 0.2, 0.6, 0.22)),
        ("below", (0.5, 0.23, 0.6, 0.25)),
        ("upwards", (0.62, 0.2, 0.64, 0.4)),
    ]
    assert join_boxes([line.box for line in page.lines]) == (0.1, 0.2, 0.64, 0.4)
