r"""Answers to `qwenvl html`, written by hand after the documented form, and what they hold.

Sources: the listing "QwenVL HTML Format" of the Qwen2.5-VL technical report (2025-02, page 7), and
what Qwen3-VL's `cookbooks/document_parsing.ipynb` (2025-10) reads and cleans: relative coordinates
up to 1000, `data-polygon`, `<ol>` whose items have the boxes, classes such as
`formula.machine_printed`. The page has 2000 x 1000 pixels, so that x doubles and y stays.
"""

from typing import Any

import pytest

from qwen_vl.documents.blocks import Block
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.grounding.coordinates import CoordinateFrame, find_frame

FRAME = CoordinateFrame(space="normalized", image=(2000, 1000), scale=(1000, 1000))
UNBOXED = "the text is in no element that has a box"
NONE = "the model gave no box"


def block(kind: str, text: str = "", **fields: Any) -> Block:
    return Block(kind=kind, text=text, **fields)


WHOLE: list[tuple[str, str, list[Block]]] = [
    (
        "paragraph",
        '<html><body>\n<p data-bbox="100 50 900 90"> Revenue rose. </p>\n</body></html>',
        [block("paragraph", "Revenue rose.", box=(200, 50, 1800, 90))],
    ),
    (
        "fence",
        '```html\n<html><body>\n<h1 data-bbox="10 10 500 40">Report</h1>\n</body></html>\n```',
        [block("heading", "Report", level=1, box=(20, 10, 1000, 40))],
    ),
    (
        "reasoning",
        '<think>A page with one line.</think>\n\n<p data-bbox="0 0 1000 1000">All</p>',
        [block("paragraph", "All", box=(0, 0, 2000, 1000))],
    ),
    (
        "entities",
        '<p data-bbox="1 2 3 4">R&amp;D &lt; 5&nbsp;% &#8212; &eacute;</p>',
        [block("paragraph", "R&D < 5\xa0% — é", box=(2, 2, 6, 4))],
    ),
    (
        "table",
        (
            '<style>table1 td { text-align: left }</style><table data-bbox="50 100 450 300" '
            'class="table1"><tr><th data-bbox="50 100 250 200">Year</th><th>Sum</th></tr>'
            '<tr><td>2025</td><td style="color:red">12</td></tr></table>'
        ),
        [
            block(
                "table",
                "Year\tSum\n2025\t12",
                html='<table class="table1"><tr><th>Year</th><th>Sum</th></tr>'
                "<tr><td>2025</td><td>12</td></tr></table>",
                box=(100, 100, 900, 300),
            )
        ],
    ),
    (
        "spans",
        (
            '<table data-bbox="0 0 10 10"><tr><td colspan="2" onclick="x()">a</td></tr>'
            "<tr><td></td><td>b<br>c</td></tr></table>"
        ),
        [
            block(
                "table",
                "a\n\tb c",
                html='<table><tr><td colspan="2">a</td></tr>'
                "<tr><td></td><td>b<br>c</td></tr></table>",
                box=(0, 0, 20, 10),
            )
        ],
    ),
    (
        "chart",
        (
            '<div class="chart" data-bbox="100 100 400 400"> <img data-bbox="100 100 400 400" />'
            "<table><tr><td>Q1</td><td>7</td></tr></table></div>"
        ),
        [
            block(
                "chart",
                "Q1\t7",
                html="<table><tr><td>Q1</td><td>7</td></tr></table>",
                box=(200, 100, 800, 400),
            )
        ],
    ),
    (
        "formula",
        (
            '<div class="formula" data-bbox="10 20 30 40"> <img data-bbox="10 20 30 40" />'
            " <div> $$ E = mc^2, a<b $$ </div></div>"
        ),
        [block("formula", "E = mc^2, a<b", latex="E = mc^2, a<b", box=(20, 20, 60, 40))],
    ),
    (
        "formula by hand",
        '<div class="formula.handwritten" data-bbox="10 20 30 40">\\[ x &gt; 1 \\]</div>',
        [
            block(
                "formula",
                "x > 1",
                latex="x > 1",
                label="formula.handwritten",
                box=(20, 20, 60, 40),
            )
        ],
    ),
    (
        "image caption",
        (
            '<div class="image caption" data-bbox="0 0 500 500"> <img data-bbox="0 0 500 450" />'
            "<p> A cat on a mat </p></div>"
        ),
        [block("image", "A cat on a mat", label="image caption", box=(0, 0, 1000, 500))],
    ),
    (
        "image ocr",
        (
            '<div class="image ocr" data-bbox="0 0 500 500"><img data-bbox="0 0 500 500" />'
            "<p>EXIT</p></div>"
        ),
        [block("image", "EXIT", label="image ocr", box=(0, 0, 1000, 500))],
    ),
    (
        "image without a box of its own",
        '<div class="image"><img data-bbox="5 5 10 10" /></div><img data-bbox="20 5 30 10"/>',
        [block("image", box=(10, 5, 20, 10)), block("image", box=(40, 5, 60, 10))],
    ),
    (
        "music",
        (
            '<div class="music sheet" format="abc notation" data-bbox="0 0 100 100">'
            '<img data-bbox="0 0 100 100" /> <div>X:1\nK:C\nCDEF|</div></div>'
        ),
        [
            block(
                "music_sheet",
                "X:1\nK:C\nCDEF|",
                notation="abc notation",
                label="music sheet",
                box=(0, 0, 200, 100),
            )
        ],
    ),
    (
        "chemistry",
        (
            '<div class="chemical formula" format="smile" data-bbox="0 0 100 100">'
            '<img data-bbox="0 0 100 100" /><div>C1=CC=CC=C1</div></div>'
        ),
        [
            block(
                "chemical_formula",
                "C1=CC=CC=C1",
                notation="smile",
                label="chemical formula",
                box=(0, 0, 200, 100),
            )
        ],
    ),
    (
        "ordered list",
        (
            '<ol data-bbox="0 0 1000 1000"><li data-bbox="10 10 90 20">One</li>'
            '<li data-bbox="10 30 90 40">Two</li></ol>'
        ),
        [
            block("list_item", "One", level=1, marker="1.", box=(20, 10, 180, 20)),
            block("list_item", "Two", level=1, marker="2.", box=(20, 30, 180, 40)),
        ],
    ),
    (
        "nested lists",
        (
            '<ul><li data-bbox="10 10 90 20">Fruit<ol start="3"><li data-bbox="20 30 90 40">Apples'
            '</li></ol></li><li data-bbox="10 50 90 60">Nuts</li></ul>'
        ),
        [
            block("list_item", "Fruit", level=1, marker="-", box=(20, 10, 180, 20)),
            block("list_item", "Apples", level=2, marker="3.", box=(40, 30, 180, 40)),
            block("list_item", "Nuts", level=1, marker="-", box=(20, 50, 180, 60)),
        ],
    ),
    (
        "header and footer",
        (
            '<div class="header" data-bbox="0 0 1000 30"><p data-bbox="10 10 90 20">ACME</p></div>'
            '<footer data-bbox="0 970 1000 1000">Page 3</footer>'
        ),
        [
            block("header", "ACME", box=(20, 10, 180, 20)),
            block("footer", "Page 3", box=(0, 970, 2000, 1000)),
        ],
    ),
    (
        "unknown kinds",
        (
            '<div class="Seal" data-bbox="1 1 2 2">Approved</div>'
            '<signature data-bbox="3 3 4 4">J. Doe</signature>'
        ),
        [
            block("seal", "Approved", label="Seal", box=(2, 1, 4, 2)),
            block("signature", "J. Doe", box=(6, 3, 8, 4)),
        ],
    ),
    (
        "markup within text",
        (
            '<p data-bbox="1 1 2 2">H<sub>2</sub>O<br/>and <a href="javascript:x()">more</a>'
            "<script>x()</script></p>"
        ),
        [
            block(
                "paragraph",
                "H2O\nand more",
                html="H<sub>2</sub>O<br>and more",
                box=(2, 1, 4, 2),
            )
        ],
    ),
    (
        "group with one block",
        '<div data-bbox="10 10 20 20"><p>Alone</p></div>',
        [block("paragraph", "Alone", box=(20, 10, 40, 20))],
    ),
    (
        "group with several blocks",
        '<div data-bbox="10 10 20 20"><p>One</p><p>Two</p></div>',
        [
            block("paragraph", "One", no_box_reason="the box is that of a group of blocks"),
            block("paragraph", "Two", no_box_reason="the box is that of a group of blocks"),
        ],
    ),
    (
        "text without an element",
        "Sure, here it is: <b>bold</b><p>No box</p>",
        [
            block(
                "paragraph",
                "Sure, here it is: bold",
                html="Sure, here it is: <b>bold</b>",
                no_box_reason=UNBOXED,
            ),
            block("paragraph", "No box", no_box_reason=NONE),
        ],
    ),
    (
        "polygon",
        '<p data-bbox="10 10 90 40" data-polygon="10 20 90 10 90 30 10 40">Slanted</p>',
        [
            block(
                "paragraph",
                "Slanted",
                box=(20, 10, 180, 40),
                polygon=((20, 20), (180, 10), (180, 30), (20, 40)),
            )
        ],
    ),
    (
        "paragraphs without ends",
        (
            '<p data-bbox="1 1 2 2">One<p data-bbox="3 3 4 4">Two</p><table data-bbox="5 5 6 6">'
            "<tr><td>a<td>b<tr><td>c</table>"
        ),
        [
            block("paragraph", "One", box=(2, 1, 4, 2)),
            block("paragraph", "Two", box=(6, 3, 8, 4)),
            block(
                "table",
                "a\tb\nc",
                html="<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
                box=(10, 5, 12, 6),
            ),
        ],
    ),
    (
        "code",
        '<pre data-bbox="1 1 2 2"><code>if a &lt; b:\n    go()</code></pre>',
        [block("code", "if a < b:\n    go()", box=(2, 1, 4, 2))],
    ),
    (
        "comparison that is no tag",
        '<p data-bbox="1 1 2 2">where a<b and x <y or so> z</p>',
        [block("paragraph", "where a<b and x <y or so> z", box=(2, 1, 4, 2))],
    ),
]


