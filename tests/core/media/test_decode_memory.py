"""Small files that would take gigabytes to decode: refused before anything is allocated.

They go through the core in a process of their own, whose memory is looked at.
"""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pybase64
import pytest
from PIL import Image as Pillow

from qwen_vl.content import Image, Inline, Turn, Video
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media import prepare_media
from qwen_vl.media.decoding import check_decodable, check_icon, decoding_limited
from qwen_vl.media.image import open_image
from qwen_vl.media.pixels import upright
from qwen_vl.media.video.sample_tables import check_sample_tables
from qwen_vl.request.build import build_media_policy
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import CHELSEA
from qwen_vl.settings import QwenVLSettings

MIB = 2**20
SIDE = 13_000
"""Just below the size at which Pillow refuses to open a file."""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(color_type: int, depth: int = 8, *, behind: bytes = b"") -> bytes:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    row = bytes(1 + SIDE * channels * depth // 8)
    # One row is enough for a header: nothing is decoded.
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, color_type, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(768)) if color_type == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(row))
    end = behind + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + pixels + end


def gif(n_frames: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return screen + frame * n_frames + b";"


def jpeg(mode: str, **options: Any) -> bytes:
    """Write a small JPEG, whose header says that it is large."""
    buffer = io.BytesIO()
    Pillow.new(mode, (64, 64)).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    frame = next(data.index(mark) for mark in (b"\xff\xc2", b"\xff\xc0") if mark in data)
    return data[: frame + 5] + struct.pack(">HH", SIDE, SIDE) + data[frame + 9 :]


def large_webp() -> bytes:
    canvas = (SIDE - 1).to_bytes(3, "little") * 2
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    buffer = io.BytesIO()
    Pillow.new("RGB", (16, 16)).save(buffer, "WEBP")
    inner = extended + buffer.getvalue()[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner


def tiff(**tags: int) -> bytes:
    """Write a TIFF of one strip or tile, whose header says more than its bytes."""
    fields = {
        256: tags.get("width", SIDE),
        257: tags.get("height", SIDE),
        258: 8,
        259: 5,
        262: 1,
        277: 1,
    }
    data = b"\x80\x00\x00"
    if "tile" in tags:
        fields |= {322: tags["tile"], 323: tags["tile"], 324: 8, 325: len(data)}
    else:
        fields |= {273: 8, 278: fields[257], 279: len(data)}
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(fields.items())
    )
    return (
        b"II*\0"
        + struct.pack("<I", 12)
        + data
        + b"\0"
        + struct.pack("<H", len(fields))
        + (entries + bytes(4))
    )


def ico(inner: bytes) -> bytes:
    entry = struct.pack("<BBBBHHII", 64, 64, 0, 0, 1, 32, len(inner), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inner


def icns(inner: bytes) -> bytes:
    part = b"ic10" + struct.pack(">I", 8 + len(inner)) + inner
    return b"icns" + struct.pack(">I", 8 + len(part)) + part


def bmp() -> bytes:
    palette = bytes(1_024)
    rle = b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, len(rle), 0, 0, 256, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rle), 0, 0, start) + head + palette + rle


NOTE = chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0")
IMAGES: dict[str, Callable[[], bytes]] = {
    "PNG, RGB": lambda: png(2),
    "PNG, RGBA": lambda: png(6),
    "PNG, RGBA of 16 bits": lambda: png(6, 16),
    "PNG, gray of 16 bits": lambda: png(0, 16),
    "PNG, gray and alpha": lambda: png(4),
    "PNG, palette": lambda: png(3),
    "PNG, 1 bit": lambda: png(0, 1),
    "PNG, note behind the pixels": lambda: png(2, behind=NOTE),
    "GIF": lambda: gif(1),
    "JPEG, progressive": lambda: jpeg("RGB", progressive=True),
    "JPEG, CMYK": lambda: jpeg("CMYK"),
    "WEBP": large_webp,
    "TIFF": tiff,
    "ICO": lambda: ico(png(6)),
    "ICNS": lambda: icns(png(6)),
    "BMP, run lengths": bmp,
}


def film(*, fragmented: bool = False, n_frames: int = 40) -> bytes:
    buffer = io.BytesIO()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if fragmented else {}
    with av.open(buffer, "w", format="mp4", options=options) as made:
        stream = made.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(n_frames):
            pixels = np.full((64, 64, 3), number * 6, dtype=np.uint8)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        made.mux(stream.encode(None))
    return buffer.getvalue()


def with_samples(n_samples: int) -> bytes:
    """Have the tables list samples of one byte each."""
    data = bytearray(film())
    sizes, times, chunks = (data.index(name) for name in (b"stsz", b"stts", b"stsc"))
    struct.pack_into(">II", data, sizes + 8, 1, n_samples)
    struct.pack_into(">II", data, times + 12, n_samples, 100)
    struct.pack_into(">III", data, chunks + 12, 1, n_samples, 1)
    return bytes(data)


def with_run(n_samples: int) -> bytes:
    """Have a run of a fragment list samples that have no bytes of their own."""
    data = bytearray(film(fragmented=True))
    run = data.index(b"trun")
    struct.pack_into(">II", data, run + 4, 0, n_samples)
    return bytes(data)


