"""Fourteen odd or hostile files: converted rightly, or refused with an error of ours.

They go through the core in a process of their own, which outlives them, and whose memory is looked
at.
"""

import base64
import io
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pypdfium2
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET

MIB = 2**20
MOST_MEMORY = 120 * MIB
"""What a file may add to the process: about what FFmpeg takes for one video."""


def film(path: Path, times: list[float], *, size: tuple[int, int] = (320, 180)) -> None:
    with av.open(str(path), "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            pixels = np.full((size[1], size[0], 3), int(time) * 40 % 256, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 1000), round(time * 1000)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


def truncated(path: Path) -> None:
    path.write_bytes(ROCKET.read_bytes()[:20_000])


def bomb(path: Path) -> None:
    """A PNG of 60,000 x 60,000 pixels in 55 KB: 10 GB once it is decoded."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(50 * MIB), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def zero_frames(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as made:
        stream = made.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        made.start_encoding()


def wrong_extension(path: Path) -> None:
    path.write_bytes(CHELSEA.read_bytes())


def deep_png(path: Path) -> None:
    grey = np.linspace(0, 65_535, 64 * 64, dtype=np.uint16).reshape(64, 64)
    Pillow.fromarray(grey).save(path, "PNG")


def cmyk_jpeg(path: Path) -> None:
    Pillow.new("CMYK", (64, 64), (255, 0, 0, 0)).save(path, "JPEG", quality=95)


def transparent_palette(path: Path) -> None:
    image = Pillow.new("P", (64, 64), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    ImageDraw.Draw(image).rectangle((0, 0, 31, 63), fill=0)
    image.save(path, "PNG", transparency=0)


def still_gif(path: Path) -> None:
    Pillow.new("RGB", (64, 64), "red").save(path, "GIF")


def uneven_video(path: Path) -> None:
    film(path, [0, 0.1, 0.2, 0.3, 0.4, 3, 4, 5])


def turned_video(path: Path) -> None:
    """A note to turn by 90 degrees, where FFmpeg's own muxer leaves the unit matrix."""
    film(path, [number / 10 for number in range(40)])
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    matrix = header + 40
    data[matrix : matrix + 36] = struct.pack(
        ">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 180 << 16, 0, 1 << 30
    )
    path.write_bytes(data)


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as made:
        stream = made.add_stream("aac", rate=8000)
        silence = np.zeros((1, 24_000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 8000
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


def encrypted_pdf(path: Path) -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 200)
    buffer = io.BytesIO()
    document.save(buffer)
    locked = buffer.getvalue().replace(b"/Root", b"/Encrypt << /Filter /Standard /V 9 >> /Root", 1)
    path.write_bytes(locked)


def empty(path: Path) -> None:
    path.touch()


def link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside.png"
    outside.write_bytes(CHELSEA.read_bytes())
    path.symlink_to(outside)


PROGRAM = """
import json, resource, sys, warnings
from pathlib import Path
from qwen_vl.content import Document, Frames, Image, LocalFile, Turn, Video
from qwen_vl.errors import QwenVLError
from qwen_vl.media import prepare_media
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA

WHERE = "messages[0].content[0]"

def send(part, **policy):
    turn = Turn(role="user", parts=(part,))
    request = Request(model="qwen3-vl-plus", turns=(turn,), policy=MediaPolicy(**policy))
    return prepare_media(request).turns[0].parts

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def put(kind, mode, path):
    file = LocalFile(Path(path), is_trusted=True)
    part = {
        "image": lambda: Image(source=file, where=WHERE),
        "video": lambda: Video(source=file, video_mode=mode, where=WHERE),
        "document": lambda: Document(source=file, where=WHERE),
    }[kind]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sent = send(part, media_roots=(Path(path).parent,))[0].source
    except QwenVLError as error:
        return {"error": type(error).__name__, "text": str(error)}
    frames = sent.frames if isinstance(sent, Frames) else (sent,)
    return {"URLs": [frame.url for frame in frames]}

# What the libraries take for any file at all is not the file's doing.
bunny = LocalFile(BIG_BUCK_BUNNY, is_trusted=True)
send(Video(source=bunny, video_mode="frames", max_frames=4))
send(Image(source=LocalFile(CHELSEA, is_trusted=True), max_pixels=65536))
for line in sys.stdin:
    before = peak()
    outcome = put(*json.loads(line))
    print(json.dumps({**outcome, "memory": peak() - before}), flush=True)
"""


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that takes files one after another, and lives through all of them."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        assert running.stdin
        running.stdin.close()
    assert running.returncode == 0


@pytest.fixture
def put(process: subprocess.Popen[str], tmp_path: Path) -> Callable[..., Any]:
    """Make a file, send it, and tell what came of it."""

    def send(kind: str, make: Callable[[Path], None], *, mode: str = "auto") -> Any:
        roots = tmp_path / "roots"
        roots.mkdir()
        path = roots / f"{make.__name__}.{'jpg' if make is wrong_extension else 'bin'}"
        make(path)
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps([kind, mode, str(path)]) + "\n")
        process.stdin.flush()
        outcome = json.loads(process.stdout.readline())
        assert outcome["memory"] < MOST_MEMORY
        return outcome

    return send


def opened(outcome: Any, at: int = 0) -> Pillow.Image:
    head, _, data = outcome["URLs"][at].partition(",")
    image = Pillow.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{(image.format or '').lower()};base64"
    return image


@pytest.mark.parametrize(
    ("kind", "make", "mode", "error", "words"),
    [
        ("image", truncated, "", "MediaFormatError", "truncated|cut off|damaged|decoded"),
        ("image", bomb, "", "MediaFormatError|MediaTooLargeError", "60,?000|DecompressionBomb"),
        ("video", zero_frames, "auto", "MediaFormatError", "no frames|no moving images"),
        ("video", zero_frames, "frames", "MediaFormatError", "no frames|no moving images"),
        ("video", still_gif, "auto", "MediaFormatError", "not animated"),
        ("video", sound_alone, "auto", "MediaFormatError", "audio is all"),
        ("video", sound_alone, "frames", "MediaFormatError", "audio is all"),
        ("document", encrypted_pdf, "", "MediaFormatError", "encrypted"),
        ("image", empty, "", "MediaFormatError", "0 bytes"),
        ("video", empty, "frames", "MediaFormatError", "Expected a video|0 bytes"),
        ("image", link_outside, "", "MediaAccessError", "outside media_roots"),
    ],
)
def test_file_is_refused(
    kind: str,
    make: Callable[[Path], None],
    mode: str,
    error: str,
    words: str,
    put: Callable[..., Any],
) -> None:
    outcome = put(kind, make, mode=mode or "auto")
    assert "error" in outcome, outcome
    assert outcome["error"] in error.split("|")
    assert outcome["text"].startswith("messages[0].content[0]: ")
    assert re.search(words, outcome["text"]), outcome["text"]


def test_wrong_extension_is_passed_over(put: Callable[..., Any]) -> None:
    assert opened(put("image", wrong_extension)).format == "PNG"


def test_deep_png_keeps_its_greys(put: Callable[..., Any]) -> None:
    image = opened(put("image", deep_png)).convert("L")
    assert [image.getpixel((x, y)) for x, y in ((0, 0), (0, 33), (63, 63))] == [0, 132, 255]


def test_cmyk_becomes_the_same_color(put: Callable[..., Any]) -> None:
    color = opened(put("image", cmyk_jpeg)).convert("RGB").getpixel((32, 32))
    assert max(abs(a - b) for a, b in zip(color, (0, 255, 255), strict=True)) < 12


def test_transparency_of_a_palette_is_put_on_white(put: Callable[..., Any]) -> None:
    image = opened(put("image", transparent_palette)).convert("RGB")
    assert image.getpixel((5, 5)) == (255, 255, 255)
    assert image.getpixel((60, 5)) == (0, 0, 255)


def test_uneven_video_is_cut_by_its_times(put: Callable[..., Any]) -> None:
    outcome = put("video", uneven_video, mode="frames")
    shades = [
        opened(outcome, at).convert("L").getpixel((160, 90)) for at in range(len(outcome["URLs"]))
    ]
    assert shades == sorted(shades)
    # Each second has its own shade. The last step of the rule lies before the last frame.
    assert {round(shade / 40) for shade in shades} == {0, 3, 4}


def test_turned_video_stands_upright(put: Callable[..., Any]) -> None:
    width, height = opened(put("video", turned_video, mode="frames")).size
    assert height > width


def test_good_files_are_taken(put: Callable[..., Any]) -> None:
    def bunny(path: Path) -> None:
        path.write_bytes(BIG_BUCK_BUNNY.read_bytes())

    outcome = put("video", bunny)
    assert outcome["URLs"][0].startswith("data:video/mp4;base64,")
