"""The settings that every framework's class inherits: of chat models, and of all models.

The environment is read for the key when a class is made, and for the URL at a call.
"""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qwen_vl.connection import (
    CLIENT_OPTIONS,
    DEFAULT_MAX_RESPONSE_BYTES,
    api_key_from_environment,
    check_http_client,
    check_openai_client,
    normalize_queue_seconds,
    normalize_timeout,
)
from qwen_vl.content import VideoMode
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.media_cache import DEFAULT_MEDIA_CACHE_BYTES, MediaCache
from qwen_vl.request.ocr import OcrTask
from qwen_vl.request.types import (
    DEFAULT_MAX_DECODE_MEMORY,
    DEFAULT_MAX_INLINE_BYTES,
    DEFAULT_MAX_TOTAL_INLINE_BYTES,
    DEFAULT_PDF_DPI,
    DEFAULT_PDF_MAX_PAGES,
    DEFAULT_PDF_TIMEOUT,
    ToolMediaErrors,
)
from qwen_vl.specs.endpoints import split_credentials
from qwen_vl.specs.models import DEFAULT_MODEL, MAX_FPS, MIN_FPS, MIN_FRAMES
from qwen_vl.specs.parameters import check_names
from qwen_vl.specs.prices import Price
from qwen_vl.specs.processors import Family
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server
from qwen_vl.specs.upload_hosts import DEFAULT_UPLOAD_HOSTS

if TYPE_CHECKING:
    ApiKey = SecretStr | str
else:
    # Pydantic converts text.
    ApiKey = SecretStr

_FIELDS_HEADING = "\n\nFields:\n"


def _document_fields(cls: type["EndpointSettings"]) -> None:
    """Add the descriptions of a class's fields to its docstring, which `help()` shows."""
    docstring = cls.__dict__.get("__doc__")
    if not docstring:
        # Inherited, with the fields.
        return
    fields = (
        f"    {name}: {field.description}"
        for name, field in cls.model_fields.items()
        if field.description
    )
    cls.__doc__ = cleandoc(docstring) + _FIELDS_HEADING + "\n".join(fields)


def _leave_out_fields(schema: dict[str, Any]) -> None:
    # A JSON schema has the descriptions at the fields themselves.
    if "description" in schema:
        schema["description"] = schema["description"].partition(_FIELDS_HEADING)[0]


