"""Types told from bytes."""

import io
import itertools

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


def test_frame_headers_of_mp3_and_aac() -> None:
    # ISO 11172-3 and 13818-7: 11 set bits; 2 of the version, of which 1 is reserved; 2 of the
    # layer; a bit; 4 of the bit rate, of which 15 is forbidden; 2 of the sampling rate, of which 3
    # is reserved. Layer 0 is AAC, which has a twelfth set bit.
    for version, layer, bitrate, rate in itertools.product(range(4), range(4), range(16), range(4)):
        word = 0x7FF << 21 | version << 19 | layer << 17 | 1 << 16 | bitrate << 12 | rate << 10
        is_aac = layer == 0 and version >= 2
        is_mp3 = layer in {1, 2} and version != 1 and 0 < bitrate < 15 and rate < 3
        expected = "audio/aac" if is_aac else "audio/mpeg" if is_mp3 else None
        if (found := sniff(word.to_bytes(4))) != expected:
            pytest.fail(f"{version=} {layer=} {bitrate=} {rate=}: {found}, not {expected}")
    assert sniff(b"\xff\x9b\x90\x64") is None


@pytest.mark.parametrize("size", [188, 192, 204])
def test_packets_of_transport_streams(size: int) -> None:
    # Packets of MPEG-TS, of Blu-ray discs, and with error correction.
    packet = b"G" + b"\xff" * (size - 1)
    assert sniff(packet * 4 + b"G") == "video/mpeg"
    assert sniff(packet * 4) is None
    # What was cut off begins anywhere.
    assert sniff((b"\xff" + packet * 5)[:1_024]) == "video/mpeg"
    assert sniff((packet * 6)[1 : 1 + size * 5]) == "video/mpeg"
    # In text, the byte is a letter.
    letters = b"G" + b"o" * (size - 1)
    assert sniff(letters * 5) == "video/mpeg"
    assert sniff(b"o" + letters * 5) is None
    assert sniff(b"G" * 1_024) is None
    # Only another distance.
    assert sniff((b"G" + b"\xff" * size) * 5) is None


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        # The second header of a bitmap by its length: OS/2 1, Windows 3.1, 3 further, 4, 5.
        *(
            (b"BM" + bytes(12) + length.to_bytes(4, "little"), "image/bmp")
            for length in (12, 40, 52, 56, 64, 108, 124)
        ),
        *(
            (b"BM" + bytes(12) + length.to_bytes(4, "little"), None)
            for length in (0, 13, 41, 53, 57, 65, 109, 125)
        ),
        (b"BM" + bytes(11) + (40).to_bytes(4, "little") + b"\x00", None),
        (b"BN" + bytes(12) + (40).to_bytes(4, "little"), None),
        # Brands count within the first box only.
        (b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00mif1avif", "image/heif"),
        (b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00avif", "image/avif"),
        (b"\x00\x00\x00\x14ftypmif1avifmiaf", "image/heif"),
        (b"\x00\x00\x00\x18ftypmsf1\x00\x00\x00\x00msf1avis", "image/avif"),
        (b"\x00\x00\x00\x18ftypmsf1\x00\x00\x00\x00msf1hevc", "image/heic"),
        (b"\x00\x00\x00\x18ftypmsf1\x00\x00\x00\x00msf1iso8", "image/heif"),
        (b"\x00\x00\x00\x183typisom\x00\x00\x00\x00isom", None),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"\x00\x00\x00\x18ftypiso", None),
        (b"\x00\x00\x00\x14ftyp3g2a\x00\x00\x00\x00", "video/3gpp"),
        # Sizes of old QuickTime's first atom, below 512 MB.
        (b"\x1f\xff\xff\xffmoov", "video/quicktime"),
        (b"\x20\x00\x00\x00moov", None),
        (b"\x1a\x45\xdf\xa3" + bytes(56) + b"webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3" + bytes(57) + b"webm", "video/x-matroska"),
        (b"\x1a\x45\xdf\xa4webm", None),
        (b"RIFF\x00\x10\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x10\x00WEBP", None),
        (b"RIFX\x00\x10\x00\x00WEBP", None),
        # One image of 16 x 16, without a palette; no image; a reserved byte that is not 0.
        (b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x00", "image/x-icon"),
        (b"\x00\x00\x01\x00\x00\x00\x10\x10\x00\x00", None),
        (b"\x00\x00\x01\x00\x01\x00\x10\x10\x00\x01", None),
        (b"\x00\x00\x01\x00", None),
        (b"\x00\x00\x02\x00\x01\x00\x10\x10\x00\x00", None),
        # Storage 0 or 1, and 1 or 2 bytes a channel.
        (b"\x01\xda\x00\x01", "image/sgi"),
        (b"\x01\xda\x01\x02", "image/sgi"),
        (b"\x01\xda\x02\x01", None),
        (b"\x01\xda\x00\x03", None),
        (b"\x01\xdb\x00\x01", None),
    ],
)
def test_headers_to_the_byte(data: bytes, media_type: str | None) -> None:
    assert sniff(data) == media_type


def test_pdf_begins_within_1024_bytes() -> None:
    # PDF reference 1.7, note 13.
    header = b"%PDF-1.7"
    assert sniff(b"\x00" * (1_024 - len(header)) + header) == "application/pdf"
    assert sniff(b"\x00" * (1_025 - len(header)) + header) is None


def test_text_is_judged_by_512_bytes() -> None:
    assert describe(b"a" * 512 + b"\x00") == "text"
    assert describe(b"a" * 511 + b"\x00") == "no kind of file that is known here"
    # Character of 4 bytes, of which 512 bytes have 1 to 4.
    for missing in range(4):
        assert describe(b"a" * (508 + missing) + "😀".encode() + b"a") == "text"
    assert describe(b"a" * 508 + b"\xff" + b"aaa") == "no kind of file that is known here"
    assert describe(b"\xff\xfea\x00b\x00") == describe(b"\xfe\xff\x00a\x00b") == "text"
    assert describe(b" " * 508 + b"<svg>") == "an SVG drawing"
    assert describe(b" " * 509 + b"<svg>") == "text"
