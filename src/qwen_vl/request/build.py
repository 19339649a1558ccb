"""From the settings and one call's options to what the client needs: request and connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from qwen_vl.connection import (
    Connection,
    Timeout,
    check_one_authorization,
    find_api_key,
    find_base_url,
    normalize_deadline,
    normalize_queue_seconds,
    normalize_timeout,
)
from qwen_vl.content import Turn, to_plain_number
from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.request.cache_control import resolve_cache_control
from qwen_vl.request.ocr import OcrTask, add_prompt, check_task, disable_downscaling, to_ocr_options
from qwen_vl.request.rules import (
    ensure_json_instruction,
    resolve_parameters,
    resolve_thinking_display,
    thinks,
)
from qwen_vl.request.types import MediaOptions, MediaPolicy, Request, apply_media_options
from qwen_vl.settings import EndpointSettings, QwenVLSettings
from qwen_vl.specs.batch_chat import BATCH_TIMEOUT, check_batch
from qwen_vl.specs.endpoints import find_url_region, split_credentials
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.option_names import resolve_names
from qwen_vl.specs.parameters import (
    CALL_PARAMETERS,
    HISTORY,
    MEDIA_OPTIONS,
    OCR,
    PARAMETERS,
    SAMPLING_OPTIONS,
    check_answer_count,
    check_call,
    check_history_images,
    check_native,
    check_tool_media_errors,
    check_tools,
)
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER
from qwen_vl.specs.upload_hosts import check_upload_hosts


def build_request(
    settings: QwenVLSettings,
    turns: Sequence[Turn],
    *,
    stream: bool | None = False,
    response_schema: Mapping[str, Any] | None = None,
    **call: Any,
) -> Request:
    """Build the request of one call.

    A part's own option takes precedence over the call's, the call's over the settings', and these
    over the defaults. The steps, in order:

    1. Separate the call's options from its body parameters, and merge each with the settings.
    2. Apply the hosted service's rules: thinking parameters and cache markers.
    3. Add what the OCR task says, as a prompt or as a parameter.
    4. Decide whether to stream, and ask a stream for its usage.
    5. Add an instruction to answer in JSON, which JSON mode requires in the prompt.
    6. Apply pixel limits, `fps` and rotation to the parts that lack them.

    Args:
        settings: The instance's settings.
        turns: The conversation.
        stream: Whether the answer comes in pieces; `None` for what the service demands: models
            that think are streamed (Native-API page, 2026-09), and those that do nothing else (Omni
            page, 2026-09). Batch Chat never streams.
        response_schema: A JSON schema for the answer of JSON mode, put into the prompt.
        **call: Options of this call, by the names of the fields, and `tools`, `tool_choice`,
            `response_format`, `extra_headers` and the like. An unknown option goes into the body
            with a warning; one that is `None` is left out of it.

    Raises:
        ConfigurationError: Two options contradict each other, or one belongs to the instance.
        UnsupportedContentError: A `cache_control` marker of another type than the service's, or
            too many of them.

    Example:
        >>> from qwen_vl.content import Text
        >>> turn = Turn(role="user", parts=(Text(text="Hello"),))
        >>> request = build_request(QwenVLSettings(temperature=0.5, seed=7), [turn], seed=8)
        >>> request.parameters
        {'temperature': 0.5, 'seed': 8}
    """
    call = resolve_names(call, QwenVLSettings.model_fields)
    call = {name: to_plain_number(value) for name, value in call.items()}
    options = _take_options(settings, call)
    parameters = _merge_parameters(settings, call, options.extra_body)
    if settings.server == DEFAULT_SERVER:
        parameters = resolve_parameters(options.known_model, parameters)
        parameters = resolve_thinking_display(options.known_model, parameters, turns)
        if "thinking_display" in parameters and options.policy.history_images is not None:
            warn(
                "thinking_display asks for the images of earlier turns again (Thinking-summary "
                "page, 2026-11), and history_images leaves out older ones. Use "
                'history_images="all".'
            )
        turns = resolve_cache_control(turns, options.known_model)
    check_tools(parameters.get("tools"), settings.server)
    is_batch = settings.service_tier == "batch"
    if is_batch:
        check_batch(options.model, protocol=settings.protocol, server=settings.server)
        # Streams of the frameworks have one piece there: the whole answer.
        stream = False
    turns, parameters = _apply_ocr_task(settings, options, turns, parameters)
    if stream is None:
        stream = settings.server == DEFAULT_SERVER and (
            get_model_spec(options.known_model).streams_only
            or thinks(options.known_model, parameters)
        )
    if stream and options.stream_usage:
        parameters = {"stream_options": {"include_usage": True}, **parameters}
    turns = ensure_json_instruction(turns, parameters, options.known_model, schema=response_schema)
    return Request(
        model=options.model,
        turns=apply_media_options(turns, options.media),
        parameters=parameters,
        stream=stream,
        headers=options.headers,
        policy=options.policy,
        timeout=_find_timeout(settings, options),
        queue_seconds=options.queue_seconds or 0,
        deadline=options.deadline,
        protocol=settings.protocol,
        server=settings.server,
        extra_body=frozenset(options.extra_body),
        base_model=options.base_model,
        model_family=settings.model_family,
    )


def build_connection(settings: EndpointSettings) -> Connection:
    """Build what the client needs to reach the endpoint.

    Args:
        settings: The instance's settings.

    Raises:
        ConfigurationError: The API key is missing, or the region is unknown.
    """
    connection = _build_connection(settings)
    if _find_openai_client(settings) is None and connection.credentials is None:
        connection.require_api_key()
    return connection


def find_account(settings: EndpointSettings) -> str:
    """Return a hash that identifies endpoint and account, for caches of answers.

    Args:
        settings: The instance's settings; the key may be missing, as nothing is sent.

    Raises:
        ConfigurationError: The region is unknown.
    """
    return _build_connection(settings).account


def find_service_region(settings: EndpointSettings) -> str | None:
    """Return the region of the hosted service that is asked; `None` if unknown.

    Args:
        settings: The instance's settings; behind a proxy of yours, `region` says it.

    Raises:
        ConfigurationError: The region is unknown.
    """
    client = _find_openai_client(settings)
    url = _build_connection(settings).base_url if client is None else str(client.base_url)
    return find_url_region(url) or settings.region


def _build_connection(settings: EndpointSettings) -> Connection:
    chat = settings if isinstance(settings, QwenVLSettings) else None
    is_batch = chat is not None and chat.service_tier == "batch"
    base_url, client = settings.base_url, _find_openai_client(settings)
    if base_url is None and client is not None and (is_batch or settings.server != DEFAULT_SERVER):
        base_url = str(client.base_url)
    base_url = find_base_url(
        base_url,
        region=settings.region,
        workspace=settings.workspace,
        protocol=chat.protocol if chat else DEFAULT_PROTOCOL,
        server=settings.server,
        is_batch=is_batch,
    )
    # The environment may hold one with a password too, as may a copy of the settings.
    base_url, credentials = split_credentials(base_url)
    url_credentials = SecretStr(credentials) if credentials else settings.url_credentials
    api_key = find_api_key(
        settings.api_key,
        settings.server,
        is_set="api_key" in settings.model_fields_set,
        own_url=settings.base_url,
    )
    check_one_authorization(api_key, url_credentials)
    return Connection(
        base_url=base_url,
        api_key=api_key,
        credentials=url_credentials,
        timeout=settings.timeout,
        max_retries=settings.max_retries,
        max_response_bytes=settings.max_response_bytes,
        retry_partial_answers=settings.retry_partial_answers,
        http_client=settings.http_client,
        http_async_client=settings.http_async_client,
        headers=dict(settings.default_headers or {}),
        openai_client=chat.openai_client if chat else None,
        async_openai_client=chat.async_openai_client if chat else None,
    )


def _find_openai_client(settings: EndpointSettings) -> Any:
    if not isinstance(settings, QwenVLSettings):
        return None
    return settings.openai_client or settings.async_openai_client


def build_media_policy(settings: EndpointSettings) -> MediaPolicy:
    """Build what says which files may be read, and how media is sent.

    Args:
        settings: The instance's settings.
    """
    roots, cache = settings.media_roots, settings.upload_cache
    policy = MediaPolicy(
        media_roots=None if roots is None else tuple(Path(root) for root in roots),
        max_inline_bytes=settings.max_inline_bytes,
        max_total_inline_bytes=settings.max_total_inline_bytes,
        max_decode_memory=settings.max_decode_memory,
        downscale_images=settings.downscale_images,
        pdf_dpi=settings.pdf_dpi,
        pdf_timeout=settings.pdf_timeout,
        video_mode=settings.video_mode,
        upload_cache=cache if isinstance(cache, bool) else Path(cache).expanduser(),
        upload_hosts=check_upload_hosts(settings.upload_hosts),
        media_cache=settings.media_cache,
        cache=settings.prepared_media,
    )
    if not isinstance(settings, QwenVLSettings):
        return policy
    return replace(
        policy,
        pdf_max_pages=settings.pdf_max_pages,
        max_frames=settings.max_frames,
        tool_media_errors=settings.tool_media_errors,
        history_images=check_history_images(settings.history_images),
    )


def find_parameters(settings: QwenVLSettings) -> dict[str, Any]:
    """Return the body parameters that the settings have, for every call.

    Args:
        settings: The instance's settings.
    """
    fields = {name: getattr(settings, name) for name in PARAMETERS}
    return {
        **{k: v for k, v in fields.items() if v is not None},
        **_leave_out_extra_body(settings.model_kwargs),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What a call and the settings say beside the body's parameters, merged."""

    model: str
    base_model: str | None
    headers: Mapping[str, str]
    timeout: Timeout | None
    queue_seconds: int | None
    deadline: float | None
    stream_usage: bool
    ocr_task: OcrTask | None
    result_schema: Mapping[str, Any] | None
    extra_body: Mapping[str, Any]
    media: MediaOptions
    policy: MediaPolicy

    @property
    def known_model(self) -> str:
        return self.base_model or self.model


