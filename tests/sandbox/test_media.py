"""Media of rarer kinds, made here, decoded by the sandbox."""

import io
import struct

import av
import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.media.fetch import Content
from qwen_vl_sandbox.media.inspect import inspect_image, open_video, see_video
from qwen_vl_sandbox.specs.models import model_spec


def filmed(seconds: int, container: str = "mp4") -> Content:
    """Film one black frame per second."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as film:
        stream = film.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(seconds):
            film.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        film.mux(stream.encode())
    return Content(file.getvalue(), f"video/{container}")


def test_clock_of_matroska_may_begin_anywhere() -> None:
    """Its length is from its first frame to its last: 4 seconds here, not 14."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts = 50 + number
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    clip = open_video(Content(file.getvalue(), "video/x-matroska")).clip
    assert abs(clip.seconds - 4) < 0.25


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
        ("JPEG2000", "image/jp2"),
        ("ICO", "image/x-icon"),
        ("SGI", "image/sgi"),
        ("PNG", "image/png"),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_picture_of_a_listed_format_is_decoded(kind: str, media_type: str, mode: str) -> None:
    """All formats of the Vision page (2026-08) and the Errors page (2026-07)."""
    file = io.BytesIO()
    Image.new(mode, (32, 32), "#102030").save(file, kind)
    seen = inspect_image(Content(file.getvalue(), media_type), strict=True)
    assert (seen.format, seen.width, seen.height) == (kind, 32, 32)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16", "F"])
def test_picture_of_any_mode_has_a_mean_color(mode: str) -> None:
    """Grey, indexed and deep images are taken too."""
    file = io.BytesIO()
    Image.new(mode, (16, 16)).save(file, "TIFF")
    assert inspect_image(Content(file.getvalue(), "image/tiff"), strict=True).color is not None


def test_heic_picture_is_measured_by_its_header() -> None:
    """Tiles are smaller than the image; its color stays unknown."""
    boxes = b"".join(
        b"\x00\x00\x00\x14ispe" + struct.pack(">III", 0, *size) for size in ((512, 512), (900, 600))
    )
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + boxes
    seen = inspect_image(Content(data, "image/heic"), strict=True)
    assert (seen.format, seen.width, seen.height, seen.color) == ("HEIC", 900, 600, None)


def test_heic_picture_without_size_is_refused() -> None:
    """There is nothing to decode."""
    with pytest.raises(ApiError, match="Failed to decode"):
        inspect_image(Content(b"\x00\x00\x00\x18ftypheic", "image/heic"), strict=True)


@pytest.mark.parametrize(
    ("container", "name"),
    [("mp4", "MP4"), ("matroska", "MATROSKA"), ("avi", "AVI"), ("asf", "ASF")],
)
def test_video_container_is_named(container: str, name: str) -> None:
    """The containers of the Vision page (2026-08)."""
    spec = model_spec("qwen3-vl-plus").video
    assert spec is not None
    seen = see_video(filmed(6, container), spec)
    assert (seen.format, seen.clip.width, seen.clip.height) == (name, 64, 48)
    assert seen.clip.seconds == pytest.approx(6, abs=1.1)


@pytest.mark.parametrize(("seconds", "words"), [(1, "too short"), (41, "too long")])
def test_video_outside_the_length_is_refused(seconds: int, words: str) -> None:
    """The oldest models take 2 to 40 seconds (Vision page, 2026-08)."""
    spec = model_spec("qwen2-vl-7b-instruct").video
    assert spec is not None
    with pytest.raises(ApiError, match=words):
        see_video(filmed(seconds), spec)


@pytest.mark.parametrize("cut", [0, 100, 50_000])
def test_broken_video_is_refused(cut: int) -> None:
    """Whatever is left of it."""
    spec = model_spec("qwen3-vl-plus").video
    assert spec is not None
    with pytest.raises(ApiError, match="Invalid video file"):
        see_video(Content(BIG_BUCK_BUNNY.read_bytes()[:cut], "video/mp4"), spec)


def test_sound_without_picture_is_no_video() -> None:
    """An audio file has no frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as sound:
        stream = sound.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame("s16", "mono", 800)
        frame.rate = 8000
        sound.mux(stream.encode(frame))
        sound.mux(stream.encode())
    spec = model_spec("qwen3-vl-plus").video
    assert spec is not None
    with pytest.raises(ApiError, match="Invalid video file"):
        see_video(Content(file.getvalue(), "video/mp4"), spec)
