"""What the geometry of lines says, without an OCR engine: tables, paragraphs, labels and values."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.answers.page_fields import PageFields
from qwen_vl_sandbox.json_schema import value_for
from qwen_vl_sandbox.ocr import engine
from qwen_vl_sandbox.ocr.coerce import coerce
from qwen_vl_sandbox.ocr.find import find_text
from qwen_vl_sandbox.ocr.layout import find_blocks, page_text
from qwen_vl_sandbox.ocr.lines import TextLine
from qwen_vl_sandbox.ocr.values import PageValues, fill_template

HEIGHT = 20


def line(x: float, y: float, text: str, height: float = HEIGHT) -> TextLine:
    """A line with letters half as wide as it is high."""
    right, bottom = x + len(text) * height / 2, y + height
    return TextLine(text, ((x, y), (right, y), (right, bottom), (x, bottom)), height * 1.3)


def grid(rows: list[list[str]], *, x: float = 0, y: float = 0, step: float = 200) -> list[TextLine]:
    """Cells of a table, without those that are empty."""
    return [
        line(x + step * column, y + 40 * row, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
        if cell
    ]


ITEMS = [
    ["Description", "Qty", "Unit price"],
    ["Paper", "10", "4.50"],
    ["Ink", "3", "7.20"],
]


def blocks(*lines: TextLine) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in find_blocks(lines)]


def test_cells_below_each_other_are_a_table() -> None:
    assert blocks(*grid(ITEMS)) == [
        ("table", "Description\tQty\tUnit price\nPaper\t10\t4.50\nInk\t3\t7.20")
    ]


def test_empty_and_wrapped_cells() -> None:
    rows = [*ITEMS, ["Brushes of the", "2", ""]]
    wrapped, last = line(0, 146, "finest hair"), grid([["Glue", "1", "2.10"]], y=186)

    ((kind, text),) = blocks(*grid(rows), wrapped, *last)
    assert kind == "table"
    assert text.splitlines()[-2:] == ["Brushes of the finest hair\t2\t", "Glue\t1\t2.10"]


def test_text_in_two_columns_is_no_table() -> None:
    left = [line(0, 26 * row, f"left {row} and so on to the end") for row in range(3)]
    right = [line(500, 26 * row, f"right {row} and so on to the end") for row in range(3)]

    found = blocks(*left, *right)
    assert [kind for kind, _ in found] == ["paragraph", "paragraph"]
    assert [text[:6] for _, text in found] == ["left 0", "right "]


def test_paragraphs_end_at_gaps_items_and_labels() -> None:
    texts = ["one", "two", "- three", "Date: today"]
    lines = [line(0, 26 * row, text) for row, text in enumerate(texts)]

    assert [text for _, text in blocks(*lines, line(0, 200, "four"))] == [
        "one two",
        "- three",
        "Date: today",
        "four",
    ]


def test_large_line_is_a_heading() -> None:
    body = [line(0, 100 + 26 * row, "words of the text") for row in range(2)]

    assert blocks(line(0, 0, "Title", 40), *body)[0] == ("heading", "Title")
    assert blocks(line(0, 0, "Title", 40)) == [("paragraph", "Title")]
    assert blocks() == []


def test_text_of_a_page_is_in_reading_order() -> None:
    lines = [line(0, 300, "below"), *grid(ITEMS[:2]), line(0, 150, "above")]

    assert page_text(lines) == "Description Qty Unit price\nPaper 10 4.50\nabove\nbelow"


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([line(0, 0, "Total: 12.50")], "12.50"),
        ([line(0, 0, "Total"), line(300, 0, "12.50")], "12.50"),
        ([line(0, 0, "TOTAL:"), line(300, 0, "12.50")], "12.50"),
        ([line(0, 0, "Total"), line(0, 30, "12.50")], "12.50"),
        ([line(0, 0, "Total 12.50")], "12.50"),
        ([line(0, 0, "Total due:"), line(300, 0, "12.50")], "12.50"),
        ([line(0, 0, "Subtotal: 10.00"), line(0, 30, "Total: 12.50")], "12.50"),
        # A label beside it is no value; nothing near it is one.
        ([line(0, 0, "Total:"), line(300, 0, "Date: today")], None),
        ([line(0, 0, "Total:"), line(0, 300, "12.50")], None),
        ([line(0, 0, "in total peace")], None),
        ([], None),
    ],
)
def test_value_of_a_label(lines: list[TextLine], value: str | None) -> None:
    assert PageValues(lines).find("total") == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Invoice No. 4711", "invoice_number", "4711"),
        ("发票号码：4711", "发票号码", "4711"),
        ("Opens: 12:30", "opens", "12:30"),
        ("Site: https://a.test", "site", "https://a.test"),
    ],
)
def test_labels_by_their_words(text: str, name: str, value: str) -> None:
    assert PageValues([line(0, 0, text)]).find(name) == value


def test_template_is_filled_as_documented() -> None:
    page = PageValues([line(0, 500, "Invoice number: 4711"), *grid([*ITEMS, ["", "", "66.60"]])])
    template = {
        "invoice": {"number": "", "date": "as YYYY-MM-DD"},
        "items": [{"description": "", "quantity": ""}],
        "unit_price": [""],
        "iban": "",
    }

    # Values that are not in the image are null (OCR page, 2026).
    assert fill_template(template, page) == {
        "invoice": {"number": "4711", "date": None},
        "items": [
            {"description": "Paper", "quantity": "10"},
            {"description": "Ink", "quantity": "3"},
        ],
        "unit_price": ["4.50", "7.20"],
        "iban": None,
    }
    assert page.all_pairs() == {"Invoice number": "4711"}


def test_schema_gets_values_of_the_page_and_else_the_usual_ones() -> None:
    lines = [line(0, 500, "Total: EUR 1,234.50"), line(0, 530, "State: Paid"), *grid(ITEMS)]
    item = {
        "type": "object",
        "properties": {"description": {"type": "string"}, "qty": {"type": "integer"}},
        "required": ["description", "qty"],
    }
    schema = {
        "type": "object",
        "properties": {
            "total": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "state": {"enum": ["open", "paid"]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "pair": {"type": "array", "items": {"$ref": "#/$defs/Item"}, "minItems": 9},
            "iban": {"type": "string"},
            "vat": {"type": "number", "minimum": 2},
        },
        "$defs": {"Item": item},
    }
    made = value_for(schema, "words", values=PageFields([PageValues(lines)]))

    assert len(made.pop("pair")) == 9
    assert made == {
        "total": 1234.5,
        "state": "paid",
        "items": [{"description": "Paper", "qty": 10}, {"description": "Ink", "qty": 3}],
        "iban": "words",
        "vat": 2,
    }


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("12,50 €", {"type": "number"}, 12.5),
        ("1.234,50", {"type": "number"}, 1234.5),
        ("-3", {"type": ["integer", "null"]}, -3),
        ("3.5", {"type": "integer"}, None),
        ("3", {"type": "integer", "minimum": 4}, None),
        ("3 of 4", {"type": "integer"}, None),
        ("2026年11月30日", {"type": "string", "format": "date"}, "2026-11-30"),
        ("soon", {"type": "string", "format": "date"}, None),
        ("4711", {"type": "string", "pattern": "^[A-Z]"}, None),
        ("4711", {"type": "string", "maxLength": 3}, None),
        ("yes", {"type": "boolean"}, True),
        ("no", {"type": "boolean"}, False),
        ("maybe", {"type": "boolean"}, None),
        ("void", {"enum": ["open", "paid"]}, None),
        ("open", {"const": "open"}, None),
    ],
)
def test_text_becomes_a_value_only_if_the_schema_allows_it(
    text: str, schema: dict[str, Any], value: object
) -> None:
    assert coerce(text, schema) == value


def test_whole_words_are_found_before_parts_of_words() -> None:
    lines = [line(0, 0, "Subtotal"), line(0, 40, "The total is"), line(0, 80, "合计总额")]

    assert list(find_text("Total", lines)) == [(36, 40, 96, 60)]
    assert list(find_text("sub", lines)) == [(0, 0, 30, 20)]
    assert list(find_text("总额", lines)) == [(20, 80, 40, 100)]
    assert list(find_text("none", lines)) == list(find_text(" ", lines)) == []


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)


@pytest.mark.usefixtures("without_extra")
def test_missing_extra_is_named() -> None:
    with pytest.raises(ImportError, match=r'pip install "qwen-vl\[sandbox-ocr\]"'):
        Sandbox(reads=True)


@pytest.mark.usefixtures("without_extra")
def test_answers_name_the_missing_extra_where_reading_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("RGB", (64, 64), "white").save(path)
    advice = 'To have text read: pip install "qwen-vl[sandbox-ocr]"'
    image = {"type": "image", "image": path}
    with Sandbox(reads=None) as sandbox, Sandbox() as usual:
        asked = [("user", [image, {"type": "text", "text": "What is this?"}])]
        models = [ChatQwenVL(base_url=each.base_url, api_key="sk-any") for each in (sandbox, usual)]
        answers = [model.invoke(asked).text for model in models]
        task = models[0].invoke(asked, model="qwen-vl-ocr", ocr_task="text_recognition").text

    assert answers[0] == f"{answers[1]} {advice}."
    assert task.endswith(advice)
