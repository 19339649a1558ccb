"""Rules for a single image."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from qwen_vl.content import Image, Inline, LocalFile, Source, Turn, Video
from qwen_vl.errors import (
    MediaAccessError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    MediaRatioError,
    MediaTooLargeError,
    MediaTooSmallError,
)
from qwen_vl.media import ImageHeader, prepare_media, read_image_header
from qwen_vl.media.image import check_large, check_size
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET

WHERE = "messages[0].content[1]"


def _prepare(part: Image | Video, **policy: Any) -> str:
    request = Request(
        model="qwen3-vl-plus",
        turns=(Turn(role="user", parts=(part,)),),
        policy=MediaPolicy(**policy),
    )
    ready: Any = prepare_media(request).turns[0].parts[0]
    return str(ready.source.url)


def _image(source: Source, **policy: Any) -> str:
    return _prepare(Image(source=source, where=WHERE), **policy)


def _decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def _written(pillow_format: str, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    file = io.BytesIO()
    PillowImage.new("RGB", size, (200, 30, 60)).save(file, pillow_format, **options)
    return file.getvalue()


def _animation(pillow_format: str) -> bytes:
    frames = [PillowImage.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, pillow_format, save_all=True, append_images=frames[1:])
    return file.getvalue()


@pytest.mark.parametrize(
    ("pillow_format", "media_type"),
    [
        ("BMP", "image/bmp"),
        ("ICNS", "image/icns"),
        ("ICO", "image/x-icon"),
        ("JPEG", "image/jpeg"),
        ("JPEG2000", "image/jp2"),
        ("PNG", "image/png"),
        ("SGI", "image/sgi"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
    ],
)
def test_listed_format_goes_out_byte_for_byte(pillow_format: str, media_type: str) -> None:
    data = _written(pillow_format)
    url = _image(Inline(data))
    assert url.startswith(f"data:{media_type};base64,")
    assert _decoded(url) == data


@pytest.mark.slow
@pytest.mark.parametrize("pillow_format", ["BMP", "TIFF", "WEBP"])
def test_picture_beyond_4k_must_be_jpeg_or_png(pillow_format: str) -> None:
    at_limit, beyond = (3840, 2160), (3841, 2160)
    roomy = {"max_inline_bytes": 40_000_000, "max_total_inline_bytes": 40_000_000}
    data = _written(pillow_format, beyond)
    assert _image(Inline(data), **roomy)
    roomy["downscale_images"] = False
    assert _image(Inline(_written(pillow_format, at_limit)), **roomy)
    assert _image(Inline(_written("PNG", beyond)), **roomy)
    with pytest.raises(MediaFormatError, match="JPEG and PNG") as caught:
        _image(Inline(data), **roomy)
    assert (caught.value.value, caught.value.limit) == (3841 * 2160, 3840 * 2160)


def test_heic_goes_out_although_nothing_here_reads_it() -> None:
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)
    assert _image(Inline(data)).startswith("data:image/heic;base64,")
    assert read_image_header(data) == ImageHeader("image/heic", None, None, len(data))


@pytest.mark.parametrize(
    ("path", "header"),
    [
        (CHELSEA, ImageHeader("image/png", 451, 300, 240_512)),
        (COFFEE, ImageHeader("image/png", 600, 400, 466_706)),
        (ROCKET, ImageHeader("image/jpeg", 640, 427, 112_525)),
    ],
)
def test_read_image_header_gives_type_and_size(path: Path, header: ImageHeader) -> None:
    assert read_image_header(path.read_bytes()) == header


def test_read_image_header_gives_the_stored_size_of_a_turned_picture() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    header = read_image_header(_written("JPEG", (64, 48), exif=exif))
    assert (header.width, header.height) == (64, 48)


@pytest.mark.parametrize("data", [b"", b"words", CHELSEA.read_bytes()[:20], b"\xff\xd8\xff\xe0"])
def test_read_image_header_refuses_what_has_none(data: bytes) -> None:
    with pytest.raises(MediaFormatError) as caught:
        read_image_header(data, WHERE)
    assert caught.value.where == WHERE
    assert caught.value.remedy


@pytest.mark.parametrize("pillow_format", ["GIF", "AVIF", "PPM"])
def test_still_picture_of_unlisted_format_becomes_png(pillow_format: str) -> None:
    data = _written(pillow_format)
    url = _image(Inline(data))
    assert url.startswith("data:image/png;base64,")
    with (
        PillowImage.open(io.BytesIO(data)) as before,
        PillowImage.open(io.BytesIO(_decoded(url))) as after,
    ):
        assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()


@pytest.mark.parametrize("pillow_format", ["GIF", "AVIF"])
def test_animation_of_unlisted_format_is_sent_as_its_first_frame(pillow_format: str) -> None:
    with pytest.warns(UserWarning, match="animated.*as a video"):
        assert _image(Inline(_animation(pillow_format))).startswith("data:image/png;base64,")


@pytest.mark.filterwarnings("ignore:.*the image is animated")
@pytest.mark.parametrize("make", [lambda: _animation("GIF"), lambda: _written("GIF")])
def test_gif_cut_off_anywhere_is_refused_or_still_a_picture(make: Callable[[], bytes]) -> None:
    data = make()
    refused = 0
    for length in range(len(data)):
        try:
            assert _image(Inline(data[:length])).startswith("data:image/png;base64,")
        except MediaFormatError:
            refused += 1
    assert refused > 60


DAMAGED = ["AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "SGI", "TIFF", "WEBP"]


# Some lose a page or an animation by it, which is warned of.
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    st.sampled_from([_written(pillow_format) for pillow_format in DAMAGED]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_picture_gives_an_address_or_a_media_error(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(data)] = value
    words = ""
    try:
        words = _image(Inline(bytes(damaged)))
    except MediaError as error:
        words = str(error)
    assert words.startswith(("data:image/", f"{WHERE}: "))


def test_damaged_gif_is_refused() -> None:
    data = _written("GIF", (300, 300))
    with pytest.raises(MediaFormatError):
        _image(Inline(data[:40]))


def test_jpeg_with_data_behind_its_end_passes() -> None:
    data = ROCKET.read_bytes() + BIG_BUCK_BUNNY.read_bytes()[:1000]
    assert _decoded(_image(Inline(data))) == data


def test_jpeg_thumbnail_does_not_hide_that_the_picture_is_cut_off() -> None:
    thumbnail = _written("JPEG", (32, 24))
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" + thumbnail
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    plain = ROCKET.read_bytes()
    whole = plain[:2] + segment + plain[2:]
    assert _decoded(_image(Inline(whole))) == whole
    with pytest.raises(MediaFormatError, match="the end marker is missing"):
        _image(Inline(whole[:-5000]))


def test_progressive_jpeg_passes_whole_and_fails_cut_off() -> None:
    with PillowImage.open(CHELSEA) as image:
        file = io.BytesIO()
        image.save(file, "JPEG", progressive=True)
    assert _decoded(_image(Inline(file.getvalue()))) == file.getvalue()
    with pytest.raises(MediaFormatError, match="cut off"):
        _image(Inline(file.getvalue()[:-100]))


@pytest.mark.parametrize("kept", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("path", [CHELSEA, ROCKET])
def test_picture_cut_off_anywhere_is_refused(path: Path, kept: float) -> None:
    data = path.read_bytes()
    with pytest.raises(MediaFormatError):
        _image(Inline(data[: int(len(data) * kept)]))


def test_png_without_its_last_chunk_is_refused() -> None:
    with pytest.raises(MediaFormatError, match="the IEND chunk is missing") as caught:
        _image(Inline(CHELSEA.read_bytes()[:-12]))
    assert caught.value.remedy


def test_webp_cut_off_is_refused() -> None:
    with PillowImage.open(CHELSEA) as image:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=80)
    assert _decoded(_image(Inline(file.getvalue()))) == file.getvalue()
    with pytest.raises(MediaFormatError, match="cut off"):
        _image(Inline(file.getvalue()[:-100]))


@pytest.mark.parametrize(
    ("size", "error"),
    [
        ((10, 300), MediaTooSmallError),
        ((300, 10), MediaTooSmallError),
        ((11, 11), None),
        ((11, 2_200), None),
        ((2_201, 11), MediaRatioError),
    ],
)
def test_sides_and_ratio_are_limited_at_the_documented_values(
    size: tuple[int, int], error: type[MediaError] | None
) -> None:
    data = _written("PNG", size)
    if error is None:
        assert _decoded(_image(Inline(data))) == data
        return
    with pytest.raises(error) as caught:
        _image(Inline(data))
    assert f"{size[0]} x {size[1]} pixels" in str(caught.value)


def test_picture_of_no_width_is_refused() -> None:
    data = bytearray(_written("PNG"))
    data[16:20] = bytes(4)
    with pytest.raises(MediaFormatError):
        _image(Inline(bytes(data)))


def test_picture_at_the_byte_limit_passes_and_one_byte_more_does_not() -> None:
    data = ROCKET.read_bytes()
    assert _decoded(_image(Inline(data), max_inline_bytes=len(data))) == data
    for spelling in (data, base64.b64encode(data).decode(), base64.b64encode(data)):
        with pytest.raises(MediaTooLargeError) as caught:
            _image(Inline(spelling), max_inline_bytes=len(data) - 1)
        assert (caught.value.value, caught.value.limit) == (len(data), len(data) - 1)
        assert "https://" in caught.value.remedy


def test_long_base64_is_refused_without_decoding_it() -> None:
    with pytest.raises(MediaTooLargeError):
        _image(Inline("*" * 10_000), max_inline_bytes=1_000, downscale_images=False)


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (BIG_BUCK_BUNNY.read_bytes(), r"a video \(video/mp4\)"),
        (_written("PDF"), "a PDF document"),
        (b"<svg/>", "an SVG drawing"),
        (b"Dear reader", "text"),
        (b"ID3\x04\x00", r"audio \(audio/mpeg\)"),
    ],
    ids=["video", "PDF", "SVG", "text", "sound"],
)
def test_other_file_in_a_pictures_place_is_named(data: bytes, looks: str) -> None:
    with pytest.raises(MediaFormatError, match=f"looks like {looks}") as caught:
        _image(Inline(data))
    assert caught.value.remedy
    assert caught.value.where == WHERE


def test_error_shows_no_content() -> None:
    secret = "password " * 1000
    with pytest.raises(MediaFormatError) as caught:
        _image(Inline(secret.encode()))
    assert "password" not in str(caught.value)
    assert "password" not in repr(caught.value.value)


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("I am no image.")
    (folder / "cut.jpg").write_bytes(ROCKET.read_bytes()[:50_000])
    (folder / "tiny.png").write_bytes(_written("PNG", (9, 300)))
    (folder / "long.png").write_bytes(_written("PNG", (11, 2_211)))
    (folder / "big.bmp").write_bytes(_written("BMP", (700, 700)))
    (tmp_path / "secret.png").write_bytes(CHELSEA.read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("empty.jpg", MediaFormatError, "0 bytes"),
        ("text.jpg", MediaFormatError, "looks like text"),
        ("cut.jpg", MediaFormatError, "cut off"),
        ("tiny.png", MediaTooSmallError, "9 x 300 pixels"),
        ("long.png", MediaRatioError, "201.0 times"),
        ("big.bmp", MediaTooLargeError, "1,470,054 bytes"),
        ("none.png", MediaNotFoundError, "none.png"),
        ("../secret.png", MediaAccessError, "outside media_roots"),
        ("link.png", MediaAccessError, "outside media_roots"),
    ],
)
@pytest.mark.parametrize("is_trusted", [True, False])
def test_bad_file_raises_its_own_error(
    roots: Path, name: str, error: type[MediaError], words: str, is_trusted: bool
) -> None:
    source = LocalFile(roots / name, is_trusted=is_trusted)
    with pytest.raises(error) as caught:
        _image(source, media_roots=(roots,), max_inline_bytes=1_000_000)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert caught.value.remedy


def test_video_in_a_pictures_place_says_where_it_belongs() -> None:
    with pytest.raises(MediaFormatError, match="Pass it as a video"):
        _image(LocalFile(BIG_BUCK_BUNNY, is_trusted=True))


@pytest.mark.parametrize("path", [CHELSEA, ROCKET])
def test_picture_in_a_videos_place_says_where_it_belongs(path: Path) -> None:
    video = Video(source=LocalFile(path, is_trusted=True), where=WHERE)
    with pytest.raises(MediaFormatError, match="Pass it as an image"):
        _prepare(video)


def test_images_beyond_4k_are_jpeg_or_png() -> None:
    # Vision page, 2026-08: 8,294,400 pixels.
    check_large(ImageHeader("image/webp", 3_840, 2_160, 9), "")
    check_large(ImageHeader("image/png", 3_841, 2_160, 9), "")
    with pytest.raises(MediaFormatError) as caught:
        check_large(ImageHeader("image/webp", 3_841, 2_160, 9), "messages[0].content[0]")
    assert (caught.value.value, caught.value.limit) == (8_296_560, 8_294_400)
    assert str(caught.value) == (
        "messages[0].content[0]: The image has 8,296,560 pixels; beyond 4K (8,294,400) the service "
        "takes JPEG and PNG only, not image/webp. Convert it to JPEG or PNG, or make it smaller."
    )


def test_sides_and_shapes_at_their_limits() -> None:
    check_size(11, 2_200, "")
    with pytest.raises(MediaTooSmallError) as small:
        check_size(40, 10, "")
    assert (small.value.value, small.value.limit) == (10, 11)
    with pytest.raises(MediaRatioError) as long:
        check_size(2_203, 11, "")
    assert (long.value.value, long.value.limit) == (200.27, 200)
    assert "2203 x 11 pixels, 200.3 times as long as wide; at most 200 times" in str(long.value)