def _take_options(settings: QwenVLSettings, call: dict[str, Any]) -> _Options:
    """Take the options out of a call; the body's parameters are left in it."""
    media = {name: call.pop(name, getattr(settings, name)) for name in MEDIA_OPTIONS}
    sampling = {name: call.pop(name, getattr(settings, name)) for name in SAMPLING_OPTIONS}
    sampling["video_mode"] = sampling["video_mode"] or settings.video_mode
    for name in HISTORY:
        held = call.pop(name, None)
        sampling[name] = getattr(settings, name) if held is None else held
    check_tool_media_errors(sampling["tool_media_errors"])
    sampling["history_images"] = check_history_images(sampling["history_images"])
    model = call.pop("model", None)
    # Another model is another one behind its name, too.
    base_model = call.pop("base_model", None if model else settings.base_model)
    ocr_task, result_schema = (call.pop(name, getattr(settings, name)) for name in OCR)
    policy = replace(build_media_policy(settings), **sampling)
    queue_seconds = normalize_queue_seconds(call.pop("queue_seconds", settings.queue_seconds))
    if queue_seconds is not None and settings.server != DEFAULT_SERVER:
        raise ConfigurationError(
            f"queue_seconds is read by the hosted service, not by server={settings.server!r}. "
            "Leave it out."
        )
    return _Options(
        model=model or settings.model,
        base_model=base_model,
        headers={**_to_queue_header(queue_seconds), **(call.pop("extra_headers", None) or {})},
        queue_seconds=queue_seconds,
        timeout=normalize_timeout(call.pop("timeout", None)),
        deadline=normalize_deadline(call.pop("deadline", settings.deadline)),
        stream_usage=call.pop("stream_usage", settings.stream_usage),
        ocr_task=ocr_task,
        result_schema=result_schema,
        extra_body=_merge_extra_body(settings, call),
        media=MediaOptions(**media),
        policy=disable_downscaling(policy, ocr_task),
    )


