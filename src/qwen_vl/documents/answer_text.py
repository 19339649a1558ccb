"""The document within an answer: without the reasoning and the fence around it."""

import re
from dataclasses import dataclass

from qwen_vl.documents.blocks import BlockProblem, shorten

_THINK_OPENING, _THINK_END = "<think>", "</think>"
_FENCE_LINE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*\r?$", re.MULTILINE)
_OUTER = {
    "html": frozenset({"html", "xml", "xhtml", ""}),
    "markdown": frozenset({"markdown", "md"}),
}


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The document of an answer.

    Args:
        text: The document.
        problems: What was left out around it.
        is_cut_off: Whether it is certain that the answer breaks off.
    """

    text: str
    problems: tuple[BlockProblem, ...] = ()
    is_cut_off: bool = False


def unwrap(text: str, form: str) -> AnswerText:
    r"""Take the document out of an answer.

    Args:
        text: The answer.
        form: `"html"` or `"markdown"`.

    Example:
        >>> unwrap("<think>Hm.</think>```html\n<p>Hi</p>\n```", "html").text
        '<p>Hi</p>\n'
    """
    _, ends, behind = text.rpartition(_THINK_END)
    if ends:
        text = behind
    elif text.lstrip().startswith(_THINK_OPENING):
        problem = BlockProblem(
            reason="the answer breaks off within the reasoning", text=shorten(text)
        )
        return AnswerText("", (problem,), is_cut_off=True)
    return _unfence(text, form)


def _unfence(text: str, form: str) -> AnswerText:
    lines = list(_FENCE_LINE.finditer(text))
    known = _OUTER[form]
    first = next((line for line in lines if line[1].lower() in known), None)
    if first is None:
        return AnswerText(_without_partial_fence(text, form))
    before = text[: first.start()]
    if form == "markdown" and sum(line.start() < first.start() for line in lines) % 2:
        # It closes a block of code, or stands in one.
        return AnswerText(text)
    inner = [line for line in lines if line.start() > first.start()]
    # Blocks of code within have two such lines each; what is left closes the document.
    closing = inner[-1] if len(inner) % 2 else None
    body = text[first.end() : closing.start() if closing else len(text)].removeprefix("\n")
    after = text[closing.end() :] if closing else ""
    problems = tuple(
        BlockProblem(reason="text beside the fenced document was left out", text=shorten(beside))
        for beside in (before, after)
        if beside.strip()
    )
    if closing is None:
        return AnswerText(_without_partial_fence(body, form), problems, is_cut_off=True)
    return AnswerText(body, problems)


def _without_partial_fence(text: str, form: str) -> str:
    """Leave out the beginning of a fence line at the very end."""
    head, line_break, last = text.rpartition("\n")
    is_opening = not head.strip() and f"```{form}".startswith(last.strip())
    return head + line_break if is_opening or last.strip() in {"`", "``"} else text
