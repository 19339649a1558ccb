"""What the classes of embedding and rerank models share: their fields, and what is made of them."""

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, Field, field_validator

from llama_index.llms.qwen_vl.arguments import resolve_arguments
from llama_index.llms.qwen_vl.nodes.read import check_keys, complete_keys
from qwen_vl.connection import api_key_from_environment
from qwen_vl.settings import ApiKey, EndpointSettings

_T = TypeVar("_T")

# Every index sets it, and it is nothing to open new connections for.
_IRRELEVANT = frozenset({"callback_manager"})


class FieldCache(Generic[_T]):
    """Keeps what was made of an object's fields, for as long as they stay as they are.

    Shallow copies share it, and may use it from other threads. Deep copies and pickles begin
    without it.
    """

    def __init__(self) -> None:
        # One object, so that another thread never sees half of it.
        self._last: tuple[dict[str, Any], _T] | None = None
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = WeakKeyDictionary()

    def recall(self, owner: BaseModel, make: Callable[[], _T]) -> _T:
        """Return what is made of the fields.

        Args:
            owner: Its fields are compared with those of the last time.
            make: Makes it again if they differ.
        """
        fields = {name: value for name, value in vars(owner).items() if name not in _IRRELEVANT}
        last = self._last
        if last is None or last[0] != fields:
            kept = {
                # What is changed in place would be equal to itself ever after.
                name: copy(value) if isinstance(value, dict | list) else value
                for name, value in fields.items()
            }
            self._last = last = (kept, make())
        return last[1]

    def lock(self) -> asyncio.Lock:
        """Return the lock of the running event loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def __deepcopy__(self, memo: dict[int, Any]) -> "FieldCache[_T]":
        return FieldCache()

    def __reduce__(self) -> tuple[type["FieldCache[Any]"], tuple[()]]:
        return FieldCache, ()


class RetrievalFields(EndpointSettings):
    """How a model is reached, and where nodes name their images and videos."""

    nullable_fields: ClassVar[frozenset[str]] = frozenset()
    """Those of which `None` is not the default, but a value."""

    api_key: ApiKey | None = Field(
        default_factory=api_key_from_environment,
        exclude=True,
        repr=False,
        description="API key; `DASHSCOPE_API_KEY` in the environment by default. Never shown or "
        "dumped.",
    )
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="Metadata keys of images and videos that differ from their names here, as of "
        "`QwenMediaPostprocessor`.",
    )

    def __init__(self, **values: Any) -> None:
        fields = resolve_arguments(
            values,
            type(self).model_fields,
            owner=type(self).__name__,
            nullable=self.nullable_fields,
        )
        super().__init__(**fields)

    @field_validator("keys")
    @classmethod
    def _refuse_unknown_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        check_keys(keys)
        return keys

    def find_keys(self) -> dict[str, str]:
        """Return the metadata key of everything that is read of nodes."""
        return complete_keys(self.keys)
