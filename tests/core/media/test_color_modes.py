"""Files that decoders do not read alike: converted, or refused with the reason."""

import io
from typing import Any

import pybase64
import pytest
from PIL import Image as PillowImage

from qwen_vl.content import DataUrl, Image, Inline, Turn, Url
from qwen_vl.errors import MediaFormatError
from qwen_vl.media import prepare_media
from qwen_vl.request.types import Request

WHERE = "messages[0].content[0]"


def written(image: PillowImage.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sent(data: bytes) -> bytes:
    turn = Turn(role="user", parts=(Image(source=Inline(data), where=WHERE),))
    part = prepare_media(Request(model="qwen3-vl-plus", turns=(turn,))).turns[0].parts[0]
    assert isinstance(part, Image)
    assert isinstance(part.source, Url | DataUrl)
    return pybase64.b64decode(part.source.url.partition(",")[2])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    ink = PillowImage.new("RGB", (64, 48), (200, 30, 60)).convert("CMYK")
    image = PillowImage.open(io.BytesIO(sent(written(ink, kind))))
    assert image.mode == "RGB"
    pixel: Any = image.getpixel((32, 24))
    assert all(abs(one - other) < 12 for one, other in zip(pixel, (200, 30, 60), strict=True))


def test_sixteen_bits_of_a_png_keep_their_shades() -> None:
    grey = PillowImage.new("I;16", (64, 48))
    for x in range(64):
        for y in range(48):
            grey.putpixel((x, y), x * 1_040)
    image = PillowImage.open(io.BytesIO(sent(written(grey, "PNG"))))
    assert image.mode == "L"
    for x in (0, 16, 32, 63):
        shade: Any = image.getpixel((x, 24))
        assert abs(shade - x * 1_040 / 257) <= 1


@pytest.mark.parametrize("mode", ["I;16", "F", "I"])
def test_values_whose_range_nothing_tells(mode: str) -> None:
    data = written(PillowImage.new(mode, (64, 48)), "TIFF")
    with pytest.raises(MediaFormatError, match=r"no 8 bits a channel.*convert"):
        sent(data)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_animation_is_refused(kind: str) -> None:
    frames = [PillowImage.new("RGB", (64, 48), color) for color in ("red", "blue", "green")]
    data = written(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(MediaFormatError, match=r"animated.*frames as a video") as caught:
        sent(data)
    assert caught.value.where == WHERE


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_plain_file_goes_out_byte_for_byte(kind: str, mode: str) -> None:
    data = written(PillowImage.new(mode, (64, 48)), kind)
    assert sent(data) == data
