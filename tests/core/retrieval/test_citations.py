"""Citations of answers, sources within a budget, and documents of frameworks as units."""

from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF

from qwen_vl.content import Document, Frames, Image, Inline, LocalFile, Text, Url, Video
from qwen_vl.errors import ConfigurationError, MediaAccessError, UnsupportedContentError
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.citations import Citation, fit_sources, read_citations
from qwen_vl.retrieval.drawing import draw_citations
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.references import to_unit
from qwen_vl.settings import QwenVLSettings

SETTINGS = QwenVLSettings(api_key="sk-1")


def unit(path: Path | str, **fields: Any) -> Unit:
    return Unit(path=str(path), **{"kind": "page", "digest": "", **fields})


def test_citations_are_read_of_any_answer(corpus: Path) -> None:
    page = unit(corpus / "report.pdf", number=2, total=3)
    text = unit("", kind="text", text="Nobody knows.")

    cited = read_citations(
        'The board does [1: "board proposes a dividend"][2: "Nobody knows"], says [3].',
        [page, text],
    )

    assert cited.text == "The board does [1][2], says [3]."
    first, second = cited.citations
    assert (first.unit, first.quote) == (page, "board proposes a dividend")
    assert first.box is not None
    assert (second.unit.name, second.box) == ("text", None)


def test_words_along_the_height_of_a_page_are_found(tmp_path: Path) -> None:
    pdf = FPDF(format="A4")
    pdf.set_font("helvetica", size=12)
    pdf.add_page()
    with pdf.rotation(90, 60, 100):
        pdf.text(60, 100, "Printed on recycled paper")
    pdf.output(str(tmp_path / "leaf.pdf"))

    (citation,) = read_citations(
        '[1: "printed on recycled paper"]', [unit(tmp_path / "leaf.pdf")]
    ).citations

    assert citation.box is not None
    left, top, right, bottom = citation.box
    assert (right - left) * 210 == pytest.approx(4, abs=1)
    assert bottom * 297 == pytest.approx(100, abs=1)
    assert top < bottom
    assert citation.line_boxes == (citation.box,)


def test_cited_files_must_be_inside_the_roots(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "link.pdf").symlink_to(corpus / "report.pdf")
    inside, outside = unit(corpus / "report.pdf"), unit(other / "link.pdf")

    assert read_citations("[1]", [inside, outside], media_roots=[corpus]).citations
    # A link inside the roots that leads out of them.
    with pytest.raises(MediaAccessError, match="outside of the folders"):
        read_citations('[1: "x"]', [outside], media_roots=[other])
    with pytest.raises(MediaAccessError, match=r"link\.pdf, page 1: "):
        read_citations("[2]", [inside, unit(tmp_path / "link.pdf")], media_roots=[corpus])
    # What is not cited is not looked at, and texts and URLs name no file to read.
    missing = unit("/etc/passwd")
    url = unit("https://example.com/a.png", kind="image")
    note = unit("/etc/passwd", kind="text")
    found = read_citations("[2] [3]", [missing, url, note], media_roots=[])
    assert [citation.box for citation in found.citations] == [None, None]


def test_only_images_in_files_are_drawn(corpus: Path) -> None:
    units = [
        unit("https://example.com/a.png", kind="image"),
        unit(corpus / "bunny.mp4", kind="video"),
        unit("notes.txt", kind="text"),
        unit(corpus / "red.png", kind="image"),
    ]
    citations = [Citation(number=number, unit=one) for number, one in enumerate(units, 1)]

    assert [drawn.numbers for drawn in draw_citations(citations)] == [(4,)]
    with pytest.raises(UnsupportedContentError, match="cannot be shown as an image"):
        units[1].to_part(MediaPolicy())


def show(text: str, number: int) -> list[Text]:
    return [Text(text=f"[{number}] {text}")]


def test_what_fits_is_numbered_in_its_order() -> None:
    words = {"a": "rain", "b": "sun " * 100, "c": "wind", "d": "snow " * 100}

    fitted = fit_sources(words, lambda key, n: show(words[key], n), SETTINGS, 20)

    assert (fitted.sources, fitted.left_out) == (("a", "c"), ("b", "d"))
    assert [part.text for part in fitted.parts if isinstance(part, Text)] == [
        "[1] rain",
        "[2] wind",
    ]
    assert fitted.n_tokens <= 20


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "There are no sources"),
        (["sun " * 100, "sun " * 50], r"No source fits into 20 tokens: the smallest has \d\d\."),
    ],
)
def test_nothing_to_show_raises(sources: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit_sources(sources, show, SETTINGS, 20)


def test_settings_count_as_they_are_sent(corpus: Path) -> None:
    image = Image(source=LocalFile(corpus / "red.png", is_trusted=True))

    def count(**fields: Any) -> int:
        settings = SETTINGS.model_copy(update=fields)
        return fit_sources([image], lambda one, _: [one], settings, 20_000).n_tokens

    # Enlarged to what is asked for.
    assert count(min_pixels=1_000_000) > 10 * count()


def local(name: str, **fields: Any) -> Image:
    return Image(source=LocalFile(Path(name), is_trusted=False), **fields)


VIDEO = Video(source=LocalFile(Path("/a/walk.mp4"), is_trusted=False))
FRAMES = Video(source=Frames((Url("https://example.com/1.jpg"), Url("https://example.com/2.jpg"))))


@pytest.mark.parametrize(
    ("media", "metadata", "kind", "name"),
    [
        ([local("/a/r.pdf", pages=(3,))], {"total_pages": 9}, "page", "r.pdf, page 3"),
        ([local("/a/r.pdf", pages="3")], {}, "page", "r.pdf, page 3"),
        ([local("/a/r.tiff", pages="2-4")], {}, "page", "r.tiff, page 2"),
        (
            [Document(source=Url("https://example.com/r.pdf"), pages=[7])],
            {},
            "page",
            "r.pdf, page 7",
        ),
        ([local("/a/cat.png")], {"page": 3}, "image", "cat.png"),
        ([local("/f/1.jpg")], {"source": "/a/w.mp4", "seconds": 65}, "frame", "w.mp4, 1:05"),
        ([local("/f/1.jpg")], {"source": "/a/w.mp4", "seconds": "65"}, "image", "1.jpg"),
        ([local("/f/1.jpg")], {"seconds": 65}, "image", "1.jpg"),
        ([VIDEO], {}, "video", "walk.mp4"),
        ([FRAMES], {"source": "walk"}, "video", "1.jpg"),
        ([Image(source=Url("https://example.com/a%20cat.png?x=1"))], {}, "image", "a cat.png"),
        ([Image(source=Url("https://example.com"))], {}, "image", "example.com"),
        ([Image(source=Inline(b"", None))], {"source": "album/cat.png"}, "image", "cat.png"),
        ([Image(source=Url("data:image/png;base64,AAAA"))], {}, "image", "image"),
        ([], {"source": "/a/notes.txt", "page": 2}, "text", "notes.txt, page 2"),
        ([], {"source": "/a/notes.txt", "page": True}, "text", "notes.txt"),
        ([], {"source": 7, "digest": 7, "total_pages": "x"}, "text", "text"),
    ],
)
def test_documents_are_units(
    media: list[object], metadata: dict[str, Any], kind: str, name: str
) -> None:
    found = to_unit(media, metadata, "words")

    assert (found.kind, found.name, found.text) == (kind, name, "words")


def test_pages_may_be_counted_from_0() -> None:
    assert to_unit([], {"source": "a.txt", "p": 0}, page_key="p", first_page=0).number == 1
    assert to_unit([], {"source": "a.txt", "page": 0}).name == "a.txt"
