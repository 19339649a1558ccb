"""From the bytes of a stream to deltas.

The service's habits (Native-API and Streaming pages, 2026): each event is a whole answer's body,
with what is new or with all so far; the finish reason is the text "null" until the last; usage
comes with every event, as running totals; only the connection's end shows that it is over.
"""

from collections.abc import Mapping
from dataclasses import replace

from qwen_vl.content import Replacement
from qwen_vl.reply import Delta, Reply, ResponseMetadata
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
from qwen_vl.wire.native.decode import (
    decode_image_sizes,
    decode_ocr_result,
    decode_reply,
    decode_usage,
    find_choice,
)
from qwen_vl.wire.sse import MAX_EVENT_BYTES
from qwen_vl.wire.tool_calls import ToolCallAssembler, find_tool_calls


class StreamDecoder(EventDecoder):
    r"""Decodes the bytes of one stream as they come into deltas.

    Args:
        headers: The answer's headers.
        model: The model that was asked: answers of this protocol do not name it.
        is_incremental: Whether events hold what is new, not all so far: `incremental_output`.
        replaced: Content from tools that was replaced by notes in the request.
        max_event_bytes: Limit on the bytes of one event.

    Example:
        >>> decoder = StreamDecoder({})
        >>> message = b'{"content":[{"text":"A cat."}]}'
        >>> choice = b'{"message":' + message + b',"finish_reason":"stop"}'
        >>> event = b'id:1\nevent:result\ndata:{"output":{"choices":[' + choice + b']}}\n\n'
        >>> "".join(delta.text for delta in decoder.feed(event))
        'A cat.'
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
        is_incremental: bool = True,
        replaced: tuple[Replacement, ...] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        calls = ToolCallAssembler(is_cumulative=not is_incremental)
        super().__init__(headers, calls, replaced=replaced, max_event_bytes=max_event_bytes)
        self._model = model
        self._so_far = None if is_incremental else _SoFar()
        self._sources: list[object] = []

    def is_error(self, event: Json) -> bool:
        """Check whether an event is an error."""
        return bool(event.get("code") and not event.get("output")) or bool(event.get("error"))

    def ends_stream(self) -> bool:
        """Check whether the last event ended the answer: this protocol lacks `[DONE]`."""
        return self.is_complete

    def decode_whole(self, body: bytes) -> Reply:
        """Decode a body that is not a stream."""
        return decode_reply(body, self._headers, model=self._model)

    def decode_event(self, event: Json) -> Delta | None:
        """Decode one event."""
        choice = find_choice(event)
        if not choice:
            raise self.broken("An event of the stream holds no answer where one should be")
        message = as_object(choice.get("message"))
        content = message.get("content")
        calls = tuple(map(self.calls.add, find_tool_calls(message)))
        reason = decode_finish_reason(choice)
        if reason:
            calls += tuple(self.finish_calls(reason))
        metadata = self.new_metadata(
            reason,
            model=self._model,
            request_id=as_text(event.get("request_id")) or self._request_id,
            image_hw=decode_image_sizes(content),
            ocr_result=decode_ocr_result(content),
        )
        sources = self._take_sources(decode_search_info(as_object(event.get("output"))))
        if sources:
            metadata = replace(metadata or ResponseMetadata(), search_info=sources)
        delta = Delta(
            text=decode_text(content),
            reasoning=decode_reasoning(message),
            encrypted_content=self.take_encrypted(decode_encrypted(message)),
            tool_calls=calls,
            logprobs=decode_logprobs(choice.get("logprobs")),
            metadata=metadata,
        )
        if self._so_far:
            delta = self._so_far.tell_new(delta)
        return self.track_usage(delta, decode_usage(event.get("usage")))

    def _take_sources(self, info: Json | None) -> Json | None:
        """Return what is new of the sources, since chunks are added up.

        The page shows them in the first event; a search in several steps may find more later.
        """
        found = (info or {}).get("search_results")
        new = [source for source in found or () if source not in self._sources]
        is_first = not self._sources
        self._sources += new
        if info is None or not (new or is_first):
            return None
        return {**info, "search_results": new} if is_first else {"search_results": new}


class _SoFar:
    """What earlier events have said, where each says it again."""

    def __init__(self) -> None:
        self._text = 0
        self._reasoning = 0

    def tell_new(self, delta: Delta) -> Delta:
        new = replace(
            delta,
            text=delta.text[self._text :],
            reasoning=delta.reasoning[self._reasoning :],
        )
        self._text = max(self._text, len(delta.text))
        self._reasoning = max(self._reasoning, len(delta.reasoning))
        return new
