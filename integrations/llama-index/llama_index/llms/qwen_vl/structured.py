"""Answers that follow a pydantic class, by the method that suits the model best.

LlamaIndex forces a tool for all of them, which the service refuses of a model that thinks; and
what it raises where an answer cannot be read, its own engines turn into "Empty Response".
"""

import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import process_streaming_objects
from llama_index.core.prompts.base import PromptTemplate
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError

from llama_index.llms.qwen_vl.responses import find_cut
from qwen_vl.errors import AnswerFormatError
from qwen_vl.generators import Owned
from qwen_vl.parsing import parse_whole_json
from qwen_vl.request.rules import (
    StructuredMethod,
    to_json_schema_format,
    to_object_schema,
    to_schema_name,
)

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class AnswerForm(Generic[_Model]):
    """The form that one answer should have.

    Args:
        output_cls: The pydantic class.
        method: How the model is held to it.

    Example:
        >>> class Animal(BaseModel):
        ...     name: str
        >>> AnswerForm(Animal, "function_calling").options()["tool_choice"]
        {'type': 'function', 'function': {'name': 'Animal'}}
    """

    output_cls: type[_Model]
    method: StructuredMethod

    def options(self) -> dict[str, Any]:
        """Return the options of a call that asks for this form.

        Raises:
            ConfigurationError: The class is not an object in JSON, such as a list.
        """
        schema = to_object_schema(self.output_cls.model_json_schema())
        if self.method == "json_mode":
            return {"response_format": {"type": "json_object"}, "response_schema": schema}
        if self.method == "json_schema":
            return {"response_format": to_json_schema_format(schema)}
        name = to_schema_name(schema)
        function = {
            "name": name,
            "description": schema.get("description", ""),
            "parameters": schema,
        }
        return {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": name}},
        }

    def read(self, response: ChatResponse, llm: FunctionCallingLLM) -> _Model:
        """Read a whole answer.

        Args:
            response: What came.
            llm: Whose answer it is.

        Raises:
            AnswerFormatError: It does not have this form.
        """
        text = response.message.content or ""
        if cut := find_cut(response):
            beside = response.message.additional_kwargs
            raise AnswerFormatError(cut, text=text or str(beside.get("tool_calls") or ""))
        try:
            if self.method != "function_calling":
                return self._validate(text)
            calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
            if not calls:
                raise AnswerFormatError(
                    f"The model answered with text instead of {self._name} as JSON.", text=text
                )
            # As JSON: a strict class takes no list for its tuple otherwise, and no text for a date.
            return self.output_cls.model_validate_json(json.dumps(calls[0].tool_kwargs))
        except ValidationError as error:
            # Not a ValueError any more, which engines would turn into an empty answer.
            raise AnswerFormatError(
                f"The answer is not a valid {self._name}: {_describe(error)}",
                text=text or str(response.message.additional_kwargs.get("tool_calls")),
            ) from error

    def _validate(self, text: str) -> _Model:
        try:
            return self.output_cls.model_validate_json(text)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] != "json_invalid":
                raise
        # In a fence, or with prose around it.
        try:
            value = parse_whole_json(text)
        except AnswerFormatError as error:
            problem = f"The answer is not a valid {self._name}: {error.args[0]}"
            raise AnswerFormatError(problem, text=text) from error
        return self.output_cls.model_validate_json(json.dumps(value))

    def read_stream(
        self, responses: Generator[ChatResponse, None, None], llm: FunctionCallingLLM
    ) -> Generator[Any, None, None]:
        """Read an answer while it comes.

        Args:
            responses: Of `stream_chat`.
            llm: Whose answer it is.

        Returns:
            Objects with ever more of their fields set; the last is a whole `output_cls`.

        Raises:
            AnswerFormatError: The whole answer does not have this form.
        """
        reader = _StreamReader(self, llm)
        with closing(responses):
            for response in responses:
                yield from reader.read(response)
        yield reader.finish()

    async def aread_stream(
        self, responses: AsyncGenerator[ChatResponse, None], llm: FunctionCallingLLM
    ) -> AsyncGenerator[Any, None]:
        """Read an answer while it comes; see `read_stream`."""
        reader = _StreamReader(self, llm)
        async with Owned(responses) as owned:
            async for response in owned:
                for partial in reader.read(response):
                    yield partial
        yield reader.finish()

    @property
    def _name(self) -> str:
        return self.output_cls.__name__


