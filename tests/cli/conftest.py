"""Runs commands as a user's shell does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


def _environment(changes: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **(changes or {})}


@pytest.fixture(scope="session")
def run_afresh() -> Run:
    """Run `python -m qwen_vl`."""

    def run(
        *arguments: object, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qwen_vl", *map(str, arguments)],
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
        *arguments: object, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        assert starter.stdin is not None
        assert starter.stdout is not None
        stdout, stderr = folder / "stdout", folder / "stderr"
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": _environment(environment),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        starter.stdin.write(json.dumps(order) + "\n")
        starter.stdin.flush()
        code = int(starter.stdout.readline())
        return subprocess.CompletedProcess(
            order["arguments"], code, stdout.read_text(), stderr.read_text()
        )

    return run
