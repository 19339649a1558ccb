"""TIFF files: which of their images are pages. Nothing is decoded to find out."""

import io
from typing import TYPE_CHECKING, Any

from qwen_vl.errors import MediaTooLargeError, warn

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

TIFF_TYPE = "image/tiff"
TIFF_HEADS = frozenset({b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"})
"""The first bytes; those with a plus are of BigTIFF."""

_SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 254, 255
# Bits of NewSubfileType (TIFF 6.0, page 36): a smaller version of another image, and a mask.
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
# A directory of a few bytes is enough for an image, so that a small file could hold millions.
_MAX_IMAGES = 10_000


def list_pages(image: Any, where: str) -> list[int]:
    """Return the positions of the pages among the images of an open TIFF file.

    Thumbnails, other versions at lower resolution, and masks are not pages.

    Args:
        image: As Pillow opened it; it stays at its position.
        where: The part, for errors.

    Returns:
        Positions for `image.seek`, one at least.

    Raises:
        MediaTooLargeError: More images than any document has.
    """
    at = image.tell()
    pages: list[int] = []
    n_images = 0
    try:
        while n_images < _MAX_IMAGES:
            image.seek(n_images)
            if _is_page(image):
                pages.append(n_images)
            n_images += 1
    except EOFError:
        pass
    except Exception as error:  # noqa: BLE001 - Pillow raises whatever it trips over
        warn(
            f"{where}: what follows image {n_images} of the TIFF file cannot be read "
            f"({type(error).__name__}: {error}). It is left out."
        )
    finally:
        image.seek(at)
    if n_images == _MAX_IMAGES:
        raise MediaTooLargeError(
            f"The TIFF file has {_MAX_IMAGES:,} images or more.",
            where=where,
            value=n_images,
            limit=_MAX_IMAGES,
            remedy="Split it into several files.",
        )
    return pages or [0]


def is_paged(pixels: Any) -> bool:
    """Return whether decoded pixels are a TIFF file that stands at the first of several images.

    At any other image, the program itself has chosen that one.

    Args:
        pixels: A `PIL.Image.Image`, or an array.
    """
    is_tiff = getattr(pixels, "format", None) == "TIFF"
    return is_tiff and bool(getattr(pixels, "is_animated", False)) and pixels.tell() == 0


def write_pages(image: Any, where: str) -> bytes:
    """Write pages of an open TIFF file as a separate file.

    Args:
        image: As Pillow opened it; it stays at its position.
        where: The part, for errors.
    """
    at = image.tell()
    pages: list[PillowImage] = []
    try:
        for position in list_pages(image, where):
            image.seek(position)
            pages.append(image.copy())
    finally:
        image.seek(at)
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    return file.getvalue()


def _is_page(image: Any) -> bool:
    tags = image.tag_v2
    kind = tags.get(_SUBFILE_TYPE)
    if kind is None:
        return bool(tags.get(_OLD_SUBFILE_TYPE) != _OLD_REDUCED)
    return not kind & (_REDUCED | _MASK)
