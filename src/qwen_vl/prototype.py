"""Pydantic objects in great number, made without validating what is known to be right.

A stream makes a few of them for every token. Validating takes longer than reading the token, and
checks what was built a line above.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


class Prototype(Generic[_Model]):
    """Copies objects of one class, equal to those that its constructor makes.

    `model_construct` does the same, and takes as long as validating.

    The first copy with each set of fields is compared with what the constructor makes of the same
    values. If they differ, as they may with another version of the class, the constructor makes
    all objects with these fields.

    Args:
        pattern: Made by the constructor. Copies have its values except for those that they are
            given, and its set of fields that count as set.

    Example:
        >>> class Point(BaseModel):
        ...     x: int = 0
        ...     tags: list[str] = []
        >>> Prototype(Point()).copy_with(x=7)
        Point(x=7, tags=[])
    """

    def __init__(self, pattern: _Model) -> None:
        self._kind = type(pattern)
        self._pattern = pattern
        self._values = dict(vars(pattern))
        self._fields_set = set(pattern.model_fields_set)
        self._has_extra = pattern.model_extra is not None
        self._private = pattern.__pydantic_private__
        # Shared by all copies, one list would be everybody's.
        self._fresh = [
            (name, type(value))
            for name, value in self._values.items()
            if isinstance(value, dict | list)
        ]
        self._is_exact: dict[tuple[str, ...], bool] = {}

    @property
    def is_exact(self) -> bool:
        """Whether all copies so far were equal to what the constructor makes."""
        return all(self._is_exact.values())

    def copy_with(self, **values: Any) -> _Model:
        """Create an object.

        Args:
            **values: Fields, each of just the type that validating would give it.
        """
        is_exact = self._is_exact.get(names := tuple(values))
        if is_exact is None:
            is_exact = self._is_exact[names] = self._compare(values)
        return self._copy(values) if is_exact else self._construct(values)

    def _copy(self, values: Mapping[str, Any]) -> _Model:
        made = object.__new__(self._kind)
        held = self._values.copy()
        for name, make in self._fresh:
            if name not in values:
                held[name] = make()
        held.update(values)
        _set(made, "__dict__", held)
        _set(made, "__pydantic_fields_set__", self._fields_set.copy())
        _set(made, "__pydantic_extra__", {} if self._has_extra else None)
        _set(made, "__pydantic_private__", self._private and dict(self._private))
        return made

    def _construct(self, values: Mapping[str, Any]) -> _Model:
        held = {name: getattr(self._pattern, name) for name in self._fields_set}
        return self._kind(**{**deepcopy(held), **values})

    def _compare(self, values: Mapping[str, Any]) -> bool:
        copied, constructed = _read_state(self._copy(values)), _read_state(self._construct(values))
        if copied != constructed:
            return False
        pattern = _read_state(self._pattern)
        return all(
            type(copied[name]) is type(value)
            # An object that the copies share while each constructed one has its own.
            and (copied[name] is value or copied[name] is not pattern.get(name))
            for name, value in constructed.items()
        )


def _read_state(model: BaseModel) -> dict[tuple[str, str], Any]:
    parts = {
        "field": vars(model),
        "extra": model.__pydantic_extra__,
        "private": model.__pydantic_private__,
    }
    return {
        (part, name): value for part, held in parts.items() for name, value in (held or {}).items()
    }


_set = object.__setattr__
