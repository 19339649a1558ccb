"""`ChatQwenVL`: Qwen VL as a LangChain chat model."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    MessageLikeRepresentation,
    convert_to_messages,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import override

from langchain_qwen_vl.fields import FieldCache, move_unknown
from langchain_qwen_vl.messages import (
    PROVIDER,
    count_message_tokens,
    estimate_message_cost,
    to_generation_chunk,
    to_message,
    to_turns,
)
from langchain_qwen_vl.profiles import to_langchain_profile
from langchain_qwen_vl.structured import (
    Schema,
    bind_schema,
    to_response_format,
    to_structured_runnable,
)
from langchain_qwen_vl.tools import Tool, to_tools
from langchain_qwen_vl.tracing import (
    SerializablePrompt,
    holds_raw_values,
    to_safe_message,
)
from qwen_vl.client import AsyncQwenVLClient, ClientCache, QwenVLClient
from qwen_vl.connection import API_KEY_VARIABLE
from qwen_vl.errors import ServiceError
from qwen_vl.generators import Owned
from qwen_vl.reply import Reply
from qwen_vl.request.build import (
    build_connection,
    build_media_policy,
    build_request,
    find_account,
    find_parameters,
)
from qwen_vl.request.rules import StructuredMethod, choose_structured_method
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.parameters import CALL_PARAMETERS, ToolChoice, check_tools, to_tool_choice
from qwen_vl.specs.prices import Prices
from qwen_vl.specs.processors import Family
from qwen_vl.tokens.cost import Cost
from qwen_vl.tokens.text import estimate_text_tokens

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from qwen_vl.batches import ChatBatch
    from qwen_vl.grounding.grounder import Grounder
    from qwen_vl.grounding.results import Grounding
    from qwen_vl.grounding.task import LocateOptions, TimelineOptions
    from qwen_vl.grounding.timeline import Timeline

# Read once: an event loop in which a model is made must not wait for the disk.
__version__ = version("langchain-qwen-vl")
_ERRORS = "langchain_qwen_vl.errors"

# LangChain's own, not the service's.
_FRAMEWORK_OPTIONS = ("stream", "ls_structured_output_format", "structured_output_format")
_IDENTIFYING_FIELDS = (
    *("model", "base_url", "region", "workspace"),
    *("min_pixels", "max_pixels", "total_pixels", "fps", "video_mode", "max_frames", "extra_body"),
    *("ocr_task", "result_schema", "base_model", "model_family", "service_tier"),
)


class ChatQwenVL(QwenVLSettings, BaseChatModel):
    """Qwen VL as a LangChain chat model that takes images and videos.

    Images and videos go into a message's content in any shape that LangChain knows: v1 and v0
    blocks, `image_url`, the service's `video_url` and frame lists, Anthropic's and Gemini's
    forms. Their sources may be URLs, `data:` URLs, bytes, Base64, a `pathlib.Path`, a file object,
    a `PIL.Image` or an array. Pixel limits and `fps` stand beside them, in `extras`, or here.

    Args:
        **kwargs: The fields of `QwenVLSettings` and of LangChain's `BaseChatModel`. Names that
            are neither go into `model_kwargs` with a warning.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langchain_qwen_vl import get_usage
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     question = HumanMessage(
        ...         [
        ...             {"type": "image", "image": CHELSEA},
        ...             {"type": "text", "text": "What is this?"},
        ...         ]
        ...     )
        ...     answer = model.invoke([question])
        >>> get_usage(answer).image_tokens
        128
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    streaming: bool = Field(
        default=False,
        description="Whether `invoke` streams underneath, so that callbacks see the tokens as "
        "they come.",
    )

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)
    # LangChain serializes a model at each call, which takes a third of a millisecond, or keeps what
    # it once got: a changed copy then finds the cached answers of the model it was copied from.
    _serialized_cache: FieldCache[dict[str, Any]] = PrivateAttr(default_factory=FieldCache)

    @model_validator(mode="before")
    @classmethod
    def _move_unknown_to_model_kwargs(cls, values: Any) -> Any:
        return move_unknown(cls, values, documented=CALL_PARAMETERS)

    @model_validator(mode="after")
    def _set_qwen_vl_version(self) -> "ChatQwenVL":
        self._add_version("langchain-qwen-vl", __version__)
        return self

    @property
    def model_name(self) -> str:
        """Model id, by the name that ChatOpenAI has for it."""
        return self.model

    @property
    @override
    def _llm_type(self) -> str:
        return "chat-qwen-vl"

    @property
    @override
    def _identifying_params(self) -> Mapping[str, Any]:
        fields = {name: getattr(self, name) for name in _IDENTIFYING_FIELDS}
        return {**{k: v for k, v in fields.items() if v is not None}, **find_parameters(self)}

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": API_KEY_VARIABLE}

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        return True

    @override
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # The key of LangChain's caches. What is serialized holds neither the API key nor what the
        # environment says of the endpoint: one account would get the answers of another.
        return f"{super()._get_llm_string(stop, **kwargs)}---{find_account(self)}"

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = PROVIDER
        max_tokens = kwargs.get("max_tokens", self.max_tokens)
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        return params

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return to_langchain_profile(self.known_model, protocol=self.protocol, server=self.server)

    @override
    def get_num_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, offline.

        Args:
            text: Any text.
        """
        return self._count_text(text)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: Iterable[MessageLikeRepresentation],
        tools: Sequence[Tool] | None = None,
    ) -> int:
        """Count the tokens of a conversation before it is sent, offline.

        Images and videos count by the service's own rule from their sizes; text is estimated.

        Args:
            messages: The conversation, in any form that LangChain has for messages.
            tools: Tools that would be bound.

        Raises:
            MediaError: An image or video cannot be read or is none.
        """
        messages = convert_to_messages(messages)
        return count_message_tokens(messages, self, tools=tools, count_text=self._count_text)

    def estimate_cost(
        self,
        messages: LanguageModelInput,
        *,
        tools: Sequence[Tool] | None = None,
        output_tokens: int = 0,
        prices: Prices | None = None,
        **call: Any,
    ) -> Cost:
        """Estimate what a conversation costs before it is sent, offline, at list prices.

        Args:
            messages: The conversation, in any form that `invoke` takes.
            tools: Tools that would be bound.
            output_tokens: Number of tokens of the answer to assume, reasoning included; by
                default none, for the cost of the input. Pass `max_tokens` for the most that it
                may cost.
            prices: Your own prices per million tokens; by default those of the instance, else
                the list prices of the endpoint's region.
            **call: Options of the call, such as `model` or `max_pixels`.

        Returns:
            Its `amount` is `None` where the price is not known, for the `reason` that it gives.

        Raises:
            MediaError: An image or video cannot be read or is none.

        Example:
            >>> model = ChatQwenVL(model="qwen3.7-plus", region="ap-southeast-1", api_key="sk-1")
            >>> cost = model.estimate_cost("What is this?", output_tokens=1_000_000)
            >>> cost.currency, cost.price.output
            ('USD', Decimal('1.60'))
        """
        return estimate_message_cost(
            self._convert_input(messages).to_messages(),
            self,
            tools=tools,
            output_tokens=output_tokens,
            prices=prices,
            count_text=self._count_text,
            **call,
        )

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """Return the ids of a text's tokens, by `custom_get_token_ids` alone.

        Args:
            text: Any text.

        Raises:
            NotImplementedError: There is none; Qwen's tokenizer is not part of this package.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        raise NotImplementedError("Pass custom_get_token_ids=…; to count, use get_num_tokens.")

    def _count_text(self, text: str) -> int:
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return estimate_text_tokens(text)

    @override
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        if isinstance(model_input, SerializablePrompt):
            return model_input
        return self._make_safe(super()._convert_input(model_input), is_traced=True)

    def _convert(
        self, model_input: LanguageModelInput, config: RunnableConfig | None
    ) -> PromptValue:
        prompt = super()._convert_input(model_input)
        is_traced = not holds_raw_values(prompt.to_messages()) or self._is_traced(config)
        return self._make_safe(prompt, is_traced=is_traced)

    async def _convert_off_loop(
        self, model_input: LanguageModelInput, config: RunnableConfig | None
    ) -> PromptValue:
        prompt = super()._convert_input(model_input)
        if holds_raw_values(prompt.to_messages()):
            return await asyncio.to_thread(self._convert, prompt, config)
        return prompt

    def _make_safe(self, prompt: PromptValue, *, is_traced: bool) -> PromptValue:
        messages, policy = prompt.to_messages(), build_media_policy(self)
        safe = [
            to_safe_message(message, f"messages[{index}]", policy, is_traced=is_traced)
            for index, message in enumerate(messages)
        ]
        # Values that nobody reads as text stay as they are, and must not be converted later.
        if is_traced and all(new is old for new, old in zip(safe, messages, strict=True)):
            return prompt
        return SerializablePrompt(messages=safe)

    def _is_traced(self, config: RunnableConfig | None) -> bool:
        """Return whether callbacks, tracers or a cache will see the messages."""
        caches = get_llm_cache() is not None if self.cache is None else self.cache is not False
        values = ensure_config(config).get("callbacks")
        return caches or bool(
            CallbackManager.configure(values, self.callbacks, self.verbose).handlers
        )

    @override
    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        return super().invoke(self._convert(input, config), config, stop=stop, **kwargs)

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        prompt = self._convert(input, config)
        yield from super().stream(prompt, config, stop=stop, **kwargs)

    @override
    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        prompt = await self._convert_off_loop(input, config)
        return await super().ainvoke(prompt, config, stop=stop, **kwargs)

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        prompt = await self._convert_off_loop(input, config)
        stream: Any = super().astream(prompt, config, stop=stop, **kwargs)
        async with Owned(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    @property
    @override
    def _serialized(self) -> dict[str, Any]:
        return self._serialized_cache.recall(self, lambda: dict(dumpd(self)))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._make_request(messages, stop, kwargs, stream=None)
        with langchain_errors():
            return _to_result(self._client().ask(request))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._make_request(messages, stop, kwargs, stream=None)
        async with langchain_errors():
            return _to_result(await self._async_client().ask(request))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._make_request(messages, stop, kwargs, stream=True)
        # A caller that drops the stream frees its connection at once.
        with langchain_errors(), closing(self._client().stream(request)) as deltas:
            for delta in deltas:
                chunk = to_generation_chunk(delta)
                if run_manager:
                    run_manager.on_llm_new_token(delta.text, chunk=chunk)
                yield chunk

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._make_request(messages, stop, kwargs, stream=True)
        stream = self._async_client().stream(request)
        async with langchain_errors(), Owned(stream) as deltas:
            async for delta in deltas:
                chunk = to_generation_chunk(delta)
                if run_manager:
                    await run_manager.on_llm_new_token(delta.text, chunk=chunk)
                yield chunk

    @override
    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: ToolChoice | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools that the model may call.

        Args:
            tools: Tools, functions, pydantic classes, TypedDicts, JSON schemas or Anthropic-style
                dicts.
            tool_choice: `"auto"`, `"none"`, `"any"` or `"required"` or `True` (any of them), a
                tool's name, or the service's own dict.
            strict: Whether arguments must follow the schema to the letter.
            parallel_tool_calls: Whether several calls may come at once; the service's own default
                is that they may not.
            **kwargs: Further options of each call.

        Raises:
            ConfigurationError: `tool_choice` names none of the tools.
        """
        converted = to_tools(tools, strict=strict)
        check_tools(converted, self.server)
        if tool_choice is not None and converted:
            kwargs["tool_choice"] = to_tool_choice(tool_choice, converted)
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**({"tools": converted} if converted else {}), **kwargs)

    @override
    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: StructuredMethod | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Have answers follow a schema.

        Thinking is turned off only for those requests in which the service refuses it, and never
        on this object.

        Args:
            schema: A pydantic class (v2 or v1), a TypedDict, or a JSON schema. May be left out
                with `method="json_mode"`, for any JSON.
            method: `"json_schema"` (the service holds the model to the schema), `"json_mode"`
                (the prompt describes the schema), `"function_calling"`; where none is given, the
                best that the model has.
            include_raw: Whether to give a dict of `raw`, `parsed` and `parsing_error` instead of
                raising where an answer cannot be read.
            strict: Whether answers must follow the schema to the letter.
            **kwargs: Further options of each call.

        Raises:
            ConfigurationError: The method needs a schema and has none.

        Example:
            >>> from pydantic import BaseModel
            >>> from qwen_vl_sandbox import Sandbox
            >>> class Animal(BaseModel):
            ...     name: str
            >>> with Sandbox() as sandbox:
            ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     animal = model.with_structured_output(Animal).invoke("Name an animal.")
            >>> type(animal).__name__
            'Animal'
        """
        method = method or choose_structured_method(
            kwargs.get("base_model") or kwargs.get("model") or self.known_model,
            protocol=self.protocol,
            server=self.server,
        )
        options = {
            **kwargs,
            "ls_structured_output_format": {
                "kwargs": {"method": method, "strict": strict},
                "schema": schema,
            },
        }
        asked, parser = bind_schema(self, schema, method=method, strict=strict, options=options)
        return to_structured_runnable(asked, parser, include_raw=include_raw)

    def detect_model_family(self) -> Family:
        """Ask the server which model it serves under this name, and set `model_family`.

        For vLLM and SGLang, which report it in their list of models. Names such as
        `Qwen/Qwen3-VL-8B-Instruct` show it themselves.

        Raises:
            ConfigurationError: The server does not report it: set `model_family`.
            ServiceError: The endpoint answered with an error, or not at all.

        Example:
            >>> from qwen_vl_sandbox import Sandbox
            >>> served = {"vision": "Qwen/Qwen2.5-VL-7B-Instruct"}
            >>> with Sandbox(server="vllm", served_models=served) as sandbox:
            ...     model = ChatQwenVL(model="vision", server="vllm", base_url=sandbox.base_url)
            ...     model.detect_model_family()
            'qwen2_5_vl'
        """
        with langchain_errors():
            self.model_family = self._client().detect_model_family(self.model)
        return self.model_family

    async def adetect_model_family(self) -> Family:
        """Ask the server for `model_family`; see `detect_model_family`."""
        async with langchain_errors():
            self.model_family = await self._async_client().detect_model_family(self.model)
        return self.model_family

    def locate(self, image: object, what: str, **options: "Unpack[LocateOptions]") -> "Grounding":
        """Find things in an image: boxes and points in pixels of the image as you have it.

        Args:
            image: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, or a URL.
                Text that is a path is read only inside `media_roots`.
            what: What to look for, in English or Chinese.
            **options: `points=True` for points; `size=(width, height)` of an image behind a URL;
                `space`, if the model's coordinate space differs from its family's;
                `prompt`, your own, with `{what}` in it; and options of the call.

        Raises:
            MediaError: The image cannot be read or sent, or its size is not known.
            AnswerFormatError: The answer holds no coordinates, or coordinates that are not in the
                expected coordinate space.
            ConfigurationError: An option is unknown.
        """
        return self._grounder().locate(image, what, **options)

    async def alocate(
        self, image: object, what: str, **options: "Unpack[LocateOptions]"
    ) -> "Grounding":
        """Find things in an image; see `locate`. The image is read in a thread."""
        return await self._grounder().alocate(image, what, **options)

    def timeline(
        self, video: object, what: str | None = None, **options: "Unpack[TimelineOptions]"
    ) -> "Timeline":
        """Find events in a video, with their times in seconds.

        Args:
            video: A `pathlib.Path`, bytes, an open file, a URL, or a list of frames. Text that is
                a path is read only inside `media_roots`.
            what: What to look for; everything that happens if `None`.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode` of the video; `seconds`,
                how long a video behind a URL is; `prompt`, your own, with `{what}` in it; and
                options of the call.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
            ConfigurationError: An option is unknown.
        """
        return self._grounder().timeline(video, what, **options)

    async def atimeline(
        self, video: object, what: str | None = None, **options: "Unpack[TimelineOptions]"
    ) -> "Timeline":
        """Find events in a video; see `timeline`. The video is read in a thread."""
        return await self._grounder().atimeline(video, what, **options)

    def _grounder(self) -> "Grounder":
        # Imported at the first use: programs that never locate anything do not wait for it.
        from langchain_qwen_vl.grounding import make_grounder  # noqa: PLC0415

        return make_grounder(self)

    def as_locator(
        self, **options: "Unpack[LocateOptions]"
    ) -> "Runnable[dict[str, Any], Grounding]":
        """Return a runnable that takes `{"image": …, "what": …}` and returns a `Grounding`.

        Args:
            **options: Of `locate`, for every call; options beside the image take precedence.

        Example:
            >>> from PIL import Image
            >>> from qwen_vl_sandbox import Sandbox
            >>> desk = Image.new("RGB", (640, 480), "white")
            >>> desk.paste("red", (64, 48, 192, 240))
            >>> with Sandbox() as sandbox:
            ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     found = model.as_locator().invoke({"image": desk, "what": "red things"})
            >>> found.boxes[0].xyxy
            (64.0, 48.0, 192.0, 240.0)
        """
        from langchain_qwen_vl.grounding import as_locator  # noqa: PLC0415

        return as_locator(self, **options)

    def as_timeline_finder(
        self, **options: "Unpack[TimelineOptions]"
    ) -> "Runnable[dict[str, Any], Timeline]":
        """Return a runnable that takes `{"video": …, "what": …}` and returns a `Timeline`.

        Args:
            **options: Of `timeline`, for every call; options beside the video take precedence.
        """
        from langchain_qwen_vl.grounding import as_timeline_finder  # noqa: PLC0415

        return as_timeline_finder(self, **options)

    def batch_job(
        self, inputs: "Iterable[LanguageModelInput]", folder: "str | Path", **options: Any
    ) -> "ChatBatch[AIMessage]":
        """Write inputs into batch files: half the price, answers within a day.

        With tools, a schema or a prompt around the model, pass all of it to
        `langchain_qwen_vl.batch_job`, which this calls.

        Args:
            inputs: The inputs that `invoke` takes, one for each call.
            folder: For the job; is created.
            **options: Of `langchain_qwen_vl.batch_job`: `window`, `name` and `max_lines`.

        Raises:
            ConfigurationError: The requests cannot be in batch files, or the folder holds a job of
                other inputs.
        """
        from langchain_qwen_vl.batch import batch_job  # noqa: PLC0415 - for this method only

        return batch_job(self, inputs, folder, **options)

    def _make_batch_request(
        self, value: LanguageModelInput, options: Mapping[str, Any]
    ) -> tuple[list[BaseMessage], Request]:
        """Return the messages of an input, without raw values, and what is asked for them."""
        messages = self._convert_input(value).to_messages()
        kwargs = dict(options)
        stop = kwargs.pop("stop", None)
        return messages, self._make_request(messages, stop, kwargs, stream=False)

    def _make_request(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        stream: bool | None,
    ) -> Request:
        options = {name: held for name, held in kwargs.items() if name not in _FRAMEWORK_OPTIONS}
        if stop is not None:
            options["stop"] = stop
        if options.get("tools"):
            options["tools"] = to_tools(options["tools"])
        if options.get("tool_choice") is not None:
            options["tool_choice"] = to_tool_choice(
                options["tool_choice"], options.get("tools") or []
            )
        if options.get("response_format") is not None:
            options["response_format"] = to_response_format(options["response_format"])
        return build_request(self, to_turns(messages), stream=stream, **options)

    def _client(self) -> QwenVLClient:
        return self._clients.sync(build_connection(self))

    def _async_client(self) -> AsyncQwenVLClient:
        return self._clients.asynchronous(build_connection(self))

    @override
    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        values = [output for output in llm_outputs if output]
        totals = {
            name: sum(output["token_usage"].get(name) or 0 for output in values)
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        }
        return {"token_usage": totals, "model_name": values[0]["model_name"]} if values else {}


def _to_result(reply: Reply) -> ChatResult:
    return ChatResult(
        generations=[ChatGeneration(message=to_message(reply))],
        llm_output={
            "token_usage": dict(reply.usage.raw) if reply.usage else {},
            "model_name": reply.model,
        },
    )


class langchain_errors:  # noqa: N801 - used as a function, with `with` and with `async with`.
    """Raise errors of the service as LangChain's own too."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ServiceError):
            module: Any = import_module(_ERRORS)
            raise module.to_langchain_error(error) from error

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ServiceError):
            # The module loads openai, which takes a second.
            await asyncio.to_thread(import_module, _ERRORS)
            self.__exit__(kind, error, trace)
