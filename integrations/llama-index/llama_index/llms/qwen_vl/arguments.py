"""The keywords of `QwenVL`: LlamaIndex's other names for them, and a clear word on unknown ones."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from qwen_vl.errors import ConfigurationError

_OTHER_NAMES = {"api_base": "base_url", "model_name": "model", "request_timeout": "timeout"}
_HINTS = {
    "http_client": "Pass openai_client=openai.OpenAI(http_client=…).",
    "async_http_client": "Pass async_openai_client=openai.AsyncOpenAI(http_client=…).",
    "reuse_client": "Clients are made once, and shared.",
    "tools": "Pass it to a call, or in additional_kwargs={…}.",
}


def resolve_arguments(given: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Give the fields that the keywords of a constructor mean.

    Args:
        given: Keywords.
        fields: Names of the fields that there are.

    Raises:
        ConfigurationError: A keyword is no field, or two mean the same.

    Example:
        >>> resolve_arguments({"temprature": 1}, ["temperature"])
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'temprature' is no setting of QwenVL. Did you mean \
temperature?
    """
    resolved: dict[str, Any] = {}
    for name, value in given.items():
        field = _field(name)
        if field not in fields:
            raise ConfigurationError(f"{name!r} is no setting of QwenVL. {_hint(name, fields)}")
        if value is None:
            # LlamaIndex's own constructors take it for "as it is".
            continue
        if field in resolved:
            both = " and ".join(sorted(other for other in given if _field(other) == field))
            raise ConfigurationError(f"{both} mean the same. Pass one of them.")
        resolved[field] = value
    return resolved


def _field(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def _hint(name: str, fields: Collection[str]) -> str:
    if name in _HINTS:
        return _HINTS[name]
    close = get_close_matches(name, fields, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return "Parameters of the service that have no field go into additional_kwargs={…}."
