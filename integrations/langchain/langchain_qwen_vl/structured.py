"""Answers that follow a schema: `with_structured_output`, by all three methods."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from qwen_vl.errors import ConfigurationError

Schema: TypeAlias = dict[str, Any] | type

# Structured output page, 2026-10.
_MAX_NAME_CHARS = 64


def to_response_format(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Convert a schema to the service's `response_format`.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, or a `response_format` already.
        strict: Whether answers must follow the schema to the letter; they must unless told
            otherwise.

    Example:
        >>> to_response_format({"title": "Cat", "type": "object", "properties": {}})["type"]
        'json_schema'
    """
    if isinstance(schema, dict) and schema.get("type") in {"json_schema", "json_object", "text"}:
        return schema
    json_schema = convert_to_json_schema(schema)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(json_schema.get("title") or "answer"))
    return {
        "type": "json_schema",
        "json_schema": {
            "name": name[:_MAX_NAME_CHARS],
            "schema": json_schema,
            "strict": strict is not False,
        },
    }


def to_parser(schema: Schema | None) -> Runnable[AIMessage, Any]:
    """Give the parser of answers in JSON: to the schema's class where it is one, else to a dict.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, or `None` for any JSON.
    """
    if _is_pydantic(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()


def to_tool_parser(schema: Schema, name: str) -> Runnable[AIMessage, Any]:
    """Give the parser of answers by a tool call.

    Args:
        schema: A pydantic class, a TypedDict or a JSON schema.
        name: The tool's name.
    """
    if _is_pydantic(schema):
        return _PydanticCallParser(tools=[schema], first_tool_only=True)
    return _JsonCallParser(key_name=name, first_tool_only=True)


def to_structured_runnable(
    asked: Runnable[LanguageModelInput, AIMessage],
    parser: Runnable[AIMessage, Any],
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """Put model and parser together.

    Args:
        asked: The model with the schema bound to it.
        parser: Reads its answers.
        include_raw: Whether to give `raw`, `parsed` and `parsing_error` instead of raising where
            an answer cannot be read.
    """
    if not include_raw:
        return asked | parser
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=RunnableLambda(_no_error)
    )
    unparsed = RunnablePassthrough.assign(parsed=RunnableLambda(_no_error))
    return RunnableMap(raw=asked) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def require_schema(schema: Schema | None, method: str) -> Schema:
    """Give the schema.

    Args:
        schema: What the caller gave.
        method: What needs it.

    Raises:
        ConfigurationError: There is none.
    """
    if schema is None:
        raise ConfigurationError(f"with_structured_output(method={method!r}) needs a schema.")
    return schema


def _is_pydantic(schema: Schema | None) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _no_error(_: Any) -> None:
    return None


class _PydanticCallParser(PydanticToolsParser):
    """Says so where the model answered in words: `None` would look like an answer."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _called(super().parse_result(result, partial=partial), result, partial=partial)


class _JsonCallParser(JsonOutputKeyToolsParser):
    """The same for schemas that are no class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        return _called(super().parse_result(result, partial=partial), result, partial=partial)


def _called(parsed: Any, result: Sequence[Generation], *, partial: bool) -> Any:
    if parsed is None and not partial:
        text = result[0].text if result else ""
        raise OutputParserException(
            "The model answered in words instead of calling the tool that stands for the schema.",
            llm_output=text,
        )
    return parsed
