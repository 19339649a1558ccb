r"""Answers to `qwenvl markdown`, written by hand after the documented form, and what they hold.

Sources: Qwen3-VL's `cookbooks/document_parsing.ipynb` (2025-10), which finds
`<!-- Image (x1, y1, x2, y2) -->` and `<!-- Table (x1, y1, x2, y2) -->` in thousandths of the page,
and the Vision page (2026-08), after which tables are LaTeX. Other words in such comments, as Chart
and Signature, were seen in answers. The page has 2000 x 1000 pixels: x doubles and y stays.
"""

from typing import Any

import pytest

from qwen_vl.documents.blocks import Block
from qwen_vl.documents.parse_markdown import NO_BOX, parse_markdown
from qwen_vl.grounding.coordinates import CoordinateFrame

FRAME = CoordinateFrame(space="normalized", image=(2000, 1000), scale=(1000, 1000))
TABULAR = r"""\begin{tabular}{|l|r|}
\hline
Item & Sum \\ \hline
Tea & 5\% \\
\hline
\end{tabular}"""
SPANNED = r"\begin{tabular}{cc}\multicolumn{2}{c}{\textbf{Both}} \\ a & $x_1$ \\\end{tabular}"
WRONG_ORDER = "the corners of the box were in the wrong order"
BEYOND = "the box is outside of the page, which has 0 to 1000 (normalized)"


def block(kind: str, text: str = "", **fields: Any) -> Block:
    reason = None if "box" in fields else NO_BOX
    return Block(kind=kind, text=text, **{"no_box_reason": reason, **fields})


