"""Imports point one way: the contracts of `pyproject.toml`, checked by import-linter."""

import subprocess
import sys
from pathlib import Path

import pytest

# Among the tools of `make check`; the suites for other Python versions run without it.
pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]

UPSIDE_DOWN = """
[tool.importlinter]
root_packages = ["qwen_vl", "langchain_qwen_vl"]

[[tool.importlinter.contracts]]
name = "Upside down"
type = "layers"
layers = ["qwen_vl.content", "qwen_vl.client", "langchain_qwen_vl"]
"""


def _lint(config: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(config), "--no-cache"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
    )


def test_contracts_are_kept() -> None:
    result = _lint(ROOT / "pyproject.toml")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_contract_that_is_broken_is_found(tmp_path: Path) -> None:
    config = tmp_path / "pyproject.toml"
    config.write_text(UPSIDE_DOWN)
    result = _lint(config)

    assert result.returncode == 1, result.stdout + result.stderr
    assert "Upside down BROKEN" in result.stdout