def nested_samples() -> bytes:
    """Hide the tables behind a box with a length of 64 bits, in a second track."""
    data = with_samples(30_000_000)
    moov = data.index(b"moov") - 4
    size = int.from_bytes(data[moov : moov + 4])
    inner = data[moov + 8 : moov + size]
    return data[:moov] + struct.pack(">I4sQ", 1, b"moov", len(inner) + 16) + inner


def compressed_header() -> bytes:
    data = film()
    moov = data.index(b"moov") - 4
    packed = zlib.compress(data[moov:])
    inner = struct.pack(">I4s4s", 12, b"dcom", b"zlib")
    inner += struct.pack(">I4sI", 12 + len(packed), b"cmvd", 2**31 - 1) + packed
    inner = struct.pack(">I4s", 8 + len(inner), b"cmov") + inner
    return data[:moov] + struct.pack(">I4s", 8 + len(inner), b"moov") + inner


def apng() -> bytes:
    """An APNG of two frames, whose header says that they are large."""
    control = chunk(b"acTL", struct.pack(">II", 2, 0))
    frame = struct.pack(">IIIIHHBB", SIDE, SIDE, 0, 0, 1, 10, 0, 0)
    pixels = zlib.compress(bytes(1 + SIDE * 3))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + control
        + chunk(b"fcTL", struct.pack(">I", 0) + frame)
        + chunk(b"IDAT", pixels)
        + chunk(b"fcTL", struct.pack(">I", 1) + frame)
        + chunk(b"fdAT", struct.pack(">I", 2) + pixels)
        + chunk(b"IEND", b"")
    )


VIDEOS: dict[str, Callable[[], bytes]] = {
    "MP4, ten million samples": lambda: with_samples(10_000_000),
    "MP4, sixty million samples": lambda: with_samples(60_000_000),
    "MP4, run of a fragment": lambda: with_run(20_000_000),
    "MP4, long box": nested_samples,
    "QuickTime, compressed header": compressed_header,
    "GIF, animated": lambda: gif(200),
    "APNG": apng,
}


PROGRAM = """
import base64, json, resource, sys, warnings
from qwen_vl.content import Image, Inline, LocalFile, Turn, Video
from qwen_vl.errors import QwenVLError
from qwen_vl.media import prepare_media
from qwen_vl.media.decoding import check_decodable, decoding_limited
from qwen_vl.request.types import Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.tokens.conversation import count_tokens

warnings.simplefilter("ignore")

def send(part):
    return prepare_media(Request(model="qwen3-vl-plus", turns=(Turn(role="user", parts=(part,)),)))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

# What the libraries take for any file at all is not the file's doing.
send(Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="frames", max_frames=4))
send(Image(source=LocalFile(CHELSEA, is_trusted=True), max_pixels=65536))
for line in sys.stdin:
    kind, action, text = json.loads(line)
    data = base64.b64decode(text)
    before = peak()
    if kind == "image":
        part = Image(source=Inline(data))
    else:
        part = Video(source=Inline(data), video_mode="frames" if action == "frames" else None)
    try:
        error = None
        count_tokens(part, "qwen3-vl-plus") if action == "count" else send(part)
    except QwenVLError as caught:
        error = type(caught).__name__
    print(json.dumps({"error": error, "memory": peak() - before}), flush=True)
"""


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        assert running.stdin
        running.stdin.close()
    assert running.returncode == 0


def run(process: subprocess.Popen[str], kind: str, action: str, data: bytes) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    line = json.dumps([kind, action, pybase64.b64encode(data).decode()])
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    outcome: dict[str, Any] = json.loads(process.stdout.readline())
    return outcome


@pytest.mark.parametrize("action", ["send", "count"])
@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
def test_image_that_would_fill_the_memory(
    make: Callable[[], bytes], action: str, process: subprocess.Popen[str]
) -> None:
    data = make()
    outcome = run(process, "image", action, data)
    # Its bytes are held some times over, in Base64 among others.
    assert outcome["memory"] < 30 * MIB + 8 * len(data)
    if action == "send":
        assert outcome["error"] in {"MediaTooLargeError", "MediaFormatError"}


@pytest.mark.parametrize("action", ["send", "frames", "count"])
@pytest.mark.parametrize("make", VIDEOS.values(), ids=VIDEOS)
def test_video_that_would_fill_the_memory(
    make: Callable[[], bytes], action: str, process: subprocess.Popen[str]
) -> None:
    data = make()
    outcome = run(process, "video", action, data)
    assert outcome["memory"] < 30 * MIB + 8 * len(data)
    if action != "count":
        assert outcome["error"] in {"MediaTooLargeError", "MediaFormatError"}


def send(part: Image | Video, policy: MediaPolicy) -> None:
    turn = Turn(role="user", parts=(part,))
    prepare_media(Request(model="qwen3-vl-plus", turns=(turn,), policy=policy))


