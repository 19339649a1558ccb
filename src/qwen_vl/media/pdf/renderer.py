"""Processes that render PDF documents, each for one document at a time."""

import atexit
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from qwen_vl.media.pdf.worker import Worker
from qwen_vl.process_local import Process, ProcessLocal, current_process

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_WORKER = Path(__file__).with_name("worker.py")
# Kept for the next document; more are started where more documents are read at the same time.
_MAX_IDLE = 2
_MAX_RUNNING = 8
# Of virtual memory: PDFium, its fonts, and Python.
_OWN_MEMORY = 384 * 2**20


class PdfError(Exception):
    """A document cannot be read, or a page not be rendered."""


class PdfLimitError(PdfError):
    """It takes too long, or too much memory."""


class _Processes:
    """The processes that one program has started."""

    def __init__(self) -> None:
        self.idle: list[_Renderer] = []
        self.running: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
        self.choosing = threading.Lock()
        self.free = threading.BoundedSemaphore(_MAX_RUNNING)


_processes = ProcessLocal(_Processes)
_pdfium = ProcessLocal(threading.Lock)


class OpenedPdf:
    """A document that is open in a process.

    Args:
        worker: The process.
        n_pages: Number of its pages.
        timeout: Seconds that each order may take.
    """

    def __init__(self, worker: "_Renderer", n_pages: int, timeout: float) -> None:
        self._worker = worker
        self._timeout = timeout
        self.n_pages = n_pages

    def measure(self, indexes: Sequence[int]) -> list[tuple[float, float]]:
        """Return width and height of pages in points, 1/72 inch.

        Args:
            indexes: Of the pages, from 0 on.

        Raises:
            PdfError: A page cannot be read.
        """
        order = {"order": "measure", "pages": list(indexes)}
        answer, _ = self._worker.ask(order, self._timeout)
        return [(width, height) for width, height in answer["sizes"]]

    def read_text(self, index: int) -> tuple[str, list[tuple[str, tuple[float, ...]]]]:
        """Return the text of a page, and its runs with two corners each.

        Args:
            index: Of the page, from 0 on.

        Raises:
            PdfError: It cannot be read, or not in time.
        """
        answer, _ = self._worker.ask({"order": "text", "page": index}, self._timeout)
        return answer["text"], [(text, tuple(corners)) for text, *corners in answer["runs"]]

    def read_words(self, index: int) -> list[tuple[str, tuple[float, ...]]]:
        """Return the words of a page with two corners each.

        Args:
            index: Of the page, from 0 on.

        Raises:
            PdfError: It cannot be read, or not in time.
        """
        answer, _ = self._worker.ask({"order": "words", "page": index}, self._timeout)
        return [(word, tuple(corners)) for word, *corners in answer["words"]]

    def render(self, index: int, scale: float) -> "PillowImage":
        """Render a page.

        Args:
            index: Of the page, from 0 on.
            scale: Pixels for a point.

        Raises:
            PdfError: It cannot be rendered, or not in time.
        """
        from PIL import Image  # noqa: PLC0415 - slow to import

        order = {"order": "render", "page": index, "scale": scale}
        answer, pixels = self._worker.ask(order, self._timeout)
        mode = "L" if answer["raw_mode"] == "L" else "RGB"
        size, raw_mode, stride = tuple(answer["size"]), answer["raw_mode"], answer["stride"]
        return Image.frombytes(mode, size, pixels, "raw", raw_mode, stride, 1)


def _running() -> list["subprocess.Popen[bytes]"]:
    """Return the processes that are still running."""
    return [worker for worker in _processes.get().running if worker.poll() is None]


