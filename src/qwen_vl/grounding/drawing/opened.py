"""An image from where it is, decoded, upright and in colors, to be drawn on."""

from dataclasses import replace

from PIL import Image

from qwen_vl.content import Pixels, Source, Url, is_remote
from qwen_vl.errors import ContentError, MediaFormatError
from qwen_vl.media.color_modes import with_plain_mode
from qwen_vl.media.decoding import decoding_limited
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.image import find_image_type, open_image
from qwen_vl.media.load import load, require_source
from qwen_vl.media.pixels import to_pillow, upright
from qwen_vl.request.types import MediaPolicy


def open_upright(image: object, policy: MediaPolicy, where: str = "image") -> Image.Image:
    """Decode an image, turned as its EXIF notes say, in RGB; what is transparent becomes white.

    Args:
        image: A `pathlib.Path`, bytes, Base64, an open file, a `PIL.Image` or an array; text
            that is a path is read inside of `media_roots` alone.
        policy: Which files may be read.
        where: What it is, for errors.

    Raises:
        MediaError: It cannot be read, is not an image, or is given by URL, which is never
            fetched here.
    """
    return open_source(require_source(image, where), policy, where)


def open_source(source: Source, policy: MediaPolicy, where: str) -> Image.Image:
    """Decode an image that is part of a conversation; see `open_upright`.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: What it is, for errors.

    Raises:
        MediaError: It cannot be read, is not an image, or is given by URL, which is never
            fetched here.
    """
    if isinstance(source, Url) and is_remote(source.url):
        raise MediaFormatError(
            "Images given by URL are never fetched, so that they cannot be opened here.",
            where=where,
            value=source.url,
            remedy="Download it, and pass its path or its bytes.",
        )
    try:
        with decoding_limited(policy.max_decode_memory):
            return _decode(source, policy, where)
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over.
        raise MediaFormatError(
            f"The image cannot be decoded ({type(error).__name__}: {error}).",
            where=where,
            remedy="Save it again with an image program.",
        ) from error


def _decode(source: Source, policy: MediaPolicy, where: str) -> Image.Image:
    if isinstance(source, Pixels):
        return _in_colors(to_pillow(source.image, where), where)
    longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
    data = load(source, replace(policy, max_inline_bytes=longest), where).data
    opened = open_image(data, find_image_type(data, where), where)
    if opened is None:
        raise MediaFormatError(
            "Nothing that is installed reads this format.",
            where=where,
            remedy="Save it as PNG or JPEG; for HEIC, pip install pillow-heif.",
        )
    with opened:
        return _in_colors(opened, where)


def _in_colors(image: Image.Image, where: str) -> Image.Image:
    # As it is sent; what was given stays as it is.
    return with_plain_mode(upright(image, where), where).convert("RGB")
