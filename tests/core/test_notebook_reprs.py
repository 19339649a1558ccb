"""What notebooks show of results: tables, and images where these are known."""

import base64
import builtins
import copy
import io
import pickle
import re
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image, ImageChops, ImageDraw

from qwen_vl import (
    Block,
    BlockProblem,
    Box,
    Cost,
    DocumentParser,
    Event,
    Grounder,
    Grounding,
    OcrPage,
    OcrResult,
    OcrWord,
    PageError,
    ParsedBlocks,
    ParsedDocument,
    ParsedPage,
    Point,
    QwenVLSettings,
    SkippedEntry,
    Timeline,
    Usage,
    Video,
    draw_grounding,
    draw_layout,
    draw_timeline,
    estimate_cost,
)
from qwen_vl import Image as ImagePart
from qwen_vl.content import Pixels, Text, to_source
from qwen_vl.display.html import to_table
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

HOSTILE = '<script>alert("1")</script>'
ESCAPED = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"
CAT = Box(x1=20.4, y1=10, x2=220, y2=160, label="cat")
FOUND = Grounding(boxes=(CAT,), width=451, height=300, space="normalized")


def show(value: Any) -> str:
    return value._repr_html_()


def open_shown(html: str) -> list[Image.Image]:
    encoded = re.findall(r'<img alt="" src="data:image/(?:png|jpeg);base64,([\w+/=]+)">', html)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in encoded]


def is_same(one: Image.Image, other: Image.Image) -> bool:
    assert one.size == other.size
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).convert("L")
    # JPEG changes pixels a little.
    return sum(difference.histogram()[64:]) < one.width * one.height / 1000


@pytest.fixture(autouse=True)
def _ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)


@pytest.fixture
def grounder(qwen_vl_sandbox: Sandbox) -> Grounder:
    return Grounder(QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox"))


@pytest.fixture
def red_square() -> Image.Image:
    image = Image.new("RGB", (640, 480), "white")
    image.paste("red", (64, 48, 192, 240))
    return image


def test_boxes_are_a_table() -> None:
    assert show(FOUND) == (
        "<table><thead><tr><th>label</th><th>x1</th><th>y1</th><th>x2</th><th>y2</th></tr></thead>"
        "<tbody><tr><td>cat</td><td>20</td><td>10</td><td>220</td><td>160</td></tr></tbody></table>"
    )


def test_points_are_a_table() -> None:
    found = replace(FOUND, boxes=(), points=(Point(x=7, y=1200, label="eye"),))
    assert show(found) == (
        "<table><thead><tr><th>label</th><th>x</th><th>y</th></tr></thead>"
        "<tbody><tr><td>eye</td><td>7</td><td>1200</td></tr></tbody></table>"
    )


def test_boxes_and_points_are_two_tables() -> None:
    found = replace(FOUND, points=(Point(x=7, y=8, label="eye"),))
    boxes, points = show(FOUND), show(replace(found, boxes=()))
    assert show(found) == boxes + points


def test_what_is_missing_stands_below_the_boxes() -> None:
    skipped = SkippedEntry(reason="has no numbers", label="owl")
    found = replace(FOUND, not_found=("dog",), skipped=(skipped,), is_cut_off=True)
    assert show(found).endswith(
        "</table><p>Not found: dog. Skipped: owl has no numbers. "
        "The list is cut off: there may be more.</p>"
    )


def test_nothing_found_is_a_sentence() -> None:
    assert show(replace(FOUND, boxes=())) == (
        "<p>nothing found in an image of 451 x 300 pixels.</p>"
    )
    assert show(Timeline(events=(), seconds=5)) == "<p>nothing found in a video of 0:05.</p>"


def test_events_are_a_table() -> None:
    event = Event(start=1.5, end=65, text="A cat jumps.")
    timeline = Timeline(events=(event,), is_cut_off=True, skipped=("{",))
    assert show(timeline) == (
        "<table><thead><tr><th>start</th><th>end</th><th>event</th></tr></thead>"
        "<tbody><tr><td>0:01.5</td><td>1:05</td><td>A cat jumps.</td></tr></tbody></table>"
        "<p>The list is cut off: there may be more. Skipped, as not JSON: {.</p>"
    )


def test_blocks_are_a_table() -> None:
    blocks = (
        Block(kind="heading", text="Report", level=1, box=(0, 0, 200, 40)),
        Block(kind="formula", latex="x^2"),
    )
    table = (
        "<table><thead><tr><th>#</th><th>kind</th><th>text</th>"
        "<th>x1</th><th>y1</th><th>x2</th><th>y2</th></tr></thead><tbody>"
        "<tr><td>1</td><td>heading</td><td>Report</td>"
        "<td>0</td><td>0</td><td>200</td><td>40</td></tr>"
        "<tr><td>2</td><td>formula</td><td>x^2</td></tr></tbody></table>"
    )
    problem = BlockProblem(reason="the box is empty")
    cut = ParsedBlocks(blocks=blocks, problems=(problem,), is_cut_off=True)
    page = ParsedPage(source="a.pdf", page=2, n_pages=3, blocks=blocks)

    assert show(ParsedBlocks(blocks=blocks)) == table
    assert show(cut) == (
        f"{table}<p>The answer is cut off: there may be more. Problems: the box is empty.</p>"
    )
    assert show(page) == f"<p>Page 2 of 3 of a.pdf.</p>{table}"


def test_pages_are_a_table() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=200, total_tokens=1_200)
    blocks = (Block(kind="table", text="1"), Block(kind="table"), Block(kind="chart"))
    pages = (
        ParsedPage(source="a.pdf", blocks=blocks, usage=usage),
        ParsedPage(source="a.pdf", page=2, error=PageError(type="ServiceError", message="Busy.")),
    )
    assert show(ParsedDocument(source="a.pdf", pages=pages)) == (
        "<p>a.pdf</p><table><thead><tr><th>page</th><th>blocks</th><th>tables</th><th>figures</th>"
        "<th>tokens</th><th>problems</th></tr></thead><tbody>"
        "<tr><td>1</td><td>3</td><td>2</td><td>1</td><td>1,200</td><td></td></tr>"
        "<tr><td>2</td><td>0</td><td>0</td><td>0</td><td></td><td>ServiceError: Busy.</td></tr>"
        "</tbody></table>"
    )


