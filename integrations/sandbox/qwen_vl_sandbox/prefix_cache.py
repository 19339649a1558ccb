"""The explicit context cache: prefixes that end at a `cache_control` marker.

Rules are those of the Cache page (2026-10). The implicit cache of the service is not
imitated: without markers nothing counts as cached.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import orjson

from qwen_vl_sandbox.media.hosted import (
    CacheUse,
    InspectedMedia,
    MediaReport,
    frame_tokens,
    tool_tokens,
)
from qwen_vl_sandbox.media.hosted_tokens import text_tokens
from qwen_vl_sandbox.reading.conversation import Conversation, Part, Text

SMALLEST_PREFIX = 1024
"""Fewest tokens of a prefix. unsure: whether those of images count; they do here."""

LOOK_BACK = 20
"""Blocks before a marker among which the end of a cached prefix is looked for."""


@dataclass(frozen=True, slots=True)
class _Block:
    digest: str
    tokens: int
    """Tokens from the start of the prompt to the end of this block."""
    seconds: float | None
    """How long a marker here keeps the prefix; `None` for no marker."""


class PrefixCache:
    """The cache of one sandbox.

    Args:
        clock: Gives the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[tuple[str, str, str], float] = {}

    def use(self, conversation: Conversation, report: MediaReport) -> CacheUse | None:
        """Look a request's prefixes up and store them; `None` if it lacks a marker."""
        if not any(message.cache_marks for message in conversation.messages):
            return None
        blocks = list(_blocks(conversation, report))
        marked = {at: block.seconds for at, block in enumerate(blocks) if block.seconds}
        near = {at for mark in marked for at in range(max(mark - LOOK_BACK, 0), mark + 1)}
        now = self._clock()
        owner = (conversation.model, conversation.account)
        known = [at for at in sorted(near) if self._ends.get((*owner, blocks[at].digest), 0) > now]
        found = blocks[known[-1]].tokens if known else 0
        keep = {*known[-1:], *(at for at in marked if blocks[at].tokens >= SMALLEST_PREFIX)}
        # A hit is renewed with the lifetime that the request asks for (Qwen4-Cache page, 2026-11).
        longest_seconds = max(marked.values())
        for at in keep:
            self._ends[*owner, blocks[at].digest] = now + marked.get(at, longest_seconds)
        longest = max((blocks[at].tokens for at in keep), default=0)
        return CacheUse(created=longest - found, found=found, seconds=longest_seconds)

    def clear(self) -> None:
        """Forget all prefixes."""
        self._ends.clear()


def _blocks(conversation: Conversation, report: MediaReport) -> Iterator[_Block]:
    """Cut a prompt into its blocks: the parts of its messages."""
    sights = iter(report.sights)
    tools = orjson.dumps([[tool.name, tool.parameters] for tool in conversation.options.tools])
    digest = hashlib.sha256(tools)
    tokens = tool_tokens(conversation.options)
    for message in conversation.messages:
        digest.update(repr((message.role, message.reasoning, message.tool_calls)).encode())
        tokens += frame_tokens(message)
        for at, part in enumerate(message.parts):
            digest.update(_identity(part))
            tokens += text_tokens(part.text) if isinstance(part, Text) else _count(next(sights))
            yield _Block(digest.hexdigest(), tokens, message.cache_marks.get(at))


def _identity(part: Part) -> bytes:
    # The position of a part does not matter by itself: one more turn before it changes the prefix.
    return repr(part if isinstance(part, Text) else replace(part, path="")).encode()


def _count(inspected: InspectedMedia) -> int:
    return inspected.tokens + inspected.audio_tokens
