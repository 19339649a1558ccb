"""Images with more pixels than the model processes, downscaled before they are sent.

The service downscales them to just that size itself (Vision page, 2026-08): a photograph of twelve
megapixels travels four times too far. What the model sees differs by the way of resampling only.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from qwen_vl.content import Frames, Image, Video
from qwen_vl.errors import ContentError, MediaFormatError
from qwen_vl.media.color_modes import to_jpeg_mode, with_plain_mode
from qwen_vl.media.encode import (
    DOWNSCALED_JPEG_QUALITY,
    JPEG_QUALITY,
    EncodedImage,
    encode_compact,
    encode_jpeg,
)
from qwen_vl.media.image import OpenedImage, is_too_large
from qwen_vl.media.pixels import UPRIGHT, turn_size, upright
from qwen_vl.request.shared_options import find_limits
from qwen_vl.request.types import Request
from qwen_vl.specs.models import ModelSpec, is_service_model
from qwen_vl.specs.processors import PROCESSORS, Family, fit, fit_clip, fit_image
from qwen_vl.specs.servers import ServerSpec, get_server_spec
from qwen_vl.specs.vision import max_frame_pixels, resize_frame, resize_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_FILE_BYTES = 64 * 2**20
"""Longest file that is read to be downscaled."""

# Areas to try where the size at which the model sees an image would be enlarged again.
_LARGER = (1.5, 2, 3, 4, 6, 9)

# Below this the bytes saved do not pay for another loss in a JPEG's quality.
_LEAST_GAIN = 1.25


class Resize(Protocol):
    """Computes the size at which the model sees an image. Equal rules give equal sizes."""

    is_required: ClassVar[bool]
    """Whether a larger image must not be sent: the server cannot be asked to downscale it."""

    def __call__(self, width: int, height: int, /) -> tuple[int, int]:
        """Return width and height in pixels at which an image of this size is seen."""
        ...

    def __hash__(self) -> int:
        """Rules are part of cache keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResize:
    """The hosted service's rule for images.

    Args:
        spec: The model.
        min_pixels: As given with the image.
        max_pixels: As given with the image.
        high_resolution: Whether `vl_high_resolution_images` is on.
    """

    spec: ModelSpec
    min_pixels: int | None = None
    max_pixels: int | None = None
    high_resolution: bool = False

    is_required: ClassVar[bool] = False

    def __call__(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the size at which an image is seen."""
        return resize_image(
            width,
            height,
            self.spec,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            high_resolution=self.high_resolution,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResize:
    """The hosted service's rule for the frames of a video.

    Args:
        spec: The model.
        n_frames: Number of frames.
        min_pixels: As given with the video.
        max_pixels: As given with the video.
        total_pixels: As given with the video.
    """

    spec: ModelSpec
    n_frames: int
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None

    is_required: ClassVar[bool] = False

    def __call__(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the size at which a frame is seen."""
        return resize_frame(
            width,
            height,
            self.n_frames,
            self.spec,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            total_pixels=self.total_pixels,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorResize:
    """The rule of a self-hosted model's processor, for images and the frames of a video.

    Args:
        family: Whose processor it is.
        n_frames: Number of frames of a video; 0 for an image.
        min_pixels: As sent with the request, in the processor's meaning.
        max_pixels: As sent with the request, in the processor's meaning.
    """

    family: Family
    n_frames: int = 0
    min_pixels: int | None = None
    max_pixels: int | None = None

    is_required: ClassVar[bool] = False

    def __call__(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the size at which an image or a frame is seen."""
        limits = {"min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        if self.n_frames:
            return fit_clip(width, height, self.n_frames, self.family, **limits)
        return fit_image(width, height, self.family, **limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaLimit:
    """A limit of pixels that is applied here, since the server cannot be asked to.

    Args:
        family: Whose processor sees the result.
        max_pixels: Maximum area.
        area: Minimum and maximum pixels that the server scales images to; the checkpoint's own
            where `None`. What it would enlarge again is not downscaled.
    """

    family: Family
    max_pixels: int
    area: tuple[int, int] | None = None

    is_required: ClassVar[bool] = True

    def __call__(self, width: int, height: int, /) -> tuple[int, int]:
        """Return the size within the limit."""
        if width * height <= self.max_pixels:
            return width, height
        processor = PROCESSORS[self.family]
        low, high = self.area or processor.image
        limit = max(low, min(self.max_pixels, high))
        if width * height <= limit:
            # The server enlarges it to more than that, or leaves it.
            return width, height
        smaller = fit(width, height, processor.factor, (0, limit))
        # Of a side that is shorter than half a token, none is left.
        smaller = max(smaller[0], processor.factor), max(smaller[1], processor.factor)
        return fit(*smaller, processor.factor, (low, high))


def find_resize(part: Image | Video, request: Request) -> Resize | None:
    """Find the rule by which an image, or the frames of a video, are downscaled.

    Args:
        part: The image or video.
        request: What holds for it: model, parameters, policy and server.

    Returns:
        `None` where nothing is downscaled.

    Example:
        >>> from qwen_vl.content import Url
        >>> image = Image(source=Url("https://example.com/photo.jpg"))
        >>> resize = find_resize(image, Request(model="qwen3-vl-plus", turns=()))
        >>> resize(4000, 3000)
        (1856, 1376)
    """
    server, is_wanted = get_server_spec(request.server), request.policy.downscale_images
    n_frames = 1
    if isinstance(part, Video) and isinstance(part.source, Frames):
        n_frames = len(part.source.frames)
    is_gateway = request.server == "openai_compatible" and is_wanted is None
    if server.tokens != "service" and not (is_gateway and isinstance(part, Image)):
        return _find_processor_resize(part, request, server, n_frames)
    if is_wanted is None:
        # What a gateway has behind it is not known; it is one of the hosted models as a rule.
        is_wanted = is_gateway or is_service_model(request.known_model)
    if not is_wanted:
        return None
    if isinstance(part, Video):
        return _find_service_resize(part, request, n_frames)
    return ImageResize(
        spec=request.spec,
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        high_resolution=bool(request.parameters.get("vl_high_resolution_images")),
    )


def find_cut_resize(part: Video, request: Request, n_frames: int) -> Resize:
    """Find the rule by which frames are scaled that are sampled here of a video file.

    Args:
        part: The video.
        request: What holds for it: model, policy and server.
        n_frames: Number of frames that are sampled.
    """
    server = get_server_spec(request.server)
    if server.tokens == "service":
        return _find_service_resize(part, request, n_frames)
    if server.pixels is None:
        # Servers that take frames as images only have an image rule; the service's saves context.
        most = max_frame_pixels(n_frames, request.spec, part.max_pixels, part.total_pixels)
        family = request.processor
        return AreaLimit(family=family, max_pixels=most, area=server.image_area(family))
    limits, _ = find_limits(part, request.processor, n_frames)
    return ProcessorResize(family=request.processor, n_frames=n_frames, **limits)


def _find_service_resize(part: Video, request: Request, n_frames: int) -> Resize:
    return FrameResize(
        spec=request.spec,
        n_frames=n_frames,
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        total_pixels=part.total_pixels,
    )


def _find_processor_resize(
    part: Image | Video, request: Request, server: ServerSpec, n_frames: int
) -> Resize | None:
    family, is_wanted = request.processor, request.policy.downscale_images
    if server.pixels is None and part.max_pixels is not None and is_wanted is not False:
        area = server.image_area(family)
        return AreaLimit(family=family, max_pixels=part.max_pixels, area=area)
    if not is_wanted:
        return None
    if server.pixels is None:
        # Frames are images there.
        low, high = server.image_area(family)
        return ProcessorResize(family=family, min_pixels=low, max_pixels=high)
    if isinstance(part, Image):
        n_frames = 0
    limits, _ = find_limits(part, family, n_frames)
    return ProcessorResize(family=family, n_frames=n_frames, **limits)


def find_frame_size(width: int, height: int, resize: Resize) -> tuple[int, int]:
    """Return the size at which the frames of a video are sent: never larger than they are.

    Args:
        width: Pixels of a frame of the file.
        height: Pixels of a frame of the file.
        resize: Computes the size at which the model sees it.

    Example:
        >>> find_frame_size(64, 48, AreaLimit(family="qwen3_vl", max_pixels=1_000_000))
        (64, 48)
    """
    scaled_width, scaled_height = resize(width, height)
    if scaled_width * scaled_height >= width * height:
        return width, height
    return _find_stable(width, height, resize) or (width, height)


def find_sent_size(width: int, height: int, resize: Resize) -> tuple[int, int] | None:
    """Return the size to which an image is downscaled; `None` where it is sent as it is.

    That is the size at which the model sees it, unless the server would enlarge that again, as
    where `max_pixels` is little more than the least that it sees: a larger one is sent then, of
    which the server makes of equal size.

    Args:
        width: Pixels.
        height: Pixels.
        resize: Computes the size at which the model sees it.

    Example:
        >>> find_sent_size(4000, 3000, AreaLimit(family="qwen3_vl", max_pixels=1_000_000))
        (1152, 864)
    """
    scaled_width, scaled_height = resize(width, height)
    if not (scaled_width <= width and scaled_height <= height):
        return None
    gain = 1 if resize.is_required else _LEAST_GAIN
    if (scaled_width, scaled_height) == (width, height):
        return None
    if scaled_width * scaled_height * gain > width * height:
        return None
    return _find_stable(width, height, resize)


def _find_stable(width: int, height: int, resize: Resize) -> tuple[int, int] | None:
    """Return a size of which the server makes what it makes of the image itself."""
    wanted = resize(width, height)
    if resize.is_required or resize(*wanted) == wanted:
        return wanted
    for factor in _LARGER:
        share = math.sqrt(factor * math.prod(wanted) / (width * height))
        size = round(width * share), round(height * share)
        if share * _LEAST_GAIN < 1 and resize(*size) == wanted:
            return size
    return None


def is_worth_shrinking(width: int, height: int, resize: Resize) -> bool:
    """Return whether an image has so many more pixels than the model processes.

    Args:
        width: Pixels.
        height: Pixels.
        resize: Computes the size at which the model sees it.

    Example:
        >>> is_worth_shrinking(4000, 3000, AreaLimit(family="qwen3_vl", max_pixels=1_000_000))
        True
    """
    return find_sent_size(width, height, resize) is not None


def downscale(
    opened: OpenedImage, resize: Resize, where: str, *, as_jpeg: bool = False
) -> EncodedImage | None:
    """Downscale an image file to the size at which the model sees it.

    A JPEG stays a JPEG. Others stay lossless, as PNG, where they hold few colors, and become JPEG
    where they are photographs. The EXIF orientation is applied; other
    EXIF data is left out: where it was taken, for one.

    Args:
        opened: The file, of which `is_worth_shrinking` holds.
        resize: Computes the size at which the model sees it.
        where: The part, for errors.
        as_jpeg: Whether other files become JPEG too.

    Returns:
        The smaller image; `None` where it would not have fewer bytes, unless its format forbids its
        size, or it had to be turned.

    Raises:
        MediaFormatError: The image cannot be decoded.
    """
    image, header = opened.image, opened.header
    if image is None or opened.upright_size is None:
        return None
    size = find_sent_size(*opened.upright_size, resize) or opened.upright_size
    try:
        media_type, data = _shrink(opened, image, size, where, as_jpeg=as_jpeg)
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over.
        raise MediaFormatError(
            f"The image ({header.media_type}) cannot be decoded to make it smaller "
            f"({type(error).__name__}: {error}).",
            where=where,
            value=header.media_type,
            remedy="Save it again with an image program, or pass downscale_images=False.",
        ) from error
    is_needed = is_too_large(header) or opened.orientation != UPRIGHT or resize.is_required
    return EncodedImage(media_type, data, size) if len(data) < header.n_bytes or is_needed else None


def shrink_pixels(image: "PillowImage", resize: Resize) -> "PillowImage":
    """Downscale a decoded image to the size at which the model sees it, if it is larger.

    Args:
        image: Stays as it is.
        resize: Computes the size at which the model sees it.
    """
    size = find_sent_size(image.width, image.height, resize)
    return image if size is None else _resample(image, size)


def _shrink(
    opened: OpenedImage,
    image: "PillowImage",
    size: tuple[int, int],
    where: str,
    *,
    as_jpeg: bool,
) -> tuple[str, bytes]:
    is_jpeg = opened.header.media_type == "image/jpeg"
    # Pillow turns a TIFF as it decodes it.
    is_tiff = opened.header.media_type == "image/tiff"
    stored_size = size if is_tiff else turn_size(size, opened.orientation)
    # A JPEG decodes to an eighth, a quarter or half of its size at a fraction of the cost.
    image.draft(None, stored_size)
    small = _resample(with_plain_mode(image, where), stored_size)
    if not is_tiff:
        small = upright(small, where)
    if as_jpeg and not is_jpeg:
        return "image/jpeg", encode_jpeg(to_jpeg_mode(small), JPEG_QUALITY)
    if not is_jpeg:
        return encode_compact(small)
    return "image/jpeg", encode_jpeg(to_jpeg_mode(small), DOWNSCALED_JPEG_QUALITY)


def _resample(image: "PillowImage", size: tuple[int, int]) -> "PillowImage":
    from PIL.Image import Resampling  # noqa: PLC0415 - 70 ms, which mere URLs never pay

    if image.mode in {"1", "P"}:
        # Their values are not amounts, which could be averaged.
        image = image.convert("RGB")
    return image.resize(size, Resampling.LANCZOS, reducing_gap=2.0)
