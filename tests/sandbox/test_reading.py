"""The sandbox that reads: character error rates and overlaps of boxes on pages that are drawn."""

import asyncio
import datetime as dt
import statistics
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image, ImageFont
from pydantic import BaseModel

from drawn_pages import (
    DrawnPage,
    best_overlaps,
    draw_chinese,
    draw_invoice,
    draw_report,
    error_rate,
    overlap,
)
from langchain_qwen_vl import ChatQwenVL, QwenVLDocumentLoader, to_ocr_result
from llama_index.llms.qwen_vl import QwenVL, QwenVLDocumentReader
from qwen_vl import DocumentParser, QwenVLSettings
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.ocr import engine

pytestmark = pytest.mark.skipif(
    find_spec("rapidocr") is None, reason='needs: pip install "qwen-vl[sandbox-ocr]"'
)

PAGES: dict[str, Callable[[], DrawnPage]] = {
    "invoice": draw_invoice,
    "report": draw_report,
    "chinese": draw_chinese,
}
# Measured in 2026-11 with rapidocr 3.10.0: rates of 0 on all three, overlaps of 0.98, 0.99 and
# 0.90 for the worst block. Other processors round a little differently.
MAX_ERROR_RATE = 0.01
MIN_OVERLAP = {"invoice": 0.95, "report": 0.95, "chinese": 0.85}

