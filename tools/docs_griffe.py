"""An extension of Griffe, which reads the docstrings for the documentation site."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class ShowExamples(griffe.Extension):
    """Show the examples of docstrings as code, and pydantic models like other classes."""

    def on_instance(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Change the docstring of a class, function or module after it was read.

        Griffe takes `Examples:` for code, and `Example:`, which Google's style has too, for prose.

        Args:
            obj: What has the docstring.
        """
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_kwargs: Any) -> None:
        """Drop the lists that griffe-pydantic adds to models: their fields are documented below.

        Args:
            pkg: A package, after griffe-pydantic has read its models.
        """
        todo: list[griffe.Object] = [pkg]
        while todo:
            obj = todo.pop()
            obj.extra["mkdocstrings"].pop("template", None)
            todo += [member for member in obj.members.values() if isinstance(member, griffe.Object)]
