"""What the demos of the frameworks have in common: the questions, and what they show of each.

Each framework's package has a function `run(console, **settings)` and names it in the entry-point
group `qwen_vl.demo`.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from qwen_vl.media import read_image_header, sniff
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.vision import count_image_tokens

IMAGE_QUESTION = "What is in this picture?"
IMAGE = CHELSEA
IMAGES_QUESTION = "What do these two pictures have in common?"
IMAGES = (COFFEE, ROCKET)
VIDEO_QUESTION = "What happens in this video?"
VIDEO = BIG_BUCK_BUNNY
AGENT_QUESTION = (
    "What stands beside the rocket? Use zoom, first with left=200, top=100, right=440, bottom=420."
)
AGENT_IMAGE = ROCKET


def print_question(console: Console, question: str, files: Sequence[Path], model: str) -> None:
    """Print what is asked, and a table of the files that go with it.

    Args:
        console: Where to print.
        question: The text.
        files: Pictures and videos.
        model: Model id, which says how many tokens a picture costs.
    """
    console.print(f"[bold]Asked[/bold]     {question}")
    table = Table("Sent", "Type", "Size", "Bytes", "Tokens")
    for file in files:
        data = file.read_bytes()
        if (sniff(data) or "").startswith("video/"):
            size, tokens = "", "as the service samples it"
        else:
            header = read_image_header(data)
            width, height = header.width or 0, header.height or 0
            size = f"{width} x {height}"
            tokens = f"{count_image_tokens(width, height, get_model_spec(model)):,}"
        table.add_row(file.name, sniff(data), size, f"{len(data):,}", tokens)
    console.print(table)


def print_text(console: Console, text: str, *, end: str = "\n") -> None:
    """Print what a model said, whatever it may contain.

    Args:
        console: Where to print.
        text: All or a piece of it.
        end: What comes after it.
    """
    console.print(text, end=end, markup=False, highlight=False, soft_wrap=True)


def cut_out(left: int, top: int, right: int, bottom: int) -> bytes:
    """Cut a part out of the picture that the agent looks at, at twice its size.

    Args:
        left: Pixels from the left edge.
        top: Pixels from the upper edge.
        right: The same for the other corner.
        bottom: The same.

    Returns:
        A PNG file.
    """
    with Image.open(AGENT_IMAGE) as image:
        part = image.crop((left, top, right, bottom))
    buffer = io.BytesIO()
    part.resize((part.width * 2, part.height * 2)).save(buffer, "PNG")
    return buffer.getvalue()