def _merge_extra_body(settings: QwenVLSettings, call: dict[str, Any]) -> dict[str, Any]:
    """Take `extra_body` out of a call; the nearer one takes precedence.

    Programs for `ChatOpenAI` have it in `model_kwargs` too, which it hands to the openai package.
    """
    nearer_last = (
        settings.model_kwargs.get("extra_body"),
        settings.extra_body,
        (call.get("model_kwargs") or {}).get("extra_body"),
        call.pop("extra_body", None),
    )
    return {name: value for body in nearer_last for name, value in (body or {}).items()}


def _find_timeout(settings: QwenVLSettings, options: _Options) -> Timeout | None:
    # A client that the program gave, of httpx2 or of the SDK, has a limit for ordinary calls.
    if settings.service_tier is None or settings.timeout is not None:
        return options.timeout
    return options.timeout or BATCH_TIMEOUT


def _to_queue_header(seconds: int | None) -> dict[str, str]:
    return {} if seconds is None else {"X-DashScope-Wait-Timeout": str(seconds)}


def _merge_parameters(
    settings: QwenVLSettings, call: dict[str, Any], extra_body: Mapping[str, Any]
) -> dict[str, Any]:
    call = {**_leave_out_extra_body(call.pop("model_kwargs", None) or {}), **call}
    check_call(call, QwenVLSettings.model_fields)
    for name in sorted(call.keys() - CALL_PARAMETERS):
        warn(
            f"{name!r} is not a parameter that qwen-vl knows. It is sent at the top level of "
            "the body as it is; pass it in extra_body to do so without this warning."
        )
    parameters = {**find_parameters(settings), **call, **extra_body}
    parameters = {name: value for name, value in parameters.items() if _is_sent(name, value)}
    check_answer_count(parameters)
    if settings.protocol == "openai":
        check_native(parameters)
    return parameters


def _leave_out_extra_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "extra_body"}


def _is_sent(name: str, value: object) -> bool:
    # `stop: []` and `tools: []` mean nothing, and the service refuses the latter.
    return value is not None and not (name in {"stop", "tools"} and value in ([], ()))


def _apply_ocr_task(
    settings: QwenVLSettings,
    options: _Options,
    turns: Sequence[Turn],
    parameters: dict[str, Any],
) -> tuple[Sequence[Turn], dict[str, Any]]:
    """Add the task: the native protocol has a parameter for it, the other one needs a prompt."""
    task, result_schema = options.ocr_task, options.result_schema
    check_task(task, result_schema, options.known_model, settings.protocol)
    if not task:
        return turns, parameters
    if "ocr_options" in parameters:
        raise ConfigurationError("ocr_task and ocr_options say the same. Pass one of them.")
    if settings.protocol == "openai":
        return add_prompt(turns, task, result_schema), parameters
    return turns, {**parameters, "ocr_options": to_ocr_options(task, result_schema)}