class EndpointSettings(BaseModel):
    """How an endpoint is reached, and how media is read: for every kind of model.

    Chat models have the settings of `QwenVLSettings` beside these.
    """

    model_config = ConfigDict(json_schema_extra=_leave_out_fields)

    model: str = Field(description="Id of the model.")
    api_key: ApiKey | None = Field(
        default_factory=api_key_from_environment,
        description="API key; `DASHSCOPE_API_KEY` in the environment by default. Never shown or "
        "pickled.",
    )
    base_url: str | None = Field(
        default=None,
        description="Base URL of the endpoint; by default the environment's, else that of `region` "
        "and `workspace`.",
    )
    region: str | None = Field(
        default=None,
        description="Region of the hosted service, such as `cn-beijing` (the default), "
        "`ap-southeast-1` or `us-east-1`.",
    )
    workspace: str | None = Field(
        default=None, description="Workspace id; selects the workspace's own host in the region."
    )
    server: Server = Field(
        default=DEFAULT_SERVER,
        description="Server behind `base_url`: `dashscope`, the hosted service; `vllm`, `sglang`, "
        "`llamacpp` or `ollama`, self-hosted; or `openai_compatible`, a gateway such as LiteLLM, "
        "OpenRouter or LM Studio, which gets only the fields of OpenAI's API and what `extra_body` "
        "holds. The key of the hosted service is sent only to the hosted service.",
    )
    media_roots: Sequence[str | Path] | None = Field(
        default=None,
        description="Folders that files may be read from. While it is `None`, only files that the "
        "program names by a `pathlib.Path` are read, and paths in messages that are text are "
        "refused. Once set, it restricts both.",
    )
    max_inline_bytes: int = Field(
        default=DEFAULT_MAX_INLINE_BYTES,
        ge=1,
        description="Maximum number of bytes of one image or video sent within the request, before "
        "Base64.",
    )
    max_total_inline_bytes: int = Field(
        default=DEFAULT_MAX_TOTAL_INLINE_BYTES,
        ge=1,
        description="Maximum number of bytes of all media sent within one request, before Base64.",
    )
    max_decode_memory: int = Field(
        default=DEFAULT_MAX_DECODE_MEMORY,
        ge=1,
        description="Maximum number of bytes of memory that decoding one image, page or frame may "
        "take, estimated from its header; 512 MiB by default, 85 megapixels of RGB.",
    )
    downscale_images: bool | None = Field(
        default=None,
        description="Whether images with more pixels than the model processes are downscaled to "
        "that number before they are sent; by default where it is known, which it is for the "
        "hosted service's models.",
    )
    pdf_dpi: float = Field(
        default=DEFAULT_PDF_DPI,
        ge=20,
        le=600,
        description="Resolution in dots per inch at which pages of PDF documents are rendered, 20 "
        "to 600.",
    )
    pdf_timeout: float = Field(
        default=DEFAULT_PDF_TIMEOUT,
        gt=0,
        description="Maximum number of seconds to open a PDF document, or to render a page of it.",
    )
    video_mode: VideoMode = Field(
        default="auto",
        description="How local videos are sent: `inline`, whole within the request; `frames`, as "
        "frames sampled here; `auto`, whole if they are small enough and no part is to be cut out; "
        "`upload`, whole through the service's temporary storage.",
    )
    upload_cache: bool | str | Path = Field(
        default=True,
        description="Where uploads are remembered, so that each file is uploaded once: `True` for "
        "the user's cache folder, `False` for nowhere, or a folder.",
    )
    upload_hosts: Sequence[str] = Field(
        default=DEFAULT_UPLOAD_HOSTS,
        description="Hosts that videos may be uploaded to, beside the endpoint's own: names over "
        "https, with `*` for any part of a name.",
    )
    media_cache: int = Field(
        default=DEFAULT_MEDIA_CACHE_BYTES,
        ge=0,
        description="Maximum bytes of prepared images that are held for later calls, so that a "
        "conversation that is sent again costs the preparation of its new images only; 64 MiB by "
        "default, 0 turns it off.",
    )
    timeout: Any = Field(
        default=None,
        description="Timeout of one attempt: seconds; a pair (connect, read) in seconds; or an "
        "`httpx2.Timeout`. By default 600 seconds, and 5 to connect.",
    )
    deadline: float | None = Field(
        default=None,
        gt=0,
        description="Maximum number of seconds of a whole call, with its retries and the reading "
        "of its answer; events that only keep a stream alive do not extend it. By default none.",
    )
    queue_seconds: Annotated[int | None, BeforeValidator(normalize_queue_seconds)] = Field(
        default=None,
        description="Seconds, 3 to 120, that the hosted service lets a request wait instead of "
        "refusing it because requests grow too quickly; 0 for none. `timeout` is extended by it.",
    )
    max_response_bytes: int = Field(
        default=DEFAULT_MAX_RESPONSE_BYTES,
        ge=1,
        description="Maximum number of bytes of an answer, decompressed; 64 MiB by default.",
    )
    retry_partial_answers: bool = Field(
        default=False,
        description="Whether a request is sent again if its answer broke off in the middle. The "
        "service bills both. Streams are never sent again.",
    )
    max_retries: int = Field(
        default=2,
        ge=0,
        description="Maximum number of further attempts after a failure that may pass.",
    )
    default_headers: Mapping[str, str] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="HTTP headers of every request. Not dumped: they may hold credentials.",
    )
    http_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `httpx2.Client`, for proxies, certificates or hooks. It stays open.",
    )
    http_async_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `httpx2.AsyncClient`, for the asynchronous methods.",
    )

    _url_credentials: SecretStr | None = PrivateAttr(default=None)
    _prepared_media: MediaCache = PrivateAttr(default_factory=MediaCache)

    @property
    def prepared_media(self) -> MediaCache:
        """Images that were prepared in earlier calls; shallow copies share them."""
        return self._prepared_media

    @property
    def url_credentials(self) -> SecretStr | None:
        """User and password that stood in `base_url`; like the key, never shown or pickled."""
        return self._url_credentials

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Document the fields of a subclass."""
        super().__pydantic_init_subclass__(**kwargs)
        _document_fields(cls)

    @field_validator("timeout")
    @classmethod
    def _normalize_timeout(cls, timeout: Any) -> Any:
        try:
            timeouts = normalize_timeout(timeout)
        except ConfigurationError as error:
            raise ValueError(str(error)) from error
        # Objects of an HTTP library cannot be dumped.
        return timeout if isinstance(timeout, int | float) else timeouts

    @field_validator("http_client", "http_async_client")
    @classmethod
    def _check_http_client(cls, client: Any, info: ValidationInfo) -> Any:
        check_http_client(client, str(info.field_name))
        return client

    @field_validator("media_roots")
    @classmethod
    def _media_roots_as_text(cls, roots: Sequence[str | Path] | None) -> list[str] | None:
        # Frameworks dump settings as JSON, which lacks paths.
        return None if roots is None else [str(root) for root in roots]

    @field_validator("upload_cache")
    @classmethod
    def _upload_cache_as_text(cls, cache: bool | str | Path) -> bool | str:
        return str(cache) if isinstance(cache, Path) else cache

    @model_validator(mode="after")
    def _hide_credentials(self) -> Self:
        if "@" in (self.base_url or ""):
            self.base_url = self.base_url
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        # What is set later is not validated, and a key that is text would be shown and dumped.
        if name == "api_key" and isinstance(value, str):
            value = SecretStr(value)
        if name == "base_url" and isinstance(value, str):
            value, credentials = split_credentials(value)
            self._url_credentials = SecretStr(credentials) if credentials else None
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A client is a handle on open connections: copies share it.
        memo = {} if memo is None else memo
        for client in self._own_clients():
            memo[id(client)] = client
        return super().__deepcopy__(memo)

    def _own_clients(self) -> list[Any]:
        clients = (getattr(self, name, None) for name in CLIENT_OPTIONS)
        return [client for client in clients if client is not None]

    def __getstate__(self) -> dict[Any, Any]:
        if self._own_clients():
            raise ConfigurationError(
                "A model with a custom client (openai_client, http_client or their "
                "asynchronous twins) cannot be pickled: give it base_url, api_key and the like "
                "instead."
            )
        state = super().__getstate__()
        # The other side reads its own environment; a key in a file is a key lost.
        state = {**state, "__dict__": {**state["__dict__"], "api_key": None}}
        private = state.get("__pydantic_private__")
        if private:
            state["__pydantic_private__"] = {**private, "_url_credentials": None}
        return state


class QwenVLSettings(EndpointSettings):
    """Everything that can be set about a Qwen VL model, whatever the framework.

    Parameters of the service have the service's names, and are left out of a request while they
    are `None`. Pixel limits and `fps` apply to images and videos that do not set them.
    """

    model: str = Field(
        default=DEFAULT_MODEL, description="Id of the model, such as `qwen3-vl-plus`."
    )
    service_tier: Literal["batch"] | None = Field(
        default=None,
        description="`batch` for Batch Chat of the hosted service: half the price, and an answer "
        "within an hour, never streamed. Region `cn-beijing` only.",
    )
    protocol: Protocol = Field(
        default=DEFAULT_PROTOCOL,
        description="Protocol of the hosted service: `openai`, the OpenAI-compatible one, or "
        "`native`, the service's own, which has a few more options.",
    )
    base_model: str | None = Field(
        default=None,
        description="Id of the model behind `model`, where that is a gateway's own name for it; it "
        "says what the model can do, and is not sent.",
    )
    model_family: Family | None = Field(
        default=None,
        description="Architecture of a self-hosted model whose served name does not show it: "
        "`qwen2_5_vl` (Qwen2-VL too) or `qwen3_vl` (Qwen3.5 and later too). It says how images are "
        "scaled, the coordinate space of answers, and how tokens are counted.",
    )
    temperature: float | None = Field(
        default=None, ge=0, lt=2, description="Sampling temperature, from 0 to below 2."
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Nucleus sampling threshold, above 0 and up to 1."
    )
    top_k: int | None = Field(
        default=None,
        ge=0,
        description="Number of most likely tokens to sample from; above 100 turns it off.",
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of the answer, without its reasoning; with Qwen4 "
        "of reasoning and answer together.",
    )
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of reasoning and answer together; newer models only.",
    )
    seed: int | None = Field(
        default=None, ge=0, description="Seed of the sampling, for answers that can be repeated."
    )
    stop: str | list[str] | None = Field(
        default=None, description="Text, or several, at which the answer ends."
    )
    presence_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="Penalty on tokens that have occurred, from -2 to 2; above 0 reduces "
        "repetition.",
    )
    repetition_penalty: float | None = Field(
        default=None,
        gt=0,
        description="Factor that penalizes repeated tokens; above 1 reduces repetition.",
    )
    logprobs: bool | None = Field(
        default=None, description="Whether to return log probabilities of the answer's tokens."
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=5,
        description="Number of alternatives to return log probabilities of at each token, 0 to 5.",
    )
    enable_thinking: bool | None = Field(
        default=None,
        description="Whether the model reasons before it answers; the default is the model's.",
    )
    thinking_budget: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens of reasoning; excludes `reasoning_effort`.",
    )
    reasoning_effort: (
        Literal["none", "off", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    ) = Field(
        default=None,
        description="How much the Qwen3.8 and Qwen4 models reason; `off`, which means `none`, is "
        "Qwen4's.",
    )
    preserve_thinking: bool | None = Field(
        default=None,
        description="Whether the model reads the reasoning of earlier turns; the default is the "
        "model's.",
    )
    thinking_display: str | None = Field(
        default=None,
        description="`summarized` for a summary of the reasoning in place of the whole, which "
        "comes encrypted and is sent back with its answer; Qwen4 only.",
    )
    vl_high_resolution_images: bool | None = Field(
        default=None,
        description="Whether the model processes images at its highest resolution, whatever "
        "`max_pixels` says.",
    )
    min_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Minimum number of pixels (width times height) of an image or a frame; "
        "smaller ones are enlarged.",
    )
    max_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of pixels (width times height) of an image or a frame; larger "
        "ones are downscaled.",
    )
    total_pixels: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of pixels of all frames of a video together.",
    )
    fps: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Frames per second at which videos are sampled; from 0.1 to 10 at the hosted "
        "service.",
    )
    enable_rotate: bool | None = Field(
        default=None,
        description="Whether the OCR models turn images upright first; native protocol only.",
    )
    ocr_task: OcrTask | None = Field(
        default=None,
        description="Task of an OCR model: `text_recognition`, `advanced_recognition` (lines of "
        "text and where they are), `key_information_extraction`, `table_parsing`, "
        "`document_parsing`, `formula_recognition` or `multi_lan`. The OCR models have an option "
        "for it in the native protocol; otherwise the service's own prompt for it is sent. With "
        "`advanced_recognition` images are not downscaled unless `downscale_images` says so, since "
        "the answer uses pixels of the image that is sent.",
    )
    result_schema: Mapping[str, Any] | None = Field(
        default=None,
        description="Values that `key_information_extraction` finds, each described as text or "
        'by `""`, up to 3 levels deep; by default all that there are.',
    )
    pdf_max_pages: int = Field(
        default=DEFAULT_PDF_MAX_PAGES,
        ge=1,
        description="Maximum number of pages of one PDF or TIFF document.",
    )
    max_frames: int | None = Field(
        default=None,
        ge=MIN_FRAMES,
        description="Maximum number of frames sampled from a local video; by default the model's "
        "own limit.",
    )
    tool_media_errors: ToolMediaErrors = Field(
        default="note",
        description="What happens to content from a tool that cannot be sent: `note`, the model "
        "gets a text note in its place, and the answer lists it in `replaced_content`; `raise`, "
        "the error is raised, as it always is for content of other messages.",
    )
    history_images: Literal["all"] | Annotated[int, Field(ge=1, strict=True)] = Field(
        default="all",
        description="Number of images in tool messages that are kept at least, those of the "
        "newest turn apart; when twice as many are held, the older half becomes text notes.",
    )
    stream_usage: bool = Field(
        default=True, description="Whether a stream ends with its token counts."
    )
    prices: Price | Sequence[Price] | None = Field(
        default=None,
        description="Your own prices for `estimate_cost`, in place of the list prices: a "
        "`qwen_vl.Price` per million tokens, or one for each tier.",
    )
    extra_body: Mapping[str, Any] | None = Field(
        default=None,
        description="Fields that are written over the request's body last, at its top level.",
    )
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Parameters without a field, for the top level of the body.",
    )
    openai_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `openai.OpenAI`, with its own base URL, key and retries.",
    )
    async_openai_client: Any = Field(
        default=None,
        exclude=True,
        repr=False,
        description="Your own `openai.AsyncOpenAI`, for the asynchronous methods.",
    )

    @property
    def known_model(self) -> str:
        """Id by which it is looked up what the model can do."""
        return self.base_model or self.model

    @field_validator("min_pixels", "max_pixels", "total_pixels", "fps", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number is wanted, not true or false")  # noqa: TRY004 - pydantic's.
        return value

    @field_validator("fps")
    @classmethod
    def _check_service_fps(cls, fps: float | None, info: ValidationInfo) -> float | None:
        is_service = info.data.get("server") == DEFAULT_SERVER
        if is_service and fps is not None and not MIN_FPS <= fps <= MAX_FPS:
            raise ValueError(f"fps must be from {MIN_FPS:g} to {MAX_FPS:g} at the hosted service")
        return fps

    @field_validator("openai_client", "async_openai_client")
    @classmethod
    def _check_openai_client(cls, client: Any, info: ValidationInfo) -> Any:
        check_openai_client(client, str(info.field_name))
        return client

    @field_validator("model_kwargs")
    @classmethod
    def _refuse_secrets(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_names(values)
        return values


_document_fields(EndpointSettings)