def test_lines_of_text_are_a_table() -> None:
    word = OcrWord(text="Hi", rotate_rect=(20, 10, 40, 20, 0))
    result = OcrResult(task="advanced_recognition", text="Hi", words=(word,), in_pixels=True)
    assert show(OcrPage(source="a.png", page=1, n_pages=1, result=result)) == (
        "<p>Page 1 of 1 of a.png.</p><table><thead><tr><th>text</th><th>top left</th>"
        "<th>top right</th><th>bottom right</th><th>bottom left</th></tr></thead><tbody>"
        "<tr><td>Hi</td><td>0, 0</td><td>40, 0</td><td>40, 20</td><td>0, 20</td></tr>"
        "</tbody></table><p>Corners are in pixels of the image.</p>"
    )


def test_values_are_a_table() -> None:
    result = OcrResult(
        task="key_information_extraction",
        text="{}",
        values={"total": 20260117, "paid": True, "lines": ["a"]},
    )
    assert show(result) == (
        "<table><thead><tr><th>name</th><th>value</th></tr></thead><tbody>"
        "<tr><td>total</td><td>20260117</td></tr><tr><td>paid</td><td>True</td></tr><tr><td>lines</td><td>[&#x27;a&#x27;]</td></tr>"
        "</tbody></table>"
    )


def test_plain_text_keeps_its_lines() -> None:
    text = "Line 1\nLine 2"
    assert show(OcrResult(task="text_recognition", text=text)) == f"<pre>{text}</pre>"
    assert show(OcrResult(task="text_recognition", text="x" * 10_001)) == (
        f"<pre>{'x' * 10_000}…</pre>"
    )


def test_usage_is_a_table_of_what_is_known() -> None:
    usage = Usage(input_tokens=1_142, output_tokens=36, total_tokens=1_178, image_tokens=128)
    assert show(usage) == (
        "<table><thead><tr><th>input tokens</th><th>output tokens</th><th>total tokens</th>"
        "<th>image tokens</th></tr></thead><tbody>"
        "<tr><td>1,142</td><td>36</td><td>1,178</td><td>128</td></tr></tbody></table>"
    )


