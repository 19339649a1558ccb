"""Images that decoders do not read alike: what is sent is the same in whatever form they come."""

import base64
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pybase64
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from media_counters import media_work
from qwen_vl.content import DataUrl, Image, Inline, LocalFile, Pixels, Turn, Url
from qwen_vl.errors import MediaFormatError
from qwen_vl.media import prepare_media
from qwen_vl.media.part import prepare_image
from qwen_vl.request.media_cache import MediaCache
from qwen_vl.request.types import MediaPolicy, Request

WHERE = "messages[0].content[0]"


def written(image: PillowImage.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sent(form: Any) -> bytes:
    source = Inline(form) if isinstance(form, bytes | str) else Pixels(form)
    turn = Turn(role="user", parts=(Image(source=source, where=WHERE),))
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


def deep_png(values: "np.ndarray[Any, Any]", transparent: "tuple[int, ...]" = ()) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write in colors (PNG, third edition)."""
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_of(width, height, rows, 16, color_type, transparent)


def png_of(
    width: int,
    height: int,
    rows: bytes,
    n_bits: int,
    color_type: int,
    transparent: "tuple[int, ...]",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, n_bits, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if transparent:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def shallow_png(values: "np.ndarray[Any, Any]", transparent: int) -> bytes:
    """A PNG of 4 bits in gray, as optimizers write them."""
    height, width = values.shape
    pairs = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pairs)
    return png_of(width, height, rows, 4, 0, (transparent,))


def deep_tiff(values: "np.ndarray[Any, Any]", photometric: int = 2) -> bytes:
    """A TIFF of 16 bits a channel (TIFF 6.0, page 23): colors, or gray of which 0 is white."""
    height, width, channels = values.shape
    data = values.astype("<u2").tobytes()
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, 8 + len(data) if channels > 1 else 16),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    at = 8 + len(data) + len(bits)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, at) + data + bits + directory


_rng = np.random.default_rng(3)
SHAPE = (48, 64)
COLORS = _rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
ALPHA = _rng.integers(0, 256, SHAPE, dtype=np.uint8)
GRAY = COLORS[..., 0].copy()
DEEP = _rng.integers(0, 65_536, (*SHAPE, 3), dtype=np.uint16)
DEEP_GRAY = DEEP[..., 0].copy()
FLOATS = (DEEP_GRAY / 65_535).astype(np.float32)

RGBA = PillowImage.fromarray(np.dstack([COLORS, ALPHA]))
LA = PillowImage.merge("LA", [PillowImage.fromarray(GRAY), PillowImage.fromarray(ALPHA)])
PALETTE = PillowImage.fromarray(COLORS).quantize(8)
KEYED = PALETTE.copy()
KEYED.info["transparency"] = 3
PALETTE_ALPHA = PALETTE.convert("PA")
PALETTE_ALPHA.putalpha(PillowImage.fromarray(ALPHA))
CMYK = PillowImage.fromarray(COLORS).convert("CMYK")


def on_white(colors: Any, alpha: Any) -> Any:
    """What is seen of an image on white paper; differences of 1 are the rounding of decoders."""
    share = np.asarray(alpha, float)[..., None] / 255
    return np.asarray(colors, float) * share + 255 * (1 - share)


def gray(values: Any) -> Any:
    return np.repeat(np.asarray(values)[..., None], 3, axis=2)


KEYED_WHITE = np.asarray(PALETTE.convert("RGB")).copy()
KEYED_WHITE[np.asarray(PALETTE) == 3] = 255

FORMS: dict[str, tuple[Any, list[Any]]] = {
    "RGBA": (
        on_white(COLORS, ALPHA),
        [
            RGBA,
            np.asarray(RGBA),
            written(RGBA, "PNG"),
            written(RGBA, "TIFF"),
            written(RGBA, "WEBP", lossless=True, exact=True),
            written(RGBA, "ICO", sizes=[RGBA.size]),
            written(RGBA, "JPEG2000"),
        ],
    ),
    "LA": (
        on_white(gray(GRAY), ALPHA),
        [LA, np.asarray(LA), written(LA, "PNG"), written(LA, "TIFF")],
    ),
    "P with a transparent color": (
        KEYED_WHITE,
        [KEYED, written(KEYED, "PNG"), written(KEYED, "GIF")],
    ),
    "PA": (
        on_white(np.asarray(PALETTE.convert("RGB")), ALPHA),
        [PALETTE_ALPHA, written(PALETTE_ALPHA, "TIFF")],
    ),
    "L with a transparent shade": (
        gray(np.where(GRAY[0, 0] == GRAY, 255, GRAY)),
        [written(PillowImage.fromarray(GRAY), "PNG", transparency=int(GRAY[0, 0]))],
    ),
    "gray of 16 bits": (
        gray(DEEP_GRAY >> 8),
        [
            PillowImage.fromarray(DEEP_GRAY),
            PillowImage.fromarray(DEEP_GRAY.astype(">u2")),
            PillowImage.fromarray(DEEP_GRAY.astype(np.int32)),
            PillowImage.fromarray(DEEP_GRAY.astype(np.float32)),
            DEEP_GRAY,
            DEEP_GRAY[..., None],
            DEEP_GRAY.astype(">u2"),
            *(DEEP_GRAY.astype(form) for form in ("i4", ">i4", "i8", "u4", "u8")),
            np.asarray(PillowImage.fromarray(DEEP_GRAY.astype(np.int32))),
            written(PillowImage.fromarray(DEEP_GRAY), "PNG"),
            written(PillowImage.fromarray(DEEP_GRAY), "TIFF"),
            written(PillowImage.fromarray(DEEP_GRAY.astype(">u2")), "TIFF"),
            written(PillowImage.fromarray(DEEP_GRAY.astype(np.int32)), "TIFF"),
        ],
    ),
    "gray of 16 bits with a transparent shade": (
        gray(np.where(DEEP_GRAY[0, 0] == DEEP_GRAY, 255, DEEP_GRAY >> 8)),
        [deep_png(DEEP_GRAY[..., None], (int(DEEP_GRAY[0, 0]),))],
    ),
    "gray and alpha of 16 bits": (
        on_white(gray(DEEP_GRAY >> 8), DEEP[..., 1] >> 8),
        [deep_png(DEEP[..., :2]), DEEP[..., :2], DEEP[..., :2].astype("i8")],
    ),
    "colors of 16 bits": (
        DEEP >> 8,
        [
            DEEP,
            DEEP.astype("i4"),
            DEEP.astype("u8"),
            DEEP.astype(">u2"),
            deep_png(DEEP),
            deep_tiff(DEEP),
        ],
    ),
    "colors of 16 bits with a transparent one": (
        np.where((DEEP[0, 0] == DEEP).all(axis=2)[..., None], 255, DEEP >> 8),
        [deep_png(DEEP, tuple(map(int, DEEP[0, 0])))],
    ),
    "colors and alpha of 16 bits": (
        on_white(DEEP >> 8, DEEP[..., 1] >> 8),
        [
            deep_png(np.dstack([DEEP, DEEP[..., 1]])),
            np.dstack([DEEP, DEEP[..., 1]]),
        ],
    ),
    "16 bits of which 0 is white": (
        gray((65_535 - DEEP_GRAY.astype(int)) / 257),
        [deep_tiff(DEEP_GRAY[..., None], photometric=0)],
    ),
    "transparent gray of 4 bits": (
        gray(np.where(GRAY >> 4 == 5, 255, (GRAY >> 4).astype(int) * 17)),
        [shallow_png(GRAY >> 4, 5)],
    ),
    "floats": (
        gray(FLOATS * 255),
        [
            FLOATS,
            FLOATS.astype(float),
            PillowImage.fromarray(FLOATS),
            written(PillowImage.fromarray(FLOATS), "TIFF"),
        ],
    ),
    "floats up to 255": (
        gray(GRAY),
        [GRAY.astype(float), PillowImage.fromarray(GRAY).convert("F"), GRAY],
    ),
    "colors as floats": (COLORS, [COLORS / 255, (COLORS / 255).astype(np.float32)]),
    "floats that overshoot": (
        gray(np.clip(np.linspace(-5, 265, GRAY.size).reshape(GRAY.shape), 0, 255)),
        [
            np.linspace(-5, 265, GRAY.size).reshape(GRAY.shape) / 255,
            PillowImage.fromarray(
                np.linspace(-5, 265, GRAY.size, dtype=np.float32).reshape(GRAY.shape) / 255
            ),
        ],
    ),
    "booleans": (
        gray(np.where(GRAY > 128, 255, 0)),
        [GRAY > 128, PillowImage.fromarray(GRAY > 128)],
    ),
    "CMYK": (np.asarray(CMYK.convert("RGB")), [CMYK, written(CMYK, "TIFF")]),
}


@pytest.mark.parametrize("name", FORMS)
def test_server_sees_the_same_in_whatever_form_it_comes(name: str) -> None:
    expected, forms = FORMS[name]
    seen = []
    for form in forms:
        if isinstance(form, bytes):
            seen += [sent(form), sent(base64.b64encode(form).decode())]
        else:
            seen.append(sent(form))
    images = [PillowImage.open(io.BytesIO(data)) for data in seen]
    assert {image.mode for image in images} <= {"1", "L", "RGB"}
    pixels = [np.asarray(image.convert("RGB")) for image in images]
    assert all(np.array_equal(one, pixels[0]) for one in pixels)
    assert np.abs(pixels[0] - np.asarray(expected, float)).max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        np.full(SHAPE, -0.5),
        np.full(SHAPE, np.nan),
        np.where(GRAY > 128, np.nan, 0.5),
        np.full(SHAPE, np.inf),
        np.full((*SHAPE, 3), 70_000.0),
        PillowImage.new("I", SHAPE, -1),
        PillowImage.new("I", SHAPE, 70_000),
        np.full(SHAPE, -1, "i8"),
        np.full(SHAPE, -1, "i2"),
        np.full(SHAPE, 70_000, "u4"),
        # These bits are a gray of 16 bits in the lower half.
        np.full(SHAPE, 2**40 + 1_000, "u8"),
        PillowImage.new("F", SHAPE, 1e9),
    ],
    ids=[
        "negative",
        "not a number",
        "partly not a number",
        "infinite",
        "beyond 16 bits",
        "negative I",
        "I beyond 16 bits",
        "negative i8",
        "negative i2",
        "u4 beyond 16 bits",
        "u8 beyond 32 bits",
        "F beyond 16 bits",
    ],
)
def test_values_whose_white_is_not_known(image: Any) -> None:
    with pytest.raises(MediaFormatError, match=r"not known what is white.*convert"):
        sent(image)


@pytest.mark.parametrize("form", [np.uint16, np.int32])
def test_deep_image_with_shallow_values_is_black_with_a_warning(form: Any) -> None:
    for image in (PillowImage.fromarray(np.full(SHAPE, 200, form)), np.full(SHAPE, 200, form)):
        with pytest.warns(UserWarning, match="no value above 200"):
            sent(image)
    sent(PillowImage.fromarray(np.zeros(SHAPE, form)))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *((kind, mode) for kind in ("WEBP", "PNG", "TIFF", "JPEG") for mode in ("L", "RGB")),
        *((kind, mode) for kind in ("WEBP", "PNG", "TIFF") for mode in ("LA", "RGBA")),
        *(("PNG", mode) for mode in ("1", "P")),
    ],
)
def test_opaque_file_goes_out_byte_for_byte(kind: str, mode: str) -> None:
    data = written(PillowImage.new("RGB", (64, 48), "red").convert(mode), kind)
    assert sent(data) == data


def test_opaque_file_with_alpha_is_decoded_once_in_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(written(PillowImage.new("RGBA", (64, 48), "red"), "PNG"))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    policy = MediaPolicy(cache=MediaCache())
    with media_work(path) as work:
        for _ in range(3):
            prepare_image(LocalFile(path, is_trusted=True), policy, WHERE)
    assert work["decode"] == 1


def test_color_profile_stays_where_it_holds() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image in (RGBA, PillowImage.fromarray(COLORS)):
        made = PillowImage.open(io.BytesIO(sent(written(image, "PNG", icc_profile=profile))))
        assert made.info["icc_profile"] == profile
    made = PillowImage.open(io.BytesIO(sent(written(CMYK, "JPEG", icc_profile=profile))))
    assert "icc_profile" not in made.info


def test_transparent_color_of_8_bits_is_that_color() -> None:
    row = b"\0" + bytes([255, 0, 0] * 16 + [0, 0, 0] * 16)
    png = png_of(32, 16, row * 16, 8, 2, (255, 0, 0))
    with PillowImage.open(io.BytesIO(sent(png))) as image:
        assert [image.convert("RGB").getpixel((x, 0)) for x in (0, 31)] == [
            (255, 255, 255),
            (0, 0, 0),
        ]
