"""One image: from any source to one that can be sent, or to its pages."""

from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Never, TypeAlias

from qwen_vl.content import (
    DataUrl,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Source,
    Text,
    Url,
    is_remote,
)
from qwen_vl.errors import ContentError, MediaTooLargeError, UnsupportedContentError, warn
from qwen_vl.media.cache_keys import CachedImages, FileStamp, hash_bytes, hash_pixels, stamp_file
from qwen_vl.media.color_modes import ODD_MODES, is_transparent
from qwen_vl.media.data_url import MediaBytes, read_data_url, to_data_url
from qwen_vl.media.decoding import decoding_limited
from qwen_vl.media.downscale import MAX_FILE_BYTES, Resize, downscale, is_worth_shrinking
from qwen_vl.media.encode import EncodedImage
from qwen_vl.media.head import read_head
from qwen_vl.media.image import (
    REENCODED_TYPES,
    ImageHeader,
    OpenedImage,
    check_large,
    check_size,
    is_too_large,
    open_checked,
    refuse_undecodable,
)
from qwen_vl.media.load import (
    check_inline_bytes,
    check_remote,
    is_seekable,
    load,
    open_local,
    read_local,
)
from qwen_vl.media.pages import PageSize, choose_pages, label_page, measure_page
from qwen_vl.media.pixels import UPRIGHT, is_animated, read_upright_size
from qwen_vl.media.reencode import (
    encode_pixels,
    is_moving,
    reencode,
    reencode_as_jpeg,
    warn_animated,
)
from qwen_vl.media.tiff import TIFF_HEADS, TIFF_TYPE, is_paged, list_pages, write_pages
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.servers import SERVICE_IMAGES, ImageLimits

