"""A timeline as one image: a bar of the whole video, and a frame with its caption per event."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from PIL.ImageFont import FreeTypeFont

from qwen_vl.content import Url, is_remote
from qwen_vl.errors import ConfigurationError, MediaFormatError
from qwen_vl.grounding.drawing.labels import (
    PALETTE,
    Color,
    Lettering,
    count_fitting,
    cut_to_width,
    draw_label,
    rounded_mask,
)
from qwen_vl.grounding.drawing.opened import open_upright
from qwen_vl.grounding.timeline import Event, Timeline, format_clock
from qwen_vl.media.load import require_source
from qwen_vl.media.video.thumbnails import take_thumbnails
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.vision import DEFAULT_FPS

_FRAME_WIDTH = 300
_MOST_COLUMNS = 4
_LETTERS, _SMALL_LETTERS = 15, 13
_MARGIN, _GAP, _BAR = 20, 16, 18
_MOST_LINES = 4
_GROUND: Color = (247, 247, 245)
_PLATE: Color = (255, 255, 255)
_TRACK: Color = (225, 225, 221)
_INK: Color = (30, 32, 36)
_FAINT: Color = (110, 112, 118)
# Signs that no line of Chinese begins with.
_ENDS = "，。、；：？！）】》”’…"
# A longer image would not be an overview, and would take hundreds of megabytes.
_MOST_EVENTS = 200


@dataclass(frozen=True, slots=True)
class _Card:
    event: Event
    still: Image.Image
    lines: tuple[str, ...]
    font: FreeTypeFont
    color: Color

    @property
    def height(self) -> int:
        return self.still.height + 12 + len(self.lines) * _line_height(self.font)


def draw_timeline(
    video: object,
    timeline: Timeline,
    *,
    fps: float | None = None,
    font: str | Path | None = None,
    policy: MediaPolicy | None = None,
) -> Image.Image:
    """Draw a timeline as one image: a bar of the video's length, and below it a card per event.

    A card has the frame from the middle of its event, its times, and what happens, as text.

    Args:
        video: The video: a `pathlib.Path`, bytes or an open file; or the list of its frames, each
            as `draw_grounding` takes images.
        timeline: What happens in it.
        fps: At how many frames per second a list of frames was taken; 2 where none is given, as
            the service takes it for.
        font: File of a font for the captions, or its name.
        policy: Which files may be read; the default policy if `None`.

    Returns:
        An image in RGB, up to 1,288 pixels wide.

    Raises:
        MediaError: The video or a frame cannot be read.
        MissingExtraError: The video is a file, and PyAV is not installed.
        ConfigurationError: There are more than 200 events, or the font cannot be read.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> events = (Event(start=0, end=2, text="A bird"), Event(start=2, end=5, text="An apple"))
        >>> draw_timeline(BIG_BUCK_BUNNY, Timeline(events=events, seconds=5.28)).width
        656
    """
    if len(timeline) > _MOST_EVENTS:
        raise ConfigurationError(
            f"An image of {len(timeline)} events would be no overview; draw at most "
            f"{_MOST_EVENTS} of them."
        )
    policy = policy or MediaPolicy()
    lettering = Lettering(_LETTERS, font)
    thumbnails = _take(video, [_middle(event) for event in timeline], fps, policy)
    cards = [
        _make_card(event, still, lettering, PALETTE[number % len(PALETTE)])
        for number, (event, still) in enumerate(zip(timeline, thumbnails, strict=True))
    ]
    board = _Board(timeline, cards)
    image = board.draw()
    lettering.warn()
    return image


class _Board:
    def __init__(self, timeline: Timeline, cards: Sequence[_Card]) -> None:
        self._timeline = timeline
        self._small = Lettering(_SMALL_LETTERS)
        columns = min(_MOST_COLUMNS, len(cards))
        # Four cards are two rows of two sooner than three and one.
        if len(cards) > _MOST_COLUMNS:
            rows = math.ceil(len(cards) / _MOST_COLUMNS)
            columns = math.ceil(len(cards) / rows)
        self._columns = max(columns, 1)
        self._rows = [cards[at : at + self._columns] for at in range(0, len(cards), self._columns)]

    def draw(self) -> Image.Image:
        width = 2 * _MARGIN + self._columns * _FRAME_WIDTH + (self._columns - 1) * _GAP
        head = _MARGIN + _BAR + 2 * _SMALL_LETTERS
        heights = [max(card.height for card in row) for row in self._rows]
        height = head + sum(heights) + len(heights) * _GAP + _MARGIN
        image = Image.new("RGB", (width, height), _GROUND)
        self._draw_bar(image)
        y = head + _GAP
        for row, tall in zip(self._rows, heights, strict=True):
            for column, card in enumerate(row):
                self._draw_card(image, card, (_MARGIN + column * (_FRAME_WIDTH + _GAP), y), tall)
            y += tall + _GAP
        return image

    def _draw_bar(self, image: Image.Image) -> None:
        """Draw the whole video as a bar, and each event as its part of it."""
        events = self._timeline.events
        length = self._timeline.seconds or max((event.end for event in events), default=0.0) or 1.0
        left, top, width = _MARGIN, _MARGIN, image.width - 2 * _MARGIN
        image.paste(_TRACK, (left, top), rounded_mask((width, _BAR), 5))
        for number, event in enumerate(events):
            start = left + round(width * event.start / length)
            # A moment is seen too.
            end = max(left + round(width * event.end / length), start + 5)
            size = (min(end, left + width) - start, _BAR)
            if size[0] > 0:
                color = PALETTE[number % len(PALETTE)]
                image.paste(color, (start, top), rounded_mask(size, min(5, size[0] // 2)))
                ImageDraw.Draw(image).line(
                    (start, top, start, top + _BAR - 1), fill=_GROUND, width=1
                )
        font = self._small.plain_font()
        draw, below = ImageDraw.Draw(image), top + _BAR + 5
        draw.text((left, below), "0:00", font=font, fill=_FAINT)
        right = (left + width, below)
        draw.text(right, format_clock(length), font=font, fill=_FAINT, anchor="ra")

    def _draw_card(
        self, image: Image.Image, card: _Card, place: tuple[int, int], tall: int
    ) -> None:
        x, y = place
        image.paste(_PLATE, place, rounded_mask((_FRAME_WIDTH, tall), 6))
        # What is beside a tall frame.
        image.paste(_TRACK, (x, y, x + _FRAME_WIDTH, y + card.still.height))
        image.paste(card.still, (x + (_FRAME_WIDTH - card.still.width) // 2, y))
        ImageDraw.Draw(image).rectangle(
            (x, y + card.still.height, x + _FRAME_WIDTH - 1, y + card.still.height + 3),
            fill=card.color,
        )
        event = card.event
        times = format_clock(event.start)
        if event.end > event.start:
            times = f"{times} - {format_clock(event.end)}"
        label = self._small.make(times, _FRAME_WIDTH)
        draw_label(image, label, (x + 8, y + 8), card.color)
        draw = ImageDraw.Draw(image)
        for number, line in enumerate(card.lines):
            top = y + card.still.height + 8 + number * _line_height(card.font)
            draw.text((x + 10, top), line, font=card.font, fill=_INK)


def _make_card(event: Event, still: Image.Image, lettering: Lettering, color: Color) -> _Card:
    label = lettering.make(event.text, math.inf) if event.text.strip() else None
    font = label.font if label else lettering.plain_font()
    lines = _wrap(label.text, font, _FRAME_WIDTH - 20) if label else []
    return _Card(event, still, tuple(lines), font, color)


def _wrap(text: str, font: FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines: between words, and within Chinese anywhere."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < _MOST_LINES - 1:
        count = max(1, count_fitting(rest, font, width))
        if count == len(rest):
            return [*lines, rest]
        space = rest.rfind(" ", 1, count + 1)
        is_word = rest[count - 1].isascii() and rest[count].isascii()
        at = space if is_word and space != -1 else count
        if rest[at] in _ENDS:
            at -= 1
        lines.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*lines, cut_to_width(rest, font, width)] if rest else lines


def _line_height(font: FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent


def _middle(event: Event) -> float:
    return (event.start + event.end) / 2


def _take(
    video: object, times: Sequence[float], fps: float | None, policy: MediaPolicy
) -> list[Image.Image]:
    if isinstance(video, list | tuple):
        thumbnails = _take_frames(video, times, fps or DEFAULT_FPS, policy)
    else:
        source = require_source(video, "video")
        if isinstance(source, Url) and is_remote(source.url):
            raise MediaFormatError(
                "Videos given by URL are never fetched, so that no frames can be taken.",
                where="video",
                value=source.url,
                remedy="Pass its path, its bytes, an open file, or the list of its frames.",
            )
        thumbnails = take_thumbnails(source, policy, times, width=2 * _FRAME_WIDTH, where="video")
    # Tall videos of telephones would fill the whole page.
    most = (_FRAME_WIDTH, _FRAME_WIDTH)
    return [ImageOps.contain(still, most, Image.Resampling.LANCZOS) for still in thumbnails]


def _take_frames(
    frames: Sequence[object], times: Sequence[float], fps: float, policy: MediaPolicy
) -> list[Image.Image]:
    if not frames:
        raise MediaFormatError("The video contains no frames.", where="video", value=0)
    # A frame is shown from its own time to that of the next.
    numbers = [min(int(time * fps), len(frames) - 1) for time in times]
    return [open_upright(frames[number], policy, f"video[{number}]") for number in numbers]
