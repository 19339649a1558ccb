"""The settings that every framework's class inherits, and the request that they make of a call.

The environment is read for the key when a class is made, and for the address at a call.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator

from qwen_vl.connection import (
    Connection,
    api_key_from_environment,
    find_api_key,
    find_base_url,
)
from qwen_vl.content import Turn, VideoMode
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.cache_control import resolve_cache_control
from qwen_vl.request.ocr import OcrTask, add_prompt, check_task, disable_downscaling, to_ocr_options
from qwen_vl.request.rules import ensure_json_instruction, resolve_parameters, thinks
from qwen_vl.request.types import (
    DEFAULT_MAX_INLINE_BYTES,
    DEFAULT_MAX_TOTAL_INLINE_BYTES,
    DEFAULT_PDF_DPI,
    DEFAULT_PDF_MAX_PAGES,
    MediaOptions,
    MediaPolicy,
    Request,
    ToolMediaErrors,
    apply_media_options,
)
from qwen_vl.specs.models import DEFAULT_MODEL, MIN_FRAMES
from qwen_vl.specs.parameters import (
    CALL_PARAMETERS,
    MEDIA_OPTIONS,
    OCR,
    PARAMETERS,
    SAMPLING_OPTIONS,
    TOOL_MEDIA,
    check_answer_count,
    check_call,
    check_native,
    check_secrets,
    check_tool_media_errors,
)
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server


class QwenVLSettings(BaseModel):
    """Everything that can be set about a Qwen VL model, whatever the framework.

    Parameters of the service have the service's names, and are left out of a request while they
    are `None`. Pixel limits and `fps` hold for the pictures and videos that bring none themselves.
    """

    model: str = DEFAULT_MODEL
    """Model id."""

    api_key: SecretStr | None = Field(default_factory=api_key_from_environment)
    """API key; read from `DASHSCOPE_API_KEY` where none is given. Never shown or pickled."""

    base_url: str | None = None
    """Address of the endpoint; else the environment's, else that of `region` and `workspace`."""

    region: str | None = None
    """`cn-beijing` (where nothing says otherwise), `ap-southeast-1`, `us-east-1`, …"""

    workspace: str | None = None
    """Workspace id; the region's workspace host is used then."""

    protocol: Protocol = DEFAULT_PROTOCOL
    """How the hosted service is spoken to: `"openai"`, by the OpenAI-compatible protocol, or
    `"native"`, by its own, which has a few options more."""

    server: Server = DEFAULT_SERVER
    """Which server is asked: `"dashscope"`, the hosted service; a self-hosted one at `base_url`:
    `"vllm"`, `"sglang"`, `"llamacpp"` or `"ollama"`; or `"openai_compatible"`, a gateway such as
    LiteLLM, OpenRouter or LM Studio, which gets only the fields of OpenAI's API, and anything else
    through `extra_body`. The key of the hosted service is sent only to the hosted service."""

    temperature: float | None = Field(default=None, ge=0, lt=2)
    """Randomness, from 0 to below 2."""

    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus sampling, above 0 to 1."""

    top_k: int | None = Field(default=None, ge=0)
    """How many tokens to choose from; above 100 is off."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of the answer; the reasoning is not counted."""

    max_completion_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of reasoning and answer together; newer models only."""

    seed: int | None = Field(default=None, ge=0)
    """For answers that can be repeated."""

    stop: str | list[str] | None = None
    """Text at which the answer ends."""

    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    """Above 0: less repetition of what was said at all."""

    repetition_penalty: float | None = Field(default=None, gt=0)
    """Above 1: less repetition of tokens."""

    logprobs: bool | None = None
    """Whether to return the tokens' log probabilities."""

    top_logprobs: int | None = Field(default=None, ge=0, le=5)
    """For how many alternatives of each token, 0 to 5."""

    enable_thinking: bool | None = None
    """Whether the model reasons before it answers; each model has its own default."""

    thinking_budget: int | None = Field(default=None, ge=1)
    """Most tokens of reasoning. Not together with `reasoning_effort`."""

    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """How much to reason, for the Qwen3.8 models."""

    preserve_thinking: bool | None = None
    """Whether earlier reasoning is read again; each model has its own default."""

    vl_high_resolution_images: bool | None = None
    """Whether to look at pictures at the highest resolution, whatever `max_pixels` says."""

    min_pixels: int | None = Field(default=None, ge=1)
    """Least pixels of a picture or frame: smaller ones are enlarged."""

    max_pixels: int | None = Field(default=None, ge=1)
    """Most pixels of a picture or frame: larger ones are shrunk."""

    total_pixels: int | None = Field(default=None, ge=1)
    """Most pixels of all frames of a video together."""

    fps: float | None = Field(default=None, ge=0.1, le=10)
    """Frames per second to look at in a video, 0.1 to 10."""

    enable_rotate: bool | None = None
    """Whether the OCR models turn pictures upright first; native protocol only."""

    ocr_task: OcrTask | None = None
    """What an OCR model shall do with a picture: `"text_recognition"`, `"advanced_recognition"`
    (lines of text and their places), `"key_information_extraction"`, `"table_parsing"`,
    `"document_parsing"`, `"formula_recognition"`, `"multi_lan"`. The native protocol has an option
    for it, which the OCR models alone read; else the service's own prompt for it is sent.

    Pictures go out unshrunk with `"advanced_recognition"` unless `downscale_images` says otherwise:
    the places count in pixels of the picture that is sent (OCR page, 2026).
    """

    result_schema: Mapping[str, Any] | None = None
    """The values that `"key_information_extraction"` shall find, described by words or by `""`, up
    to 3 levels deep (OCR page, 2026); all that there are where none is given."""

    media_roots: Sequence[str | Path] | None = None
    """Folders that files may be read from.

    While it is `None`, only files that the program itself names by a `pathlib.Path` are read, and
    paths in messages that are text are refused. Once set, it binds both.
    """

    max_inline_bytes: int = Field(default=DEFAULT_MAX_INLINE_BYTES, ge=1)
    """Most bytes of one picture or video that is sent within the request, before Base64."""

    max_total_inline_bytes: int = Field(default=DEFAULT_MAX_TOTAL_INLINE_BYTES, ge=1)
    """Most bytes of all of them together."""

    downscale_images: bool | None = None
    """Whether pictures larger than the model looks at are shrunk to that size before they are sent.

    `None`: where that size is known, which is for the hosted service's models.
    """

    pdf_dpi: float = Field(default=DEFAULT_PDF_DPI, ge=20, le=600)
    """Dots per inch at which pages of PDF documents are rendered."""

    pdf_max_pages: int = Field(default=DEFAULT_PDF_MAX_PAGES, ge=1)
    """Most pages of one PDF document."""

    video_mode: VideoMode = "auto"
    """How local videos are sent: `"inline"`, whole; `"frames"`, as frames taken here; `"auto"`,
    whole where they are short enough and nothing is to be cut off; `"upload"`, whole, by way of
    the service's temporary storage."""

    max_frames: int | None = Field(default=None, ge=MIN_FRAMES)
    """Most frames to take of a local video; the model's own limit where none is given."""

    upload_cache: bool | str | Path = True
    """Where it is remembered what was uploaded, so that a file is uploaded once: `True` for the
    user's cache folder, `False` for nowhere, or a folder."""

    tool_media_errors: ToolMediaErrors = "note"
    """What happens to content from a tool that cannot be sent: `"note"`, the model gets a text
    note in its place, and the answer lists it in `replaced_content`; `"raise"`, the error is
    raised, as it always is for content of other messages."""

    timeout: float | None = Field(default=None, gt=0)
    """Seconds to wait for one attempt; 600 where none is given."""

    max_retries: int = Field(default=2, ge=0)
    """Further attempts after a failure that may pass."""

    stream_usage: bool = True
    """Whether a stream ends with its usage."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request. Not dumped: they may hold credentials."""

    extra_body: Mapping[str, Any] | None = None
    """Written over the body last, at its top level."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Parameters that have no field of their own, at the top level of the body."""

    openai_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `openai.OpenAI`, with its own address, key and retries."""

    async_openai_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own `openai.AsyncOpenAI`."""

    @field_validator("media_roots")
    @classmethod
    def _media_roots_as_text(cls, roots: Sequence[str | Path] | None) -> list[str] | None:
        # Frameworks dump settings as JSON, which has no paths.
        return None if roots is None else [str(root) for root in roots]

    @field_validator("upload_cache")
    @classmethod
    def _upload_cache_as_text(cls, cache: bool | str | Path) -> bool | str:
        return str(cache) if isinstance(cache, Path) else cache

    @field_validator("model_kwargs")
    @classmethod
    def _refuse_secrets(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_secrets(values)
        return values

    def connection(self) -> Connection:
        """Tell how to reach the endpoint.

        Raises:
            ConfigurationError: There is no key, or the region is unknown.
        """
        base_url, client = self.base_url, self.openai_client or self.async_openai_client
        if base_url is None and client is not None and self.server != DEFAULT_SERVER:
            base_url = str(client.base_url)
        connection = Connection(
            base_url=find_base_url(
                base_url,
                region=self.region,
                workspace=self.workspace,
                protocol=self.protocol,
                server=self.server,
            ),
            api_key=find_api_key(
                self.api_key, self.server, is_set="api_key" in self.model_fields_set
            ),
            timeout=self.timeout,
            max_retries=self.max_retries,
            headers=dict(self.default_headers or {}),
            openai_client=self.openai_client,
            async_openai_client=self.async_openai_client,
        )
        if self.openai_client is None and self.async_openai_client is None:
            connection.require_api_key()
        return connection

    def make_request(
        self,
        turns: Sequence[Turn],
        *,
        stream: bool | None = False,
        response_schema: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> Request:
        """Resolve every option of one call: the call's own counts before the instance's.

        Args:
            turns: The conversation.
            stream: Whether the answer is to come in pieces; `None` for what the service demands:
                models that think are streamed (Native-API page, 2026-09).
            response_schema: A JSON schema that a JSON mode answer shall follow, which is told to
                the model in words.
            **call: Options of this call, by the names of the fields, and `tools`, `tool_choice`,
                `response_format`, `extra_headers` and the like. An option that is not known goes
                into the body with a warning; one that is `None` is left out of it.

        Raises:
            ConfigurationError: Two options contradict each other, or one belongs to the instance.
            UnsupportedContentError: A `cache_control` marker of another kind than the service's,
                or too many of them.
        """
        options = {name: call.pop(name, getattr(self, name)) for name in MEDIA_OPTIONS}
        cutting = {name: call.pop(name, getattr(self, name)) for name in SAMPLING_OPTIONS}
        cutting["video_mode"] = cutting["video_mode"] or self.video_mode
        for name in TOOL_MEDIA:
            cutting[name] = call.pop(name, None) or getattr(self, name)
        check_tool_media_errors(cutting["tool_media_errors"])
        model = call.pop("model", None) or self.model
        headers = call.pop("extra_headers", None) or {}
        timeout = call.pop("timeout", None)
        stream_usage = call.pop("stream_usage", self.stream_usage)
        ocr_task, result_schema = (call.pop(name, getattr(self, name)) for name in OCR)
        extra_body = {**(self.extra_body or {}), **(call.pop("extra_body", None) or {})}
        parameters = self._gather_parameters(call, extra_body)
        if self.server == DEFAULT_SERVER:
            parameters = resolve_parameters(model, parameters)
            turns = resolve_cache_control(turns)
        check_task(ocr_task, result_schema, model, self.protocol)
        if ocr_task:
            turns, parameters = self._ask_task(turns, parameters, ocr_task, result_schema)
        if stream is None:
            stream = self.server == DEFAULT_SERVER and thinks(model, parameters)
        if stream and stream_usage:
            parameters = {"stream_options": {"include_usage": True}, **parameters}
        spoken = ensure_json_instruction(turns, parameters, model, schema=response_schema)
        return Request(
            model=model,
            turns=apply_media_options(spoken, MediaOptions(**options)),
            parameters=parameters,
            stream=stream,
            headers=headers,
            policy=disable_downscaling(replace(self.media_policy, **cutting), ocr_task),
            timeout=timeout,
            protocol=self.protocol,
            server=self.server,
            extra_body=frozenset(extra_body),
        )

    def _ask_task(
        self,
        turns: Sequence[Turn],
        parameters: dict[str, Any],
        task: OcrTask,
        result_schema: Mapping[str, Any] | None,
    ) -> tuple[Sequence[Turn], dict[str, Any]]:
        if "ocr_options" in parameters:
            raise ConfigurationError("ocr_task and ocr_options say the same. Pass one of them.")
        if self.protocol == "openai":
            return add_prompt(turns, task, result_schema), parameters
        return turns, {**parameters, "ocr_options": to_ocr_options(task, result_schema)}

    def _gather_parameters(
        self, call: dict[str, Any], extra_body: Mapping[str, Any]
    ) -> dict[str, Any]:
        call = {**(call.pop("model_kwargs", None) or {}), **call}
        check_call(call, QwenVLSettings.model_fields)
        for name in sorted(call.keys() - CALL_PARAMETERS):
            warnings.warn(
                f"{name!r} is not a parameter that qwen-vl knows. It is sent at the top level of "
                "the body as it is; pass it in extra_body to do so without this warning.",
                UserWarning,
                stacklevel=3,
            )
        parameters = {**self.parameters, **call, **extra_body}
        parameters = {name: value for name, value in parameters.items() if _is_sent(name, value)}
        check_answer_count(parameters)
        if self.protocol == "openai":
            check_native(parameters)
        return parameters

    @property
    def parameters(self) -> dict[str, Any]:
        """The body parameters that the instance sets."""
        fields = {name: getattr(self, name) for name in PARAMETERS}
        return {**{k: v for k, v in fields.items() if v is not None}, **self.model_kwargs}

    @property
    def media_policy(self) -> MediaPolicy:
        """What may be read and inlined."""
        roots = self.media_roots
        return MediaPolicy(
            media_roots=None if roots is None else tuple(Path(root) for root in roots),
            max_inline_bytes=self.max_inline_bytes,
            max_total_inline_bytes=self.max_total_inline_bytes,
            downscale_images=self.downscale_images,
            pdf_dpi=self.pdf_dpi,
            pdf_max_pages=self.pdf_max_pages,
            video_mode=self.video_mode,
            max_frames=self.max_frames,
            upload_cache=_to_folder(self.upload_cache),
            tool_media_errors=self.tool_media_errors,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        # What is set later is not validated, and a key that is text would be shown and dumped.
        if name == "api_key" and isinstance(value, str):
            value = SecretStr(value)
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A client is a handle on open connections: copies share it.
        memo = {} if memo is None else memo
        for client in (self.openai_client, self.async_openai_client):
            memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        if self.openai_client is not None or self.async_openai_client is not None:
            raise ConfigurationError(
                "A model that was given its own openai client cannot be pickled: give it "
                "base_url, api_key and the like instead."
            )
        state = super().__getstate__()
        # The other side reads its own environment; a key in a file is a key lost.
        return {**state, "__dict__": {**state["__dict__"], "api_key": None}}


def _to_folder(cache: bool | str | Path) -> bool | Path:
    return cache if isinstance(cache, bool) else Path(cache).expanduser()


def _is_sent(name: str, value: object) -> bool:
    # `stop: []` and `tools: []` mean nothing, and the service refuses the latter.
    return value is not None and not (name in {"stop", "tools"} and value in ([], ()))
