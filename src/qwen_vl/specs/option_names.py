"""Names that other adapters have for the settings: some mean a setting here, others are refused.

An option that names another endpoint, key or client must never end up in the body while the
endpoint that is set here is asked.
"""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from qwen_vl.errors import ConfigurationError

OTHER_NAMES: Mapping[str, str] = {
    "api_base": "base_url",
    "openai_api_base": "base_url",
    "openai_api_key": "api_key",
    "model_name": "model",
    "request_timeout": "timeout",
    "async_http_client": "http_async_client",
    "stop_sequences": "stop",
}
"""Names that ChatOpenAI, OpenAILike and their like have for a setting."""

_OWN_CLIENT = "http_client=httpx2.Client(…), and http_async_client=… for asynchronous calls"
# What a name is about, and what to pass instead; the first that is found counts.
_KINDS: tuple[tuple[str, str], ...] = (
    (r"^(disabled_params|include_response_headers|is_chat_model|should_use_\w+)$", ""),
    (r"^(tiktoken_model_name|tokenizer|openai_api_type)$", ""),
    # Of OpenAI's Responses API.
    (r"^(context_management|include|store|truncation|use_previous_response_id)$", ""),
    (r"headers?$", "default_headers={…}"),
    (r"time_?out", "timeout=…, in seconds"),
    (r"retr(y|ies)", "max_retries=…"),
    (
        r"(^|_)(async_)?client$|^session$|^transport$|^default_query$|^http_socket_options$|verify|ssl|certificate|(^|_)cert$",
        _OWN_CLIENT,
    ),
    (r"prox(y|ies)", f"{_OWN_CLIENT}; or set HTTPS_PROXY in the environment"),
    (r"(^|_)region_?(name|id)$", "region=…"),
    (r"(^|_)workspace_?id$", "workspace=…"),
    (
        r"(^|_)(api_base|api_url|api_host|base_?(url|uri)|endpoint(_url)?|server_url|url|uri|host)$",
        "base_url=…",
    ),
    (r"^(model|deployment|engine)(_id|_name)?$|^azure_deployment$", "model=…"),
    (r"^reasoning$", "reasoning_effort=…, or enable_thinking=…"),
    (r"^max_(new|output|generated)_tokens$|^num_predict$|^max_token$", "max_tokens=…"),
    (r"^(api_version|openai_organization|organization|project|use_responses_api)$", ""),
)


def resolve_names(values: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return options by the names that the settings have.

    Args:
        values: Options by the names that they were given.
        fields: Names of the settings.

    Raises:
        ConfigurationError: Two options mean the same and differ.

    Example:
        >>> resolve_names({"model_name": "qwen3-vl-plus"}, ["model"])
        {'model': 'qwen3-vl-plus'}
    """
    resolved: dict[str, Any] = {}
    given: dict[str, str] = {}
    for name, value in values.items():
        field = name if name in fields else OTHER_NAMES.get(name, name)
        if field in resolved and resolved[field] is not value and resolved[field] != value:
            both = " and ".join(sorted((name, given[field])))
            raise ConfigurationError(f"{both} mean the same. Pass one of them.")
        resolved[field], given[field] = value, name
    return resolved


def check_foreign(name: str) -> None:
    """Refuse an option that must not be sent in a body.

    Args:
        name: Of an option that is neither a setting nor known to the service.

    Raises:
        ConfigurationError: It names an endpoint, a key, a client or the like, by the name that it
            has elsewhere.

    Example:
        >>> check_foreign("verify")
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'verify' is not an option here, and is not sent. Pass \
http_client=httpx2.Client(…), and http_async_client=… for asynchronous calls.
    """
    for pattern, instead in _KINDS:
        if re.search(pattern, name, re.IGNORECASE):
            remedy = f"Pass {instead}." if instead else "Leave it out."
            raise ConfigurationError(f"{name!r} is not an option here, and is not sent. {remedy}")


def suggest(name: str, fields: Collection[str]) -> str:
    """Return which setting may have been meant; empty where none is similar.

    Args:
        name: Of an unknown option.
        fields: Names of the settings.

    Example:
        >>> suggest("temprature", ["temperature"])
        'Did you mean temperature?'
    """
    close = get_close_matches(name, fields, n=1)
    return f"Did you mean {close[0]}?" if close else ""
