"""The process that renders: reads orders from its standard input until that ends.

It is run by its path, and imports nothing of this package, so that it starts fast. An order is a
line of JSON, behind `open` with the document; so is an answer, behind `render` with the pixels.
"""

import json
import os
import sys
from typing import Any

# Steps of a page's width and height to which places of its text are known.
_GRID = 100_000


def main() -> None:
    """Answer orders."""
    orders = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever PDFium prints must not come between the answers.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    worker = Worker()
    while line := orders.readline():
        order = json.loads(line)
        if "memory" in order:
            limit_memory(order["memory"])
        answer, pixels = worker.answer(order, orders.read(order.get("bytes", 0)))
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


class Worker:
    """Holds one document at a time."""

    def __init__(self) -> None:
        self._document: Any = None

    def answer(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Carry out an order, and return the answer and the pixels that follow it."""
        import pypdfium2  # noqa: PLC0415 - an extra

        try:
            match order["order"]:
                case "open":
                    self._close()
                    self._document = pypdfium2.PdfDocument(data)
                    return {"pages": len(self._document)}, b""
                case "measure":
                    sizes = [self._document.get_page_size(index) for index in order["pages"]]
                    return {"sizes": sizes}, b""
                case "text":
                    return self._read_text(order["page"])
                case "words":
                    return self._read_words(order["page"])
                case "render":
                    return self._render(order["page"], order["scale"])
                case _:
                    self._close()
                    return {}, b""
        except (pypdfium2.PdfiumError, MemoryError) as error:
            return {"error": str(error) or type(error).__name__}, b""

    def _render(self, index: int, scale: float) -> tuple[dict[str, Any], bytes]:
        page = self._document[index]
        bitmap = page.render(scale=scale)
        page.close()
        pixels = bytes(bitmap.buffer)
        size, raw_mode, stride = (bitmap.width, bitmap.height), bitmap.mode, bitmap.stride
        bitmap.close()
        answer = {"size": size, "raw_mode": raw_mode, "stride": stride, "bytes": len(pixels)}
        return answer, pixels

    def _read_text(self, index: int) -> tuple[dict[str, Any], bytes]:
        """Return the text of a page, and its runs of one line and font with their corners."""
        page = self._document[index]
        text_page = page.get_textpage()
        try:
            text = text_page.get_text_range()
            runs = []
            for number in range(text_page.count_rects()):
                left, bottom, right, top = text_page.get_rect(number)
                run = text_page.get_text_bounded(left, bottom, right, top)
                corners = [_place(page, x, y) for x, y in ((left, bottom), (right, top))]
                runs.append([run, *corners[0], *corners[1]])
            return {"text": text, "runs": runs}, b""
        finally:
            text_page.close()
            page.close()

    def _read_words(self, index: int) -> tuple[dict[str, Any], bytes]:
        """Return the words of a page with their corners, divided where a line ends."""
        page = self._document[index]
        text_page = page.get_textpage()
        try:
            words = []
            for word, (left, bottom, right, top) in _divide(text_page):
                corners = [_place(page, x, y) for x, y in ((left, bottom), (right, top))]
                words.append([word, *corners[0], *corners[1]])
            return {"words": words}, b""
        finally:
            text_page.close()
            page.close()

    def _close(self) -> None:
        if self._document is not None:
            self._document.close()
            self._document = None


def _divide(text_page: Any) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Divide the characters of a page into words, each with the box around its ink."""
    import pypdfium2  # noqa: PLC0415 - an extra
    from pypdfium2 import raw  # noqa: PLC0415 - as above

    words: list[tuple[str, tuple[float, float, float, float]]] = []
    is_inside = False
    for index in range(text_page.count_chars()):
        letter = chr(raw.FPDFText_GetUnicode(text_page, index))
        try:
            box = text_page.get_charbox(index)
        except pypdfium2.PdfiumError:
            # A line break that PDFium has put in.
            letter = ""
        if not letter.strip() or not letter.isprintable():
            is_inside = False
            continue
        if is_inside and _continues(words[-1][1], box):
            word, (left, bottom, right, top) = words[-1]
            joined = (
                *(min(left, box[0]), min(bottom, box[1])),
                *(max(right, box[2]), max(top, box[3])),
            )
            words[-1] = word + letter, joined
        else:
            words.append((letter, box))
        is_inside = True
    return words


def _continues(
    word: tuple[float, float, float, float], letter: tuple[float, float, float, float]
) -> bool:
    """Return whether a letter stands on the line of a word, and not to the left of it."""
    return letter[3] > word[1] and letter[1] < word[3] and letter[0] >= word[0]


def _place(page: Any, x: float, y: float) -> tuple[float, float]:
    """Return where a point is on the page as it is shown, as fractions of width and height."""
    import ctypes  # noqa: PLC0415 - only for text

    from pypdfium2 import raw  # noqa: PLC0415 - an extra

    shown_x, shown_y = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, x, y, shown_x, shown_y)
    return shown_x.value / _GRID, shown_y.value / _GRID


def limit_memory(n_bytes: int) -> None:
    """Have allocations fail beyond a limit, where the system can do that.

    Args:
        n_bytes: Of virtual memory that this process may use.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on all systems

    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    if highest != resource.RLIM_INFINITY:
        n_bytes = min(n_bytes, highest)
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, highest))


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    main()
