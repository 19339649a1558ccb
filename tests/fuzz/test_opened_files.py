"""No file outside of the roots is opened, whatever names it, seen by an audit hook."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fuzz.opened_files import SECRET
from qwen_vl.samples import CHELSEA


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("audit")
    (folder / SECRET).write_bytes(CHELSEA.read_bytes())
    (folder / "root").mkdir()
    (folder / "root" / "link").symlink_to(folder)
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "fuzz.opened_files", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    done = subprocess.run(
        command, capture_output=True, cwd=folder, env=environment, check=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# More than 5,000 forms.
@pytest.mark.slow
def test_no_file_outside_of_the_roots_is_opened(outcome: dict[str, Any]) -> None:
    n_tried, opened = outcome["roots"]
    assert n_tried > 5_000
    assert opened == []


# As many forms.
@pytest.mark.slow
def test_without_roots_only_a_path_of_the_framework_s_own_class_is_opened(
    outcome: dict[str, Any],
) -> None:
    """It cannot be told from the program's own; `.github/SECURITY.md` says so."""
    n_tried, opened = outcome["none"]
    assert n_tried > 5_000
    kinds = {name.partition(": ")[0] for name in opened}
    assert kinds <= {
        "user, from JSON",
        "tool, from JSON",
        "assistant, from JSON",
        "node, video",
        "node, ImageNode path",
    }
    assert all("'path'" in name or name.startswith("node") for name in opened)
