"""Media types of bytes, determined from the bytes themselves.

Names and stated types lie: a `.jpg` may be a web page, and a server may call a PNG a JPEG. Nothing
here decodes an image; nothing here ever raises.
"""

import re
from collections.abc import Callable

UNKNOWN = "no kind of file that is known here"
SVG = "an SVG drawing"

_HEAD_BYTES = 1_024
_TEXT_HEAD_BYTES = 512

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"icns", "image/icns"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
)

_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
}
# Raw camera images, which no video reader opens.
_OTHER_BRANDS = frozenset({b"crx "})
_MOVIE_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_BITMAP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_TRANSPORT_PACKET_BYTES = (188, 192, 204)
# Behind words, what follows in files distinguishes the header from words about PDF: a line of bytes
# that are not text, another comment, or the first object.
_PDF_HEADER = re.compile(
    rb"(?:^|[^\x20-\x7e])%PDF-\d\.\d"
    rb"|%PDF-\d\.\d[ \t]{0,8}[\r\n]{1,2}\s{0,8}(?:%|\d{1,10} \d{1,5} obj)"
)
_SYNC_BYTE = 0x47
_SYNC_BITS = 0x7FF


def sniff(data: bytes) -> str | None:
    """Return the media type of bytes, by their first bytes.

    Args:
        data: The whole content, or at least its first 1,024 bytes.

    Returns:
        A media type, or `None` for bytes that are not an image, video, audio or PDF.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> sniff(BIG_BUCK_BUNNY.read_bytes())
        'video/mp4'
        >>> sniff(b"Dear reader,") is None
        True
    """
    head = bytes(data[:_HEAD_BYTES])
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    return next((found for find in _FINDERS if (found := find(head))), None)


def describe(data: bytes) -> str:
    """Describe what bytes look like, for an error: `a PDF document`, `text`, ….

    Args:
        data: The whole content, or its beginning.
    """
    media_type = sniff(data)
    if media_type is not None:
        return name_of(media_type)
    head = bytes(data[:_TEXT_HEAD_BYTES])
    for prefix, name in _STRANGERS:
        if head.startswith(prefix):
            return name
    if not is_text(head):
        return UNKNOWN
    low = head.lower()
    return next((name for mark, name in _TEXTS if re.search(mark, low)), "text")


def name_of(media_type: str) -> str:
    """Return a media type as text: `a video (video/mp4)`."""
    if media_type == "application/pdf":
        return "a PDF document"
    return f"{_FAMILIES[media_type.partition('/')[0]]} ({media_type})"


_FAMILIES = {"image": "an image", "video": "a video", "audio": "audio"}
_STRANGERS = (
    (b"PK\x03\x04", "a ZIP archive, or a document of an office program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x00asm", "a WebAssembly module"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"8BPS", "a Photoshop document"),
    (b"SQLite format 3", "a database"),
)
_TEXTS = (
    (rb"<svg", SVG),
    (rb"<!doctype html|<html", "a web page"),
    (rb"^\s*<\?xml", "XML text"),
    (rb"^\s*[{\[]", "JSON text"),
)


def is_text(data: bytes) -> bool:
    """Return whether bytes begin like text: UTF-8, or UTF-16 with its byte order mark.

    Args:
        data: The whole content, or its beginning.
    """
    head = bytes(data[:_TEXT_HEAD_BYTES])
    if not head or re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head):
        return head[:2] in {b"\xff\xfe", b"\xfe\xff"}
    try:
        # The head may end within a character, which is 4 bytes long at most.
        head[: max(1, len(head) - 3)].decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _riff(head: bytes) -> str | None:
    if head[:4] != b"RIFF":
        return None
    kinds = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}
    return kinds.get(head[8:12])