def test_cost_is_a_table() -> None:
    cost = estimate_cost(Text(text="Hello"), "qwen3-vl-plus", output_tokens=1_000)
    head = (
        "<table><thead><tr><th>model</th><th>input tokens</th><th>output tokens</th><th>cost</th>"
        "</tr></thead><tbody><tr>"
    )
    unknown = Cost(
        amount=None, currency=None, model="m", input_tokens=1, output_tokens=2, reason="No price."
    )
    vague = replace(unknown, amount=Decimal("0.10"), currency="USD", is_at_most=True, reason="")

    assert show(replace(cost, is_unsure=False)) == (
        f"{head}<td>qwen3-vl-plus</td><td>{cost.input_tokens}</td><td>1,000</td>"
        f"<td>{cost.amount} CNY</td></tr></tbody></table>"
    )
    assert show(unknown).endswith("<td>unknown</td></tr></tbody></table><p>No price.</p>")
    assert show(vague).endswith("<td>at most 0.1 USD</td></tr></tbody></table>")


@pytest.mark.parametrize(
    "value",
    [
        Grounding(boxes=(replace(CAT, label=HOSTILE),), width=1, height=1, space="normalized"),
        Grounding(width=1, height=1, space="normalized", not_found=(HOSTILE,)),
        Timeline(events=(Event(start=0, end=1, text=HOSTILE),)),
        Timeline(events=(), skipped=(HOSTILE,)),
        ParsedPage(source=HOSTILE, blocks=(Block(kind="table"),)),
        ParsedPage(source="", blocks=(Block(kind=HOSTILE),)),
        ParsedPage(source="", blocks=(Block(kind="table", html=f"<table>{HOSTILE}"),)),
        ParsedPage(source="", error=PageError(type="E", message=HOSTILE)),
        ParsedDocument(source=HOSTILE),
        ParsedBlocks(problems=(BlockProblem(reason=HOSTILE),)),
        OcrResult(task="table_parsing", text=HOSTILE, tables=(HOSTILE,)),
        OcrResult(task="key_information_extraction", text="", values={HOSTILE: 1}),
        OcrPage(source="", page=1, n_pages=1, result=OcrResult(task="multi_lan", text=HOSTILE)),
        Cost(amount=None, currency=None, model=HOSTILE, input_tokens=0, output_tokens=0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_of_a_model_is_escaped(value: Any) -> None:
    html = show(value)
    assert ESCAPED in html
    assert "<script" not in html


def test_half_of_a_surrogate_pair_can_be_stored() -> None:
    html = show(Timeline(events=(Event(start=0, end=1, text="a\ud83d"),)))
    assert "<td>a?</td>" in html.encode().decode()


def test_large_tables_and_long_texts_are_shortened() -> None:
    html = to_table(["n"], [["x" * 301]] * 1_300)
    assert html.count("<tr>") == 1 + 100
    assert html.count(f"<td>{'x' * 300}…</td>") == 100
    assert html.endswith("</table><p>1,200 more rows are not shown.</p>")


def test_tables_and_texts_up_to_the_limit_are_whole() -> None:
    html = to_table(["n"], [["x" * 300]] * 100)
    assert html.count(f"<td>{'x' * 300}</td>") == 100
    assert html.endswith("</table>")


async def test_boxes_are_drawn_on_the_image(grounder: Grounder, red_square: Image.Image) -> None:
    found = grounder.locate(red_square, "red things")
    same = await grounder.alocate(ImagePart(source=Pixels(red_square)), "red things")
    (shown,) = open_shown(show(found))

    assert is_same(shown, draw_grounding(red_square, found))
    assert not is_same(shown, red_square)
    assert show(found) == show(found) == show(same)
    assert "<td>red</td><td>64</td>" in show(found)


def test_large_images_are_shown_smaller(grounder: Grounder) -> None:
    image = Image.new("RGB", (4_000, 3_000), "white")
    ImageDraw.Draw(image).rectangle((400, 300, 1_200, 1_500), fill="red")
    (shown,) = open_shown(show(grounder.locate(image, "red things")))
    assert shown.size == (1024, 768)


async def test_events_are_drawn_from_the_video(grounder: Grounder) -> None:
    timeline = grounder.timeline(BIG_BUCK_BUNNY)
    same = await grounder.atimeline(Video(source=to_source(BIG_BUCK_BUNNY)))
    html = show(timeline)
    (shown,) = open_shown(html)

    assert is_same(shown, draw_timeline(BIG_BUCK_BUNNY, timeline))
    assert html == show(same)


def test_events_are_drawn_from_frames(grounder: Grounder, red_square: Image.Image) -> None:
    frames = [*[Image.new("RGB", (64, 48), "blue")] * 4, *[red_square.resize((64, 48))] * 4]
    timeline = grounder.timeline(frames, fps=1)
    (shown,) = open_shown(show(timeline))

    assert is_same(shown, draw_timeline(frames, timeline, fps=1))
    # At irregular times no frame can be found by its rate.
    irregular = grounder.timeline(frames, timestamps=[0, 1, 2, 5, 6, 7, 8, 9])
    assert open_shown(show(irregular)) == []


def test_first_events_of_many_are_drawn(grounder: Grounder) -> None:
    timeline = grounder.timeline(BIG_BUCK_BUNNY)
    event = replace(timeline.events[0], start=1, end=2)
    object.__setattr__(timeline, "events", (event,) * 30)
    html = show(timeline)
    (shown,) = open_shown(html)

    board = draw_timeline(BIG_BUCK_BUNNY, replace(timeline, events=(event,) * 24))
    board.thumbnail((1024, 1024))
    assert is_same(shown, board)
    assert html.count("<tr>") == 31


def test_layouts_are_drawn(qwen_vl_sandbox: Sandbox, pdf: Path) -> None:
    settings = QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    document = DocumentParser(settings).parse(pdf)
    page = document.pages[0]
    (shown,) = open_shown(show(page))
    layouts = open_shown(show(document))
    drawn = draw_layout(page.open_image(), page.blocks)
    drawn.thumbnail((1024, 1024))

    assert is_same(shown, drawn)
    assert [max(layout.size) for layout in layouts] == [640] * 3
    assert len(document.pages) == 4
    # The JSON holds no images.
    assert open_shown(show(ParsedDocument.from_json(document.to_json()))) == []


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (425, 550), color) for color in ("red", "green", "blue", "white")]
    pages[0].save(tmp_path / "pages.pdf", save_all=True, append_images=pages[1:])
    return tmp_path / "pages.pdf"


def assert_table_and_reason(found: Any) -> None:
    html = show(found)
    assert html.startswith("<p>The image cannot be drawn: ")
    assert "<table>" in html


def test_file_that_is_gone_leaves_the_table(
    grounder: Grounder, red_square: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "red.png"
    red_square.save(path)
    found = grounder.locate(path, "red things")
    assert len(open_shown(show(found))) == 1

    red_square.resize((320, 240)).save(path)
    assert_table_and_reason(found)
    path.write_bytes(b"no image")
    assert_table_and_reason(found)
    path.unlink()
    assert_table_and_reason(found)


def test_images_behind_urls_are_not_fetched(grounder: Grounder, qwen_vl_sandbox: Sandbox) -> None:
    url = "https://example.com/cat.png"
    qwen_vl_sandbox.script('[{"bbox_2d": [0, 0, 500, 500], "label": "cat"}]')
    found = grounder.locate(url, "cats", size=(451, 300))
    assert_table_and_reason(found)


def test_paths_as_text_are_read_inside_the_roots(
    qwen_vl_sandbox: Sandbox, red_square: Image.Image, tmp_path: Path
) -> None:
    settings = QwenVLSettings(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", media_roots=[tmp_path]
    )
    red_square.save(tmp_path / "red.png")
    found = Grounder(settings).locate(str(tmp_path / "red.png"), "red things")
    assert len(open_shown(show(found))) == 1


def test_images_are_no_part_of_the_value(grounder: Grounder, red_square: Image.Image) -> None:
    found = grounder.locate(red_square, "red things")
    for copied in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert copied == found
        assert open_shown(show(copied)) == []
    assert "image" not in repr(found)
    assert set(asdict(found)) == set(asdict(FOUND))


def test_images_are_kept_in_ipython_only(
    grounder: Grounder, red_square: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(builtins, "__IPYTHON__")
    found = grounder.locate(red_square, "the red square")
    assert show(found) == show(replace(found))
    assert not hasattr(found, "_draw")


def test_ipython_shows_them(grounder: Grounder, red_square: Image.Image) -> None:
    formatter = DisplayFormatter()
    found = grounder.locate(red_square, "red things")
    usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    for value in (found, FOUND, usage):
        data, metadata = formatter.format(value)
        assert data == {"text/html": show(value), "text/plain": repr(value)}
        assert metadata == {}
