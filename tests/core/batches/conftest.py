"""Requests for batch files, and jobs that ask the sandbox."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from qwen_vl.batches import BatchJob
from qwen_vl.content import Text, Turn
from qwen_vl.request.build import build_request
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

Requests = list[tuple[str, Request]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(batch_seconds=0.05) as running:
        yield running


@pytest.fixture
def settings(sandbox: Sandbox) -> QwenVLSettings:
    return QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox", region="cn-beijing")


@pytest.fixture
def make_requests(settings: QwenVLSettings) -> Callable[..., Requests]:
    """Requests with a text each."""

    def make(texts: Sequence[str], **options: Any) -> Requests:
        turns = [Turn(role="user", parts=(Text(text=text),)) for text in texts]
        return [
            (f"row-{number}", build_request(settings, [turn], **options))
            for number, turn in enumerate(turns)
        ]

    return make


@pytest.fixture
def prepare(
    tmp_path: Path, settings: QwenVLSettings, make_requests: Callable[..., Requests]
) -> Iterator[Callable[..., BatchJob]]:
    """Jobs in a folder of the test; as many texts as are asked for, or these."""
    with ExitStack() as opened:

        def make(texts: Sequence[str] | int, folder: str = "job", **options: Any) -> BatchJob:
            if isinstance(texts, int):
                texts = [f"Question {number}" for number in range(texts)]
            requests = make_requests(texts)
            job = BatchJob.prepare(requests, tmp_path / folder, settings, **options)
            return opened.enter_context(job)

        yield make
