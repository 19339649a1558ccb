"""Decoded images: Pillow's and numpy's."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageChops, ImageStat

from qwen_vl.content import Image, Pixels, Turn
from qwen_vl.errors import (
    MediaError,
    MediaFormatError,
    MediaRatioError,
    MediaTooLargeError,
    MediaTooSmallError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.encode import JPEG_QUALITY, encode_jpeg, encode_lossless, encode_png
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import CHELSEA, COFFEE, ROCKET

WHERE = "messages[0].content[0]"


def _url(pixels: Any, **policy: Any) -> str:
    image = Image(source=Pixels(pixels), where=WHERE)
    turns = (Turn(role="user", parts=(image,)),)
    request = Request(model="qwen3-vl-plus", turns=turns, policy=MediaPolicy(**policy))
    ready: Any = prepare_media(request).turns[0].parts[0]
    return str(ready.source.url)


def _sent(pixels: Any, **policy: Any) -> PillowImage.Image:
    data = base64.b64decode(_url(pixels, **policy).partition(",")[2])
    image = PillowImage.open(io.BytesIO(data))
    image.load()
    return image


def _image(path: Path = CHELSEA) -> PillowImage.Image:
    with PillowImage.open(path) as image:
        image.load()
        return image.copy()


def _noise(mode: str) -> PillowImage.Image:
    channels = len(PillowImage.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(7).integers(0, 256, (120, 120, channels), dtype=np.uint8)
    return PillowImage.frombytes(mode, (120, 120), values.tobytes())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_pillow_picture_keeps_mode_and_pixels(mode: str) -> None:
    image = _image().convert(mode)
    sent = _sent(image)
    assert sent.format == "PNG"
    assert sent.mode == mode
    assert sent.convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_pillow_picture_of_other_colors_becomes_rgb(mode: str) -> None:
    image = _image().convert("RGB").convert(mode)
    sent = _sent(image)
    assert sent.mode == "RGB"
    assert sent.tobytes() == image.convert("RGB").tobytes()


def test_pillow_picture_in_lab_becomes_rgb() -> None:
    sent = _sent(PillowImage.new("LAB", (20, 20), (255, 128, 128)))
    red, green, blue = sent.getpixel((5, 5))  # type: ignore[misc]  # RGB has three channels.
    assert sent.mode == "RGB"
    assert min(red, green, blue) > 245


def test_camera_orientation_is_applied_once() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    _image().convert("RGB").save(file, "JPEG", exif=exif)
    with PillowImage.open(file) as turned:
        sent = _sent(turned)
        assert turned.size == (451, 300)
        expected = turned.transpose(PillowImage.Transpose.ROTATE_270)
    assert sent.size == (300, 451)
    assert sent.tobytes() == expected.tobytes()
    assert sent.getexif().get(0x0112, 1) == 1


def test_callers_picture_stays_as_it_is() -> None:
    image = _image()
    image.info["note"] = "mine"
    image.getexif()[0x0112] = 6
    before = (image.tobytes(), dict(image.info), dict(image.getexif()), image.size, image.mode)
    assert _sent(image).size == (300, 451)
    after = (image.tobytes(), dict(image.info), dict(image.getexif()), image.size, image.mode)
    assert before == after
    assert not hasattr(image, "encoderinfo")


def test_picture_opened_lazily_can_still_be_read_afterwards() -> None:
    with ROCKET.open("rb") as file, PillowImage.open(file) as image:
        first = _url(image)
        assert not file.closed
        assert image.getpixel((0, 0))
        assert _url(image) == first


def test_picture_whose_file_is_cut_off_is_refused() -> None:
    with PillowImage.open(io.BytesIO(ROCKET.read_bytes()[:40_000])) as image:
        with pytest.raises(MediaFormatError, match="cannot be read") as caught:
            _url(image)
        assert caught.value.where == WHERE


def test_picture_that_was_closed_is_refused() -> None:
    image = PillowImage.open(ROCKET)
    image.close()
    with pytest.raises(MediaFormatError, match="still open"):
        _url(image)


@pytest.mark.parametrize(
    ("size", "error"),
    [
        ((9, 50), MediaTooSmallError),
        ((0, 50), MediaTooSmallError),
        ((11, 2_211), MediaRatioError),
    ],
)
def test_pixels_obey_the_size_rules(size: tuple[int, int], error: type[MediaError]) -> None:
    with pytest.raises(error):
        _url(PillowImage.new("RGB", size))


@pytest.mark.parametrize(("mode", "sent_mode"), [("L", "L"), ("RGB", "RGB"), ("P", "RGB")])
def test_opaque_picture_too_long_as_png_becomes_jpeg(mode: str, sent_mode: str) -> None:
    image = _image().convert("RGB" if mode == "RGB" else "L")
    if mode == "P":
        image.putpalette([value for value in range(256) for _ in "RGB"])
    n_png_bytes = len(base64.b64decode(_url(image).partition(",")[2]))
    assert _sent(image, max_inline_bytes=n_png_bytes).format == "PNG"
    sent = _sent(image, max_inline_bytes=n_png_bytes - 1)
    assert (sent.format, sent.mode) == ("JPEG", sent_mode)
    difference = ImageChops.difference(sent, image.convert(sent_mode))
    assert max(ImageStat.Stat(difference).mean) < 4


def test_transparent_image_too_long_as_png_becomes_jpeg() -> None:
    sent = _sent(_noise("RGBA"), max_inline_bytes=40_000)
    assert (sent.format, sent.mode) == ("JPEG", "RGB")


def test_alpha_that_hides_nothing_does_not_prevent_jpeg() -> None:
    image = _noise("RGB").convert("RGBA")
    sent = _sent(image, max_inline_bytes=40_000)
    assert (sent.format, sent.mode) == ("JPEG", "RGB")


def test_picture_too_long_even_as_jpeg_is_refused() -> None:
    with pytest.raises(MediaTooLargeError, match="as JPEG"):
        _url(_noise("RGB"), max_inline_bytes=1_000)


def test_array_and_picture_give_the_same_address() -> None:
    image = _image(COFFEE).convert("RGB")
    assert _url(np.asarray(image)) == _url(image)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((20, 30), "L"), ((20, 30, 1), "L"), ((20, 30, 3), "RGB")],
)
def test_array_keeps_its_pixels(shape: tuple[int, ...], mode: str) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    digest = hashlib.sha256(array.tobytes()).digest()
    sent = _sent(array)
    assert (sent.mode, sent.size) == (mode, (30, 20))
    assert np.array_equal(np.asarray(sent), array.reshape(np.asarray(sent).shape))
    assert hashlib.sha256(array.tobytes()).digest() == digest


def test_array_that_is_a_view_keeps_its_pixels() -> None:
    array = np.asarray(_image().convert("RGB"))[::-2, 10:200:3, ::-1]
    assert np.array_equal(np.asarray(_sent(array)), array)


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((20, 20, 3), dtype=np.int8), "uint8"),
        (np.zeros((20, 20), dtype=complex), "uint8"),
        (np.zeros((0, 20, 3), dtype=np.uint8), "pixels in it"),
        (np.zeros((3, 20, 30), dtype=np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((2, 20, 30), dtype=np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((20, 20, 5), dtype=np.uint8), "height x width"),
        (np.zeros(400, dtype=np.uint8), "height x width"),
        (np.zeros((5, 20, 20, 3), dtype=np.uint8), "frames of a video"),
    ],
)
def test_array_that_is_no_picture_is_refused(array: Any, remedy: str) -> None:
    with pytest.raises(MediaFormatError) as caught:
        _url(array)
    assert remedy in caught.value.remedy
    assert str(array.shape) in str(caught.value)
    assert str(array.dtype) in str(caught.value)


def test_thing_without_pixels_is_refused() -> None:
    with pytest.raises(MediaFormatError, match="dict"):
        _url({"pixels": []})


def test_files_of_just_the_maximum_length_are_taken() -> None:
    image = PillowImage.effect_noise((64, 64), 90).convert("RGB")
    png, jpeg = encode_png(image), encode_jpeg(image, JPEG_QUALITY)
    assert len(jpeg) < len(png)
    assert encode_lossless(image, len(png), "") == ("image/png", png)
    assert encode_lossless(image, len(png) - 1, "") == ("image/jpeg", jpeg)
    assert encode_lossless(image, len(jpeg), "") == ("image/jpeg", jpeg)
    with pytest.raises(MediaTooLargeError):
        encode_lossless(image, len(jpeg) - 1, "")
