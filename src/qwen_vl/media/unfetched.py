"""URLs that the server could not fetch: notes in their place where the model has answered them.

A signed URL expires while a conversation goes on. The server says that something could not be
downloaded, and seldom what.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.content import (
    Audio,
    Image,
    Replacement,
    Text,
    ToolResult,
    Video,
    is_remote,
)
from qwen_vl.errors import ServiceError, warn
from qwen_vl.media.history import find_newest_turn
from qwen_vl.media.limits import find_urls
from qwen_vl.media.remote import has_expired, is_local, shorten_url
from qwen_vl.request.types import Request

# As the service (Errors and Temp-URL pages, 2026), vLLM (aiohttp and requests), SGLang, LMDeploy,
# llama.cpp, OpenAI, OpenRouter and LiteLLM word it. What cannot be decoded may be the page that a
# host shows instead of a file that is gone: what is inlined was checked before.
_NOT_FETCHED = re.compile(
    r"failed to (?:download|fetch)|(?:unable|failed) to (?:download|load|fetch|open|get) "
    r"(?:the )?(?:image|video|media|multi-?modal)|download (?:the )?(?:multimodal|media)"
    r"|(?:could not|couldn't|cannot|can't) (?:be )?(?:download|fetch|load)"
    r"|cannot connect to host|client error.{1,80}for url|message='[^']*', url="
    r"|(?:missing content-length|wrong content-type) of multimodal url"
    r"|provided url does not appear to be valid|max retries exceeded with url"
    r"|error while loading data|connection (?:error|refused|timed? ?out).{0,80}https?://"
    r"|required url is missing or invalid|connection to .{1,200} refused"
    r"|download .{1,2000} time(?:d )?out|(?:error|timeout) while downloading"
    r"|when fetching (?:image|video|media)|image format is illegal|failed to decode the image"
    r"|cannot identify image file",
    re.IGNORECASE | re.DOTALL,
)
# Errors page, 2026; OpenAI's `invalid_image_url`.
_CODE = re.compile(r"invalidurl|invalid_(?:image_)?url", re.IGNORECASE)
_MAX_MESSAGE_CHARS = 10_000
_MAX_SHOWN = 5


def drop_unfetched(request: Request, error: ServiceError) -> Request | None:
    """Return a request without the URLs that the server could not fetch, for another try.

    Parts of earlier turns are left out, and of tool results, with a note and a warning: those that
    the error names, and those whose signature has expired or whose host only this machine or its
    network reaches; where there are none, all of them, since any may be the one.

    Args:
        request: As it was given, before its media was prepared.
        error: What the server answered. If no part is left out, and URLs may be the reason, it
            gets advice that names them.

    Returns:
        The request with notes; `None` where there is nothing to be left out.

    Example:
        >>> from qwen_vl.content import Turn, Url
        >>> image = Image(source=Url("https://example.com/a.png"), where="messages[0].content[0]")
        >>> request = Request(model="qwen3-vl-plus", turns=(Turn(role="user", parts=(image,)),))
        >>> error = ServiceError("Failed to download multimodal content", status=400)
        >>> drop_unfetched(request, error), error.advice
        (None, 'The URLs of this request: messages[0].content[0], https://example.com/a.png.')
    """
    message = error.message[:_MAX_MESSAGE_CHARS]
    if not (_NOT_FETCHED.search(message) or _CODE.match(error.code or "")):
        return None
    parts = list(_find_remote(request))
    named = [part for part in parts if any(url in message for url in part.urls)]
    hopeless = [part for part in parts if any(map(_find_obstacle, part.urls))]
    suspects = [*named, *hopeless] or parts
    # At the second error all others go too: each further one would be another request.
    dropped = [part for part in (parts if request.replaced else suspects) if part.may_be_dropped]
    if not dropped or (named and not any(part.may_be_dropped for part in named)):
        if suspects and not error.advice:
            shown = "; ".join(map(_show, suspects[:_MAX_SHOWN]))
            error.with_advice(f"The URLs of this request: {shown}.")
        return None
    return _with_notes(request, {id(part.part): part for part in dropped})


@dataclass(frozen=True, slots=True)
class _Remote:
    """A part that the server fetches."""

    part: Image | Video | Audio
    urls: tuple[str, ...]
    may_be_dropped: bool

    @property
    def where(self) -> str:
        return self.part.where


def _find_obstacle(url: str) -> str:
    if has_expired(url):
        return ", whose signature has expired"
    return ", which only this machine or its network reaches" if is_local(url) else ""


def _show(part: _Remote) -> str:
    url = next(filter(_find_obstacle, part.urls), part.urls[0])
    return f"{part.where}, {shorten_url(url)}{_find_obstacle(url)}"


def _find_remote(request: Request) -> Iterator[_Remote]:
    n_earlier = find_newest_turn(request.turns)
    is_noted = request.policy.tool_media_errors == "note"
    for index, turn in enumerate(request.turns):
        for part in turn.parts:
            is_result = isinstance(part, ToolResult)
            may_be_dropped = is_noted if is_result else index < n_earlier
            for held in part.parts if isinstance(part, ToolResult) else (part,):
                if isinstance(held, Image | Video | Audio):
                    urls = tuple(url for url, _ in find_urls(held) if is_remote(url))
                    if urls:
                        yield _Remote(held, urls, may_be_dropped)


def _with_notes(request: Request, dropped: Mapping[int, _Remote]) -> Request:
    replaced: list[Replacement] = []

    def note(part: Any) -> Any:
        if isinstance(part, ToolResult):
            return replace(part, parts=tuple(map(note, part.parts)))
        if id(part) not in dropped:
            return part
        kind = type(part).__name__.lower()
        text = f"The {kind} cannot be shown: it could not be downloaded."
        replaced.append(Replacement(where=part.where, reason=text))
        warn(
            f"{part.where}: The server could not download "
            f"{shorten_url(dropped[id(part)].urls[0])}, or another URL of an earlier turn. The "
            "model gets a note in its place."
        )
        return Text(text=text, where=part.where)

    turns = tuple(replace(turn, parts=tuple(map(note, turn.parts))) for turn in request.turns)
    return replace(request, turns=turns, replaced=(*request.replaced, *replaced))
