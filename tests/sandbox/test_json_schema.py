"""Values made for JSON schemas, checked by pydantic, and answers that must not break."""

import contextlib
import datetime as dt
import enum
import re
import uuid
from typing import Any, Literal

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen_vl_sandbox.answers.tools import find_arguments
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.json_schema import matching_text, value_for
from qwen_vl_sandbox.media.colors import Color
from qwen_vl_sandbox.protocols.native import NativeProtocol
from qwen_vl_sandbox.protocols.openai import OpenAIProtocol
from qwen_vl_sandbox.protocols.self_hosted import SelfHostedProtocol
from qwen_vl_sandbox.reading.conversation import Tool
from qwen_vl_sandbox.specs.servers import SERVERS


class Shade(enum.Enum):
    """Two shades."""

    DARK = "dark"
    LIGHT = "light"


class Point(pydantic.BaseModel):
    """A point with bounds of every kind."""

    x: int = pydantic.Field(ge=10, le=20, multiple_of=7)
    y: float = pydantic.Field(gt=0, lt=1)
    z: int = pydantic.Field(lt=-5)
    w: float = pydantic.Field(ge=-3, le=-2)


class Node(pydantic.BaseModel):
    """A type that holds itself."""

    name: str
    children: "list[Node]"
    parent: "Node | None"


class Everything(pydantic.BaseModel):
    """One field of each kind."""

    model_config = pydantic.ConfigDict(extra="forbid")
    point: Point
    points: list[Point] = pydantic.Field(min_length=3)
    node: Node
    shade: Shade
    word: Literal["only"]
    either: Point | str
    maybe: int | None
    yes: bool
    short: str = pydantic.Field(max_length=4)
    long: str = pydantic.Field(min_length=100)
    distinct: set[int] = pydantic.Field(min_length=3)
    when: dt.datetime
    day: dt.date
    identity: uuid.UUID
    link: pydantic.HttpUrl
    table: dict[str, int]
    pair: tuple[int, str]
    code: str = pydantic.Field(pattern=r"^[A-Z]{2}-\d{3,5}(x|y)?$")


@pytest.mark.parametrize("model", [Point, Node, Everything])
def test_value_passes_pydantic(model: type[pydantic.BaseModel]) -> None:
    """What pydantic describes, pydantic accepts."""
    value = value_for(model.model_json_schema(), "an honest description")
    assert model.model_validate(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"type": ["null", "integer"], "minimum": 3}, 3),
        ({"allOf": [{"type": "integer"}, {"minimum": 4}]}, 4),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"enum": ["x"]}]}}}, "x"),
        ({"items": {"type": "integer"}, "minItems": 2, "uniqueItems": True}, [0, 1]),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        (
            {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
            {"a": 0},
        ),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "words"),
        ({"anyOf": [{"required": ["a"]}], "properties": {"a": {"const": 1}}}, {"a": 1}),
        ({"type": "string", "pattern": "^(?=x)"}, "words"),
        ({}, "words"),
        (True, "words"),
    ],
)
def test_value_follows_the_schema(schema: Any, value: Any) -> None:
    """The smallest value that is allowed."""
    assert value_for(schema, "words") == value


def test_schema_that_never_ends_is_refused() -> None:
    """No finite value fits it."""
    with pytest.raises(ApiError, match="JSON schema"):
        value_for({"$ref": "#"}, "words")


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{4}-\d\d",
        "(a|b)+",
        "[^a]x*",
        r"(?:ab){2,}c?",
        r"^[\w.]+@[a-z]+\.cn$",
        r"\[x\]",
        "[]]",
        "a.b",
    ],
)
def test_text_matches_its_pattern(pattern: str) -> None:
    """Common expressions are met."""
    assert re.search(pattern, str(matching_text(pattern)))


