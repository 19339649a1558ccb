"""What the OCR tasks find, read from the answers of both protocols."""

import json
from typing import Any

import pytest

from qwen_vl.errors import AnswerFormatError
from qwen_vl.ocr.results import OcrResult, OcrWord, read_ocr_result, to_corners

# An answer of qwen-vl-ocr that was published (2025-11): the text counts in thousandths of the
# image's sides, the result beside it in pixels.
TEXT = """```json
[
        {"rotate_rect": [236, 254, 115, 299, 90], "text": "OpenAI 兼容"},
        {"rotate_rect": [646, 254, 115, 269, 90], "text": "DashScope"}
]
```"""
WORDS_INFO = [
    {
        "text": "OpenAI 兼容",
        "location": [46, 55, 205, 55, 205, 87, 46, 87],
        "rotate_rect": [125, 71, 159, 32, 0],
    },
    {
        "text": "DashScope",
        "location": [272, 55, 415, 55, 415, 87, 272, 87],
        "rotate_rect": [344, 71, 32, 143, 90],
    },
]


def rounded(word: OcrWord) -> list[tuple[int, int]]:
    return [(round(x), round(y)) for x, y in word.corners]


def test_words_beside_the_text_count_in_pixels() -> None:
    result = read_ocr_result("advanced_recognition", TEXT, {"words_info": WORDS_INFO})
    assert result == OcrResult(
        task="advanced_recognition",
        text="OpenAI 兼容\nDashScope",
        words=(
            OcrWord(
                text="OpenAI 兼容",
                location=((46, 55), (205, 55), (205, 87), (46, 87)),
                rotate_rect=(125, 71, 159, 32, 0),
            ),
            OcrWord(
                text="DashScope",
                location=((272, 55), (415, 55), (415, 87), (272, 87)),
                rotate_rect=(344, 71, 32, 143, 90),
            ),
        ),
        in_pixels=True,
    )


@pytest.mark.parametrize("beside", [None, {}, {"words_info": None}])
def test_words_in_the_text_alone_are_the_model_s_own(beside: Any) -> None:
    result = read_ocr_result("advanced_recognition", TEXT, beside)
    assert not result.in_pixels
    assert [word.location for word in result.words] == [None, None]
    assert rounded(result.words[0]) == [(86, 196), (386, 196), (386, 312), (86, 312)]


@pytest.mark.parametrize("index", [0, 1])
def test_both_forms_of_a_place_agree(index: int) -> None:
    info: dict[str, Any] = WORDS_INFO[index]
    word = OcrWord(text="", rotate_rect=tuple(info["rotate_rect"]))
    flat = [number for corner in word.corners for number in corner]
    assert flat == pytest.approx(info["location"], abs=1)


@pytest.mark.parametrize(
    ("rect", "corners"),
    [
        ((50, 50, 40, 20, 0), [(30, 40), (70, 40), (70, 60), (30, 60)]),
        ((50, 50, 20, 40, 90), [(30, 40), (70, 40), (70, 60), (30, 60)]),
        ((50, 50, 20, 40, -90), [(30, 40), (70, 40), (70, 60), (30, 60)]),
        ((150, 80, 49, 197, -89), [(52, 54), (249, 57), (248, 106), (51, 103)]),
        # A line that falls towards its end: clockwise, as seen.
        ((100, 100, 100, 20, 30), [(62, 66), (148, 116), (138, 134), (52, 84)]),
    ],
)
def test_corners_of_a_turned_rectangle(rect: Any, corners: list[tuple[int, int]]) -> None:
    assert [(round(x), round(y)) for x, y in to_corners(rect)] == corners


@pytest.mark.parametrize(
    "text",
    [
        '{"pos_list":[{"rotate_rect":[740,374,599,1459,90]}]}',
        '```json\n[{"pos_list":[{"rotate_rect":[740,374,599,1459,90]}]}]\n```',
        '[{"rotate_rect":[740,374,599,1459,90]}]',
    ],
)
def test_list_of_places_without_words(text: str) -> None:
    (word,) = read_ocr_result("advanced_recognition", text).words
    assert word == OcrWord(text="", rotate_rect=(740, 374, 599, 1459, 90))


def test_text_with_several_places() -> None:
    boxes = [{"rotate_rect": [1, 2, 3, 4, 0]}, {"rotate_rect": [5, 6, 7, 8, 0]}]
    answer = json.dumps([{"text": "a", "pos_list": boxes}])
    words = read_ocr_result("advanced_recognition", answer).words
    assert [word.text for word in words] == ["a", "a"]
    assert [word.rotate_rect and word.rotate_rect[0] for word in words] == [1, 5]