@pytest.mark.parametrize(
    ("answer", "expected"), [case[1:] for case in WHOLE], ids=[c[0] for c in WHOLE]
)
def test_whole_answers(answer: str, expected: list[Block]) -> None:
    found = parse_html(answer, FRAME, is_cut_off=False)

    assert list(found.blocks) == expected
    assert found.problems == ()
    assert not found.is_cut_off


@pytest.mark.parametrize(
    ("bbox", "box", "reason"),
    [
        (
            "900 400 100 300",
            (200, 300, 1800, 400),
            "the corners of the box were in the wrong order",
        ),
        ("-5 0 1004 90", (0, 0, 2000, 90), "the box reached beyond the page, and was clipped"),
        ("10 20 30", None, "the box has 3 numbers instead of 4"),
        ("10 20 30 40 50", None, "the box has 5 numbers instead of 4"),
        ("0 0 4000 900", None, "the box is outside of the page, which has 0 to 1000 (normalized)"),
        ("10 20 10 40", None, "the box is empty"),
        ("left top", None, "the box is not made of numbers"),
        ("", None, "the box is not made of numbers"),
        ("1e3 0 nan 9", None, "the box is not made of numbers"),
    ],
)
def test_wrong_boxes_are_reported_and_the_others_kept(
    bbox: str, box: tuple[int, ...] | None, reason: str
) -> None:
    answer = f'<p data-bbox="1 1 2 2">a</p><p data-bbox="{bbox}">b</p><p data-bbox="3 3 4 4">c</p>'
    found = parse_html(answer, FRAME, is_cut_off=False)

    assert [made.text for made in found.blocks] == ["a", "b", "c"]
    assert [made.box for made in found.blocks] == [(2, 1, 4, 2), box, (6, 3, 8, 4)]
    assert found.blocks[1].no_box_reason == (None if box else reason)
    assert [(problem.block, problem.reason) for problem in found.problems] == [(1, reason)]


