"""What the demos of the frameworks have in common: the questions, and what they show of each.

Each framework's package has a function `run(console, folder, **settings)` and names it in the
entry-point group `qwen_vl.demo`; one that needs a model or a sandbox that reads is in
`qwen_vl.demo_reading`.
"""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen_vl.cli.inputs import expand_path
from qwen_vl.connection import API_KEY_VARIABLE
from qwen_vl.content import Image, LocalFile, Video
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.drawing import draw_grounding, draw_timeline
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline, format_clock
from qwen_vl.media import sniff
from qwen_vl.media.measure import measure_image, measure_video
from qwen_vl.request.types import MediaPolicy
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.tokens.conversation import count_tokens

IMAGE_QUESTION = "What is in this image?"
IMAGE = CHELSEA
IMAGES_QUESTION = "What do these two images have in common?"
IMAGES = (COFFEE, ROCKET)
VIDEO_QUESTION = "What happens in this video?"
VIDEO = BIG_BUCK_BUNNY
TIMELINE_QUESTION = "Which events are in this video, and when?"
BOXES_WHAT = "the cat's yellow eyes"
BOXES_QUESTION = f"Where are {BOXES_WHAT}?"
BOXES_IMAGE = CHELSEA
AGENT_QUESTION = (
    "What stands beside the rocket? Use zoom, first with left=200, top=100, right=440, bottom=420."
)
AGENT_IMAGE = ROCKET

INVOICE_QUESTION = "Which items are on this invoice, and what do they cost?"
INVOICE_WHAT = '"Total: EUR 92.50"'
_INVOICE: Sequence[tuple[int, int, int, str]] = (
    (70, 60, 44, "INVOICE"),
    *((560, 70 + 30 * at, 20, text) for at, text in enumerate(("Lakeside Paper Ltd.", "Bristol"))),
    *((70, 160 + 36 * at, 20, text) for at, text in enumerate(("Invoice number:", "Due date:"))),
    *((260, 160 + 36 * at, 20, text) for at, text in enumerate(("2026-0117", "30 December 2026"))),
    *(
        (x, 290 + 40 * row, 20, text)
        for row, texts in enumerate(
            (
                ("Description", "Quantity", "Unit price", "Amount"),
                ("Drawing paper A3", "10", "4.50", "45.00"),
                ("Ink, black", "3", "7.20", "21.60"),
                ("Brush set", "2", "12.95", "25.90"),
            )
        )
        for x, text in zip((80, 440, 590, 750), texts, strict=True)
    ),
    (590, 480, 22, "Total: EUR 92.50"),
    (70, 560, 20, "Payment within 30 days. Please name the number of the invoice."),
)
"""What stands on the invoice: x, y, size of the font, text."""
_INVOICE_RULES = tuple(280 + 40 * row for row in range(5))
_INVOICE_SIZE = (900, 640)

_POLICY = MediaPolicy()
_HEAD_BYTES = 1_024


def make_folder(output: str | None) -> Path:
    """Return the folder that images are saved in.

    Args:
        output: As the user typed it; a new temporary folder if `None`.

    Raises:
        ConfigurationError: It cannot be created.
    """
    if output is None:
        return Path(tempfile.mkdtemp(prefix="qwen-vl-demo-"))
    folder = expand_path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What cannot be written is found out before anything is asked.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"--output: images cannot be saved in {output}: {error.strerror}."
        ) from error
    return folder


def print_question(console: Console, question: str, files: Sequence[Path], model: str) -> None:
    """Print what is asked, and a table of the files that go with it.

    Args:
        console: Where to print.
        question: The text.
        files: Images and videos.
        model: Model id, which says how many tokens a file costs.
    """
    console.print(f"[bold]Asked[/bold]     {escape(question)}")
    table = Table("Sent", "Type", "Size", "Bytes", "Tokens")
    for file in files:
        source = LocalFile(file, is_trusted=True)
        with file.open("rb") as opened:
            media_type = sniff(opened.read(_HEAD_BYTES)) or ""
        size: tuple[int, int] | None
        part: Image | Video
        if media_type.startswith("video/"):
            clip, part = measure_video(source, _POLICY, file.name), Video(source=source)
            size = (clip.width, clip.height) if clip else None
        else:
            size, part = measure_image(source, _POLICY, file.name), Image(source=source)
        table.add_row(
            file.name,
            media_type,
            f"{size[0]} x {size[1]}" if size else "?",
            f"{file.stat().st_size:,}",
            f"{count_tokens(part, model):,}",
        )
    console.print(table)


