"""Answers that follow a schema: `with_structured_output`, by all three methods."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
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

from langchain_qwen_vl.tools import to_tools
from qwen_vl.combinations import StructuredMethod, to_json_schema_format
from qwen_vl.errors import ConfigurationError

Schema: TypeAlias = dict[str, Any] | type
Asked: TypeAlias = Runnable[LanguageModelInput, AIMessage]
Parser: TypeAlias = Runnable[AIMessage, Any]


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
    return to_json_schema_format(convert_to_json_schema(schema), strict=strict is not False)


def bind_schema(
    model: BaseChatModel,
    schema: Schema | None,
    *,
    method: StructuredMethod,
    strict: bool | None,
    options: dict[str, Any],
) -> tuple[Asked, Parser]:
    """Bind a schema to a model by one of the methods, and give the parser of its answers.

    Args:
        model: A model with `bind_tools`.
        schema: A pydantic class, a TypedDict, a JSON schema, or `None` for any JSON.
        method: How the model is held to it.
        strict: Whether answers must follow it to the letter.
        options: Further options of each call.

    Raises:
        ConfigurationError: The method needs a schema and has none.
    """
    if method == "json_mode":
        words = {} if schema is None else {"response_schema": convert_to_json_schema(schema)}
        response_format = {"type": "json_object"}
        asked = model.bind(response_format=response_format, **words, **options)
        return asked, _to_json_parser(schema)
    if schema is None:
        raise ConfigurationError(f"with_structured_output(method={method!r}) needs a schema.")
    if method == "json_schema":
        response_format = to_response_format(schema, strict=strict)
        return model.bind(response_format=response_format, **options), _to_json_parser(schema)
    (tool,) = to_tools([schema], strict=strict)
    name = tool["function"]["name"]
    calling = model.bind_tools([tool], tool_choice=name, **options)
    return calling, _to_call_parser(schema, name)


def to_structured_runnable(
    asked: Asked,
    parser: Parser,
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


def _to_json_parser(schema: Schema | None) -> Parser:
    if _is_pydantic(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()


def _to_call_parser(schema: Schema, name: str) -> Parser:
    if _is_pydantic(schema):
        return _PydanticCallParser(tools=[schema], first_tool_only=True)
    return _JsonCallParser(key_name=name, first_tool_only=True)


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
