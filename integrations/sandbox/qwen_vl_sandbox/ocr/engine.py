"""The OCR engine: RapidOCR with the weights that are in its wheel. Nothing is downloaded.

It is loaded at the first image, once per process, and reads one image at a time: it uses all
processors for it.
"""

import hashlib
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from qwen_vl_sandbox.ocr.lines import Corners, TextLine, join_texts

HOW_TO_INSTALL = 'To have text read: pip install "qwen-vl[sandbox-ocr]"'

_MODULES = ("rapidocr", "onnxruntime")
_MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
# Of a small collection, so that no page is read for each request that it is part of.
_MAX_CACHED = 512
# In heights of the line: words are about a quarter of it apart, cells of tables more than one.
_CELL_GAP = 1.0
_WORD_GAP = 0.3
_LEVEL_DEGREES = 2
_INK = 64


def is_installed() -> bool:
    """Return whether the extra `ocr` is installed."""
    return all(find_spec(name) is not None for name in _MODULES)


def read_lines(data: bytes) -> tuple[TextLine, ...]:
    """Read the text of an image.

    Args:
        data: A file that Pillow can decode.

    Raises:
        OSError: Pillow cannot decode it.
        ImportError: The extra `ocr` is not installed.
    """
    return _READER.read(data)


class _Reader:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: Any = None
        self._read: OrderedDict[bytes, tuple[TextLine, ...]] = OrderedDict()

    def read(self, data: bytes) -> tuple[TextLine, ...]:
        key = hashlib.sha256(data).digest()
        with self._lock:
            if key not in self._read:
                self._read[key] = self._run(data)
            self._read.move_to_end(key)
            if len(self._read) > _MAX_CACHED:
                self._read.popitem(last=False)
            return self._read[key]

    def _run(self, data: bytes) -> tuple[TextLine, ...]:
        import numpy as np  # noqa: PLC0415 - comes with the extra.

        if self._engine is None:
            self._engine = _load()
        with Image.open(io.BytesIO(data)) as opened:
            image = _on_white(opened)
        # OpenCV's order of the channels.
        found = self._engine(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))
        if found.boxes is None or not found.txts:
            return ()
        gray = np.asarray(image.convert("L"))
        words = found.word_results
        listed = words if len(words) == len(found.txts) else [()] * len(found.txts)
        return tuple(
            line
            for box, text, parts in zip(found.boxes.tolist(), found.txts, listed, strict=True)
            for line in _split(text, box, parts, gray)
        )


_READER = _Reader()


def _load() -> Any:
    import rapidocr  # noqa: PLC0415 - an extra; takes seconds.

    # Files that are named are never looked for elsewhere.
    models = Path(rapidocr.__file__).parent / "models"
    files = {f"{stage}.model_path": str(models / name) for stage, name in _MODELS.items()}
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.return_word_box": True,
            # Finds lines that stand upside down only.
            "Global.use_cls": False,
            **files,
        }
    )


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = image.convert("RGBA")
    white = Image.new("RGBA", opaque.size, "white")
    return Image.alpha_composite(white, opaque).convert("RGB")


def _split(
    text: str, box: Sequence[Sequence[float]], parts: Sequence[Any], gray: Any
) -> Iterator[TextLine]:
    """Split a line where cells of a table meet, and fit the box of each piece to its text."""
    corners: Corners = tuple((x, y) for x, y in box)  # type: ignore[assignment]
    (x1, y1), (x2, y2) = corners[0], corners[1]
    height = math.dist(corners[0], corners[3])
    if abs(math.degrees(math.atan2(y2 - y1, x2 - x1))) > _LEVEL_DEGREES:
        yield TextLine(text, corners, height)
        return
    words = [_to_word(word) for word in parts if word and word[2] is not None]
    if "".join(word for word, *_ in words).replace(" ", "") != text.replace(" ", ""):
        yield TextLine(text, _fitted(corners, gray), height, tuple(words))
        return
    pieces: list[list[tuple[str, float, float]]] = []
    for word in words:
        gap = word[1] - pieces[-1][-1][2] if pieces else math.inf
        if gap >= _CELL_GAP * height:
            pieces.append([])
        pieces[-1].append(word)
    at = 0
    for number, piece in enumerate(pieces):
        written, at = _write(text, at, piece, height)
        left = x1 if number == 0 else piece[0][1] - _WORD_GAP * height
        right = x2 if number == len(pieces) - 1 else piece[-1][2] + _WORD_GAP * height
        edges: Corners = (
            (left, y1),
            (right, corners[1][1]),
            (right, corners[2][1]),
            (left, corners[3][1]),
        )
        yield TextLine(written, _fitted(edges, gray), height, tuple(piece))


def _to_word(word: Any) -> tuple[str, float, float]:
    text, _, box = word
    xs = [float(x) for x, _ in box]
    return str(text), min(xs), max(xs)


def _write(
    text: str, at: int, piece: list[tuple[str, float, float]], height: float
) -> tuple[str, int]:
    """Write words with the spaces that the engine read, and those that it passed over."""
    written = ""
    end = math.inf
    for word, left, right in piece:
        start = at
        for character in word:
            at = text.index(character, at) + 1 if character != " " else at
        read = text[start:at]
        if written and not read.startswith(" ") and left - end > _WORD_GAP * height:
            written = join_texts([written, read])
        else:
            written += read
        end = right
    return written.strip(), at


def _fitted(corners: Corners, gray: Any) -> Corners:
    """Fit the box of a level line to what differs from its background."""
    xs, ys = zip(*corners, strict=True)
    left, top = max(math.floor(min(xs)), 0), max(math.floor(min(ys)), 0)
    crop = gray[top : math.ceil(max(ys)), left : math.ceil(max(xs))].astype(int)
    if not crop.size:
        return corners
    # Most of a line is background.
    background = sorted(crop.ravel().tolist())[crop.size // 2]
    ink = abs(crop - background) > _INK
    columns, rows = ink.any(axis=0).nonzero()[0], ink.any(axis=1).nonzero()[0]
    if not len(columns):
        return corners
    x1, x2 = float(left + columns[0]), float(left + columns[-1] + 1)
    y1, y2 = float(top + rows[0]), float(top + rows[-1] + 1)
    return (x1, y1), (x2, y1), (x2, y2), (x1, y2)
