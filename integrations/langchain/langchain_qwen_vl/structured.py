"""Answers that follow a schema: `with_structured_output`, by all three methods."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import (
    BaseCumulativeTransformOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableMap
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from typing_extensions import override

from langchain_qwen_vl.tools import to_tools
from qwen_vl.errors import AnswerFormatError, ConfigurationError
from qwen_vl.parsing import parse_whole_json
from qwen_vl.reply import describe_cut
from qwen_vl.request.rules import StructuredMethod, to_json_schema_format

Schema: TypeAlias = dict[str, Any] | type
Asked: TypeAlias = Runnable[LanguageModelInput, AIMessage]
Parser: TypeAlias = Runnable[AIMessage, Any]


def to_response_format(schema: Schema, *, strict: bool | None = None) -> dict[str, Any]:
    """Convert a schema to the service's `response_format`.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, or a `response_format` already.
        strict: Whether answers must follow the schema to the letter; they must unless set
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
    beside = _ParsedBeside(parser)
    # LangChain passes the config to functions that take one, which their types do not say.
    transform: Any = beside.transform
    atransform: Any = beside.atransform
    parsed: Runnable[Any, Any] = RunnableGenerator(transform, atransform)
    return RunnableMap[LanguageModelInput](raw=asked) | parsed


class _ParsedBeside:
    """Passes raw answers on as they come, and the parsed answer, or why there is none, behind.

    Args:
        parser: Reads whole answers.
    """

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def transform(self, answers: Iterator[Any], config: RunnableConfig) -> Iterator[AddableDict]:
        """Parse an answer when its last piece has come."""
        whole = _Whole(self._parser, config)
        for answer in answers:
            yield whole.add(answer)
        yield whole.parse()

    async def atransform(
        self, answers: AsyncIterator[Any], config: RunnableConfig
    ) -> AsyncIterator[AddableDict]:
        """Parse an answer when its last piece has come; see `transform`."""
        whole = _Whole(self._parser, config)
        async for answer in answers:
            yield whole.add(answer)
        yield await whole.aparse()


class _Whole:
    """An answer as it comes, and what it reads as in the end.

    Args:
        parser: Reads whole answers.
        config: Of the run.
    """

    def __init__(self, parser: Parser, config: RunnableConfig) -> None:
        self._parser = parser
        self._config = config
        self._raw: Any = None

    def add(self, answer: Mapping[str, Any]) -> AddableDict:
        """Take in the next piece, and pass it on."""
        piece = answer["raw"]
        self._raw = piece if self._raw is None else self._raw + piece
        return AddableDict(answer)

    def parse(self) -> AddableDict:
        """Parse what has come."""
        with _reported() as parsed:
            parsed["parsed"] = self._parser.invoke(self._raw, self._config)
        return parsed

    async def aparse(self) -> AddableDict:
        """Parse what has come; see `parse`."""
        with _reported() as parsed:
            parsed["parsed"] = await self._parser.ainvoke(self._raw, self._config)
        return parsed


@contextmanager
def _reported() -> Iterator[AddableDict]:
    parsed = AddableDict(parsed=None, parsing_error=None)
    try:
        yield parsed
    except ValueError as error:
        # Those of LangChain's parsers and of pydantic.
        parsed["parsing_error"] = error


def _to_json_parser(schema: Schema | None) -> Parser:
    if _is_pydantic(schema):
        return _JsonParser(inner=PydanticOutputParser(pydantic_object=schema))
    return _JsonParser(inner=JsonOutputParser())


def _to_call_parser(schema: Schema, name: str) -> Parser:
    if _is_pydantic(schema):
        return _PydanticCallParser(tools=[schema], first_tool_only=True)
    return _JsonCallParser(key_name=name, first_tool_only=True)


def _is_pydantic(schema: Schema | None) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


class _JsonParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads JSON that grows; when the answer has ended, only what is whole.

    LangChain's parsers close whatever brackets are open, and so make a cut answer another one.
    """

    inner: JsonOutputParser
    """Reads what grows, and makes objects of what is whole."""

    @property
    @override
    def OutputType(self) -> type[Any]:
        return self.inner.OutputType

    @property
    @override
    def _type(self) -> str:
        return self.inner._type  # noqa: SLF001 - as LangChain's own wrappers of parsers do.

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if not _has_ended(result, partial=partial):
            return self.inner.parse_result(result, partial=partial)
        return self.inner.parse_result([Generation(text=_read_whole(result[0]))])

    @override
    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])


class _PydanticCallParser(PydanticToolsParser):
    """Reads the call that stands for the schema: `None` would look like an answer."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        has_ended = _has_ended(result, partial=partial)
        return _check_called(super().parse_result(result, partial=partial), result, has_ended)


class _JsonCallParser(JsonOutputKeyToolsParser):
    """Hold answers to a schema that is not a class."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        has_ended = _has_ended(result, partial=partial)
        return _check_called(super().parse_result(result, partial=partial), result, has_ended)


def _has_ended(result: Sequence[Generation], *, partial: bool) -> bool:
    """Return whether an answer has ended, be it streamed or not.

    Raises:
        OutputParserException: It was cut off.
    """
    message = getattr(result[0], "message", None)
    metadata = getattr(message, "response_metadata", {})
    reason = metadata.get("finish_reason")
    cut = describe_cut(reason, is_truncated=bool(metadata.get("is_truncated")))
    if cut:
        raise OutputParserException(cut, llm_output=result[0].text)
    is_last = getattr(message, "chunk_position", None) == "last"
    return not partial or reason is not None or is_last


def _read_whole(answer: Generation) -> str:
    """Return the JSON of a whole answer, without what stands around it.

    Raises:
        OutputParserException: The answer is not JSON, or its JSON breaks off.
    """
    text = answer.text
    try:
        return json.dumps(parse_whole_json(text))
    except AnswerFormatError as error:
        beside = getattr(getattr(answer, "message", None), "additional_kwargs", {})
        reasoning = beside.get("reasoning_content") if not text.strip() else None
        problem = f"The answer is empty; its reasoning reads: {reasoning!r}" if reasoning else error
        raise OutputParserException(str(problem), llm_output=text) from error


def _check_called(parsed: Any, result: Sequence[Generation], has_ended: bool) -> Any:
    if parsed is not None or not has_ended:
        return parsed
    message = getattr(result[0], "message", None)
    invalid = getattr(message, "invalid_tool_calls", None)
    if invalid:
        raise OutputParserException(
            f"{invalid[0]['error']} It reads: {invalid[0]['args']!r}", llm_output=invalid[0]["args"]
        )
    raise OutputParserException(
        "The model answered with text instead of calling the tool that stands for the schema.",
        llm_output=result[0].text,
    )
