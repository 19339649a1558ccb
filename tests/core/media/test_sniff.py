"""Types told from bytes."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from qwen_vl.media import sniff
from qwen_vl.media.sniff import describe, name_of
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET


def _written(pillow_format: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    PillowImage.new(mode, (32, 32)).save(file, pillow_format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("pillow_format", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
        ("JPEG2000", "image/jp2"),
        ("ICO", "image/x-icon"),
        ("ICNS", "image/icns"),
        ("SGI", "image/sgi"),
        ("PPM", "image/x-portable-anymap"),
        ("PDF", "application/pdf"),
    ],
)
def test_sniff_knows_what_pillow_writes(pillow_format: str, media_type: str) -> None:
    assert sniff(_written(pillow_format)) == media_type


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1miaf", "image/heif"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf", "image/avif"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ", "video/quicktime"),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "video/quicktime"),
        (b"\x00\x00\x00\x18ftyp3gp4\x00\x00\x00\x00isom3gp4", "video/3gpp"),
        (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", None),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "video/x-msvideo"),
        (b"RIFF\x00\x10\x00\x00WAVEfmt ", "audio/wav"),
        (b"FLV\x01\x05\x00\x00\x00\x09", "video/x-flv"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "video/x-ms-wmv"),
        (b"\x00\x00\x01\xba\x44", "video/mpeg"),
        ((b"G" + b"\x40" * 187) * 5, "video/mpeg"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"fLaC\x00\x00", "audio/flac"),
        (b"#!AMR\n", "audio/amr"),
        (b"MM\x00*\x00\x00\x00\x08", "image/tiff"),
    ],
)
def test_sniff_reads_magic_numbers(data: bytes, media_type: str | None) -> None:
    assert sniff(data) == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BMW builds cars, and this is not a bitmap.",
        b"Good morning. " * 100,
        b"RIFF of a guitar",
        "\ufeffutf-16".encode("utf-16"),
        b"\xff\xfe<\x00?\x00x\x00",
        b"xxxxmoov of words",
    ],
)
def test_sniff_takes_no_words_for_media(data: bytes) -> None:
    assert sniff(data) is None


def test_sniff_of_samples_does_not_look_at_their_names() -> None:
    assert [sniff(path.read_bytes()) for path in (CHELSEA, ROCKET, BIG_BUCK_BUNNY)] == [
        "image/png",
        "image/jpeg",
        "video/mp4",
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Dear reader", "text"),
        ("größer".encode(), "text"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'{"a": 1}', "JSON text"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive, or a document of an office program"),
        (b"\x00\x00\x01\xba", "a video (video/mpeg)"),
        (b"\x00\x01\x02\x03\x04", "no kind of file that is known here"),
    ],
)
def test_describe_names_the_kind(data: bytes, words: str) -> None:
    assert describe(data) == words


@given(st.binary(max_size=2_000))
def test_sniff_and_describe_take_any_bytes(data: bytes) -> None:
    media_type = sniff(data)
    assert describe(data)
    if media_type is not None:
        assert describe(data) == name_of(media_type)


SAMPLES = [path.read_bytes()[:1_000] for path in (CHELSEA, ROCKET, BIG_BUCK_BUNNY)]


@given(st.sampled_from(SAMPLES), st.integers(0, 1_000))
def test_sniff_takes_any_beginning(data: bytes, length: int) -> None:
    assert sniff(data[:length]) in {None, sniff(data)}
