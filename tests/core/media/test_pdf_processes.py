"""Documents that render without end, fill the memory or crash PDFium, and those beside them."""

import contextlib
import io
import os
import sys
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pypdfium2
import pytest

from qwen_vl.content import Document, Inline, Turn
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media import prepare_media
from qwen_vl.media.pdf import renderer
from qwen_vl.request.build import build_media_policy
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.tokens.conversation import count_tokens

MIB = 2**20


def pdf(*objects: bytes) -> bytes:
    """Write a document of one page; its own object is the third."""
    head = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    ]
    file = io.BytesIO(b"%PDF-1.7\n")
    file.seek(0, os.SEEK_END)
    places = []
    for number, body in enumerate([*head, *objects], 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
    table = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1))
    file.writelines(b"%010d 00000 n \n" % place for place in places)
    file.write(b"trailer<</Root 1 0 R/Size %d>>\n" % (len(places) + 1))
    file.write(b"startxref\n%d\n%%%%EOF" % table)
    return file.getvalue()


def stream(entries: bytes, content: bytes) -> bytes:
    packed = zlib.compress(content, 1)
    head = b"<<%b/Filter/FlateDecode/Length %d>>" % (entries, len(packed))
    return head + b"stream\n" + packed + b"\nendstream"


PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<<%b>>/Contents 4 0 R>>"


def endless() -> bytes:
    """Forms that each draw the next one thirty times: 30 to the power of 8 squares."""
    n_levels = 8
    draws = b"q 1 0 0 1 0.1 0.1 cm /F Do Q " * 30
    page = PAGE % b"/XObject<</F 5 0 R>>"
    forms = []
    for level in range(n_levels):
        last = level == n_levels - 1
        inner = b"" if last else b"/Resources<</XObject<</F %d 0 R>>>>" % (6 + level)
        content = b"0 0 10 10 re f" if last else draws
        forms.append(stream(b"/Type/XObject/Subtype/Form/BBox[0 0 200 200]" + inner, content))
    return pdf(page, stream(b"", b"/F Do"), *forms)


def filling(n_bytes: int) -> bytes:
    """Instructions of many bytes, within some kilobytes."""
    return pdf(PAGE % b"", stream(b"", b" " * n_bytes))


def good(n_pages: int = 1) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(n_pages):
        document.new_page(200, 200)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def request(data: bytes, **policy: Any) -> Request:
    part = Document(source=Inline(data), where="messages[0].content[0]")
    turn = Turn(role="user", parts=(part,))
    return Request(model="qwen3-vl-plus", turns=(turn,), policy=MediaPolicy(**policy))


def n_parts(data: bytes, **policy: Any) -> int:
    return len(prepare_media(request(data, **policy)).turns[0].parts)


def test_page_without_end_is_ended() -> None:
    with pytest.raises(MediaTooLargeError) as caught:
        n_parts(endless(), pdf_timeout=0.5)
    assert str(caught.value) == (
        "messages[0].content[0]: The PDF cannot be rendered: a page took longer than pdf_timeout, "
        "0.5 seconds. Leave the page out (pages=…), or raise the limit if you trust its source."
    )
    # The next one is rendered.
    assert n_parts(good()) == 2


def test_other_documents_go_on() -> None:
    ended = threading.Event()

    def hang() -> None:
        with pytest.raises(MediaTooLargeError):
            n_parts(endless(), pdf_timeout=20)
        ended.set()

    data = endless(), good()
    hanging = threading.Thread(target=hang)
    hanging.start()
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(n_parts, [data[1]] * 6))
    assert counts == [2] * 6
    assert not ended.is_set()
    for worker in list(renderer._running()):
        worker.kill()
    hanging.join()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Other systems limit no memory, or less.")
def test_page_that_fills_the_memory_is_refused() -> None:
    data = filling(350 * MIB)
    assert len(data) < MIB * 2
    with pytest.raises(MediaTooLargeError, match="more memory than max_decode_memory"):
        n_parts(data, max_decode_memory=MIB)
    assert n_parts(data, max_decode_memory=2_000 * MIB) == 2
    assert n_parts(good()) == 2


def test_timeout_is_a_setting() -> None:
    policy = build_media_policy(QwenVLSettings(pdf_timeout=0.25))
    with pytest.raises(MediaTooLargeError, match=r"0\.25 seconds"):
        n_parts(endless(), pdf_timeout=policy.pdf_timeout)


def test_counting_renders_nothing() -> None:
    part = Document(source=Inline(endless()))
    assert count_tokens(part, "qwen3-vl-plus", policy=MediaPolicy(pdf_timeout=5)) > 0


def test_processes_are_kept_for_the_next_document() -> None:
    n_parts(good())
    before = [worker.pid for worker in renderer._running()]
    for _ in range(5):
        n_parts(good(3))
    assert [worker.pid for worker in renderer._running()] == before


def test_process_that_was_killed_is_replaced() -> None:
    n_parts(good())
    for worker in renderer._running():
        worker.kill()
        worker.wait()
    assert n_parts(good(2)) == 4


def test_no_more_processes_stay_than_two() -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: n_parts(good(4)), range(12)))
    assert len(renderer._running()) <= 2


def test_damaged_document_is_an_error_of_ours() -> None:
    data = good()
    for cut in range(0, len(data), 37):
        with contextlib.suppress(MediaFormatError):
            n_parts(data[:cut])


def test_frozen_program_renders_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(renderer, "_take", _take_new)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(n_parts, [good()] * 6)) == [2] * 6
    with pytest.raises(MediaFormatError):
        n_parts(b"%PDF-1.7 and nothing else")


_take: Callable[..., Any] = renderer._take


def _take_new(processes: Any) -> Any:
    processes.idle.clear()
    return _take(processes)
