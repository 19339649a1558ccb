"""What is cast is just what the frameworks' own constructors make."""

import itertools
import pickle
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock
from pydantic import BaseModel, Field, PrivateAttr, field_validator

from langchain_qwen_vl import messages
from langchain_qwen_vl.messages import to_chunk, to_generation_chunk
from llama_index.llms.qwen_vl import responses
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


NUMBERS = itertools.count()


class Base(BaseModel):
    x: int = 0


class NewField(Base):
    """What a later version of a framework's class may have more."""

    number: int = Field(default_factory=lambda: next(NUMBERS))


class FilledList(Base):
    tags: list[str] = ["a"]


class PrivateList(Base):
    _seen: list[int] = PrivateAttr(default_factory=list)


class Validated(Base):
    @field_validator("x")
    @classmethod
    def _limit(cls, x: int) -> int:
        return min(x, 5)


class OfAnotherType(Base):
    @field_validator("x")
    @classmethod
    def _as_float(cls, x: int) -> float:
        return float(x)


class PostInit(Base):
    y: int = 0

    def model_post_init(self, _context: Any) -> None:
        self.y = self.x + 1


class OwnInit(Base):
    def __init__(self, **values: Any) -> None:
        super().__init__(**{**values, "x": values.get("x", 0) + 1})


@pytest.mark.parametrize(
    "kind", [NewField, FilledList, PrivateList, Validated, OfAnotherType, PostInit, OwnInit]
)
def test_class_whose_constructor_does_more_is_made_by_it(kind: type[Base]) -> None:
    prototype = Prototype(kind())
    first, second = prototype.copy_with(x=7), prototype.copy_with(x=7)

    assert not prototype.is_exact
    for made in (first, second):
        constructed = kind(x=7)
        if kind is not NewField:
            assert made == constructed
        assert type(made.x) is type(constructed.x)
    if isinstance(first, NewField) and isinstance(second, NewField):
        assert first.number != second.number
    if isinstance(first, PrivateList) and isinstance(second, PrivateList):
        first._seen.append(1)
        assert second._seen == []


def test_each_set_of_fields_is_compared() -> None:
    class Pair(BaseModel):
        x: int = 0
        y: int = 0

        @field_validator("y")
        @classmethod
        def _limit(cls, y: int) -> int:
            return min(y, 5)

    prototype = Prototype(Pair())
    assert prototype.copy_with(x=7) == Pair(x=7)
    assert prototype.is_exact
    assert prototype.copy_with(x=7, y=7) == Pair(x=7, y=7) == Pair(x=7, y=5)
    assert not prototype.is_exact


def test_constructor_is_asked_once_for_each_set_of_fields() -> None:
    made = []

    class Counted(BaseModel):
        x: int = 0

        def model_post_init(self, _context: Any) -> None:
            made.append(self.x)

    prototype = Prototype(Counted(x=-1))
    for x in range(5):
        assert prototype.copy_with(x=x).x == x

    assert made == [-1, 0]


def test_values_that_the_constructor_refuses_are_refused() -> None:
    prototype = Prototype(Base())
    with pytest.raises(ValueError, match="valid integer"):
        prototype.copy_with(x="word")

    assert prototype.copy_with(x=1) == Base(x=1)


def test_classes_of_the_frameworks_are_copied() -> None:
    builder = ResponseBuilder()
    pieces = [ToolCallDelta(index=0, id="c1", name="crop", arguments='{"a')]
    last = ResponseMetadata(usage=USAGE, finish_reason="stop")
    for delta in (
        Delta(text="A cat."),
        Delta(reasoning="Hm."),
        Delta(tool_calls=tuple(pieces)),
        Delta(tool_calls=tuple(pieces), metadata=last),
        Delta(metadata=last),
    ):
        to_generation_chunk(delta)
        builder.add(delta)

    for module in (messages, responses):
        prototypes = [held for held in vars(module).values() if isinstance(held, Prototype)]
        assert len(prototypes) >= 2
        assert all(prototype.is_exact for prototype in prototypes)
