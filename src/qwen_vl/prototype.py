"""Pydantic objects in great number, made without validating what is known to be right.

A stream makes a few of them for every token. Validating takes longer than reading the token, and
checks what was built a line above.
"""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


class Prototype(Generic[_Model]):
    """Copies objects of one class, equal to those that its constructor makes.

    `model_construct` does the same, and takes as long as validating.

    Args:
        pattern: Made by the constructor: what a cast does not name is as it is here, and the fields
            that count as set are those that are set here.

    Example:
        >>> class Point(BaseModel):
        ...     x: int = 0
        ...     tags: list[str] = []
        >>> Prototype(Point()).copy_with(x=7)
        Point(x=7, tags=[])
    """

    def __init__(self, pattern: _Model) -> None:
        self._kind = type(pattern)
        self._values = dict(vars(pattern))
        self._fields_set = set(pattern.model_fields_set)
        self._has_extra = pattern.model_extra is not None
        self._private = pattern.__pydantic_private__
        # Shared by all casts, one list would be everybody's.
        self._fresh = [
            (name, type(value))
            for name, value in self._values.items()
            if isinstance(value, dict | list)
        ]

    def copy_with(self, **values: Any) -> _Model:
        """Make one.

        Args:
            **values: Fields, each of just the type that validating would give it.
        """
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


_set = object.__setattr__
