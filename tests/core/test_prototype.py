"""What is cast is just what the frameworks' own constructors make."""

import pickle
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from pydantic import BaseModel, PrivateAttr

from langchain_qwen_vl.messages import to_chunk, to_generation_chunk
from llama_index.llms.qwen_vl.responses import ResponseBuilder
from qwen_vl.prototype import Prototype
from qwen_vl.reply import Delta, ResponseMetadata, ToolCallDelta, Usage

USAGE = Usage(input_tokens=3, output_tokens=2, total_tokens=5, image_tokens=1, raw={"a": 1})

# Among them all that partial JSON may begin and end with.
ARGUMENTS = (
    *("", "{", "{}", ' {"a', '{"a": 1', '{"a": [1, {"b', '"}', "}", "[1]", "1", "null", " ", "\n{"),
    *('{"a": tru', "word", '"{"', "\ufeff{}", "\u00a0{}", '{"a": 1}{"b": 2}', "{'a': 1}"),
)


def names_of(value: object) -> tuple[str, str]:
    return type(value).__module__, type(value).__qualname__


def same(cast: BaseModel, made: BaseModel) -> None:
    # The chunk is a class of our own, which goes by LangChain's name.
    assert isinstance(cast, type(made))
    assert names_of(cast) == names_of(made)
    assert vars(cast) == vars(made)
    assert {name: names_of(value) for name, value in vars(cast).items()} == {
        name: names_of(value) for name, value in vars(made).items()
    }
    assert cast == made
    assert cast.model_dump() == made.model_dump()
    assert cast.model_dump_json() == made.model_dump_json()
    assert pickle.loads(pickle.dumps(cast)) == made
    assert cast.model_copy(deep=True) == made


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize(("name", "call_id"), [("crop", "call_1"), (None, None)])
def test_pieces_of_calls_are_langchains_own(
    arguments: str, name: str | None, call_id: str | None
) -> None:
    piece = ToolCallDelta(index=1, id=call_id, name=name, arguments=arguments)
    made = AIMessageChunk(
        content="",
        response_metadata={"model_provider": "qwen_vl"},
        tool_call_chunks=[tool_call_chunk(name=name, args=arguments, id=call_id, index=1)],
    )
    same(to_chunk(Delta(tool_calls=(piece,))), made)


@pytest.mark.parametrize(
    ("delta", "fields"),
    [
        (Delta(text="A cat."), {"content": "A cat."}),
        (
            Delta(reasoning="Hm."),
            {"content": "", "additional_kwargs": {"reasoning_content": "Hm."}},
        ),
        (
            Delta(metadata=ResponseMetadata(usage=USAGE, finish_reason="stop")),
            {
                "content": "",
                "usage_metadata": {
                    "input_tokens": 3,
                    "output_tokens": 2,
                    "total_tokens": 5,
                    "input_token_details": {"image": 1},
                    "output_token_details": {},
                },
                "response_metadata": {"finish_reason": "stop", "token_usage": {"a": 1}},
            },
        ),
    ],
)
def test_chunks_are_langchains_own(delta: Delta, fields: dict[str, Any]) -> None:
    metadata = {"model_provider": "qwen_vl", **fields.pop("response_metadata", {})}
    message = AIMessageChunk(**fields, response_metadata=metadata)
    same(to_chunk(delta), message)
    same(to_generation_chunk(delta), ChatGenerationChunk(message=message))


def test_response_is_llama_indexes_own() -> None:
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="A cat.")])
    made = ChatResponse(message=message, raw={}, delta="A cat.", additional_kwargs={})
    cast = ResponseBuilder().add(Delta(text="A cat."))
    same(cast, made)
    same(cast.message, message)
    same(cast.message.blocks[0], message.blocks[0])


def test_casts_share_nothing() -> None:
    first, second = to_chunk(Delta(text="a")), to_chunk(Delta(text="b"))
    first.additional_kwargs["x"] = first.response_metadata["x"] = 1
    first.tool_calls.append({"name": "x", "args": {}, "id": None})
    first.extra = 1
    assert second == to_chunk(Delta(text="b"))


def test_private_attributes_and_sets_of_fields() -> None:
    class Thing(BaseModel):
        x: int = 0
        y: list[int] = []
        _z: dict[str, int] = PrivateAttr(default_factory=dict)

    cast = Prototype(Thing(x=1)).copy_with(x=7)
    cast._z["a"] = 1
    assert cast.model_dump(exclude_unset=True) == {"x": 7}
    assert Prototype(Thing()).copy_with()._z == {}
