"""Fields of the classes of this package: unknown names, and values made of all fields."""

from collections.abc import Callable, Collection
from copy import copy, deepcopy
from typing import Any, Generic, TypeVar

from langchain_core.utils import get_pydantic_field_names
from pydantic import BaseModel

from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.specs.option_names import resolve_names, suggest
from qwen_vl.specs.parameters import check_names

_Made = TypeVar("_Made")
_NESTED = frozenset({"model_kwargs", "extra_body", "default_headers", "keys"})


def move_unknown(
    cls: type[BaseModel], values: Any, *, documented: Collection[str] = frozenset()
) -> Any:
    """Move names that are not fields into `model_kwargs`, with a warning for each.

    Args:
        cls: The class, which has `model_kwargs`.
        values: What its instance is made of, as a before-validator gets it.
        documented: Names of the service's parameters, which are moved without a warning.

    Raises:
        ConfigurationError: A name looks like a secret, or like a setting of another adapter.
    """
    if not isinstance(values, dict):
        return values
    fields = get_pydantic_field_names(cls)
    values = resolve_names(values, fields)
    unknown = {name: values[name] for name in values if name not in fields}
    if not unknown:
        return values
    check_names(unknown)
    for name in unknown:
        if name in documented:
            continue
        hint = suggest(name, fields)
        warn(
            f"{name} is not a parameter of {cls.__name__}. It is sent as it is, as part of "
            f"model_kwargs.{hint and ' '}{hint}"
        )
    known = {name: values[name] for name in values if name in fields}
    return {**known, "model_kwargs": {**(values.get("model_kwargs") or {}), **unknown}}


def refuse_unknown(cls: type[BaseModel], values: Any) -> Any:
    """Refuse names that are not fields.

    Args:
        cls: The class.
        values: What its instance is made of, as a before-validator gets it.

    Raises:
        ConfigurationError: A name is not a field.
    """
    if not isinstance(values, dict):
        return values
    fields = get_pydantic_field_names(cls)
    values = resolve_names(values, fields)
    for name in values:
        if name not in fields:
            hint = suggest(name, fields)
            raise ConfigurationError(
                f"{name} is not a parameter of {cls.__name__}.{hint and ' '}{hint}"
            )
    return values


class FieldCache(Generic[_Made]):
    """Keeps what was made of a model's fields, for as long as they stay as they are.

    Shallow copies of a model share it, and may use it from other threads. Deep copies and pickles
    begin without it: the fields hold the key.
    """

    def __init__(self) -> None:
        # One object, so that another thread never sees half of it.
        self._last: tuple[dict[str, Any], _Made] | None = None

    def recall(self, model: BaseModel, make: Callable[[], _Made]) -> _Made:
        """Return what is made of the model.

        Args:
            model: Its fields are compared with those of the last time.
            make: Makes it again if they differ.
        """
        fields, last = vars(model), self._last
        if last is None or last[0] != fields:
            kept = {name: _keep(name, value) for name, value in fields.items()}
            self._last = last = (kept, make())
        return last[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "FieldCache[_Made]":
        return FieldCache()

    def __reduce__(self) -> tuple[type["FieldCache[_Made]"], tuple[()]]:
        return FieldCache, ()


def _keep(name: str, value: Any) -> Any:
    # What is changed in place would be equal to itself ever after. Callbacks cannot be copied.
    if name in _NESTED:
        return deepcopy(value)
    return copy(value) if isinstance(value, dict | list) else value
