"""From the bytes of a stream to deltas.

The service's habits (OpenAI-Chat and Streaming pages, 2026): an empty first chunk, reasoning
before text, `usage: null` until one last chunk without choices, tool calls whose `id` and `name`
come once and are empty afterwards, comment lines to keep the connection open, `[DONE]`.
"""

from collections.abc import Mapping

from qwen_vl.reply import Delta, Reply
from qwen_vl.wire.events import EventDecoder, ToolCallIndex
from qwen_vl.wire.fields import (
    Json,
    as_object,
    decode_finish_reason,
    decode_reasoning,
    decode_text,
    find_request_id,
    find_tool_calls,
)
from qwen_vl.wire.openai.decode import (
    decode_reply,
    decode_usage,
    find_choice,
    settle_finish_reason,
)


class StreamDecoder(EventDecoder):
    r"""Takes the bytes of one stream as they come and gives the deltas in them.

    Args:
        headers: The answer's headers, names in lower case.

    Example:
        >>> decoder = StreamDecoder({})
        >>> chunk = b'data: {"choices":[{"delta":{"content":"A cat."},"finish_reason":"stop"}]}'
        >>> [delta.text for delta in decoder.feed(chunk + b"\n\ndata: [DONE]\n\n")]
        ['A cat.', '']
        >>> list(decoder.finish())
        []
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self._calls = ToolCallIndex()
        self._has_calls = False

    def tells_error(self, event: Json) -> bool:
        """Tell whether an event is an error."""
        return bool(event.get("error") or (event.get("code") and "choices" not in event))

    def decode_whole(self, body: bytes) -> Reply:
        """Read a body that is no stream."""
        return decode_reply(body, self._headers)

    def decode_event(self, event: Json) -> Delta | None:
        """Read one event."""
        usage = decode_usage(event.get("usage"))
        facts = self.new_facts(
            {
                "model": event.get("model"),
                "id": event.get("id"),
                "request_id": find_request_id(event, self._headers),
            }
        )
        if not event.get("choices"):
            delta = self.settle(Delta(**facts), usage)
            return delta if facts else None
        choice = find_choice(event)
        if not choice:
            raise self.broken("An event of the stream holds no answer where one should be")
        message = as_object(choice.get("delta"))
        calls = tuple(self._calls.place(call) for call in find_tool_calls(message))
        self._has_calls = self._has_calls or bool(calls)
        reason = settle_finish_reason(decode_finish_reason(choice), has_calls=self._has_calls)
        delta = Delta(
            text=decode_text(message.get("content")),
            reasoning=decode_reasoning(message),
            tool_calls=calls,
            # Once: frameworks that add chunks up would write it twice.
            finish_reason=None if self.is_complete else reason,
            logprobs=choice.get("logprobs"),
            **facts,
        )
        return self.settle(delta, usage)
