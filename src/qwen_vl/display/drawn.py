"""Results that notebooks show as images."""

import base64
import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from qwen_vl.display.html import to_note
from qwen_vl.media.encode import encode_compact

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Draw: TypeAlias = Callable[[Any], "PillowImage"]

_Found = TypeVar("_Found", bound="Drawable")

MAX_SIDE_PIXELS = 1024


class Drawable:
    """A result that remembers how it is drawn on what it was found in.

    No field of the dataclass holds it, so that images are not compared, copied, pickled, written to
    checkpoints or sent to tracing services.
    """

    __slots__ = ("_draw",)
    _draw: Draw


def with_drawing(found: _Found, draw: Draw) -> _Found:
    """Set how a result is drawn, where IPython may show it, and return it.

    In other programs, results do not keep images in memory.

    Args:
        found: The result; it is changed.
        draw: Takes the result, and returns the image.
    """
    # IPython sets it (IPython's documentation of `builtins`).
    if hasattr(builtins, "__IPYTHON__"):
        object.__setattr__(found, "_draw", draw)
    return found


def draw_known(found: Drawable, max_side: int = MAX_SIDE_PIXELS) -> str:
    """Return the drawing of a result as HTML.

    Args:
        found: The result.
        max_side: Maximum width and height in pixels.

    Returns:
        A sentence with the reason if it cannot be drawn, such as a file that is gone; an empty
        string if nothing is remembered.
    """
    draw: Draw | None = getattr(found, "_draw", None)
    return "" if draw is None else to_image(lambda: draw(found), max_side)


def to_image(draw: Callable[[], "PillowImage"], max_side: int = MAX_SIDE_PIXELS) -> str:
    """Return an image as HTML that holds it.

    Args:
        draw: Returns a new image, which is changed.
        max_side: Maximum width and height in pixels.

    Returns:
        A sentence with the reason if it cannot be drawn.
    """
    try:
        image = draw()
        image.thumbnail((max_side, max_side))
        media_type, data = encode_compact(image)
    except Exception as error:  # noqa: BLE001 - whatever decoders raise, the table is shown too
        return to_note(f"The image cannot be drawn: {error}")
    encoded = base64.b64encode(data).decode()
    return f'<img alt="" src="data:{media_type};base64,{encoded}">'
