"""The images and the video that the suite asks about.

Each is of one color, so that any model that sees it can name it, and none that does not.
"""

import base64
import io
from importlib.resources import files

from PIL import Image, ImageDraw

_SIZE = (160, 120)
_COLORS = {
    "blue": ((30, 50, 220), (15, 30, 170)),
    "green": ((20, 170, 50), (10, 120, 35)),
    "red": ((220, 30, 25), (170, 20, 15)),
}
"""What fills an image, and the darker shade of the shape on it."""

VIDEO_COLOR = "green"


def draw_image(color: str = "red", form: str = "PNG") -> bytes:
    r"""Draw an image of one color, with a darker circle on it.

    Args:
        color: `blue`, `green` or `red`.
        form: A format that Pillow writes.

    Returns:
        The file.

    Example:
        >>> draw_image("blue")[:4]
        b'\x89PNG'
    """
    background, shape = _COLORS[color]
    image = Image.new("RGB", _SIZE, background)
    ImageDraw.Draw(image).ellipse((50, 30, 110, 90), fill=shape)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def read_video() -> bytes:
    """Return a green video: MP4 (H.264), 128x128, 3 seconds, 12 frames, a square that moves.

    Drawn with Pillow and encoded with PyAV for this package (`libx264`, 4 frames a second,
    `crf` 30). It is in the public domain (CC0).
    """
    return files("llama_index_vision_tests").joinpath("clips", "green.mp4").read_bytes()


def to_data_url(data: bytes, media_type: str) -> str:
    """Write a file as a data URL.

    Example:
        >>> to_data_url(b"GIF89a", "image/gif")
        'data:image/gif;base64,R0lGODlh'
    """
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