PreparedMedia: TypeAlias = Url | DataUrl
"""An image as it goes on the wire: by URL, or within the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """How an image is prepared; part of what identifies the result.

    Args:
        resize: Computes the size at which the model sees it: a larger image is downscaled to that.
        as_jpeg: Whether the server takes only JPEG here.
        keeps_pages: Whether a TIFF with several pages remains one file.
        limits: Which images the server takes.
    """

    resize: Resize | None = None
    as_jpeg: bool = False
    keeps_pages: bool = False
    limits: ImageLimits = SERVICE_IMAGES

    def reading(self, policy: MediaPolicy) -> MediaPolicy:
        """Return the policy by which the file is read.

        What is too long for the request may not be so once it is encoded again.
        """
        return policy if self.resize is None else _roomy(policy)


_AS_IT_IS = ImageOptions()

_Pages: TypeAlias = list[Text | Image]


def prepare_image_part(
    part: Image, policy: MediaPolicy, options: ImageOptions = _AS_IT_IS
) -> Image | _Pages:
    """Prepare an image of a message, which may be a TIFF with several pages.

    Args:
        part: The image, and which of its pages are wanted.
        policy: As of `prepare_image`, and `pdf_max_pages`.
        options: As of `prepare_image`.

    Returns:
        The image; for each of several pages a label and an image.

    Raises:
        MediaError: It cannot be sent, or does not have such pages.
    """
    with decoding_limited(policy.max_decode_memory):
        made = _prepare(part.source, policy, part.where, options, part)
    if isinstance(made, list):
        return made
    if part.pages is not None:
        if isinstance(part.source, Url) and is_remote(part.source.url):
            _refuse_remote_pages(part)
        choose_pages(part, 1, policy.pdf_max_pages)
    return part if made is part.source else replace(part, source=made)


def prepare_image(
    source: Source, policy: MediaPolicy, where: str, options: ImageOptions = _AS_IT_IS
) -> PreparedMedia:
    """Prepare a single image, or one frame of a video.

    It is opened and sniffed once, and decoded only where it cannot go out as it is. Of a TIFF with
    several pages the first is taken, with a warning.

    Args:
        source: Where it comes from.
        policy: Which files may be read, how much may be inlined, and where what was prepared
            before is held.
        where: The part, for errors.
        options: What the result depends on.

    Raises:
        MediaError: It cannot be sent.
    """
    with decoding_limited(policy.max_decode_memory):
        made = _prepare(source, policy, where, options, None)
    if isinstance(made, list):  # pragma: no cover - pages come only from a part.
        raise TypeError(made)
    return made


def _prepare(
    source: Source, policy: MediaPolicy, where: str, options: ImageOptions, paged: Image | None
) -> PreparedMedia | _Pages:
    cached = CachedImages(policy, options)
    match source:
        case DataUrl():
            return _prepare_ready(source, where, options) if options.as_jpeg else source
        case Url(url=url) if is_remote(url):
            check_remote(url, where)
            return source
        case Pixels(image=image):
            if is_paged(image):
                pages = _prepare_tiff(image, None, policy, where, options, paged)
                if pages is not None:
                    return pages
            if is_animated(image):
                warn_animated(where)
            return _prepare_pixels(source, policy, where, options, cached)
        case LocalFile() if cached.is_on:
            with open_local(source, policy, where) as file:
                stamp = stamp_file(file)
                found = cached.get(stamp)
                if found:
                    return found
                media = _read_local(file, policy, where, options)
            return _prepare_file(media, policy, where, options, cached, stamp, paged)
    media = _load(source, policy, where, options)
    return _prepare_file(media, policy, where, options, cached, None, paged)


def _prepare_pixels(
    source: Pixels, policy: MediaPolicy, where: str, options: ImageOptions, cached: CachedImages
) -> DataUrl:
    identity = hash_pixels(source.image) if cached.is_on else None
    found = cached.get(identity)
    if found:
        return found
    limit = policy.max_inline_bytes
    encoded = encode_pixels(
        source.image,
        limit,
        where,
        options.resize,
        as_jpeg=options.as_jpeg,
        limits=options.limits,
    )
    made = _from_encoded(encoded, read_upright_size(source.image, where))
    cached.put(identity, made)
    return made


def _prepare_file(
    media: MediaBytes,
    policy: MediaPolicy,
    where: str,
    options: ImageOptions,
    cached: CachedImages,
    stamp: FileStamp | None,
    paged: Image | None,
) -> DataUrl | _Pages:
    with open_checked(media, where, options.limits) as opened:
        if is_paged(opened.image):
            made = _prepare_tiff(opened.image, media, policy, where, options, paged)
            if made is not None:
                return made
        is_decoded = opened.image is not None and opened.image.has_transparency_data
        if not is_decoded and not _is_encoded_again(opened, options, where):
            return _pass_on(opened, policy, where, options.limits)
        if _must_reencode(opened, where) and is_moving(opened, where):
            warn_animated(where)
            # By its stamp it would be found without being opened, and without a warning.
            stamp = None
        # Only what costs more than to hash it is held.
        identity = stamp or (hash_bytes(media.data) if cached.is_on else None)
        encoded = cached.get(identity) or _encode_again(opened, policy, where, options)
        cached.put(identity, encoded)
        return encoded


def _prepare_tiff(
    image: Any,
    media: MediaBytes | None,
    policy: MediaPolicy,
    where: str,
    options: ImageOptions,
    paged: Image | None,
) -> DataUrl | _Pages | None:
    """Prepare the pages of a TIFF; `None` for a file whose only page is its first image."""
    positions = list_pages(image, where)
    total = len(positions)
    if positions == [0] and media:
        return None
    if options.keeps_pages and total > 1:
        return to_data_url(TIFF_TYPE, media or MediaBytes(write_pages(image, where)))
    if paged is None and total > 1:
        warn(
            f"{where}: the TIFF has {total} pages, and one image is wanted here. The first page is "
            "taken."
        )
    if paged is None or total == 1:
        return _prepare_page(image, positions[0], policy, where, options)
    parts: _Pages = []
    for number in choose_pages(paged, total, policy.pdf_max_pages):
        place = f"{where}.pages[{number}]"
        page = _prepare_page(image, positions[number - 1], policy, place, options)
        label = Text(text=label_page(paged, number, total), where=place)
        sent = replace(paged, source=page, pages=None, cache_control=None, where=place)
        parts += [label, sent]
    parts[-1] = replace(parts[-1], cache_control=paged.cache_control)
    return parts


def _prepare_page(
    image: Any, position: int, policy: MediaPolicy, where: str, options: ImageOptions
) -> DataUrl:
    at = image.tell()
    try:
        image.seek(position)
        cached = CachedImages(policy, options)
        return _prepare_pixels(Pixels(image), policy, where, options, cached)
    finally:
        image.seek(at)


def measure_tiff_pages(part: Image, image: Any, policy: MediaPolicy) -> list[PageSize]:
    """Return the pages of an open image file that would be sent; empty if it is one image.

    Args:
        part: The image, and which of its pages are wanted.
        image: As Pillow opened it.
        policy: Brings `pdf_max_pages`.

    Raises:
        MediaError: It does not have such pages.
    """
    positions = list_pages(image, part.where) if is_paged(image) else []
    if len(positions) <= 1:
        return []
    at = image.tell()
    sizes: list[PageSize] = []
    try:
        for number in choose_pages(part, len(positions), policy.pdf_max_pages):
            image.seek(positions[number - 1])
            size = read_upright_size(image, part.where)
            sizes.append(measure_page(part, number, len(positions), size))
    finally:
        image.seek(at)
    return sizes


def _is_encoded_again(opened: OpenedImage, options: ImageOptions, where: str) -> bool:
    header = opened.header
    return (
        _must_reencode(opened, where)
        or opened.orientation != UPRIGHT
        or _is_shrunk(opened, options)
        or (options.as_jpeg and header.media_type != "image/jpeg")
    )


def _encode_again(
    opened: OpenedImage, policy: MediaPolicy, where: str, options: ImageOptions
) -> DataUrl:
    limit, resize, as_jpeg = policy.max_inline_bytes, options.resize, options.as_jpeg
    limits = options.limits
    if _must_reencode(opened, where):
        encoded = reencode(opened, limit, where, resize, as_jpeg=as_jpeg, limits=limits)
        return _from_encoded(encoded, opened.upright_size)
    if resize and _is_shrunk(opened, options):
        smaller = downscale(opened, resize, where, as_jpeg=as_jpeg)
        if smaller:
            check_inline_bytes(len(smaller.data), limit, where)
            return _from_encoded(smaller, opened.upright_size)
    if opened.orientation != UPRIGHT:
        encoded = encode_pixels(opened.image, limit, where, resize, as_jpeg=as_jpeg, limits=limits)
        return _from_encoded(encoded, opened.upright_size)
    passed = _pass_on(opened, policy, where, limits)
    if as_jpeg and passed.media_type != "image/jpeg":
        return _from_encoded(reencode_as_jpeg(opened, where), opened.size)
    return passed


def _pass_on(opened: OpenedImage, policy: MediaPolicy, where: str, limits: ImageLimits) -> DataUrl:
    check_inline_bytes(len(opened.media.data), policy.max_inline_bytes, where)
    check_large(opened.header, where, limits)
    made = to_data_url(opened.header.media_type, opened.media, opened.size)
    return replace(made, original_size=opened.size)


def _must_reencode(opened: OpenedImage, where: str) -> bool:
    if _is_odd(opened.header):
        return True
    try:
        return opened.image is not None and is_transparent(opened.image, where)
    except ContentError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow raises whatever it trips over
        refuse_undecodable(where, error)


def _is_odd(header: ImageHeader) -> bool:
    is_odd = header.mode in ODD_MODES or header.is_deep or header.is_animated
    return is_odd or header.media_type in REENCODED_TYPES


def _is_shrunk(opened: OpenedImage, options: ImageOptions) -> bool:
    resize, size = options.resize, opened.upright_size
    return resize is not None and size is not None and is_worth_shrinking(*size, resize)


def check_image(
    source: Source,
    policy: MediaPolicy,
    where: str,
    options: ImageOptions = _AS_IT_IS,
    paged: Image | None = None,
) -> None:
    """Check that `prepare_image` can prepare an image, without encoding it unless that decides.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        options: As of `prepare_image`.
        paged: The part, if each page of a TIFF is sent.

    Raises:
        MediaError: It cannot be sent.
    """
    is_remote_url = isinstance(source, Url) and is_remote(source.url)
    if not isinstance(source, DataUrl | Pixels) and not is_remote_url:
        media = _load(source, policy, where, options)
        limits = options.limits
        with open_checked(media, where, limits) as opened:
            sizes = measure_tiff_pages(paged, opened.image, policy) if paged else []
            for page in sizes:
                check_size(*page.size, f"{where}.pages[{page.number}]", limits)
            if sizes:
                return
            is_short = len(media.data) <= policy.max_inline_bytes
            if is_short and not (_is_odd(opened.header) or is_too_large(opened.header, limits)):
                return
    prepare_image(source, policy, where, options)


def _load(
    source: Inline | LocalFile | OpenFile | Url | DataUrl,
    policy: MediaPolicy,
    where: str,
    options: ImageOptions,
) -> MediaBytes:
    try:
        return load(source, options.reading(policy), where)
    except MediaTooLargeError:
        is_once = isinstance(source, OpenFile) and not is_seekable(source.file)
        if is_once or isinstance(source, DataUrl):
            raise
        if read_head(source, policy, where)[:4] not in TIFF_HEADS:
            raise
    # Page by page, it may be short enough.
    return load(source, _roomy(policy), where)


def _read_local(
    file: BinaryIO, policy: MediaPolicy, where: str, options: ImageOptions
) -> MediaBytes:
    try:
        return read_local(file, options.reading(policy), where)
    except MediaTooLargeError:
        if file.read(4) not in TIFF_HEADS:
            raise
    file.seek(0)
    return read_local(file, _roomy(policy), where)


def _roomy(policy: MediaPolicy) -> MediaPolicy:
    return replace(policy, max_inline_bytes=max(policy.max_inline_bytes, MAX_FILE_BYTES))


def _refuse_remote_pages(part: Image) -> Never:
    raise UnsupportedContentError(
        "pages cannot be honored for an image by its URL: it is sent as it is.",
        where=part.where,
        remedy="Download the file, and give its bytes or a pathlib.Path.",
    )


def _prepare_ready(ready: DataUrl, where: str, options: ImageOptions) -> DataUrl:
    """Convert an image that was prepared already to JPEG."""
    if ready.media_type == "image/jpeg":
        return ready
    media = MediaBytes(read_data_url(ready), media_type=ready.media_type)
    with open_checked(media, where, options.limits) as it:
        return _from_encoded(reencode_as_jpeg(it, where), ready.original_size)


def _from_encoded(encoded: EncodedImage, original_size: tuple[int, int] | None) -> DataUrl:
    made = to_data_url(encoded.media_type, MediaBytes(encoded.data), encoded.size)
    return replace(made, original_size=original_size)
