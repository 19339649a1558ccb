"""`QwenVL`: Qwen VL as a LlamaIndex LLM that sees."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator
from typing_extensions import override

from llama_index.llms.qwen_vl.arguments import resolve_arguments, to_metadata
from llama_index.llms.qwen_vl.messages import to_turns
from llama_index.llms.qwen_vl.nodes.read import ImageDocuments, to_media_blocks
from llama_index.llms.qwen_vl.responses import (
    ResponseBuilder,
    aconvert_each,
    convert_each,
    find_cut,
    keep_first_call,
    select_tools,
    to_chat_response,
    to_completion_response,
)
from llama_index.llms.qwen_vl.structured import AnswerForm, StructuredPrediction
from llama_index.llms.qwen_vl.tools import to_tools
from qwen_vl.client import AsyncQwenVLClient, ClientCache, QwenVLClient
from qwen_vl.connection import api_key_from_environment
from qwen_vl.errors import AnswerFormatError, ConfigurationError
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.request.rules import choose_structured_method
from qwen_vl.request.types import Request
from qwen_vl.settings import ApiKey, QwenVLSettings
from qwen_vl.specs.parameters import ToolChoice, check_names, to_tool_choice
from qwen_vl.specs.prices import Prices
from qwen_vl.specs.processors import Family
from qwen_vl.tokens.cost import Cost, estimate_request_cost

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from qwen_vl.batches import ChatBatch
    from qwen_vl.grounding.grounder import Grounder
    from qwen_vl.grounding.results import Grounding
    from qwen_vl.grounding.task import LocateOptions, TimelineOptions
    from qwen_vl.grounding.timeline import Timeline

_Model = TypeVar("_Model", bound=BaseModel)
_Method = TypeVar("_Method", bound=Callable[..., Any])


def _with_chat_events(method: _Method) -> _Method:
    # LlamaIndex's decorators lack a signature, so that results would be `Any` to mypy.
    decorated: _Method = llm_chat_callback()(method)
    return decorated


def _with_completion_events(method: _Method) -> _Method:
    decorated: _Method = llm_completion_callback()(method)
    return decorated


class QwenVL(QwenVLSettings, StructuredPrediction):
    """Qwen VL as a LlamaIndex LLM that takes images and videos.

    Images and videos are blocks of a message: `ImageBlock` and `VideoBlock` with a URL
    (`https:`, `oss:`, `data:`), a path, bytes or an open file. `image_block`, `video_block` and
    `frames_block` make blocks with pixel limits, any `fps`, or frames.

    Args:
        model: Model id; `model_name` is a synonym.
        **kwargs: The fields of `QwenVLSettings` (`api_base` means `base_url`) and of LlamaIndex's
            `LLM`.

    Raises:
        ConfigurationError: A keyword that is not a field.

    Example:
        >>> from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     image = ImageBlock(path=CHELSEA)
        ...     response = llm.chat([ChatMessage([image, TextBlock(text="What is this?")])])
        ...     found = llm.locate(CHELSEA, "red things")
        >>> response.additional_kwargs["image_tokens"]
        128
        >>> (found.width, found.height)
        (451, 300)
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    api_key: ApiKey | None = Field(
        default_factory=api_key_from_environment,
        exclude=True,
        repr=False,
        description="API key; `DASHSCOPE_API_KEY` in the environment by default. Never shown or "
        "dumped.",
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of every call without a field, such as `tools`.",
    )
    context_window: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of input and output together; by default the model's "
        "own.",
    )
    is_function_calling_model: bool | None = Field(
        default=None, description="Whether the model calls tools; by default what is known of it."
    )

    _clients: ClientCache = PrivateAttr(default_factory=ClientCache)

    def __init__(self, model: str | None = None, **kwargs: Any) -> None:
        fields = resolve_arguments({"model": model, **kwargs}, type(self).model_fields)
        super().__init__(**fields)

    @field_validator("additional_kwargs")
    @classmethod
    def _refuse_secret_options(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_names(values)
        return values

    @classmethod
    def class_name(cls) -> str:
        """Name the class in what is stored of it.

        `MultiModalVectorStoreIndex` warns of LLMs without "multi" in this name.
        """
        return "qwen_vl_multi_modal"

    @property
    def model_name(self) -> str:
        """Model id, by the name that some of LlamaIndex's classes have for it."""
        return self.model

    @model_name.setter
    def model_name(self, model: str) -> None:
        self.model = model

    @property
    def metadata(self) -> LLMMetadata:
        """What the model can do, and how many tokens it takes and gives."""
        return to_metadata(
            self.model,
            base_model=self.base_model,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            context_window=self.context_window,
            is_function_calling_model=self.is_function_calling_model,
            server=self.server,
        )

    @_with_chat_events
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: What was said, images and videos among it.
            **kwargs: Options of this call, by the names of the fields, and `tools`,
                `tool_choice`, `response_format`, `extra_headers` and the like.

        Raises:
            ContentError: A block cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        return self._chat(messages, **kwargs)

    @_with_chat_events
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        """Answer a conversation in pieces; see `chat`.

        Each response holds all that has come, its `delta` the new text and its
        `additional_kwargs["thinking_delta"]` the new thinking. The last has the token counts.
        """
        return self._stream_chat(messages, **kwargs)

    @_with_chat_events
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; see `chat`."""
        return await self._achat(messages, **kwargs)

    @_with_chat_events
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        """Answer a conversation in pieces; see `stream_chat`."""
        return self._astream_chat(messages, **kwargs)

    @_with_completion_events
    def complete(
        self,
        prompt: str,
        formatted: bool = False,
        *,
        image_documents: ImageDocuments | None = None,
        **kwargs: Any,
    ) -> CompletionResponse:
        """Answer a text, and images with it.

        Args:
            prompt: The text.
            formatted: Whether `completion_to_prompt` has been applied to it.
            image_documents: Images and videos that stand before the text: nodes, documents,
                blocks, URLs or paths.
            **kwargs: Options of this call, as in `chat`.
        """
        messages = self._to_messages(prompt, formatted, image_documents)
        return to_completion_response(self._chat(messages, **kwargs))

    @_with_completion_events
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        *,
        image_documents: ImageDocuments | None = None,
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        """Answer a text in pieces; see `complete` and `stream_chat`."""
        messages = self._to_messages(prompt, formatted, image_documents)
        return convert_each(self._stream_chat(messages, **kwargs), to_completion_response)

    @_with_completion_events
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,
        *,
        image_documents: ImageDocuments | None = None,
        **kwargs: Any,
    ) -> CompletionResponse:
        """Answer a text; see `complete`."""
        messages = self._to_messages(prompt, formatted, image_documents)
        return to_completion_response(await self._achat(messages, **kwargs))

    @_with_completion_events
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        *,
        image_documents: ImageDocuments | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Answer a text in pieces; see `complete` and `stream_chat`."""
        messages = self._to_messages(prompt, formatted, image_documents)
        return aconvert_each(self._astream_chat(messages, **kwargs), to_completion_response)

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        request = self._make_request(messages, kwargs, stream=None)
        return to_chat_response(self._client().ask(request))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        request = self._make_request(messages, kwargs, stream=None)
        return to_chat_response(await self._async_client().ask(request))

    def _stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        request = self._make_request(messages, kwargs, stream=True)
        return convert_each(self._client().stream(request), ResponseBuilder().add)

    def _astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        request = self._make_request(messages, kwargs, stream=True)
        return aconvert_each(self._async_client().stream(request), ResponseBuilder().add)

    @override
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: ToolChoice | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        converted = to_tools(tools, strict=strict)
        messages = list(chat_history or ())
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        options: dict[str, Any] = {"messages": messages, **kwargs}
        if not converted:
            return options
        if tool_choice is None and tool_required:
            tool_choice = "required"
        if tool_choice is not None:
            options["tool_choice"] = to_tool_choice(tool_choice, converted)
        if allow_parallel_tool_calls:
            # Without a word the service asks for one at a time (Function calling page, 2026-07).
            options["parallel_tool_calls"] = True
        return {**options, "tools": converted}

    @override
    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else keep_first_call(response)

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Read which tools a response asks for.

        Args:
            response: Of any chat method; while a stream runs, arguments may be partial.
            error_on_no_tool_call: Whether to raise where there is none.
            **kwargs: Not used.

        Raises:
            AnswerFormatError: There is none, or the arguments of one are not a JSON object.
        """
        calls = select_tools(response)
        if not calls and error_on_no_tool_call:
            raise AnswerFormatError(
                find_cut(response) or "The model answered with text instead of calling a tool.",
                text=response.message.content or "",
            )
        return calls

    def _choose_form(
        self, output_cls: type[_Model], llm_kwargs: Mapping[str, Any] | None
    ) -> AnswerForm[_Model] | None:
        """Choose how answers are held to a class; `None` where the user has chosen a program."""
        if self.pydantic_program_mode == PydanticProgramMode.DEFAULT:
            method = choose_structured_method(
                (llm_kwargs or {}).get("model") or self.known_model,
                protocol=self.protocol,
                server=self.server,
            )
            if method != "json_schema" and self.is_function_calling_model is not None:
                # The user's word on the model, who may know better.
                method = "function_calling" if self.is_function_calling_model else "json_mode"
            return AnswerForm(output_cls, method)
        if self.pydantic_program_mode == PydanticProgramMode.FUNCTION:
            return AnswerForm(output_cls, "function_calling")
        return None

    def _to_messages(
        self, prompt: str, formatted: object, image_documents: ImageDocuments | None
    ) -> list[ChatMessage]:
        if not isinstance(formatted, bool):
            raise ConfigurationError(
                "The second argument of complete is `formatted`. Pass images by their name, "
                "image_documents=[…], or use QwenVLMultiModal."
            )
        if not isinstance(prompt, str):
            raise ConfigurationError(
                f"A {type(prompt).__name__} is not a prompt of complete, which takes a text. Pass "
                "messages to chat, and templates to predict."
            )
        to_prompt = None if formatted else self.completion_to_prompt
        text = to_prompt(prompt) if to_prompt else prompt
        blocks = [*to_media_blocks(image_documents or ()), TextBlock(text=text)]
        return [ChatMessage(role=MessageRole.USER, blocks=blocks)]

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
            ...     model = QwenVL(model="vision", server="vllm", base_url=sandbox.base_url)
            ...     model.detect_model_family()
            'qwen2_5_vl'
        """
        self.model_family = self._client().detect_model_family(self.model)
        return self.model_family

    async def adetect_model_family(self) -> Family:
        """Ask the server for `model_family`; see `detect_model_family`."""
        self.model_family = await self._async_client().detect_model_family(self.model)
        return self.model_family

    def estimate_cost(
        self,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[BaseTool] | None = None,
        output_tokens: int = 0,
        prices: Prices | None = None,
        **kwargs: Any,
    ) -> Cost:
        """Estimate what a conversation costs before it is sent, offline, at list prices.

        Args:
            messages: What would be sent.
            tools: Tools that would be offered.
            output_tokens: Number of tokens of the answer to assume, reasoning included; by
                default none, for the cost of the input. Pass `max_tokens` for the most that it
                may cost.
            prices: Your own prices per million tokens; by default those of the instance, else
                the list prices of the endpoint's region.
            **kwargs: Options of the call, as in `chat`.

        Returns:
            Its `amount` is `None` where the price is not known, for the `reason` that it gives.

        Raises:
            MediaError: An image or video cannot be read or is none.

        Example:
            >>> llm = QwenVL(model="qwen3.7-plus", region="ap-southeast-1", api_key="sk-1")
            >>> cost = llm.estimate_cost([ChatMessage("Hello")], output_tokens=1_000_000)
            >>> cost.currency, cost.price.output
            ('USD', Decimal('1.60'))
        """
        options = {**kwargs, "tools": to_tools(tools)} if tools else kwargs
        request = self._make_request(messages, options, stream=None)
        return estimate_request_cost(request, self, output_tokens=output_tokens, prices=prices)

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
        from llama_index.llms.qwen_vl.grounding import make_grounder  # noqa: PLC0415

        return make_grounder(self)

    def batch_job(
        self,
        inputs: Iterable[Sequence[ChatMessage]],
        folder: "str | Path",
        *,
        tools: Sequence[BaseTool] = (),
        output_cls: type[BaseModel] | None = None,
        **options: Any,
    ) -> "ChatBatch[Any]":
        """Write conversations into batch files: half the price, answers within a day.

        Run again with the same inputs and folder, it goes on with the job that is there.

        Args:
            inputs: What each `chat` would be given.
            folder: For the job; is created.
            tools: Tools that the model may call.
            output_cls: Pydantic class that each answer must follow; an output is an object of it
                then, and a `ChatResponse` otherwise.
            **options: Of the job: `window`, `name` and `max_lines`; and options of each call, such
                as `max_tokens`.

        Returns:
            The job. `run()` submits it, waits, and returns the outputs in order; `job` has the
            single steps.

        Raises:
            ConfigurationError: The requests cannot be in batch files, or the folder holds a job of
                other inputs.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> from qwen_vl_sandbox import Sandbox
            >>> with TemporaryDirectory() as folder, Sandbox() as sandbox:
            ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
            ...     with llm.batch_job([[ChatMessage("Hello")]], folder) as batch:
            ...         (found,) = batch.run(poll=0.1)
            >>> type(found.output).__name__
            'ChatResponse'
        """
        from llama_index.llms.qwen_vl.batch import open_batch  # noqa: PLC0415 - for this only

        form = None if output_cls is None else self._choose_form(output_cls, options)
        return open_batch(self, inputs, folder, tools=tools, form=form, options=options)

    def _make_request(
        self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], *, stream: bool | None
    ) -> Request:
        options = {**self.additional_kwargs, **kwargs}
        return build_request(self, to_turns(messages), stream=stream, **options)

    def _client(self) -> QwenVLClient:
        return self._clients.sync(build_connection(self))

    def _async_client(self) -> AsyncQwenVLClient:
        return self._clients.asynchronous(build_connection(self))
