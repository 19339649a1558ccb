"""Interpreters, and environments made of them that see nothing of this checkout."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

VERSIONS = ("3.11", "3.12", "3.13")
"""Those that are supported, the oldest first."""

_OWN_VARIABLES = ("PYTHON", "VIRTUAL_ENV", "DASHSCOPE_", "MYPY", "PYTEST_")
_PRINT_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter.

    Args:
        version: For instance `3.11`.
        path: Of the executable.
    """

    version: str
    path: str


def find_lowest_and_newest() -> list[Python]:
    """Return the oldest and the newest interpreter found; one if they are the same.

    Raises:
        SystemExit: There is none.
    """
    found = [
        Python(version, path) for version in VERSIONS if (path := _find_python(version)) is not None
    ]
    if not found:
        sys.exit(f"Python {VERSIONS[0]} or newer is needed.")
    return found[:1] if len(found) == 1 else [found[0], found[-1]]


def _find_python(version: str) -> str | None:
    """Return the interpreter of a version, also if pyenv has it but has not chosen it."""
    for candidate in (shutil.which(f"python{version}"), *_list_pyenv(version)):
        if candidate is None:
            continue
        # A shim of pyenv is there also where the version that it stands for is not chosen.
        done = subprocess.run(
            [candidate, "-c", _PRINT_VERSION], capture_output=True, check=False, text=True
        )
        if done.stdout.strip() == version:
            return candidate
    return None


def _list_pyenv(version: str) -> Iterator[str]:
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return
    root = subprocess.run([pyenv, "root"], capture_output=True, check=True, text=True)
    for path in Path(root.stdout.strip()).glob(f"versions/{version}.*/bin/python"):
        yield str(path)


def clean_environment() -> dict[str, str]:
    """Return the environment's variables without those that change what is found or asked."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)
    }


def fill_wheelhouse(
    python: Python, folder: Path, wheels: Sequence[str], requirements: Sequence[str]
) -> None:
    """Fetch what wheels require, unless that has been done for the same requirements.

    Args:
        python: For which it is fetched.
        folder: Where to put it; what is there otherwise is removed.
        wheels: Our own, each with its extras. They are not kept there.
        requirements: All that our wheels require.
    """
    digest = hashlib.sha256("\n".join([*requirements, *wheels]).encode()).hexdigest()
    stamp = folder / ".requirements"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with TemporaryDirectory() as name:
        subprocess.run([python.path, "-m", "venv", name], check=True)
        pip = [f"{name}/bin/python", "-m", "pip", "wheel", "-qq"]
        command = [*pip, "--disable-pip-version-check", "--wheel-dir", str(folder), *wheels]
        subprocess.run(command, check=True)
    for wheel in wheels:
        (folder / Path(wheel.partition("[")[0]).name).unlink()
    stamp.write_text(digest)


class Environment:
    """A fresh environment in a folder outside of the checkout.

    Args:
        python: Its interpreter.
        folder: Empty; also where programs run.
    """

    def __init__(self, python: Python, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "venv/bin/python")
        subprocess.run([python.path, "-m", "venv", str(folder / "venv")], check=True)

    def install(self, requirements: Sequence[str], wheelhouse: Path) -> None:
        """Install without an index.

        Args:
            requirements: Names, or wheels.
            wheelhouse: Where what they require is.
        """
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", self.python]
        offline = ["--no-index", "--find-links", str(wheelhouse)]
        subprocess.run(
            [*uv, *offline, *requirements], cwd=self.folder, check=True, env=clean_environment()
        )

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        """Run its interpreter, outside of the checkout.

        Args:
            *arguments: Of the interpreter.
            env: Further variables.
        """
        subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            check=True,
            env=clean_environment() | (env or {}),
        )
