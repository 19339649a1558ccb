"""Sizes and lengths from headers, against the sandbox, which decodes."""

import base64
import io
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from qwen_vl.content import Inline, LocalFile
from qwen_vl.media import measure
from qwen_vl.media.measure import measure_image, measure_video
from qwen_vl.request.types import MediaPolicy
from qwen_vl_sandbox.media.fetch import Content
from qwen_vl_sandbox.media.inspect import see_video
from qwen_vl_sandbox.specs.models import model_spec


def _encoded(size: tuple[int, int], kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", size, "red").save(file, kind, **options)
    return file.getvalue()


def _film(
    path: Path, *, size: tuple[int, int] = (320, 240), rate: int = 10, seconds: float = 3
) -> Path:
    codecs = {".flv": "flv1", ".wmv": "wmv2", ".webm": "libvpx", ".mpg": "mpeg1video"}
    with av.open(str(path), "w") as film:
        # Of the codecs, this alone takes its time if it may.
        options = {"deadline": "realtime", "cpu-used": "8"} if path.suffix == ".webm" else {}
        stream = film.add_stream(codecs.get(path.suffix, "mpeg4"), rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(round(rate * seconds)):
            pixels = np.full((size[1], size[0], 3), number * 5 % 256, dtype=np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "suffix", [".mp4", ".mov", ".avi", ".mkv", ".flv", ".wmv", ".webm", ".3gp"]
)
@pytest.mark.parametrize("seconds", [2.3, 3.0, 4.7])
def test_film_in_any_container_is_measured(suffix: str, seconds: float, tmp_path: Path) -> None:
    size = (352, 288) if suffix == ".3gp" else (320, 240)
    path = _film(tmp_path / f"film{suffix}", size=size, rate=10, seconds=seconds)
    clip = measure_video(LocalFile(path, is_trusted=True), MediaPolicy(), "")

    with path.open("rb") as file:
        seen = see_video(Content(file.read(), ""), model_spec("qwen3-vl-plus").video)
    assert clip is not None
    assert (clip.width, clip.height) == (seen.clip.width, seen.clip.height) == size
    assert (clip.seconds, clip.n_frames) == (seen.clip.seconds, seen.clip.frames)


def test_only_the_header_of_base64_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "load", lambda *_: pytest.fail("It was decoded whole."))
    text = base64.b64encode(_encoded((2000, 1500), "BMP")).decode()

    assert measure_image(Inline(text), MediaPolicy(), "") == (2000, 1500)


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "ICO", "JPEG2000", "SGI", "GIF", "BMP", "PPM"])
def test_other_formats_are_measured(kind: str) -> None:
    data = _encoded((200, 100), kind, **({"sizes": [(200, 100)]} if kind == "ICO" else {}))

    assert measure_image(Inline(data), MediaPolicy(), "") == (200, 100)


def test_long_header_of_a_jpeg_is_read() -> None:
    plain = _encoded((640, 480), "JPEG")
    # Two notes of 64 KB before the header, as cameras write their thumbnails.
    note = b"\xff\xed" + struct.pack(">H", 65_000) + bytes(64_998)
    data = plain[:2] + note + note + plain[2:]

    assert measure_image(Inline(data), MediaPolicy(), "") == (640, 480)
