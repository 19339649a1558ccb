"""How the work of a reader grows with the text that it reads."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from qwen_vl.errors import QwenVLError

# Four times the text is four times the work, or sixteen times where each character is read again
# for each other, or sixty-four.
STEP = 4
_MAX_GROWTH = 10
# Less is not measured well: steps that take less count as this.
_MIN_SECONDS = 0.000_3
_SMALLEST = 256

Read = Callable[[str], object]

# Head, repeated unit and tail of texts that are hard on patterns, parsers and loops.
TEXTS: dict[str, tuple[str, str, str]] = {
    "spaces": ("a", " ", "a"),
    "line breaks": ("a", "\r\n", "a"),
    "title of spaces": ("<title>", " ", "x"),
    "titles": ("", "<title>", ""),
    "elements": ("<Error>", "<Code>", ""),
    "tags": ("<table>", "<table ", ""),
    "styles": ("", "<style>a", ""),
    "paragraphs": ("", '<p data-bbox="1 2 3 4">a', ""),
    "lists in lists": ("", "<ul><li>", ""),
    "open comments": ("", "<!-- a", ""),
    "table comments": ("", "<!-- Table (1,2,3,4) -->\n", ""),
    "tag of quotes": ("<a ", '"<a "', ">"),
    "LaTeX": ("", "\\begin{tabular}{l", "}"),
    "LaTeX braces": ("", "\\textbf{{", ""),
    "formulas": ("", "$$ a", ""),
    "items": ("", "- a\n", ""),
    "rows": ("", "<table><tr>", "</table>"),
    "fence of spaces": ("```json\n", " ", "x"),
    "fence of tabs": ("```\n", "\n\t", "x"),
    "fences": ("", "```json\n[1]\n```\n", ""),
    "open fences": ("", "```", ""),
    "fence of a word": ("```", "a", ""),
    "brackets": ("", "[", ""),
    "braces": ("", '{"a":', ""),
    "brackets in prose": ("", "[see x ", ""),
    "closed brackets": ("[", "[x] ", "]"),
    "literals": ("[x,", "'a',", "]"),
    "commas": ("[1", ", ", "]"),
    "comma of spaces": ("[1,", " ", "x]"),
    "quotes": ('["', '\\"', '"]'),
    "single quotes": ("['", "'", "']"),
    "backslashes": ('{"a": "', "\\", '"}'),
    "digits": ("", "1", "s"),
    "number of spaces": ("1", " ", "x"),
    "boxes": ("", "<box>(1,2),(3,4)</box>", ""),
    "open boxes": ("", "<|box_start|>", "<|box_end|>"),
    "comments": ("[{", "/* // ", "}]"),
    "stray quotes": ('["', 'a" b', '"]'),
    "clock": ("", "1:", ""),
    "dashes": ("1", " - ", "2"),
    "dash of spaces": ("00:01", " ", "x00:02"),
    "pages": ("", "1-9,", "1"),
    "exponents": ("", "1e", "1"),
    "options": ("data:image/png", ";a", ",x"),
    "percents": ("data:,", "%41", ""),
    "padding": ("data:;base64,QQ", "=", ""),
    "Base64": ("", "iVBORw0KGgo ", "!"),
    "folders": ("file:///", "a/", ""),
    "user": ("https://", "a@", ""),
    "hosts": ("https://", "[a", "/"),
    "Chinese": ("", "猫，", "。"),
    "words": ("", "qwen3-vl-thinkin ", ""),
}


def make_text(name: str, size: int) -> str:
    """Make a text of about so many characters."""
    head, unit, tail = TEXTS[name]
    return head + unit * (size // len(unit)) + tail


def check_growth(read: Read, name: str, largest: int) -> None:
    """Check that a reader's work grows no faster than the text.

    It begins with small texts, so that what grows faster is found before it takes minutes.

    Args:
        read: Reads a text; errors of ours are an answer too.
        name: Of a text.
        largest: Most characters.
    """
    size, before = _SMALLEST, _measure(read, make_text(name, _SMALLEST), runs=3)
    while size < largest:
        size *= STEP
        text = make_text(name, size)
        seconds = _measure(read, text)
        if seconds > _MAX_GROWTH * before:
            # Once more, since others may have been at work beside it.
            before = _measure(read, make_text(name, size // STEP), runs=5)
            seconds = _measure(read, text, runs=3)
        assert seconds <= _MAX_GROWTH * before, f"{name}: {before} s, then {seconds} s at {size}"
        before = seconds


def _measure(read: Read, text: str, runs: int = 1) -> float:
    with _without_collector():
        return max(_MIN_SECONDS, min(_time(read, text) for _ in range(runs)))


def _time(read: Read, text: str) -> float:
    # Of this thread alone, whatever else runs here.
    start = time.thread_time()
    with suppress(QwenVLError):
        read(text)
    return time.thread_time() - start


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