Found = list[tuple[str, str, Any]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(reads=True) as running:
        yield running


@pytest.fixture(scope="module")
def settings(sandbox: Sandbox) -> dict[str, str]:
    return {"base_url": sandbox.base_url, "api_key": "sk-sandbox"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[DrawnPage, Path]]:
    """Draw a page and save it."""
    folder = tmp_path_factory.mktemp("pages")

    def draw(name: str) -> tuple[DrawnPage, Path]:
        page = PAGES[name]()
        path = folder / f"{name}.png"
        path.write_bytes(page.to_png())
        return page, path

    return draw


@pytest.fixture(scope="module")
def invoice(drawn: Callable[[str], tuple[DrawnPage, Path]]) -> tuple[DrawnPage, Path]:
    return drawn("invoice")


@pytest.fixture(scope="module")
def slip(tmp_path_factory: pytest.TempPathFactory) -> tuple[DrawnPage, Path]:
    """A page that is read quickly."""
    page = DrawnPage((400, 300), ImageFont.load_default)
    page.write(30, 30, ["Receipt"], 44, "heading")
    page.write(30, 130, ["Total: 12.50"])
    path = tmp_path_factory.mktemp("slip") / "slip.png"
    path.write_bytes(page.to_png())
    return page, path


def with_parser(path: Path, settings: dict[str, str]) -> Found:
    document = DocumentParser(QwenVLSettings(**settings)).parse(path)
    assert not document.errors
    return [(block.kind, block.text, block.box) for block in document.blocks]


def with_langchain(path: Path, settings: dict[str, str]) -> Found:
    documents = QwenVLDocumentLoader(path, ChatQwenVL(**settings)).load()
    return [(each.metadata["kind"], each.page_content, each.metadata["box"]) for each in documents]


def with_llama_index(path: Path, settings: dict[str, str]) -> Found:
    documents = QwenVLDocumentReader(QwenVL(**settings)).load_data(path)
    return [(each.metadata["kind"], each.text, each.metadata["box"]) for each in documents]


WAYS = {"parser": with_parser, "langchain": with_langchain, "llama_index": with_llama_index}


def strip_cells(text: str) -> str:
    """Return the text of a table's HTML, which the frameworks' documents hold."""
    for tag in ("<table>", "</table>", "<tr>", "<td>"):
        text = text.replace(tag, "")
    return text.replace("</tr>", "\n").replace("</td>", "\t")


@pytest.mark.parametrize("way", WAYS)
def test_short_page_is_read(
    slip: tuple[DrawnPage, Path], settings: dict[str, str], way: str
) -> None:
    page, path = slip
    found = WAYS[way](path, settings)

    assert [(kind, text) for kind, text, _ in found] == [
        ("heading", "Receipt"),
        ("paragraph", "Total: 12.50"),
    ]
    assert min(best_overlaps([box for *_, box in found], page)) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_read(
    drawn: Callable[[str], tuple[DrawnPage, Path]],
    settings: dict[str, str],
    record_property: Callable[[str, object], None],
    name: str,
    way: str,
) -> None:
    if name == "chinese" and find_spec("pylopdf_fonts_zh_cn") is None:
        pytest.skip('needs: pip install "qwen-vl[fonts]"')
    page, path = drawn(name)
    found = WAYS[way](path, settings)
    text = "\n".join(strip_cells(text) for _, text, _ in found)
    rate = error_rate(text, page.text)
    overlaps = best_overlaps([box for *_, box in found], page)
    for figure, value in {"CER": rate, "IoU": statistics.mean(overlaps)}.items():
        record_property(figure, round(value, 3))

    assert rate <= MAX_ERROR_RATE, text
    assert min(overlaps) >= MIN_OVERLAP[name], overlaps
    assert [kind for kind, *_ in found] == [block.kind for block in page.blocks]


@pytest.mark.slow
def test_ocr_tasks_read_the_page(
    invoice: tuple[DrawnPage, Path], settings: dict[str, str], protocol: str
) -> None:
    page, path = invoice
    model = ChatQwenVL(**settings, model="qwen-vl-ocr", protocol=protocol)

    def run(task: Any, **options: Any) -> Any:
        answer = model.invoke(
            [HumanMessage([{"type": "image", "image": path}])], ocr_task=task, **options
        )
        return to_ocr_result(answer, task)

    assert error_rate(run("text_recognition").text, page.text) <= MAX_ERROR_RATE
    assert run("table_parsing").tables[1].startswith("<table><tr><td>Description</td>")
    latex = run("document_parsing").text
    assert "\\section*{INVOICE}" in latex
    assert "Ink, black & 3 & 7.20 & 21.60 \\\\" in latex

    lines = run("advanced_recognition")
    assert lines.in_pixels == (protocol == "native")
    scale = (1, 1) if protocol == "native" else (0.9, 1)
    (heading,) = [word for word in lines.words if word.text == "INVOICE"]
    (x1, y1), _, (x2, y2), _ = heading.corners
    box = (x1 * scale[0], y1 * scale[1], x2 * scale[0], y2 * scale[1])
    assert overlap(box, page.blocks[0].box) > 0.9

    schema = {
        "invoice": {"number": "", "date": "as it stands there"},
        "bill_to": "",
        "total": "with its currency",
        "items": [{"description": "", "amount": ""}],
        "iban": "",
    }
    # A value that is not in the image is null (OCR page, 2026).
    assert run("key_information_extraction", result_schema=schema).values == {
        "invoice": {"number": "2026-0117", "date": "30 November 2026"},
        "bill_to": "Northwind Books",
        "total": "EUR 92.50",
        "items": [
            {"description": "Drawing paper A3", "amount": "45.00"},
            {"description": "Ink, black", "amount": "21.60"},
            {"description": "Brush set", "amount": "25.90"},
        ],
        "iban": None,
    }
    every = run("key_information_extraction").values
    assert every["Due date"] == "30 December 2026"
    assert every["Total"] == "EUR 92.50"


class Item(BaseModel):
    description: str
    quantity: int
    amount: float


class Invoice(BaseModel):
    invoice_number: str
    due_date: dt.date
    items: list[Item]
    total: float
    currency: str


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("qwen3-vl-plus", "function_calling"),
        ("qwen3-vl-plus", "json_mode"),
        ("qwen3.8-max", "json_schema"),
    ],
)
def test_invoice_becomes_a_typed_object(
    invoice: tuple[DrawnPage, Path], settings: dict[str, str], model: str, method: Any
) -> None:
    chat = ChatQwenVL(**settings, model=model, enable_thinking=False)
    image = {"type": "image", "image": invoice[1]}
    found = chat.with_structured_output(Invoice, method=method).invoke(
        [HumanMessage([image, "Read this invoice."])]
    )

    assert isinstance(found, Invoice)
    assert found.invoice_number == "2026-0117"
    assert found.due_date == dt.date(2026, 12, 30)
    assert found.items == [
        Item(description="Drawing paper A3", quantity=10, amount=45),
        Item(description="Ink, black", quantity=3, amount=21.6),
        Item(description="Brush set", quantity=2, amount=25.9),
    ]
    assert found.total == 92.5
    # No label of the page: the sandbox's own words, as without OCR.
    assert "sandbox" in found.currency


