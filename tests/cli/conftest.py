"""Runs commands as a user's shell does."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def _environment(changes: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **(changes or {})}


@pytest.fixture(scope="session")
def run_here() -> Run:
    """Run the command in this process, which is fastest."""

    def run(
        *arguments: object,
        environment: dict[str, str] | None = None,
        stdin: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        sent = b"" if stdin is None else stdin.read_bytes()
        with warnings.catch_warnings():
            # Older releases of typer use names that newer ones of click deprecate.
            warnings.simplefilter("ignore", DeprecationWarning)
            app, testing = import_module("qwen_vl.cli.app").app, import_module("typer.testing")
            done = testing.CliRunner().invoke(
                app, words, prog_name="qwen-vl", input=sent, env=_environment(environment)
            )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        printed = done.stdout_bytes.decode("utf-8", "surrogateescape")
        return subprocess.CompletedProcess(words, done.exit_code, printed, done.stderr)

    return run


@pytest.fixture(scope="session")
def run_afresh() -> Run:
    """Run `python -m qwen_vl`."""

    def run(
        *arguments: object,
        environment: dict[str, str] | None = None,
        stdin: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        with Path(os.devnull if stdin is None else stdin).open("rb") as file:
            return subprocess.run(
                [sys.executable, "-m", "qwen_vl", *map(str, arguments)],
                stdin=file,
                capture_output=True,
                text=True,
                check=False,
                env=_environment(environment),
            )

    return run


@pytest.fixture(scope="session")
def _starter() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("starter.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        yield starter
        starter.communicate()
    assert starter.returncode == 0


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command in a process that finds its libraries loaded."""
    if not hasattr(os, "fork"):
        afresh: Run = request.getfixturevalue("run_afresh")
        return afresh
    starter: subprocess.Popen[str] = request.getfixturevalue("_starter")
    folder = tmp_path_factory.mktemp("printed")

    def run(
        *arguments: object,
        environment: dict[str, str] | None = None,
        stdin: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        assert starter.stdin is not None
        assert starter.stdout is not None
        stdout, stderr = folder / "stdout", folder / "stderr"
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": _environment(environment),
            "stdin": os.devnull if stdin is None else str(stdin),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        starter.stdin.write(json.dumps(order) + "\n")
        starter.stdin.flush()
        code = int(starter.stdout.readline())
        return subprocess.CompletedProcess(
            # Images may come on standard output, which are looked at as the bytes they are.
            order["arguments"],
            code,
            stdout.read_bytes().decode("utf-8", "surrogateescape"),
            stderr.read_text(),
        )

    return run
