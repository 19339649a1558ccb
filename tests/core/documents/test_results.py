"""Parsed documents as Markdown, HTML, text and JSON, their crops and drawings."""

import re
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.documents.blocks import Block
from qwen_vl.documents.drawing import draw_layout
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.documents.results import ParsedDocument, ParsedPage
from qwen_vl.errors import AnswerFormatError, ConfigurationError, MediaFormatError

FIGURE = Block(kind="image", text="A cat", box=(10, 20, 60, 80))
BLOCKS = (
    Block(kind="heading", text="Costs", level=2, box=(0, 0, 100, 10)),
    Block(kind="paragraph", text="H2O < 1", html="H<sub>2</sub>O &lt; 1"),
    Block(kind="list_item", text="One", level=1, marker="1."),
    Block(kind="list_item", text="Inner\nmore", level=2, marker="-"),
    Block(kind="list_item", text="Two", level=1, marker="2."),
    Block(kind="table", text="a\tb", html="<table><tr><td>a</td><td>b</td></tr></table>"),
    Block(kind="table", text="a", latex="\\begin{tabular}{l}a\\end{tabular}"),
    Block(kind="formula", text="x", latex="x"),
    Block(kind="code", text="a < b", notation="python"),
    Block(kind="blockquote", text="Well\nsaid"),
    FIGURE,
    Block(kind="seal", box=(1, 2, 3, 4)),
)
MARKDOWN = """\
## Costs

H<sub>2</sub>O &lt; 1

1. One
    - Inner
        more
2. Two

<table><tr><td>a</td><td>b</td></tr></table>

\\begin{tabular}{l}a\\end{tabular}

$$
x
$$

```python
a < b
```

> Well
> said

<!-- image (10, 20, 60, 80) -->
A cat

<!-- seal (1, 2, 3, 4) -->
"""


@pytest.fixture
def page(tmp_path: Path) -> ParsedPage:
    image = Image.new("RGB", (100, 100), "white")
    image.paste("red", (10, 20, 60, 80))
    image.save(tmp_path / "page.png")
    return ParsedPage(source=str(tmp_path / "page.png"), size=(100, 100), blocks=BLOCKS)


def test_markdown(page: ParsedPage) -> None:
    assert ParsedDocument(source="a", pages=(page,)).to_markdown() == MARKDOWN


def test_links_of_figures(page: ParsedPage) -> None:
    made = page.to_markdown(lambda block: f"{block.kind}.png")

    assert "![A cat](image.png)" in made
    assert '<img src="image.png" alt="">' in page.to_html(lambda block: f"{block.kind}.png")


def test_html(page: ParsedPage) -> None:
    html = ParsedDocument(source="a", pages=(page,)).to_html()

    assert '<section data-page="1" data-size="100 100">' in html
    assert '<h2 data-bbox="0 0 100 10">Costs</h2>' in html
    assert (
        '<ol>\n<li value="1">One\n<ul>\n<li>Inner<br>more\n</li></ul>\n</li>\n<li value="2">Two\n'
        "</li></ol>"
    ) in html
    assert "<pre>a &lt; b</pre>" in html
    assert '<figure class="image" data-bbox="10 20 60 80">' in html


def test_html_reads_back_as_the_same_text(page: ParsedPage) -> None:
    found = parse_html(page.to_html(), is_cut_off=False)

    # LaTeX tables and figures have other elements there.
    assert [block.text for block in found.blocks][:6] == [block.text for block in BLOCKS][:6]


def test_html_of_a_hostile_page_runs_nothing() -> None:
    answer = (
        '<p data-bbox="1 1 2 2" onclick="x()">a<script>x()</script><b onload="x()">b</b></p>'
        '<table data-bbox="1 1 2 2" style="x"><tr><td><iframe src="x"></iframe>'
        '<img src=x onerror="x()">c&lt;script&gt;</td></tr></table>'
        '<div class="x&quot;><script>">d</div>'
    )
    page = ParsedPage(source="a", blocks=parse_html(answer).blocks)
    html = page.to_html()

    tags = "".join(re.findall("<[^>]*>", html))
    for hostile in ("script", "onclick", "onload", "onerror", "iframe", "src="):
        assert hostile not in tags