@pytest.mark.parametrize(
    "bbox", ["10,20,30,40", "[10, 20, 30, 40]", "(10,20),(30,40)", "10.0 20 30 40"]
)
def test_other_ways_to_write_a_box(bbox: str) -> None:
    (found,) = parse_html(f"<p data-bbox='{bbox}'>a</p>", FRAME).blocks

    assert found.box == (20, 20, 60, 40)


@pytest.mark.parametrize(
    ("tag", "box"),
    [
        ('<p data-bbox="10 20 30 40>', (20, 20, 60, 40)),
        ("<p data-bbox=10>", None),
        ('<P DATA-BBOX = "10 20 30 40" title="a > b">', (20, 20, 60, 40)),
    ],
    ids=["quote missing", "bare", "capitals"],
)
def test_damaged_tags(tag: str, box: tuple[int, ...] | None) -> None:
    found = parse_html(f'{tag}One</p><p data-bbox="1 1 2 2">Two</p>', FRAME, is_cut_off=False)

    assert [(made.text, made.box) for made in found.blocks] == [("One", box), ("Two", (2, 1, 4, 2))]


@pytest.mark.parametrize(
    ("answer", "texts", "n_problems"),
    [
        ('<html><body><p data-bbox="1 1 2 2">One</p><p data-bbox="3 3 4 4">Tw', ["One", "Tw"], 0),
        ('<p data-bbox="1 1 2 2">One</p><p data-bbox="3 3 4', ["One"], 1),
        ('<p data-bbox="1 1 2 2">One</p><', ["One"], 1),
        ('<p data-bbox="1 1 2 2">One</p><!-- remar', ["One"], 1),
        ('<html><body><p data-bbox="1 1 2 2">One</p>', ["One"], 0),
        ('```html\n<p data-bbox="1 1 2 2">One</p>\n``', ["One"], 0),
        ("<think>Let me see", [], 1),
        ("```ht", [], 0),
    ],
)
def test_answers_that_break_off_by_their_text(
    answer: str, texts: list[str], n_problems: int
) -> None:
    found = parse_html(answer, FRAME)

    assert [made.text for made in found.blocks] == texts
    assert found.is_cut_off is (answer != "```ht")
    assert len(found.problems) == n_problems