def test_picture_without_a_line() -> None:
    result = read_ocr_result("advanced_recognition", "```json\n[]\n```", {"words_info": []})
    assert (result.words, result.text, result.in_pixels) == ((), "", True)
    assert result.to_metadata()["words"] == []


@pytest.mark.parametrize(
    ("text", "beside", "problem"),
    [
        ("I see a cat.", None, "not a list of lines"),
        ('["a"]', None, "not a list of lines"),
        ('```json\n[{"rotate_rect": [1, 2', None, "not a list of lines"),
        ('[{"text": "a"}]', None, "without its place"),
        ('[{"text": "a", "rotate_rect": [1, 2, 3]}]', None, "not 5 numbers"),
        ('[{"text": "a", "location": [1, 2, 3, "4", 5, 6, 7, 8]}]', None, "not 8 numbers"),
        ("", {"words_info": ["a"]}, "not a list of lines"),
    ],
)
def test_lines_that_are_none(text: str, beside: Any, problem: str) -> None:
    with pytest.raises(AnswerFormatError, match=problem):
        read_ocr_result("advanced_recognition", text, beside)


@pytest.mark.parametrize(
    ("text", "beside"),
    [
        (
            '```json\n{"total": "12", "date": null}\n```',
            {"kv_result": {"total": "12", "date": None}},
        ),
        ('```json\n{"total": "12", "date": null}\n```', None),
        ('{"total": "12", "date": null}', None),
    ],
)
def test_values(text: str, beside: Any) -> None:
    result = read_ocr_result("key_information_extraction", text, beside)
    assert result.values == {"total": "12", "date": None}
    assert result.text == '{"total": "12", "date": null}'
    assert result.to_metadata() == {
        "task": "key_information_extraction",
        "values": {"total": "12", "date": None},
    }


@pytest.mark.parametrize("text", ["total: 12", "[1]", '```json\n{"total": "1', ""])
def test_values_that_are_none(text: str) -> None:
    with pytest.raises(AnswerFormatError, match="not a JSON object"):
        read_ocr_result("key_information_extraction", text)


ONE, TWO = "<table><tr><td>1</td></tr></table>", '<TABLE border="1">\n<tr><td>2</td></tr>\n</TABLE>'
NESTED = f"<table><tr><td>{ONE}</td></tr></table>"


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        (f"```html\n{ONE}\n```", (ONE,)),
        (ONE, (ONE,)),
        (f"Here:\n{ONE}\nand\n{TWO}", (ONE, TWO)),
        (f"```html\n{ONE}\n```\n\n```html\n{TWO}\n```", (ONE, TWO)),
        (NESTED, (NESTED,)),
        ("```html\n<tr><td>1</td></tr>\n```", (ONE,)),
    ],
)
def test_tables(text: str, tables: tuple[str, ...]) -> None:
    result = read_ocr_result("table_parsing", text)
    assert result.tables == tables
    assert result.to_metadata() == {"task": "table_parsing", "tables": list(tables)}


@pytest.mark.parametrize("text", ["There is no table.", "```html\n<table><tr><td>1", ""])
def test_tables_that_are_none(text: str) -> None:
    with pytest.raises(AnswerFormatError, match="no HTML table"):
        read_ocr_result("table_parsing", text)


@pytest.mark.parametrize(
    "task", ["document_parsing", "formula_recognition", "text_recognition", "multi_lan"]
)
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("```latex\n\\frac{1}{2}\n```", "\\frac{1}{2}"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("```text\nHello\nthere\n```\n", "Hello\nthere"),
        # What the model may write at most is written: the fence has no end.
        ("```latex\n\\section{Qwen}", "\\section{Qwen}"),
        # A fence within a page is part of the page.
        ("Run this:\n```bash\nls\n```\n", "Run this:\n```bash\nls\n```\n"),
        ("```a\n1\n```\n```b\n2\n```", "```a\n1\n```\n```b\n2\n```"),
        ("", ""),
    ],
)
def test_text_comes_out_of_its_fence(task: Any, answer: str, text: str) -> None:
    assert read_ocr_result(task, answer) == OcrResult(task=task, text=text)


def test_word_needs_a_place() -> None:
    with pytest.raises(AnswerFormatError, match="without its place"):
        OcrWord(text="Hello")