WHOLE: list[tuple[str, str, list[Block]]] = [
    (
        "headings and paragraphs",
        "# Report\n\nRevenue *rose*\nby 5 %.\n\n### Costs ###\nThey fell.",
        [
            block("heading", "Report", level=1),
            block("paragraph", "Revenue *rose*\nby 5 %."),
            block("heading", "Costs", level=3),
            block("paragraph", "They fell."),
        ],
    ),
    (
        "table",
        f"<!-- Table (50, 100, 450, 300) -->\n{TABULAR}\n",
        [block("table", "Item\tSum\nTea\t5%", latex=TABULAR, box=(100, 100, 900, 300))],
    ),
    (
        "table behind an empty line, in an environment of its own",
        f"<!-- Table (50,100,450,300) -->\n\n\\begin{{table}}\n{TABULAR}\n\\end{{table}}\n\nBelow.",
        [
            block(
                "table",
                "Item\tSum\nTea\t5%",
                latex=f"\\begin{{table}}\n{TABULAR}\n\\end{{table}}",
                box=(100, 100, 900, 300),
            ),
            block("paragraph", "Below."),
        ],
    ),
    (
        "table with cells over several columns",
        f"<!-- Table (0, 0, 10, 10) -->\n{SPANNED}",
        [block("table", "Both\na\t$x_1$", latex=SPANNED, box=(0, 0, 20, 10))],
    ),
    (
        "image with its caption",
        "<!-- Image (66, 75, 454, 256) -->\nA queue manager moves messages.\n\nText.",
        [
            block("image", box=(132, 75, 908, 256)),
            block("caption", "A queue manager moves messages."),
            block("paragraph", "Text."),
        ],
    ),
    (
        "caption by its words",
        "Figure 1. Memory.\n\nFigure 2 shows more.\n\n表 3：成本",
        [
            block("caption", "Figure 1. Memory."),
            block("paragraph", "Figure 2 shows more."),
            block("caption", "表 3：成本"),
        ],
    ),
    (
        "caption between the comment and the table",
        f"<!-- Table (50, 100, 450, 300) -->\nTable 1: Costs\n{TABULAR}",
        [
            block("table", "Item\tSum\nTea\t5%", latex=TABULAR, box=(100, 100, 900, 300)),
            block("caption", "Table 1: Costs"),
        ],
    ),
    (
        "chart with its data",
        f"<!-- Chart (0, 0, 500, 500) -->\n{TABULAR}",
        [block("chart", "Item\tSum\nTea\t5%", latex=TABULAR, box=(0, 0, 1000, 500))],
    ),
    (
        "other words in comments",
        "Signed: <!-- Signature (10, 20, 30, 40) --> J. Doe\n<!-- QR Code (1, 1, 2, 2) -->",
        [
            block("paragraph", "Signed:"),
            block("signature", box=(20, 20, 60, 40)),
            block("paragraph", "J. Doe"),
            block("qr_code", box=(2, 1, 4, 2)),
        ],
    ),
    (
        "comment without a box",
        "<!-- Image -->",
        [block("image", no_box_reason="the model gave no box")],
    ),
    (
        "formulas",
        "$$E = mc^2$$\n\n$$\n\\frac{a}{b}\n$$\n\\[ x > 1 \\]\n\\begin{align}\na &= b\n\\end{align}",
        [
            block("formula", "E = mc^2", latex="E = mc^2"),
            block("formula", "\\frac{a}{b}", latex="\\frac{a}{b}"),
            block("formula", "x > 1", latex="x > 1"),
            block(
                "formula",
                "\\begin{align}\na &= b\n\\end{align}",
                latex="\\begin{align}\na &= b\n\\end{align}",
            ),
        ],
    ),
    (
        "formula within a paragraph",
        "where $a$ is the mean\n$$x$$ and so on",
        [block("paragraph", "where $a$ is the mean\n$$x$$ and so on")],
    ),
    (
        "lists",
        "1. Wash\n   well\n2. Cut\n   - thin\n   - even\n3) Cook\n\n* Serve",
        [
            block("list_item", "Wash\nwell", level=1, marker="1."),
            block("list_item", "Cut", level=1, marker="2."),
            block("list_item", "thin", level=2, marker="-"),
            block("list_item", "even", level=2, marker="-"),
            block("list_item", "Cook", level=1, marker="3)"),
            block("list_item", "Serve", level=1, marker="-"),
        ],
    ),
    (
        "pipes and HTML tables",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n<table>\n<tr><td>c</td><td>d</td></tr>\n</table>\nEnd",
        [
            block("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
            block("table", "c\td", html="<table>\n<tr><td>c</td><td>d</td></tr>\n</table>"),
            block("paragraph", "End"),
        ],
    ),
    (
        "fence around code in a fence",
        "```markdown\nRun:\n\n```bash\nmake  test\n# not a heading\n```\n\n> Note\n> well\n```",
        [
            block("paragraph", "Run:"),
            block("code", "make  test\n# not a heading", notation="bash"),
            block("blockquote", "Note\nwell"),
        ],
    ),
    (
        "rules and pictures",
        "Above\n\n---\n![A cat](cat.png)\n***\nBelow",
        [block("paragraph", "Above"), block("image", "A cat"), block("paragraph", "Below")],
    ),
    (
        "reasoning",
        "<think>\n# No heading\n</think>\n\nText",
        [block("paragraph", "Text")],
    ),
]


@pytest.mark.parametrize(
    ("answer", "expected"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE]
)
def test_whole_answers(answer: str, expected: list[Block]) -> None:
    found = parse_markdown(answer, FRAME)

    assert list(found.blocks) == expected
    assert found.problems == ()
    assert not found.is_cut_off


@pytest.mark.parametrize(
    ("numbers", "box", "reason"),
    [
        (
            "900, 400, 100, 300",
            (200, 300, 1800, 400),
            "the corners of the box were in the wrong order",
        ),
        ("10, 20, 30", None, "the box has 3 numbers instead of 4"),
        (
            "0, 0, 4000, 900",
            None,
            "the box is outside of the page, which has 0 to 1000 (normalized)",
        ),
        ("left", None, "the box is not made of numbers"),
    ],
)
def test_wrong_boxes_are_reported_and_the_others_kept(
    numbers: str, box: tuple[int, ...] | None, reason: str
) -> None:
    answer = f"<!-- Image (1, 1, 2, 2) -->\n<!-- Image ({numbers}) -->\n<!-- Image (3, 3, 4, 4) -->"
    found = parse_markdown(answer, FRAME)

    assert [made.box for made in found.blocks] == [(2, 1, 4, 2), box, (6, 3, 8, 4)]
    assert [(problem.block, problem.reason) for problem in found.problems] == [(1, reason)]


def test_table_that_is_announced_and_does_not_come_is_reported() -> None:
    found = parse_markdown("<!-- Table (1, 1, 2, 2) -->\nNo table.\n\n# Next", FRAME)

    assert [made.kind for made in found.blocks] == ["table", "paragraph", "heading"]
    assert [problem.block for problem in found.problems] == [0]


def test_table_without_an_end_ends_at_the_next_block() -> None:
    found = parse_markdown("\\begin{tabular}{l}\na \\\\\n# Next\nText", FRAME)

    assert [(made.kind, made.text) for made in found.blocks] == [
        ("table", "a"),
        ("heading", "Next"),
        ("paragraph", "Text"),
    ]
    assert [problem.reason for problem in found.problems] == ["the block is not closed"]


def test_comments_that_name_no_block_are_reported() -> None:
    found = parse_markdown("<!-- page 7 of 23: see below! -->\nText", FRAME)

    assert [made.text for made in found.blocks] == ["Text"]
    assert [problem.text for problem in found.problems] == ["<!-- page 7 of 23: see below! -->"]


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        ("# One\n\nTwo and thr", [False, True]),
        (f"One\n\n<!-- Table (1, 1, 2, 2) -->\n{TABULAR[:40]}", [False, True]),
        ("One\n\n<!-- Table (1, 1, 2, 2) -->", [False, True]),
        ("One\n\n<!-- Table (1, 1", [False]),
        ("One\n\n<!", [False]),
        ("One\n\n$$\nx +", [False, True]),
        ("One\n\n```python\nx = 1", [False, True]),
        ("", []),
    ],
)
def test_last_block_of_an_answer_that_breaks_off_is_marked(answer: str, cut: list[bool]) -> None:
    found = parse_markdown(answer, FRAME, is_cut_off=True)

    assert [made.is_cut for made in found.blocks] == cut
    assert found.is_cut_off
    # A comment that breaks off is no block.
    assert len(found.problems) == ("<!" in answer and "-->" not in answer)


def test_fence_that_is_not_closed_shows_that_the_answer_breaks_off() -> None:
    found = parse_markdown("```markdown\n# One\n\nTwo", FRAME)

    assert [made.is_cut for made in found.blocks] == [False, True]


@pytest.mark.parametrize(
    ("answer", "is_cut", "n_problems"),
    [
        ("One\n\n$$\nx +", False, 1),
        ("One\n\n$$\nx +", True, 0),
        ("\\begin{tabular}{l}\na \\\\\n# Next\nText", True, 1),
    ],
)
def test_block_without_an_end_is_reported_unless_the_answer_ends_in_it(
    answer: str, is_cut: bool, n_problems: int
) -> None:
    found = parse_markdown(answer, FRAME, is_cut_off=is_cut)
    reasons = [problem.reason for problem in found.problems]
    assert reasons == ["the block is not closed"] * n_problems