def test_text(page: ParsedPage) -> None:
    assert page.text.startswith("Costs\n\nH2O < 1\n\nOne\nInner\nmore\nTwo\n\na\tb")


def test_parts(page: ParsedPage) -> None:
    document = ParsedDocument(source="a", pages=(page,))

    assert document.figures == page.figures == (FIGURE,)
    assert len(document.tables) == 2
    assert document.errors == {}
    document.raise_errors()


def test_json_round_trip(page: ParsedPage) -> None:
    # Half of a surrogate pair, as JSON of a server may hold.
    odd = ParsedPage(source="a", page=2, blocks=(Block(kind="paragraph", text="\ud83d", latex=""),))
    document = ParsedDocument(source="a", pages=(page, odd))

    assert ParsedDocument.from_json(document.to_json()) == document
    assert ParsedDocument.from_json(document.to_json().encode()) == document


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"source": "a", "pages": [{"page": 1}]}'])
def test_other_json(text: str) -> None:
    with pytest.raises(AnswerFormatError):
        ParsedDocument.from_json(text)


def test_crops_of_documents_from_json(page: ParsedPage) -> None:
    document = ParsedDocument.from_json(ParsedDocument(source="a", pages=(page,)).to_json())
    with pytest.raises(ConfigurationError, match="Pass source="):
        document.crop(FIGURE)
    crop = document.crop(FIGURE, page.source)

    assert crop.size == (50, 60)
    assert crop.getcolors() == [(3000, (255, 0, 0))]
    assert document.crop(FIGURE, page.source, margin=5).size == (60, 70)


def test_crops_that_are_refused(page: ParsedPage, tmp_path: Path) -> None:
    document = ParsedDocument(source="a", pages=(page,))
    other = tmp_path / "other.png"
    Image.new("RGB", (90, 100)).save(other)

    with pytest.raises(MediaFormatError, match=r"90 x 100 pixels.*Pass the file that was parsed"):
        document.crop(FIGURE, other)
    with pytest.raises(ConfigurationError, match="Page 7 is not"):
        document.crop(Block(kind="image", box=(0, 0, 1, 1), page=7))
    with pytest.raises(ConfigurationError, match="of page 2, and this is page 1"):
        page.crop(Block(kind="image", box=(0, 0, 1, 1), page=2))
    with pytest.raises(ConfigurationError, match="none was set"):
        page.crop(Block(kind="image"))


def test_layout_is_drawn_in_the_color_of_each_kind(page: ParsedPage) -> None:
    plain = page.draw(page.source, legend=False)
    whole = page.draw(page.source)

    assert plain.size == (100, 100)
    assert whole.width == 100
    assert whole.height > 100
    # Orange for tables is the first color; images have the second, a blue.
    edge = plain.getpixel((59, 60))
    assert edge == (31, 162, 255)


def test_page_without_blocks_is_drawn_as_it_is(page: ParsedPage) -> None:
    image = Image.open(page.source).convert("RGB")

    assert draw_layout(image, []).tobytes() == image.tobytes()


def test_legend_takes_as_few_rows_as_it_can() -> None:
    def measure_legend(width: int, kinds: tuple[str, ...]) -> int:
        blocks = [Block(kind=kind, box=(0, 0, 9, 9)) for kind in kinds]
        return draw_layout(Image.new("RGB", (width, 100), "white"), blocks).height - 100

    one = measure_legend(1000, ("table",))
    assert measure_legend(1000, ("table", "image", "heading", "paragraph")) == one
    two = measure_legend(200, ("table", "image", "heading"))
    four = measure_legend(70, ("table", "image", "heading", "paragraph"))
    assert one < two < four
    # Rows are at the same distance from one another.
    assert four - one == 3 * (two - one)


def test_text_of_a_document_is_that_of_its_pages() -> None:
    pages = [
        ParsedPage(source="a", page=number, blocks=(Block(kind="paragraph", text=text),))
        for number, text in enumerate(("One.", "", "Two."), 1)
    ]
    assert ParsedDocument(source="a", pages=tuple(pages)).text == "One.\n\nTwo."
