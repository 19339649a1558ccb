"""An extension of Griffe, which reads the docstrings for the documentation site."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class ShowExamples(griffe.Extension):
    """Show the examples of docstrings as code.

    Griffe takes `Examples:` for code, and `Example:`, which Google's style has too, for prose.
    """

    def on_instance(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Change the docstring of a class, function or module after it was read.

        Args:
            obj: What has the docstring.
        """
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
