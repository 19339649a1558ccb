"""A request body read, its media inspected, and the answer made; by whatever way it came."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwen_vl_sandbox.answers.compose import Answer, compose
from qwen_vl_sandbox.faults import ScriptedAnswer
from qwen_vl_sandbox.media.hosted import MediaReport, has_media
from qwen_vl_sandbox.media.text import read_images
from qwen_vl_sandbox.protocols.base import ChatProtocol, ParsedRequest, Reply
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.recorder import Recorder


class Answerer:
    """Answers requests of one protocol, for one ledger.

    Args:
        recorder: The ledger.
        protocol: The protocol.
        caches: Whether it has the context cache.
    """

    def __init__(self, recorder: Recorder, protocol: ChatProtocol, *, caches: bool = True) -> None:
        self._ledger = recorder
        self._protocol = protocol
        self._caches = caches

    async def receive(
        self, body: Any, headers: Mapping[str, str]
    ) -> tuple[ParsedRequest, MediaReport]:
        """Read and check a request, and inspect its media.

        Raises:
            ApiError: The service would not take it.
        """
        exchange = self._protocol.read(body, headers, strict=self._ledger.strict)
        conversation, storage = exchange.conversation, self._ledger.storage
        self._ledger.sealed.check(conversation)
        if has_media(conversation):
            report = await asyncio.to_thread(self._protocol.receive, conversation, storage)
        else:
            report = self._protocol.receive(conversation, storage)
        if self._caches:
            report = replace(report, cache=self._ledger.cache.use(conversation, report))
        return exchange, report

    async def reply(
        self,
        exchange: ParsedRequest,
        report: MediaReport,
        request_id: str,
        scripted: ScriptedAnswer | None = None,
    ) -> Reply:
        """Answer a request that was received.

        Args:
            exchange: As received.
            report: Likewise.
            request_id: Of the request.
            scripted: The answer that a test prescribes.
        """
        if scripted is None:
            answer, report = await self._compose(exchange.conversation, report)
        else:
            answer = _as_answer(scripted)
        answer = self._ledger.sealed.seal(answer, exchange.conversation)
        usage: Any = None if scripted is None else scripted.usage
        return Reply(exchange, report, answer, request_id, int(time.time()), usage)

    async def _compose(
        self, conversation: Conversation, report: MediaReport
    ) -> tuple[Answer, MediaReport]:
        if self._ledger.reads:
            report = await asyncio.to_thread(read_images, report)
        return compose(conversation, report), report


def _as_answer(scripted: ScriptedAnswer) -> Answer:
    text, reasoning = scripted.text or "", scripted.reasoning or ""
    finish = "tool_calls" if scripted.tool_calls else "stop"
    return Answer(
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=scripted.tool_calls,
        finish_reason=scripted.finish_reason or finish,
        text_chunks=text if isinstance(text, tuple) else None,
        reasoning_chunks=reasoning if isinstance(reasoning, tuple) else None,
        search_results=scripted.search_results,
    )
