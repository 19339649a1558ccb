"""The fields that the embedding and the rerank model share: how they are reached, what is read."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field, PrivateAttr, field_validator

from llama_index.llms.qwen_vl.arguments import resolve_arguments
from llama_index.llms.qwen_vl.nodes.read import check_keys, complete_keys
from qwen_vl.settings import ApiKey, QwenVLSettings
from qwen_vl.specs.servers import Server

_T = TypeVar("_T")


def setting(name: str, **changes: Any) -> Any:
    """Return a field of `QwenVLSettings`, to declare it in another class.

    Args:
        name: The field.
        **changes: What differs.

    Example:
        >>> class Reach(BaseModel):
        ...     max_retries: int = setting("max_retries")
        >>> Reach().max_retries
        2
    """
    field = copy(QwenVLSettings.model_fields[name])
    for attribute, value in changes.items():
        setattr(field, attribute, value)
    return field


class Made(Generic[_T]):
    """What is made of settings at its first use, and again when they have changed.

    Deep copies and pickles begin without it.
    """

    def __init__(self) -> None:
        self._held: tuple[object, _T] | None = None
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = WeakKeyDictionary()

    def get(self, key: object, make: Callable[[], _T]) -> _T:
        """Return what was made of the same settings, or make it.

        Args:
            key: The settings.
            make: Makes it.
        """
        held = self._held
        if held is None or held[0] != key:
            self._held = held = (key, make())
        return held[1]

    def lock(self) -> asyncio.Lock:
        """Return the lock of the running event loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def __deepcopy__(self, memo: dict[int, Any]) -> "Made[_T]":
        return Made()

    def __reduce__(self) -> tuple[type["Made[Any]"], tuple[()]]:
        return Made, ()


class RetrievalFields(BaseModel):
    """Where a model is and how it is reached, and which media may be read.

    `QwenVLSettings` validates the values. It is held beside them, since most of its fields are
    parameters of chat models.
    """

    nullable_fields: ClassVar[frozenset[str]] = frozenset()

    api_key: ApiKey | None = setting("api_key", exclude=True, repr=False)
    base_url: str | None = setting("base_url")
    region: str | None = setting("region")
    workspace: str | None = setting("workspace")
    server: Server = setting(
        "server",
        description="Server behind `base_url`: `dashscope`, the hosted service, or a self-hosted "
        "one, such as `vllm`. The key of the hosted service is sent only to the hosted service.",
    )
    media_roots: Sequence[str | Path] | None = setting(
        "media_roots",
        description="Folders that files may be read from. While it is `None`, paths in nodes, and "
        "paths that are text, are refused, and only files named by a `pathlib.Path` are read.",
    )
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="Metadata keys of images and videos that differ from their names here, as of "
        "`QwenMediaPostprocessor`.",
    )
    max_inline_bytes: int = setting("max_inline_bytes")
    max_total_inline_bytes: int = setting("max_total_inline_bytes")
    max_decode_memory: int = setting("max_decode_memory")
    downscale_images: bool | None = setting("downscale_images")
    media_cache: int = setting("media_cache")
    pdf_dpi: float = setting("pdf_dpi")
    pdf_timeout: float = setting("pdf_timeout")
    timeout: Any = setting("timeout")
    deadline: float | None = setting("deadline")
    queue_seconds: int | None = setting("queue_seconds")
    max_response_bytes: int = setting("max_response_bytes")
    max_retries: int = setting("max_retries")
    default_headers: Mapping[str, str] | None = setting("default_headers")
    http_client: Any = setting("http_client")
    http_async_client: Any = setting("http_async_client")

    _settings: QwenVLSettings = PrivateAttr()

    def __init__(self, **values: Any) -> None:
        fields = resolve_arguments(
            values,
            type(self).model_fields,
            owner=type(self).__name__,
            nullable=self.nullable_fields,
        )
        shared = self._shared_fields()
        settings = QwenVLSettings(**{name: fields[name] for name in shared & fields.keys()})
        normalized = {name: getattr(settings, name) for name in shared & fields.keys()}
        super().__init__(**{**fields, **normalized})
        self._settings = settings

    @field_validator("keys")
    @classmethod
    def _refuse_unknown_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        check_keys(keys)
        return keys

    @classmethod
    def _shared_fields(cls) -> set[str]:
        """Name the fields that are those of `QwenVLSettings`."""
        return (set(cls.model_fields) & set(QwenVLSettings.model_fields)) - {"model"}

    @property
    def api_base(self) -> str | None:
        """Base URL, by the name that LlamaIndex's classes have for it."""
        return self.base_url

    def _settings_for(self, model: str) -> QwenVLSettings:
        settings = copy(self._settings)
        settings.model = model
        return settings

    def _metadata_keys(self) -> dict[str, str]:
        return complete_keys(self.keys)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._shared_fields():
            # Copies of this object share the settings.
            settings = copy(self._settings)
            setattr(settings, name, value)
            self._settings = settings
            value = getattr(settings, name)
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A client is a handle on open connections: copies share it.
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            if client is not None:
                memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        # It refuses clients, which cannot be pickled and would be lost without a word.
        self._settings.__getstate__()
        state = super().__getstate__()
        # The other side reads its own environment; a key in a file is a key lost.
        return {**state, "__dict__": {**state["__dict__"], "api_key": None}}