def test_limit_is_a_setting() -> None:
    buffer = io.BytesIO()
    Pillow.new("RGB", (4_000, 3_000)).save(buffer, "PNG")
    image = Image(source=Inline(buffer.getvalue()), where="messages[0].content[0]")
    send(image, MediaPolicy())
    small = build_media_policy(QwenVLSettings(max_decode_memory=50 * MIB))
    with pytest.raises(MediaTooLargeError) as caught:
        send(image, small)
    assert str(caught.value) == (
        "messages[0].content[0]: The image of 4000 x 3000 pixels would take about 69 MiB of memory "
        "to decode; at most 50 MiB are allowed. Scale it down, or raise max_decode_memory if you "
        "trust its source."
    )


def test_tile_that_is_larger_than_its_image_is_not_allocated() -> None:
    opened = open_image(tiff(width=64, height=64, tile=60_000), "image/tiff", "")
    assert opened
    with opened, pytest.raises(MediaTooLargeError):
        upright(opened, "")


def test_what_is_not_decoded_is_not_limited() -> None:
    image = Image(source=Inline(CHELSEA.read_bytes()))
    send(image, MediaPolicy(max_decode_memory=1))


def test_large_photograph_passes() -> None:
    """50 megapixels, as of a telephone."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (8_160, 6_144)).save(buffer, "JPEG", quality=10)
    send(Image(source=Inline(buffer.getvalue())), MediaPolicy())


@pytest.mark.parametrize("fragmented", [False, True])
def test_tables_of_a_good_file_pass(fragmented: bool) -> None:
    check_sample_tables(io.BytesIO(film(fragmented=fragmented)), "")


def test_index_is_limited_by_memory() -> None:
    data = with_samples(2_000_000) + struct.pack(">I4s", 3_000_000, b"free") + bytes(2_999_992)
    with pytest.raises(MediaTooLargeError, match="The index of 2,000,000 samples"):
        send(Video(source=Inline(data), video_mode="frames"), MediaPolicy(max_decode_memory=MIB))


@pytest.mark.parametrize("n_bytes", [0, 4, 7, 8, 12, 20, 33, 100, 500, 900])
def test_cut_tables_are_read_as_far_as_they_go(n_bytes: int) -> None:
    data = film()
    moov = data[data.index(b"moov") - 4 :]
    check_sample_tables(io.BytesIO(moov[:n_bytes]), "")


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 2**32 - 1])
def test_box_of_an_odd_length_ends_the_search(size: int) -> None:
    check_sample_tables(io.BytesIO(struct.pack(">I4s", size, b"moov") * 100), "")


def test_compressed_header_is_an_error() -> None:
    with pytest.raises(MediaFormatError, match="compressed"):
        check_sample_tables(io.BytesIO(compressed_header()), "")


@pytest.mark.parametrize(
    ("kind", "mode", "options", "bytes_per_pixel"),
    [
        # As measured with Pillow 12: the pixels, and what the decoder keeps besides.
        ("PNG", "1", {}, 6),
        ("PNG", "P", {}, 6),
        ("PNG", "L", {}, 3),
        ("PNG", "RGB", {}, 6),
        ("PNG", "RGBA", {}, 12),
        ("PNG", "LA", {}, 12),
        ("PNG", "I;16", {}, 16),
        ("PNG", "P", {"transparency": 0}, 12),
        ("JPEG", "RGB", {}, 6),
        ("JPEG", "CMYK", {}, 14),
        ("JPEG", "RGB", {"progressive": True}, 12),
        ("GIF", "P", {}, 8),
        ("TIFF", "RGB", {}, 10),
        ("TIFF", "LAB", {}, 18),
        ("WEBP", "RGB", {}, 16),
        ("WEBP", "RGBA", {}, 22),
        ("JPEG2000", "RGB", {}, 22),
        ("AVIF", "RGB", {}, 14),
    ],
)
def test_estimate_is_exact(
    kind: str, mode: str, options: dict[str, Any], bytes_per_pixel: int
) -> None:
    file = io.BytesIO()
    Pillow.new(mode, (50, 40)).save(file, kind, **options)
    n_bytes = 50 * 40 * bytes_per_pixel

    with decoding_limited(n_bytes), Pillow.open(file) as image:
        check_decodable(image, "content[0]")
    with (
        decoding_limited(n_bytes - 1),
        Pillow.open(file) as image,
        pytest.raises(MediaTooLargeError, match="The image of 50 x 40 pixels") as caught,
    ):
        check_decodable(image, "content[0]")
    assert (caught.value.value, caught.value.limit) == (n_bytes, n_bytes - 1)
    assert caught.value.where == "content[0]"


@pytest.mark.parametrize("mark", [b"IHDR", b"ihdr"])
def test_size_of_an_image_within_an_icon_is_its_own(mark: bytes) -> None:
    first = mark + struct.pack(">II", 256, 128)
    check_icon(b"\0\0\1\0" + first + b"\xff\xff\xff\xff", "")
    second = mark + struct.pack(">II", 70_001, 65_537)
    with pytest.raises(MediaTooLargeError, match="image of 70001 x 65537 pixels within the icon"):
        check_icon(b"\0\0\1\0" + first + second + b"\xff\xff\xff\xff", "")
