"""Images with an EXIF orientation: turned once, before they are sent, in every form."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from qwen_vl import Grounder, QwenVLSettings, draw_grounding
from qwen_vl.content import Image, Inline, LocalFile, OpenFile, Pixels, Source, Turn
from qwen_vl.media import prepare_media
from qwen_vl.media.data_url import read_data_url
from qwen_vl.request.types import Request
from qwen_vl_sandbox import Sandbox

ORIENTATION = 274
# What undoes each orientation (EXIF 2.3, table 6).
STORED = {
    1: None,
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_90,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_270,
}
SMALL, LARGE = (320, 240), (800, 600)
MAX_PIXELS = 200_000
KINDS = ("JPEG", "PNG", "PNG, note at the end", "PNG, XMP", "TIFF", "TIFF, LZW", "WEBP", "AVIF")


def draw(size: tuple[int, int]) -> PillowImage.Image:
    """A white image with a red box from a tenth to three and five tenths."""
    image = PillowImage.new("RGB", size, "white")
    image.paste("red", box(size))
    return image


def box(size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size[0] // 10, size[1] // 10
    return width, height, 3 * width, 5 * height


def written(size: tuple[int, int], orientation: int, kind: str) -> bytes:
    image = draw(size)
    turn = STORED.get(orientation)
    image = image if turn is None else image.transpose(turn)
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    if kind.startswith("TIFF"):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[ORIENTATION] = orientation
        compression = "tiff_lzw" if "LZW" in kind else None
        image.save(file, "TIFF", tiffinfo=tags, compression=compression)
    elif kind == "PNG, XMP":
        note = (
            '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/">'
            f"<tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
        )
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", note)
        image.save(file, "PNG", pnginfo=info)
    elif kind == "PNG, note at the end":
        image.save(file, "PNG", exif=exif)
        data = file.getvalue()
        at = data.index(b"eXIf") - 4
        end = at + 12 + int.from_bytes(data[at : at + 4])
        last = data.index(b"IEND") - 4
        return data[:at] + data[end:last] + data[at:end] + data[last:]
    else:
        options = {"lossless": True} if kind == "WEBP" else {}
        image.save(file, kind, exif=exif, **options)
    return file.getvalue()


FORMS: dict[str, Callable[[Path], Source]] = {
    "file": lambda path: LocalFile(path, is_trusted=True),
    "bytes": lambda path: Inline(path.read_bytes()),
    "Base64": lambda path: Inline(base64.b64encode(path.read_bytes()).decode()),
    "open file": lambda path: OpenFile(io.BytesIO(path.read_bytes())),
    "Pillow": lambda path: Pixels(PillowImage.open(io.BytesIO(path.read_bytes()))),
    "Pillow, decoded": lambda path: Pixels(decoded(path)),
}


def decoded(path: Path) -> PillowImage.Image:
    image = PillowImage.open(io.BytesIO(path.read_bytes()))
    image.load()
    return image


def sent(source: Source) -> tuple[Any, bytes]:
    turn = Turn(role="user", parts=(Image(source=source, max_pixels=MAX_PIXELS),))
    request = Request(model="qwen3-vl-plus", turns=(turn,))
    part: Any = prepare_media(request).turns[0].parts[0]
    return part.source, read_data_url(part.source)


def check_sent(source: Source, size: tuple[int, int]) -> None:
    held, data = sent(source)
    image = PillowImage.open(io.BytesIO(data))
    assert image.getexif().get(ORIENTATION, 1) == 1
    assert (held.original_size, held.size) == (size, image.size)
    expected = draw(size).resize(image.size)
    difference = np.asarray(image.convert("RGB"), int) - np.asarray(expected, int)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_is_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(written(SMALL, orientation, kind))
    for make in FORMS.values():
        check_sent(make(path), SMALL)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "TIFF, LZW", "WEBP"])
def test_large_image_is_turned_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(written(LARGE, 6, kind))
    for name in ("bytes", "Pillow"):
        check_sent(FORMS[name](path), LARGE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG, note at the end", "TIFF", "WEBP"])
def test_upright_file_goes_out_byte_for_byte(kind: str) -> None:
    for orientation in (1, 0, 9):
        data = written(SMALL, orientation, kind)
        assert sent(Inline(data))[1] == data


def test_broken_exif_data_says_nothing() -> None:
    data = bytearray(written(SMALL, 6, "JPEG"))
    at = data.index(b"Exif\0\0") + 6
    data[at : at + 8] = b"nonsense"
    assert sent(Inline(bytes(data)))[1] == data


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen2.5-vl-72b-instruct"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_boxes_are_those_of_the_upright_image(
    kind: str, model: str, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    grounder = Grounder(
        QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", model=model)
    )
    path = tmp_path / "image"
    for orientation in (1, 6, 7):
        path.write_bytes(written(SMALL, orientation, kind))
        for form in (path, path.read_bytes(), decoded(path), io.BytesIO(path.read_bytes())):
            found = grounder.locate(form, "red boxes")
            assert (found.width, found.height) == SMALL
            assert found.boxes[0].xyxy == pytest.approx(box(SMALL), abs=2)
            assert draw_grounding(form, found).size == SMALL