@pytest.mark.parametrize("pattern", ["(?=a)b", "[", "(", "(?<!x)y", r"(a)\1\2"])
def test_special_pattern_gives_no_text(pattern: str) -> None:
    """Better none than a wrong one."""
    assert matching_text(pattern) is None


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("look x=3, y = -1.5", {"x": 3, "y": -1.5}),
        ('look "x": 4 and 2.5', {"x": 4, "y": 2.5}),
        ("look at 7 and 8", {"x": 7, "y": 8}),
        ("看 look，x：5，y：6", {"x": 5, "y": 6}),
        ("look x=three", {"x": 0, "y": 0.0}),
        ("look x=1 y=2 box=[1,2,3] mode=fast", {"x": 1, "y": 2, "box": [1, 2, 3], "mode": "fast"}),
    ],
)
def test_arguments_are_read_from_the_text(text: str, arguments: dict[str, Any]) -> None:
    """By name first, then by type, else by the schema."""
    properties = {
        "x": {"type": "integer"},
        "y": {"type": "number"},
        "box": {"type": "array"},
        "mode": {"type": "string"},
    }
    tool = Tool("look", {"properties": properties, "required": ["x", "y"]})
    assert find_arguments(tool, text) == arguments


def test_enumerated_argument_is_found_in_the_text() -> None:
    """One of its words is enough."""
    schema = {"properties": {"mode": {"type": "string", "enum": ["fast", "slow"]}}}
    tool = Tool("look", {**schema, "required": ["mode"]})
    assert find_arguments(tool, "look, but slow") == {"mode": "slow"}
    assert find_arguments(tool, "look") == {"mode": "fast"}


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "gray"),
        ((255, 0, 0), "red"),
        ((255, 0, 20), "red"),
        ((120, 70, 20), "brown"),
        ((20, 200, 40), "green"),
        ((60, 90, 230), "blue"),
        ((100, 110, 130), "bluish gray"),
    ],
)
def test_color_is_named(rgb: tuple[int, int, int], name: str) -> None:
    """A rough word for each color."""
    assert Color(*rgb).name == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
PART = st.dictionaries(
    st.sampled_from(
        ["type", "text", "image", "image_url", "video_url", "video", "input_audio", "fps"]
    ),
    st.sampled_from(["text", "image_url", "video_url", "video", "input_audio"]) | JSON,
)
MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "partial"]),
    st.sampled_from(["user", "assistant", "tool", "hi"]) | st.lists(PART, max_size=2) | JSON,
)
FIELDS = [
    *("stream", "stream_options", "temperature", "stop", "tools", "tool_choice", "n"),
    *("response_format", "reasoning_effort", "thinking_budget", "enable_thinking", "max_tokens"),
    *("incremental_output", "result_format", "ocr_options", "vl_enable_image_hw_output"),
]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), JSON | st.lists(MESSAGE, max_size=3))
def test_any_json_is_read_or_refused(fields: dict[str, Any], messages: Any) -> None:
    """No body, however odd, breaks the sandbox itself."""
    body = {"model": "qwen3.8-max", "messages": messages, **fields}
    assert isinstance(OpenAIProtocol().unknown_fields(body), tuple)
    with contextlib.suppress(ApiError):
        assert OpenAIProtocol().read(body, {}, strict=True).conversation.messages


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    JSON | st.dictionaries(st.sampled_from(FIELDS), JSON),
    JSON | st.fixed_dictionaries({"messages": JSON | st.lists(MESSAGE, max_size=3)}),
    st.sampled_from(["qwen3.8-max", "qwen3-vl-plus", "qwen-vl-ocr"]),
)
def test_any_native_json_is_read_or_refused(parameters: Any, given: Any, model: str) -> None:
    """The same for the native protocol."""
    body = {"model": model, "input": given, "parameters": parameters}
    protocol, headers = NativeProtocol(), {"x-dashscope-sse": "enable"}
    assert isinstance(protocol.unknown_fields(body), tuple)
    with contextlib.suppress(ApiError):
        assert protocol.read(body, headers, strict=True).conversation.messages


MORE_FIELDS = [
    *("stream_options", "chat_template_kwargs", "mm_processor_kwargs", "media_io_kwargs"),
    *("structured_outputs", "regex", "json_schema", "reasoning", "include_reasoning", "logprobs"),
]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS + MORE_FIELDS), JSON),
    JSON | st.lists(MESSAGE, max_size=3),
    st.sampled_from(list(SERVERS)),
)
def test_any_json_is_read_or_refused_by_every_server(
    fields: dict[str, Any], messages: Any, server: str
) -> None:
    """The same for the servers that hold the model themselves."""
    protocol = SelfHostedProtocol(SERVERS[server])
    body = {"model": "qwen3-vl", "messages": messages, **fields}
    assert isinstance(protocol.unknown_fields(body), tuple)
    with contextlib.suppress(ApiError):
        assert protocol.read(body, {}, strict=True).conversation.messages