def _iso_media(head: bytes) -> str | None:
    """MP4 and its relatives: QuickTime, 3GPP, HEIC, AVIF."""
    if head[4:8] != b"ftyp":
        # Old QuickTime films begin with any atom; its size, below 512 MB, comes first.
        is_movie = head[4:8] in _MOVIE_ATOMS and head[0] < ord(" ")
        return "video/quicktime" if is_movie else None
    brand = head[8:12]
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[at : at + 4] for at in range(16, end - 3, 4)}
    if brand in {b"mif1", b"msf1"}:
        if brands & {b"avif", b"avis"}:
            return "image/avif"
        if brands & {b"heic", b"heix", b"hevc", b"hevx"}:
            return "image/heic"
    if brand[:3] in {b"3gp", b"3g2"}:
        return "video/3gpp"
    if brand in _OTHER_BRANDS or len(brand) < len(b"isom"):
        return None
    return _BRANDS.get(brand, "video/mp4")


def _matroska(head: bytes) -> str | None:
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    return "video/webm" if b"webm" in head[:64] else "video/x-matroska"


def _bitmap(head: bytes) -> str | None:
    # Words may begin with BM as well; the length of the second header decides.
    is_bitmap = head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADER_BYTES
    return "image/bmp" if is_bitmap else None


def _icon(head: bytes) -> str | None:
    is_icon = head[:4] == b"\x00\x00\x01\x00" and head[4:6] not in {b"", b"\x00\x00"}
    return "image/x-icon" if is_icon and head[9:10] == b"\x00" else None


def _silicon_graphics(head: bytes) -> str | None:
    is_sgi = head[:2] == b"\x01\xda" and head[2:3] in {b"\x00", b"\x01"}
    return "image/sgi" if is_sgi and head[3:4] in {b"\x01", b"\x02"} else None


def _netpbm(head: bytes) -> str | None:
    return "image/x-portable-anymap" if re.match(rb"P[456][\s#]+\d", head) else None


def _transport_stream(head: bytes) -> str | None:
    """MPEG-TS, and its relatives of Blu-ray discs and of DVB, which have longer packets.

    It may begin within a packet, as what was recorded or cut off does.
    """
    # The byte is a letter, which may stand anywhere in a text.
    n_offsets = 1 if is_text(head) else None
    for size in _TRANSPORT_PACKET_BYTES:
        starts = (head[at::size] for at in range(n_offsets or size))
        is_whole = len(head) > 4 * size and set(head) != {_SYNC_BYTE}
        if is_whole and any(set(found) == {_SYNC_BYTE} for found in starts):
            return "video/mpeg"
    return None


def holds_pdf(data: bytes) -> bool:
    """Return whether a PDF begins in the first bytes, whatever is before it.

    Readers look for the header in the first 1,024 bytes (PDF reference 1.7, note 13): a byte order
    mark, line breaks, the head of a mail or any words may be before it.

    Args:
        data: The whole content, or its beginning.
    """
    return _PDF_HEADER.search(bytes(data[:_HEAD_BYTES])) is not None


def _pdf_behind_something(head: bytes) -> str | None:
    return "application/pdf" if holds_pdf(head) else None


def _mpeg_audio(head: bytes) -> str | None:
    """MP3 or AAC without a container: eleven set bits, then a frame header that makes sense."""
    word = int.from_bytes(head[:4])
    if word >> 21 != _SYNC_BITS:
        return None
    layer, bitrate, rate = word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if layer == 0:
        return "audio/aac" if word >> 20 & 1 else None
    # Layer I is unheard of, and its bits are those of a UTF-16 byte order mark.
    is_mp3 = (
        layer in {1, 2} and word >> 19 & 3 != 1 and bitrate not in {0, 15} and rate in {0, 1, 2}
    )
    return "audio/mpeg" if is_mp3 else None


_FINDERS: tuple[Callable[[bytes], str | None], ...] = (
    _riff,
    _iso_media,
    _matroska,
    _bitmap,
    _icon,
    _silicon_graphics,
    _netpbm,
    _transport_stream,
    _mpeg_audio,
    _pdf_behind_something,
)