def print_text(console: Console, text: str, *, end: str = "\n") -> None:
    """Print what a model said, whatever it may contain.

    Args:
        console: Where to print.
        text: All or a piece of it.
        end: What comes after it.
    """
    console.print(text, end=end, markup=False, highlight=False, soft_wrap=True)


def save_invoice(console: Console, folder: Path) -> Path:
    """Draw an invoice, and save it.

    Args:
        console: Where to print.
        folder: Where to save.
    """
    image = PillowImage.new("RGB", _INVOICE_SIZE, "white")
    draw = ImageDraw.Draw(image)
    for y in _INVOICE_RULES:
        draw.line((70, y, _INVOICE_SIZE[0] - 70, y), "gray")
    for x, y, size, text in _INVOICE:
        draw.text((x, y), text, "black", ImageFont.load_default(size))
    return save_image(console, image, folder / "invoice.png")


def show_boxes(
    console: Console, found: Grounding, file: Path, *, image: Path = BOXES_IMAGE
) -> None:
    """Print the boxes that were found in an image, and save them drawn on it.

    Args:
        console: Where to print.
        found: The boxes.
        file: Where to save, unless the file exists.
        image: The image.
    """
    boxes = [
        f"{box.label} at ({', '.join(f'{value:.0f}' for value in box.xyxy)})" for box in found.boxes
    ]
    console.print("[bold]Found[/bold]     ", end="")
    print_text(console, "; ".join(boxes) or "nothing")
    save_image(console, draw_grounding(image, found), file)


def show_timeline(console: Console, found: Timeline, file: Path) -> None:
    """Print the events that were found in `VIDEO`, and save a frame of each as one image.

    Args:
        console: Where to print.
        found: The events.
        file: Where to save, unless the file exists.
    """
    events = [
        f"{format_clock(event.start)} to {format_clock(event.end)} {event.text}" for event in found
    ]
    console.print("[bold]Found[/bold]     ", end="")
    print_text(console, "; ".join(events) or "nothing")
    save_image(console, draw_timeline(VIDEO, found), file)


def print_next_steps(
    console: Console, folder: Path, images: Sequence[str], *, has_key: bool
) -> None:
    """Print where the images are, and what to do next.

    Args:
        console: Where to print.
        folder: The folder that the images were saved in.
        images: Their file names.
        has_key: Whether the service was asked.
    """
    console.rule("Next")
    command = _find_command()
    steps = [
        f"Open the images in {folder}: {', '.join(images)}",
        *([] if has_key else [f"Ask a model:           export {API_KEY_VARIABLE}=sk-…"]),
        f'Ask about your image:  {command} ask "What is this?" cat.png',
        f'Find things in it:     {command} locate cat.png "the eyes" -o found.png',
        f"Find events:           {command} timeline walk.mp4 -o events.png --vtt walk.vtt",
        f"Count tokens:          {command} tokens cat.png walk.mp4",
        f"All options:           {command} ask --help",
    ]
    print_text(console, "\n".join(steps))


def _find_command() -> str:
    """Return how the user runs `qwen-vl`: `make demo` uses an environment that is not activated."""
    if shutil.which("qwen-vl"):
        return "qwen-vl"
    return os.path.relpath(Path(sys.executable).with_name("qwen-vl"))


def cut_out(left: int, top: int, right: int, bottom: int) -> bytes:
    """Crop the image that the agent sees, and double the size of the crop.

    Args:
        left: Pixels from the left edge.
        top: Pixels from the upper edge.
        right: Pixels from the left edge to the opposite corner.
        bottom: Pixels from the upper edge to the opposite corner.

    Returns:
        A PNG file.
    """
    with PillowImage.open(AGENT_IMAGE) as image:
        part = image.crop((left, top, right, bottom))
    return _to_png(part.resize((part.width * 2, part.height * 2)))


def save_image(console: Console, image: PillowImage.Image, file: Path) -> Path:
    """Save an image, and print where.

    Args:
        console: Where to print.
        image: The image.
        file: Where to save; if it exists, beside it.

    Returns:
        The file that was written.
    """
    data, number = _to_png(image), 1
    place = file
    while True:
        try:
            with place.open("xb") as opened:
                opened.write(data)
        except FileExistsError:
            # It may be anybody's.
            number += 1
            place = file.with_stem(f"{file.stem}-{number}")
        else:
            break
    console.print("[bold]Saved[/bold]     ", end="")
    print_text(console, f"{place}\n")
    return place


def _to_png(image: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
