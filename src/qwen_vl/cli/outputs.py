"""Where a command writes: files and standard output, checked before anything is asked."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from qwen_vl.cli.inputs import STANDARD_INPUT, expand_path
from qwen_vl.errors import ConfigurationError

STANDARD_OUTPUT = "-"
_STDIN = 0
_err = Console(stderr=True, highlight=False)


class Outputs:
    """The outputs of one command, by the option that names each.

    Args:
        values: As the user typed them; `None` for those not wanted.
        suffixes: The suffix that each must have, by the same options.
        inputs: Files that the command reads, which are never written, and `-`.
        as_json: Whether the command prints JSON on standard output.

    Raises:
        typer.BadParameter: Two outputs name the same file.
        ConfigurationError: A file cannot be written there, or is an input.
    """

    def __init__(
        self,
        values: Mapping[str, str | None],
        suffixes: Mapping[str, str],
        *,
        inputs: Sequence[str | Path | None],
        as_json: bool,
    ) -> None:
        wanted = {option: value for option, value in values.items() if value is not None}
        streams = [option for option, value in wanted.items() if value == STANDARD_OUTPUT]
        if len(streams) + as_json > 1:
            both = " and ".join([*streams, "--json"][:2])
            raise typer.BadParameter(f"{both} exclude each other on standard output.")
        self._paths = {
            option: expand_path(value)
            for option, value in wanted.items()
            if value != STANDARD_OUTPUT
        }
        self.uses_stdout = bool(streams)
        for option, path in self._paths.items():
            _check_suffix(option, path, suffixes[option])
            _check_place(option, path)
            _check_is_no_input(option, path, inputs)
        self._check_differ()
        self._wanted = frozenset(wanted)

    def __contains__(self, option: str) -> bool:
        return option in self._wanted

    def write(self, option: str, data: bytes) -> None:
        """Write an output.

        Args:
            option: The option that named it.
            data: The whole content.

        Raises:
            ConfigurationError: It cannot be written.
        """
        path = self._paths.get(option)
        if path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        with _os_errors_named(option, path):
            path.write_bytes(data)
        _err.print(f"Wrote {escape(str(path))}", style="dim", soft_wrap=True)

    def _check_differ(self) -> None:
        options: dict[str, str] = {}
        for option, path in self._paths.items():
            earlier = options.setdefault(os.path.realpath(path), option)
            if earlier != option:
                raise typer.BadParameter(f"{earlier} and {option} name the same file: {path}.")


def _check_suffix(option: str, path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise ConfigurationError(f"{option}: {str(path)!r} must be a {suffix} file.")


def _check_place(option: str, path: Path) -> None:
    """Check that a file can be written, without creating it."""
    with _os_errors_named(option, path):
        # A circle of links raises here; `resolve` has passed over it since Python 3.13.
        with suppress(FileNotFoundError):
            path.stat()
        # A link is written where it leads.
        real = path.resolve()
        if real.is_dir():
            raise ConfigurationError(f"{option}: {path} cannot be written: it is a folder.")
        if real.exists() and not real.is_file():
            raise ConfigurationError(f"{option}: {path} cannot be written: not a regular file.")
        if not real.parent.is_dir():
            raise ConfigurationError(
                f"{option}: {path} cannot be written: no folder {str(path.parent)!r}."
            )
    if not os.access(real if real.exists() else real.parent, os.W_OK):
        raise ConfigurationError(f"{option}: {path} cannot be written: permission denied.")


def _check_is_no_input(option: str, path: Path, inputs: Sequence[str | Path | None]) -> None:
    for source in inputs:
        if source is not None and _is_same(path, source):
            raise ConfigurationError(
                f"{option}: {path} is an input of this command. Choose another name."
            )


def _is_same(path: Path, source: str | Path) -> bool:
    """Return whether two paths lead to one file, by links or another spelling too."""
    try:
        if source == STANDARD_INPUT:
            return os.path.samestat(path.stat(), os.fstat(_STDIN))
        return path.samefile(source)
    except OSError:
        # One of them does not exist.
        return False


@contextmanager
def _os_errors_named(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"{option}: {path} cannot be written: {reason}.") from error
