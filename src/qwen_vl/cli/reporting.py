"""How commands report what is wrong: exit codes, errors in one line or as JSON, and warnings."""

import json
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import orjson
import typer
from rich.console import Console
from typer.core import TyperGroup

from qwen_vl.errors import (
    AnswerFormatError,
    ContentError,
    QwenVLError,
    ResponseTooLargeError,
    ServiceError,
)

EXIT_CONTENT, EXIT_CONFIGURATION, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_UNREADABLE = 3, 4, 5, 6, 7

# Older releases of typer use click, newer ones a copy of it: only this name is in both.
_UsageError: Any = typer.BadParameter.__bases__[0]
_ARGUMENT = re.compile(r"(?<![\w-])([a-z]\w*)=")
_err = Console(stderr=True, highlight=False)


class CommandGroup(TyperGroup):
    """The commands: their errors become exit codes, and JSON after `--json`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the user named."""
        as_json = _has_flag(ctx.args, "--json")
        with _warnings_in_one_line():
            try:
                return super().invoke(ctx)
            except QwenVLError as error:
                code = find_exit_code(error)
                message = self._name_options(str(error), ctx.invoked_subcommand)
                if as_json:
                    _print_json_error(error, message, code)
                else:
                    _print_line("Error:", "bold red", message)
                raise typer.Exit(code) from error
            except _UsageError as error:
                if not as_json:
                    raise
                _print_json_error(error, error.format_message(), error.exit_code)
                raise typer.Exit(error.exit_code) from error

    def _name_options(self, message: str, command: str | None) -> str:
        """Replace arguments by the options of a command: `max_tokens=…` by `--max-tokens=…`."""
        found = self.commands.get(command or "")
        parameters = found.params if found else []
        options = {
            parameter.name: option
            for parameter in parameters
            for option in parameter.opts
            if option.startswith("--")
        }
        return _ARGUMENT.sub(lambda found: f"{options.get(found[1], found[1])}=", message)


def find_exit_code(error: QwenVLError) -> int:
    """Return the exit code that an error stands for.

    Args:
        error: What a command raised.

    Example:
        >>> find_exit_code(AnswerFormatError("The answer is not JSON.", text="A cat."))
        7
    """
    match error:
        case ContentError():
            return EXIT_CONTENT
        case AnswerFormatError() | ResponseTooLargeError():
            return EXIT_UNREADABLE
        case ServiceError():
            return EXIT_UNAVAILABLE if error.is_retryable else EXIT_REFUSED
        case _:
            return EXIT_CONFIGURATION


def print_json(value: Any) -> None:
    """Print one JSON value on one line of standard output.

    Args:
        value: What orjson can write.
    """
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


def print_warning(text: str) -> None:
    """Print a warning in one line on standard error.

    Args:
        text: What to warn of.
    """
    _print_line("Warning:", "bold yellow", text)


def _has_flag(arguments: list[str], flag: str) -> bool:
    """Return whether a flag is among the arguments that are options."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return flag in arguments[:end]


def _print_json_error(error: Exception, message: str, exit_code: int) -> None:
    found = {
        "type": type(error).__name__,
        "message": message,
        **{name: getattr(error, name, None) or None for name in _ERROR_FIELDS},
        "exit_code": exit_code,
    }
    # Names of files may hold what is not Unicode, which only this encoder can write.
    sys.stdout.write(json.dumps({"error": found}) + "\n")
    sys.stdout.flush()


_ERROR_FIELDS = ("where", "status", "code", "request_id", "text")


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        yield


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning without the line of code that caused it, which is not the user's."""
    del category, filename, lineno, file, line
    print_warning(str(message))


def _print_line(heading: str, style: str, text: str) -> None:
    _err.print(heading, style=style, end=" ")
    _err.print(" ".join(text.split()), markup=False, soft_wrap=True)