@contextmanager
def opened_pdf(data: bytes, *, timeout: float, max_memory: int) -> Iterator[OpenedPdf]:
    """Open a document.

    Args:
        data: The file.
        timeout: Seconds to open it, and to render a page. The process is killed then.
        max_memory: Bytes of memory that it may take, beside those of the file and of PDFium.

    Raises:
        PdfError: It cannot be read.
    """
    processes = _processes.get()
    with processes.free:
        worker = _take(processes)
        try:
            memory = max_memory + 2 * len(data) + _OWN_MEMORY
            order = {"order": "open", "bytes": len(data), "memory": memory}
            answer, _ = worker.ask(order, timeout, data)
            yield OpenedPdf(worker, answer["pages"], timeout)
            worker.ask({"order": "close"}, timeout)
        except BaseException:
            # Whatever state it is in.
            worker.end()
            raise
        with processes.choosing:
            is_kept = len(processes.idle) < _MAX_IDLE
            if is_kept:
                processes.idle.append(worker)
        if not is_kept:
            worker.end()


def _take(processes: _Processes) -> "_Renderer":
    with processes.choosing:
        while processes.idle:
            worker = processes.idle.pop()
            if worker.is_alive():
                return worker
            worker.end()
    # The executable of a frozen program is the program itself.
    return _SameProcess() if getattr(sys, "frozen", False) else _Worker()


class _SameProcess:
    """Renders without limits, in this process, which one thread at a time may do."""

    def __init__(self) -> None:
        self._worker = Worker()

    def is_alive(self) -> bool:
        """Return that it can be asked."""
        return True

    def ask(
        self, order: dict[str, Any], timeout: float, data: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        """Send an order, as to a process; `timeout` is ignored."""
        del timeout
        with _pdfium.get():
            answer, pixels = self._worker.answer(order, data)
        if "error" in answer:
            raise PdfError(answer["error"])
        return answer, pixels

    def end(self) -> None:
        """Close the document."""
        with _pdfium.get():
            self._worker.answer({"order": "close"}, b"")


class _Worker:
    """A process that renders."""

    def __init__(self) -> None:
        # Empty ones name the working folder, which a file may not be imported from.
        path = json.dumps([entry for entry in sys.path if entry])
        self._process = subprocess.Popen(  # noqa: S603 - a file of this package
            [sys.executable, "-I", "-S", str(_WORKER), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        _processes.get().running.add(self._process)
        self._is_late = False
        self._finalizer = weakref.finalize(self, _end, current_process(), self._process)

    def is_alive(self) -> bool:
        """Return whether it is still running."""
        return self._process.poll() is None

    def ask(
        self, order: dict[str, Any], timeout: float, data: bytes = b""
    ) -> tuple[dict[str, Any], bytes]:
        """Send an order, and wait for the answer.

        Args:
            order: As `worker` reads it.
            timeout: Seconds to wait; the process is killed then.
            data: What follows the order.

        Returns:
            The answer, and the pixels that follow it.

        Raises:
            PdfError: The order failed.
            PdfLimitError: It took too long, or the process ended.
        """
        orders, answers = self._process.stdin, self._process.stdout
        if orders is None or answers is None:  # pragma: no cover - they are pipes.
            raise PdfError("the process lacks pipes")
        # Reading a pipe cannot be given a timeout on all systems.
        timer = threading.Timer(timeout, self._kill)
        timer.daemon = True
        timer.start()
        answer: dict[str, Any] = {}
        pixels = b""
        try:
            with suppress(BrokenPipeError):
                orders.write(json.dumps(order).encode() + b"\n" + data)
                orders.flush()
            if line := answers.readline():
                answer = json.loads(line)
                pixels = answers.read(answer.get("bytes", 0))
        finally:
            timer.cancel()
        if self._is_late:
            raise PdfLimitError(f"a page took longer than pdf_timeout, {timeout:g} seconds")
        if not line or len(pixels) < answer.get("bytes", 0):
            raise PdfLimitError("it takes more memory than max_decode_memory, or is damaged")
        if "error" in answer:
            raise PdfError(answer["error"])
        return answer, pixels

    def end(self) -> None:
        """Kill it."""
        self._finalizer()

    def _kill(self) -> None:
        self._is_late = True
        self._process.kill()


def _end(process: Process, worker: "subprocess.Popen[bytes]") -> None:
    if process is not current_process():
        # A forked child's copy: the process is the parent's.
        return
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


_Renderer: TypeAlias = _Worker | _SameProcess


@atexit.register
def _end_idle() -> None:
    for worker in _processes.get().idle:
        worker.end()
