"""A line of the input."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from qwen_vl.content import LocalFile, Url

MediaSource: TypeAlias = LocalFile | Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the input.

    Args:
        number: Its place in the input, from 0 on.
        media: Images, videos, audio files and PDF documents to ask about.
        columns: What else is known of it, for the prompt.
        name: What reports call it.
        page: Number of the page of its document that is asked about; all of them if `None`.
    """

    number: int
    media: tuple[MediaSource, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    page: int | None = None