class _StreamReader:
    def __init__(self, form: AnswerForm[Any], llm: FunctionCallingLLM) -> None:
        self._form = form
        self._llm = llm
        self._so_far: list[Any] | None = None
        self._last: ChatResponse | None = None

    def read(self, response: ChatResponse) -> Iterator[Any]:
        self._last = response
        # Thinking and usage bring nothing of the object.
        if response.additional_kwargs.get("finish_reason") or not _brings_answer(response):
            return
        found = process_streaming_objects(
            response, self._form.output_cls, cur_objects=self._so_far, llm=self._llm
        )
        self._so_far = [found]
        yield found

    def finish(self) -> Any:
        if self._last is None:
            raise AnswerFormatError("No answer came.", text="")
        return self._form.read(self._last, self._llm)


def _brings_answer(response: ChatResponse) -> bool:
    return bool(response.message.content or response.message.additional_kwargs.get("tool_calls"))


def _describe(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}" for fault in faults
    )


_dispatcher = get_dispatcher(__name__)
# Of programs that force a tool by themselves; ours does so where the service allows it.
_FORCING = ("tool_required", "tool_choice", "allow_parallel_tool_calls")


class StructuredPrediction(FunctionCallingLLM):
    """An LLM that is held to a pydantic class in the best way that its model has.

    LlamaIndex's own programs force a tool for all models, and leave the system prompt out where
    they are asynchronous.
    """

    @abstractmethod
    def _choose_form(
        self, output_cls: type[_Model], llm_kwargs: Mapping[str, Any] | None
    ) -> AnswerForm[_Model] | None:
        """Choose how answers are held to a class; `None` where the user has chosen a program."""

    @_dispatcher.span
    def structured_predict(
        self,
        output_cls: type[_Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Model:
        """Have the answer to a prompt follow a pydantic class.

        Thinking is turned off only for those requests in which the service refuses it.

        Args:
            output_cls: The class.
            prompt: A template, with images and videos where it makes messages.
            llm_kwargs: Options of the call, as in `chat`.
            **prompt_args: What fills the template.

        Raises:
            AnswerFormatError: The answer does not make the class.
        """
        form = self._choose_form(output_cls, llm_kwargs)
        if form is None:
            made: _Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        messages = self._begin(form, prompt, prompt_args)
        return self._end(form, self.chat(messages, **_options(form, llm_kwargs)))

    @_dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[_Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _Model:
        """Have the answer to a prompt follow a pydantic class; see `structured_predict`."""
        form = self._choose_form(output_cls, llm_kwargs)
        if form is None:
            made: _Model = await super().astructured_predict(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
            return made
        messages = self._begin(form, prompt, prompt_args)
        return self._end(form, await self.achat(messages, **_options(form, llm_kwargs)))

    def _structured_stream_call(
        self,
        output_cls: type[_Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        form = self._choose_form(output_cls, llm_kwargs)
        if form is None:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        messages = self._format(prompt, prompt_args)
        return form.read_stream(self.stream_chat(messages, **_options(form, llm_kwargs)), self)

    async def _structured_astream_call(
        self,
        output_cls: type[_Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        form = self._choose_form(output_cls, llm_kwargs)
        if form is None:
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        messages = self._format(prompt, prompt_args)
        responses = await self.astream_chat(messages, **_options(form, llm_kwargs))
        return form.aread_stream(responses, self)

    def _begin(
        self, form: AnswerForm[Any], prompt: PromptTemplate, prompt_args: dict[str, Any]
    ) -> list[ChatMessage]:
        _dispatcher.event(
            LLMStructuredPredictStartEvent(
                output_cls=form.output_cls, template=prompt, template_args=prompt_args
            )
        )
        return self._format(prompt, prompt_args)

    def _end(self, form: AnswerForm[_Model], response: ChatResponse) -> _Model:
        found = form.read(response, self)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

    def _format(self, prompt: PromptTemplate, prompt_args: Mapping[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args))


def _options(form: AnswerForm[Any], llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    values = {name: held for name, held in (llm_kwargs or {}).items() if name not in _FORCING}
    return {**values, **form.options()}
