"""Whether a picture's file has its end, told from its structure without decoding it."""

from collections.abc import Callable

_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_FILL = 0xFF
_LENGTH_BYTES = 2
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_OVERHEAD = 12
_RIFF_HEADER_BYTES = 8


def find_damage(data: bytes, media_type: str) -> str | None:
    """Say what is missing of a JPEG, PNG or WEBP file; what follows its end does not matter.

    Args:
        data: The whole file.
        media_type: As sniffed; other types are not looked into.
    """
    find = _FINDERS.get(media_type)
    return find(data) if find else None


def _jpeg_damage(data: bytes) -> str | None:
    """Walk the segments to the picture's own scan: thumbnails inside segments have ends too."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at : at + 1] == b"\xff":
            at += 1
        marker = data[at] if at < len(data) else _FILL
        at += 1
        if marker == _START_OF_SCAN:
            # Within a scan each FF of the data is followed by 00, so FF D9 is the end itself.
            # Searched from behind, where it stands in most files.
            has_end = data.rfind(b"\xff\xd9", at) >= 0
            return None if has_end else "it has no end marker"
        if marker == _END_OF_IMAGE:
            return "it ends before its picture data"
        if marker == 0 or marker in _MARKERS_WITHOUT_LENGTH:
            continue
        at += max(_LENGTH_BYTES, int.from_bytes(data[at : at + _LENGTH_BYTES]))
    return "it ends before its picture data"


def _png_damage(data: bytes) -> str | None:
    at = _PNG_SIGNATURE_BYTES
    while at + _PNG_CHUNK_OVERHEAD <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at += _PNG_CHUNK_OVERHEAD + int.from_bytes(data[at : at + 4])
    return "it has no IEND chunk"


def _webp_damage(data: bytes) -> str | None:
    stated = _RIFF_HEADER_BYTES + int.from_bytes(data[4:8], "little")
    return None if len(data) >= stated else f"{len(data):,} of {stated:,} bytes are there"


_FINDERS: dict[str, Callable[[bytes], str | None]] = {
    "image/jpeg": _jpeg_damage,
    "image/png": _png_damage,
    "image/webp": _webp_damage,
}
