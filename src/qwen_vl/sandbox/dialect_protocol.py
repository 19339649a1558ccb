"""The OpenAI protocol as servers that hold the model themselves speak it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from qwen_vl.sandbox.conversation import Conversation
from qwen_vl.sandbox.dialect_answers import answer_events, whole_answer
from qwen_vl.sandbox.dialect_media import receive
from qwen_vl.sandbox.dialect_messages import read_messages, unknown_in_messages
from qwen_vl.sandbox.dialect_parameters import (
    read_delivery,
    read_media_options,
    read_options,
    unknown_parameters,
)
from qwen_vl.sandbox.dialects import Dialect
from qwen_vl.sandbox.engine import Receipt
from qwen_vl.sandbox.exchange import Exchange, Reply
from qwen_vl.sandbox.models import NEWEST
from qwen_vl.sandbox.refusals import refuse
from qwen_vl.sandbox.uploads import Storage

SERVED = ("Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct")
"""The ids that `GET /v1/models` names."""


class DialectProtocol:
    """One server's protocol."""

    end = b"data: [DONE]\n\n"
    broken_event = b'data: {"choices": [{"delta": \n\n'

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.errors = dialect.errors

    def unknown_fields(self, body: Any) -> tuple[str, ...]:
        """Name the fields of a request that the server ignores, as paths."""
        if not isinstance(body, dict):
            return ()
        messages = unknown_in_messages(body.get("messages"), self._dialect)
        return (*unknown_parameters(body, self._dialect), *messages)

    def wants_stream(self, body: Any, headers: Mapping[str, str]) -> bool:  # noqa: ARG002 - the native protocol needs them.
        """Tell whether a request, good or not, asks for a stream."""
        return isinstance(body, dict) and bool(body.get("stream"))

    def read(self, body: Any, headers: Mapping[str, str], *, strict: bool) -> Exchange:  # noqa: ARG002 - the service needs them.
        """Read and check a request.

        Raises:
            Refusal: The server would not take it.
        """
        dialect = self._dialect
        if not isinstance(body, dict):
            refuse("The request body must be a JSON object.", code=dialect.shape_code)
        model = _served(body.get("model"))
        delivery = read_delivery(body, dialect)
        media = read_media_options(body, dialect)
        conversation = Conversation(
            model=model,
            facts=NEWEST,
            messages=read_messages(body.get("messages"), dialect, media),
            options=read_options(body, dialect, model),
            strict=strict,
        )
        return Exchange(
            conversation,
            delivery.stream,
            include_usage=delivery.include_usage,
            running_usage=delivery.running_usage,
            reasoning=delivery.reasoning,
        )

    def receive(self, conversation: Conversation, storage: Storage) -> Receipt:  # noqa: ARG002 - the service has a storage.
        """Look at all media of a conversation and count its tokens."""
        return receive(conversation, self._dialect)

    def whole(self, reply: Reply) -> bytes:
        """Shape an answer that is not streamed."""
        return whole_answer(_placed(reply), self._dialect)

    def events(self, reply: Reply) -> Iterator[bytes]:
        """Shape a stream, `[DONE]` apart."""
        return answer_events(_placed(reply), self._dialect)


def _served(model: Any) -> str:
    if model is None:
        return SERVED[0]
    # Whatever looks like one of the models is taken as served, so that tests may name theirs.
    if not isinstance(model, str) or not any(word in model.lower() for word in ("qwen", "vl")):
        refuse(f"The model `{model}` does not exist.", status=404, param="model")
    return model


def _placed(reply: Reply) -> Reply:
    """Put the reasoning where the request wants it."""
    answer = reply.answer
    match reply.exchange.reasoning:
        case "left_out":
            return replace(reply, answer=replace(answer, reasoning="", reasoning_chunks=None))
        case "within" if answer.reasoning:
            text = f"<think>\n{answer.reasoning}\n</think>\n\n{answer.text}"
            moved = replace(
                answer, text=text, reasoning="", reasoning_chunks=None, text_chunks=None
            )
            return replace(reply, answer=moved)
        case _:
            return reply
