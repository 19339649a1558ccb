"""Options of a parser, and what it asks by them: the prompt, the pixels, and no thinking."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from qwen_vl.documents.blocks import DocumentForm
from qwen_vl.documents.results import ParsedPage
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.coordinates import SPACES
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import CoordinateSpace, ModelSpec, get_model_spec
from qwen_vl.specs.servers import DEFAULT_SERVER

OnPage: TypeAlias = Callable[[ParsedPage], object]

DEFAULT_CONCURRENCY = 4
"""Pages that the asynchronous methods ask about at the same time."""

DEFAULT_MAX_TOKENS = 16_384
"""Maximum number of tokens of a page's answer, where the model may write as many: pages full of
tables take 4,000 and more."""

PROMPTS: Mapping[DocumentForm, str] = {"html": "qwenvl html", "markdown": "qwenvl markdown"}
"""What stands behind the image, and nothing else (Vision page, 2026-08)."""

OLD_HTML_PROMPT = "QwenVL HTML"
"""Of Qwen2.5-VL, which knows the HTML form only (its document parsing cookbook, 2025-02)."""

# Pixels of Qwen3-VL's document parsing cookbook (2025-10), by those of a visual token.
_MIN_VISUAL_TOKENS, _MAX_VISUAL_TOKENS = 512, 2_048


class ParserOptions(TypedDict, total=False):
    """Options of a `DocumentParser`.

    Args:
        form: `"html"`, in which every block has a box, or `"markdown"`, in which only tables and
            images have; Qwen2.5-VL knows `"html"` only.
        pages: Which pages of each PDF or TIFF: `[1, 2, 7]` or `"1-2,7"`; all of them if `None`.
        dpi: Dots per inch at which they are rendered; `pdf_dpi` if `None`. Boxes are in pixels
            of the page at this resolution, up to 16.7 megapixels.
        max_tokens: Maximum number of tokens of a page's answer; those of the settings, or 16,384,
            if `None`.
        prompt: A custom prompt, for models that were trained on another one.
        space: The model's coordinate space, if it is not that of its family.
        max_concurrency: Maximum number of pages that the asynchronous methods ask about at the
            same time; 4 by default.
        raise_errors: Whether an error of a page is raised. Otherwise it is the page's `error`, with
            a warning, and the other pages are parsed. Errors that every page would have, such as a
            wrong key, are always raised.
        ledger: A folder for the pages that are done. A later run reads them from there and asks
            only about the others. What is asked, the model and the bytes of the page make the key.
        on_page: Is called with each page that is done, for a progress bar.
    """

    form: DocumentForm
    pages: str | Sequence[int] | None
    dpi: float | None
    max_tokens: int | None
    prompt: str | None
    space: CoordinateSpace | None
    max_concurrency: int
    raise_errors: bool
    ledger: str | Path | None
    on_page: OnPage | None


def check_parser_options(options: Mapping[str, Any]) -> None:
    """Check the names of options, the coordinate space, and the number of pages at a time.

    Args:
        options: As of `ParserOptions`.

    Raises:
        ConfigurationError: One is unknown or out of range.

    Example:
        >>> check_parser_options({"from": "html"})
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'from' is not an option of document parsing. \
Did you mean 'form'?
    """
    known = sorted(ParserOptions.__annotations__)
    for name in options:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else f"It takes {', '.join(known)}."
        raise ConfigurationError(f"{name!r} is not an option of document parsing. {remedy}")
    space = options.get("space")
    if space is not None and space not in SPACES:
        raise ConfigurationError(f"space is {space!r}; it must be one of {', '.join(SPACES)}.")
    most = options.get("max_concurrency", DEFAULT_CONCURRENCY)
    if most < 1:
        raise ConfigurationError(
            f"max_concurrency is {most}; at least one page must be asked about."
        )


def find_prompt(model: str, form: DocumentForm) -> str:
    """Return the prompt that a model knows.

    Args:
        model: Model id.
        form: Form of the answer.

    Raises:
        ConfigurationError: The model does not know the form.

    Example:
        >>> find_prompt("qwen3-vl-plus", "markdown"), find_prompt("qwen2.5-vl-7b-instruct", "html")
        ('qwenvl markdown', 'QwenVL HTML')
    """
    if form not in PROMPTS:
        raise ConfigurationError(f"form is {form!r}; it must be one of {', '.join(PROMPTS)}.")
    if get_model_spec(model).coordinates != "resized":
        return PROMPTS[form]
    if form == "html":
        return OLD_HTML_PROMPT
    raise ConfigurationError(
        f"{model} knows the form 'html' only; 'markdown' came with Qwen3-VL (Vision page, 2026-08)."
    )


def find_call_options(settings: QwenVLSettings, max_tokens: int | None) -> dict[str, Any]:
    """Return the options of a call that parses a page.

    Args:
        settings: The model and the server.
        max_tokens: Of the answer; the settings' or `DEFAULT_MAX_TOKENS` if `None`.
    """
    spec = get_model_spec(settings.known_model)
    most = spec.max_output_tokens or DEFAULT_MAX_TOKENS
    options: dict[str, Any] = {
        # A task of the OCR models would add its own prompt, a schema its own form.
        "ocr_task": None,
        "result_schema": None,
        "max_tokens": max_tokens or settings.max_tokens or min(most, DEFAULT_MAX_TOKENS),
    }
    if spec.thinking in {"on", "off"}:
        options |= {"enable_thinking": False, "thinking_budget": None, "reasoning_effort": None}
    if settings.server == DEFAULT_SERVER:
        options |= _find_pixels(settings, spec)
    return options


def _find_pixels(settings: QwenVLSettings, spec: ModelSpec) -> dict[str, int]:
    if settings.vl_high_resolution_images:
        return {}
    token = spec.factor**2
    least, most = _MIN_VISUAL_TOKENS * token, _MAX_VISUAL_TOKENS * token
    # What the caller says moves the other limit where they would cross.
    if settings.max_pixels is not None:
        most, least = settings.max_pixels, min(least, settings.max_pixels)
    if settings.min_pixels is not None:
        least, most = settings.min_pixels, max(most, settings.min_pixels)
    return {"min_pixels": least, "max_pixels": most}
