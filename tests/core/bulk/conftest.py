"""Rows to ask about, and jobs that ask the sandbox."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.bulk.job import Job
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.row import Row
from qwen_vl.content import LocalFile
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def make_settings(qwen_vl_sandbox: Sandbox) -> Callable[..., QwenVLSettings]:
    def make(**fields: Any) -> QwenVLSettings:
        reach = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
        return QwenVLSettings(**{**reach, **fields})

    return make


@pytest.fixture
def make_job(make_settings: Callable[..., QwenVLSettings]) -> Callable[..., Job]:
    def make(prompt: str = "What is this?", **options: Any) -> Job:
        names = {"system", "schema", "parameters", "task"}
        own = {name: value for name, value in options.items() if name in names}
        fields = {name: value for name, value in options.items() if name not in names}
        return Job(settings=make_settings(**fields), prompt=prompt, **own)

    return make


@pytest.fixture
def make_rows(tmp_path: Path) -> Callable[[int], list[Row]]:
    """Rows with an image each, all different."""

    def make(count: int) -> list[Row]:
        rows = []
        for number in range(count):
            path = tmp_path / f"{number:04}.png"
            Image.new("RGB", (32, 32), (number % 256, number // 256, 9)).save(path)
            source = LocalFile(path, is_trusted=True)
            rows.append(Row(number=number, media=(source,), name=path.name))
        return rows

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened
