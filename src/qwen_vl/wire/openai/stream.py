"""From the bytes of a stream to deltas.

The service's habits (OpenAI-Chat and Streaming pages, 2026): an empty first chunk, reasoning
before text, `usage: null` until one last chunk without choices, tool calls whose `id` and `name`
come once and are empty afterwards, comment lines to keep the connection open, `[DONE]`.
"""

from collections.abc import Mapping

from qwen_vl.content import Replacement
from qwen_vl.reply import Delta, Reply, ResponseMetadata, ToolCallDelta
from qwen_vl.wire.events import EventDecoder
from qwen_vl.wire.json import (
    Json,
    as_object,
    as_text,
    decode_encrypted,
    decode_finish_reason,
    decode_logprobs,
    decode_reasoning,
    decode_search_info,
    decode_text,
)
from qwen_vl.wire.openai.decode import (
    decode_reply,
    decode_usage,
    find_choice,
    resolve_finish_reason,
)
from qwen_vl.wire.sse import MAX_EVENT_BYTES
from qwen_vl.wire.tool_calls import ToolCallAssembler, find_tool_calls

# Every chunk says it again.
_REPEATED = frozenset({"model", "id", "request_id"})


class StreamDecoder(EventDecoder):
    r"""Decodes the bytes of one stream as they come into deltas.

    Args:
        headers: The answer's headers.
        replaced: Content from tools that was replaced by notes in the request.
        max_event_bytes: Limit on the bytes of one event.

    Example:
        >>> decoder = StreamDecoder({})
        >>> chunk = b'data: {"choices":[{"delta":{"content":"A cat."},"finish_reason":"stop"}]}'
        >>> [delta.text for delta in decoder.feed(chunk + b"\n\ndata: [DONE]\n\n")]
        ['A cat.', '']
        >>> list(decoder.finish())
        []
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        replaced: tuple[Replacement, ...] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        super().__init__(
            headers, ToolCallAssembler(), replaced=replaced, max_event_bytes=max_event_bytes
        )

    def is_error(self, event: Json) -> bool:
        """Check whether an event is an error."""
        return bool(event.get("error") or (event.get("code") and "choices" not in event))

    def decode_whole(self, body: bytes) -> Reply:
        """Decode a body that is not a stream."""
        return decode_reply(body, self._headers)

    def decode_event(self, event: Json) -> Delta | None:
        """Decode one event."""
        usage = decode_usage(event.get("usage"))
        if not event.get("choices"):
            metadata = self._find_metadata(event, None)
            delta = self.track_usage(Delta(metadata=metadata), usage)
            return delta if metadata else None
        choice = find_choice(event)
        if not choice:
            raise self.broken("An event of the stream holds no answer where one should be")
        message = as_object(choice.get("delta")) or self._find_message(choice)
        calls: tuple[ToolCallDelta, ...] = ()
        if message.get("tool_calls") or message.get("function_call"):
            calls = tuple(map(self.calls.add, find_tool_calls(message)))
        reason = decode_finish_reason(choice)
        if reason:
            reason = resolve_finish_reason(reason, has_calls=bool(self.calls))
            calls += tuple(self.finish_calls(reason))
        delta = Delta(
            text=decode_text(message.get("content")),
            reasoning=decode_reasoning(message),
            encrypted_content=self.take_encrypted(decode_encrypted(message)),
            tool_calls=calls,
            logprobs=decode_logprobs(choice.get("logprobs")),
            metadata=self._find_metadata(event, reason),
        )
        return self.track_usage(delta, usage)

    def _find_message(self, choice: Json) -> Json:
        """Find a whole message in place of a piece; one that repeats the pieces is passed over."""
        message = as_object(choice.get("message"))
        if self.has_text:
            message = {name: held for name, held in message.items() if name == "tool_calls"}
        return {} if self.calls else message

    def _find_metadata(self, event: Json, finish_reason: str | None) -> ResponseMetadata | None:
        # unsure: this protocol returns no sources, by the Web-search page (2026).
        sources = decode_search_info(event, find_choice(event)) if "search_info" in event else None
        if finish_reason is None and sources is None and self.reported.keys() >= _REPEATED:
            return None
        return self.new_metadata(
            finish_reason,
            model=as_text(event.get("model")),
            id=as_text(event.get("id")),
            request_id=as_text(event.get("request_id")) or self._request_id,
            search_info=sources,
        )