@pytest.mark.slow
@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen2.5-vl-7b-instruct"])
def test_quoted_text_is_located(
    invoice: tuple[DrawnPage, Path], settings: dict[str, str], model: str
) -> None:
    page, path = invoice
    chat = ChatQwenVL(**settings, model=model)

    (box,) = chat.locate(path, '"Northwind books"').boxes
    assert box.label == "Northwind books"
    top = page.blocks[3].box
    # The second of two lines.
    line = (top[0], 337, top[2], top[3])
    assert 0.5 < overlap(box.xyxy, line) < 1
    # All of its letters are inside.
    assert box.xyxy[0] <= line[0]
    assert box.xyxy[3] >= line[3]
    (word,) = chat.locate(path, "Total").boxes
    total = page.blocks[5].box
    # The word, not the line; `Subtotal` would be no match.
    assert total[0] - 10 < word.xyxy[0] < word.xyxy[2] < (total[0] + total[2]) / 2
    assert chat.locate(path, '"Nobody"').boxes == ()


@pytest.mark.slow
def test_plain_questions_are_answered_with_the_text(
    invoice: tuple[DrawnPage, Path], sandbox: Sandbox, settings: dict[str, str]
) -> None:
    chat = ChatQwenVL(**settings)
    image = {"type": "image", "image": invoice[1]}
    blank = {"type": "image", "image": Image.new("RGB", (100, 100), "white")}
    answer = chat.invoke([HumanMessage([image, blank, "Who pays?"])]).text

    assert answer.startswith("I am the qwen-vl sandbox, not a model. I received 2 images: ")
    assert 'With OCR I read in image 1: "INVOICE\n' in answer
    assert "Northwind Books" in answer
    assert answer.endswith("With OCR I found no text in image 2.")

    sandbox.script("A bookshop.")
    assert chat.invoke([HumanMessage([image, "Who pays?"])]).text == "A bookshop."


@pytest.mark.slow
def test_nothing_is_downloaded(
    slip: tuple[DrawnPage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RapidOCR would fetch what it is not given, weights or fonts."""
    asked: list[object] = []
    found = import_module("rapidocr.utils.download_file").DownloadFile
    monkeypatch.setattr(found, "run", lambda *args: asked.append(args))
    lines = engine._Reader().read(slip[1].read_bytes())

    assert [line.text for line in lines] == ["Receipt", "Total: 12.50"]
    assert asked == []


@pytest.mark.slow
async def test_other_requests_are_answered_while_a_page_is_read(
    sandbox: Sandbox, settings: dict[str, str]
) -> None:
    page = draw_report()
    page.write(60, 900, ["Never read before"])
    chat = ChatQwenVL(**settings)
    n_before = sandbox.n_requests
    image = {"type": "image", "image": page.image}
    reading = asyncio.create_task(chat.ainvoke([HumanMessage([image, "What is this?"])]))
    while sandbox.n_requests == n_before:  # noqa: ASYNC110 - of another thread, without events.
        await asyncio.sleep(0.001)
    answer = await chat.ainvoke("Hello")

    assert answer.text.endswith('"Hello".')
    assert not reading.done()
    assert "Never read before" in (await reading).text


@pytest.mark.slow
def test_self_hosted_servers_read_too(invoice: tuple[DrawnPage, Path]) -> None:
    with Sandbox(server="vllm", reads=True) as running:
        settings = {"server": "vllm", "base_url": running.base_url}
        model = "Qwen/Qwen3-VL-8B-Instruct"
        found = DocumentParser(QwenVLSettings(**settings, model=model)).parse(invoice[1])

    assert error_rate(found.text, invoice[0].text) < 0.1
    assert "Northwind Books" in found.text
