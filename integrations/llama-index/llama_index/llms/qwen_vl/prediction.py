"""Answers in a schema, by the four methods that every LLM of LlamaIndex has for them."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts.base import PromptTemplate
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from llama_index.llms.qwen_vl.structured import AnswerForm

_Model = TypeVar("_Model", bound=BaseModel)

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

        Thinking is turned off for those requests alone in which the service refuses it.

        Args:
            output_cls: The class.
            prompt: A template, with pictures and videos where it makes messages.
            llm_kwargs: Options of the call, as in `chat`.
            **prompt_args: What fills the template.

        Raises:
            AnswerFormatError: The answer does not make the class.
        """
        form = self._choose_form(output_cls, llm_kwargs)
        if form is None:
            made: _Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        _start_structured(output_cls, prompt, prompt_args)
        messages = self._format(prompt, prompt_args)
        found = form.read(self.chat(messages, **_options(form, llm_kwargs)), self)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

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
        _start_structured(output_cls, prompt, prompt_args)
        messages = self._format(prompt, prompt_args)
        found = form.read(await self.achat(messages, **_options(form, llm_kwargs)), self)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=found))
        return found

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

    def _format(self, prompt: PromptTemplate, prompt_args: Mapping[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args))


def _options(form: AnswerForm[Any], llm_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    given = {name: held for name, held in (llm_kwargs or {}).items() if name not in _FORCING}
    return {**given, **form.options()}


def _start_structured(
    output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: dict[str, Any]
) -> None:
    _dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )
