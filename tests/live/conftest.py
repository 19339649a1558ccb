"""`--transcript docs/live.md` writes what the service billed for each request."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from live_transcript import Transcript
from qwen_vl import client

_KEY = pytest.StashKey[Transcript]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--transcript", type=Path, help="Markdown file to write what was billed to.")


def pytest_configure(config: pytest.Config) -> None:
    """Begin a transcript."""
    config.stash[_KEY] = Transcript()


@pytest.fixture(autouse=True)
def _record(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = request.config.stash[_KEY]
    transcript.test = request.node.name
    monkeypatch.setattr(client, "CallLog", transcript.make_log())


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Transcript:
    """Where tests note what they measured."""
    return request.config.stash[_KEY]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    """Note how each test ended."""
    report: pytest.TestReport = yield
    if report.when == "call" or report.failed:
        item.config.stash[_KEY].outcomes[item.name] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the transcript."""
    path: Path | None = session.config.getoption("--transcript", None)
    if path is not None:
        key = os.environ.get("DASHSCOPE_API_KEY", "")
        session.config.stash[_KEY].write(path, datetime.now(UTC), key)
