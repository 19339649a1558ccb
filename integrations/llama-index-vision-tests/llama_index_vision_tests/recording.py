"""Records of what LlamaIndex reports about calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)

STARTS = (LLMChatStartEvent, LLMCompletionStartEvent)
PROGRESS = (LLMChatInProgressEvent, LLMCompletionInProgressEvent)
ENDS = (LLMChatEndEvent, LLMCompletionEndEvent)


class EventRecorder(BaseEventHandler):
    """Keeps instrumentation events.

    Attributes:
        kinds: Those that are kept.
        events: The events, in order.
    """

    kinds: tuple[type[BaseEvent], ...]
    events: list[BaseEvent] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Keep an event."""
        if isinstance(event, self.kinds):
            self.events.append(event)

    def of(self, *kinds: type[BaseEvent]) -> list[BaseEvent]:
        """Return the events of some kinds."""
        return [event for event in self.events if isinstance(event, kinds)]


@contextmanager
def recorded_events(*kinds: type[BaseEvent]) -> Iterator[EventRecorder]:
    """Record events within a block.

    Args:
        *kinds: Which; those of LLM calls if none is named.
    """
    recorder = EventRecorder(kinds=kinds or STARTS + PROGRESS + ENDS)
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        yield recorder
    finally:
        dispatcher.event_handlers.remove(recorder)


class CallbackRecorder(BaseCallbackHandler):
    """Records what is reported to a callback manager about calls.

    Args:
        kind: The calls, those of LLMs by default.

    Attributes:
        starts: The id and the payload of each start.
        ends: The same of each end.
    """

    def __init__(self, kind: CBEventType = CBEventType.LLM) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.kind = kind
        self.starts: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[tuple[str, dict[str, Any]]] = []

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **_: Any,
    ) -> str:
        """Keep a start."""
        del parent_id
        if event_type == self.kind:
            self.starts.append((event_id, payload or {}))
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **_: Any,
    ) -> None:
        """Keep an end."""
        if event_type == self.kind:
            self.ends.append((event_id, payload or {}))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Take no notice of traces."""

    def end_trace(
        self,
        trace_id: str | None = None,
        trace_map: dict[str, list[str]] | None = None,
    ) -> None:
        """Take no notice of traces."""

    @property
    def answers(self) -> list[ChatResponse | CompletionResponse]:
        """The answers that were reported at the ends."""
        reported = [payload for _, payload in self.ends]
        found = [
            payload.get(EventPayload.RESPONSE) or payload.get(EventPayload.COMPLETION)
            for payload in reported
        ]
        return [answer for answer in found if answer is not None]