def test_cut_block_is_marked_and_those_before_are_not() -> None:
    answer = '<p data-bbox="1 1 2 2">One</p><table data-bbox="3 3 4 4"><tr><td>a</td><td>b'
    one, table = parse_html(answer, FRAME, is_cut_off=True).blocks

    assert (one.is_cut, table.is_cut) == (False, True)
    # Closed, so that it can be shown.
    assert table.html == "<table><tr><td>a</td><td>b</td></tr></table>"


def test_element_without_an_end_in_a_finished_answer_is_reported() -> None:
    found = parse_html('<p data-bbox="1 1 2 2">One', FRAME, is_cut_off=False)

    assert [(made.text, made.is_cut) for made in found.blocks] == [("One", False)]
    assert [problem.reason for problem in found.problems] == ["the element is not closed"]


def test_text_around_the_fence_is_reported() -> None:
    answer = 'Here is the page:\n```html\n<p data-bbox="1 1 2 2">One</p>\n```\nAnything else?'
    found = parse_html(answer, FRAME)

    assert [made.text for made in found.blocks] == ["One"]
    assert [problem.text for problem in found.problems] == ["Here is the page:", "Anything else?"]


def test_pixels_of_the_resized_image() -> None:
    """Qwen2.5-VL counts pixels of the image as it processes it: here 1316 x 728."""
    frame = find_frame("qwen2.5-vl-7b-instruct", (1920, 1080))
    (found,) = parse_html('<p data-bbox="658 0 1316 364">Right half</p>', frame).blocks

    assert found.box == (960, 0, 1920, 540)


def test_page_without_a_size_has_blocks_without_boxes() -> None:
    found = parse_html('<p data-bbox="1 1 2 2">One</p>', page=7)

    assert found.blocks[0].box is None
    assert found.blocks[0].page == 7
    assert "size of the image is not known" in str(found.blocks[0].no_box_reason)
    assert found.problems == ()


def test_deep_answers_end() -> None:
    found = parse_html("<div>" * 5_000 + '<p data-bbox="1 1 2 2">Deep</p>', FRAME)

    assert [made.text for made in found.blocks] == ["Deep"]


@pytest.mark.parametrize(
    ("items", "texts"),
    [
        (
            '<li><input type="checkbox" checked>Tea</li><li><input type="checkbox">Milk</li>',
            ["[x] Tea", "[ ] Milk"],
        ),
        ('<li><input type="text" checked>Tea</li>', ["Tea"]),
    ],
)
def test_boxes_to_tick_are_text(items: str, texts: list[str]) -> None:
    found = parse_html(f"<ul>{items}</ul>", None)
    assert [made.text for made in found.blocks] == texts


@pytest.mark.parametrize(
    ("answer", "markers"),
    [
        ("<ol><li>a</li><li>b</li></ol>", ["1.", "2."]),
        ('<ol start="7"><li>a</li><li value="9">b</li><li>c</li></ol>', ["7.", "9.", "10."]),
        ('<ol start="999999999"><li>a</li></ol>', ["999999999."]),
        ('<ol start="1000000000"><li>a</li></ol>', ["1."]),
        ('<ol start="x"><li value="1000000000">a</li></ol>', ["1."]),
        ('<ol start="x"><li value="999999999">a</li></ol>', ["999999999."]),
        ("<ul><li>a</li></ul>", ["-"]),
    ],
)
def test_numbers_of_lists(answer: str, markers: list[str]) -> None:
    assert [made.marker for made in parse_html(answer, None).blocks] == markers


@pytest.mark.parametrize(
    ("written", "latex"),
    [
        ("x + 1", "x + 1"),
        ("$x + 1$", "x + 1"),
        ("$$ x + 1 $$", "x + 1"),
        (r"\[x + 1\]", "x + 1"),
        (r"\( x + 1 \)", "x + 1"),
        ("$x + 1", "$x + 1"),
    ],
)
def test_formula_is_without_its_delimiters(written: str, latex: str) -> None:
    (made,) = parse_html(f'<div class="formula"><div>{written}</div></div>', None).blocks
    assert (made.kind, made.latex) == ("formula", latex)
