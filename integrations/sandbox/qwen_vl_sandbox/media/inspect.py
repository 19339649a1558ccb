"""What images and videos really are: decoded, measured, checked against the limits.

Limits and messages are those of the Vision page (2026-08) and the Errors page (2026-07).
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import av
import av.error
from PIL import Image

from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.media.colors import Color
from qwen_vl_sandbox.media.fetch import Content, FileContent
from qwen_vl_sandbox.media.hosted_tokens import Clip
from qwen_vl_sandbox.specs.models import VideoSpec

SMALLEST_SIDE = 11
"""Both sides must be longer than 10 pixels."""

MAX_RATIO = 200

PIXELS_OF_4K = 3840 * 2160
"""Above this only JPEG and PNG are taken. unsure: whether by area or by side."""

MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 2**63
MIN_VIDEO_SECONDS = 2.0

# GIF and AVIF are on neither the Vision page's list nor the Errors page's.
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP", "ICNS", "ICO", "JPEG2000", "SGI")
_LARGE_FORMATS = frozenset({"JPEG", "PNG"})
_MEDIA_TYPES = {
    "image/jpg": "JPEG",
    "image/jpeg": "JPEG",
    "image/pjpeg": "JPEG",
    "image/png": "PNG",
    "image/bmp": "BMP",
    "image/x-ms-bmp": "BMP",
    "image/tiff": "TIFF",
    "image/webp": "WEBP",
    "image/heic": "HEIC",
    "image/icns": "ICNS",
    "image/x-icns": "ICNS",
    "image/x-icon": "ICO",
    "image/vnd.microsoft.icon": "ICO",
    "image/jp2": "JPEG2000",
    "image/sgi": "SGI",
    "image/x-sgi": "SGI",
}
_HEIC_BRANDS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheim", b"ftypheis")
_HEAD_BYTES = 64

ILLEGAL_FORMAT = ALGO + "The image format is illegal and cannot be opened"
UNDECODABLE = ALGO + "Failed to decode the image during the data inspection."
BAD_SIZE = ALGO + "The image length and width do not meet the model restrictions."
TOO_MANY_PIXELS = ALGO + "The image size is not supported for the data inspection."
BAD_VIDEO = ALGO + "Invalid video file."
LONG_VIDEO = ALGO + "The video file is too long."
SHORT_VIDEO = ALGO + "The video file is too short."  # unsure: no page prints this message.


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """An image that has been decoded."""

    format: str
    width: int
    height: int
    color: Color | None
    """Mean color; `None` for HEIC, of which only the header is read."""


@dataclass(frozen=True, slots=True)
class SeenVideo:
    """A video that has been opened."""

    format: str
    clip: Clip
    fps: float
    color: Color
    """Mean color of the first frame."""
    has_audio: bool = False


def inspect_image(content: Content, *, strict: bool) -> InspectedImage:
    """Decode an image whole and check it against the limits.

    Raises:
        ApiError: It is not an image, is broken, or is outside the limits.
    """
    head = content.data[:_HEAD_BYTES]
    if any(brand in head for brand in _HEIC_BRANDS):
        seen = _see_heic(content.data)
    else:
        seen = _see_with_pillow(content.data)
    _check_image(seen)
    # The page asks for a matching type for HEIC and TIFF and says that bytes count too.
    # unsure: whether a PNG called image/jpeg is refused.
    if strict and _MEDIA_TYPES.get(content.media_type) != seen.format:
        reject(f"{ILLEGAL_FORMAT}: {seen.format} bytes were sent as {content.media_type!r}.")
    return seen


def see_video(content: Content | FileContent, spec: VideoSpec) -> SeenVideo:
    """Open a video, decode its first frame and check it against the limits.

    Raises:
        ApiError: It is not a video, or is too short or too long for the model.
    """
    try:
        video = open_video(content)
    except (av.error.FFmpegError, ValueError, StopIteration, IndexError):
        reject(BAD_VIDEO)
    if video.clip.seconds < MIN_VIDEO_SECONDS:
        reject(SHORT_VIDEO)
    if video.clip.seconds > spec.max_seconds:
        reject(LONG_VIDEO)
    return video


# The same media come again with every turn of a conversation.
@lru_cache(maxsize=16)
def _see_with_pillow(data: bytes) -> InspectedImage:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reject(TOO_MANY_PIXELS)
    except (OSError, SyntaxError, ValueError):
        reject(ILLEGAL_FORMAT)
    with image:
        width, height = image.size
        # unsure: no page says from where on; Pillow warns of such images from here on.
        if width * height > MAX_PIXELS:
            reject(TOO_MANY_PIXELS)
        label = "JPEG" if image.format == "MPO" else str(image.format)
        seen = InspectedImage(label, width, height, None)
        _check_image(seen)
        try:
            color = mean_color(image)
        except (OSError, SyntaxError, ValueError, EOFError):
            reject(UNDECODABLE)
    return InspectedImage(label, width, height, color)


def _see_heic(data: bytes) -> InspectedImage:
    # Pillow opens no HEIC by itself, but the `ispe` boxes hold the sizes of the image
    # and its tiles: version and flags, then width and height, 4 bytes each.
    sizes = []
    at = data.find(b"ispe")
    while at != -1:
        width, height = data[at + 8 : at + 12], data[at + 12 : at + 16]
        sizes.append((int.from_bytes(width, "big"), int.from_bytes(height, "big")))
        at = data.find(b"ispe", at + 4)
    if not sizes:
        reject(UNDECODABLE)
    width_px, height_px = max(sizes)
    return InspectedImage("HEIC", width_px, height_px, None)


def _check_image(seen: InspectedImage) -> None:
    width, height = seen.width, seen.height
    if min(width, height) < SMALLEST_SIDE:
        reject(f"{BAD_SIZE} [height:{height} or width:{width} must be larger than 10]")
    if max(width, height) / min(width, height) > MAX_RATIO:
        reject(f"{BAD_SIZE} [absolute aspect ratio must be smaller than {MAX_RATIO}]")
    if width * height > PIXELS_OF_4K and seen.format not in _LARGE_FORMATS:
        reject(f"{ILLEGAL_FORMAT}: above 4K only JPEG and PNG are supported.")


def mean_color(image: Image.Image) -> Color:
    """Average all pixels of an image."""
    pixel = image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    if not isinstance(pixel, tuple):
        raise ValueError("An RGB pixel has three values.")  # noqa: TRY004 - a broken image.
    return Color(int(pixel[0]), int(pixel[1]), int(pixel[2]))


@lru_cache(maxsize=4)
def open_video(content: Content | FileContent) -> SeenVideo:
    """Open a video and decode its first frame.

    Raises:
        av.error.FFmpegError: It is not a video.
        ValueError: Likewise.
        StopIteration: It lacks frames.
        IndexError: It lacks a video stream.
    """
    source = str(content.path) if isinstance(content, FileContent) else io.BytesIO(content.data)
    with av.open(source, mode="r") as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        seconds = 0.0
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
            if container.format.name.startswith("matroska"):
                # Its `Duration` ends where the last frame does, on a clock that may begin anywhere.
                seconds -= max(0, container.start_time) / av.time_base
        frame = next(container.decode(stream))
        # PyAV's stub leaves this method untyped.
        color = mean_color(frame.to_image())
        clip = Clip(frame.width, frame.height, seconds, stream.frames or _count_frames(source))
        name = _container_name(container.format.name, content)
        return SeenVideo(name, clip, rate, color, bool(container.streams.audio))


def _count_frames(source: str | io.BytesIO) -> int:
    """Count the frames of a file whose header lists none, such as Matroska.

    Decoders read what there is: length times rate is too many where frames come unevenly.
    """
    if not isinstance(source, str):
        source.seek(0)
    with av.open(source, mode="r") as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


def _container_name(names: str, content: Content | FileContent) -> str:
    # FFmpeg names families ("mov,mp4,m4a,3gp"); the sender's type picks one of them.
    subtype = content.media_type.rpartition("/")[2]
    known = names.split(",")
    return (subtype if subtype in known else known[0]).upper()
