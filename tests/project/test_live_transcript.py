"""What `make live` writes, tried against the sandbox in the place of the service."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from live_transcript import COLUMNS, NO_PRICE, Call, Transcript
from qwen_vl.reply import Usage
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

pytestmark = pytest.mark.any_version

ROOT = Path(__file__).parents[2]
KEY = "sk-secret-0123456789"
NOW = datetime(2026, 12, 1, 14, 3, tzinfo=UTC)


def make_call(**values: object) -> Call:
    usage = Usage(input_tokens=150, output_tokens=12, total_tokens=162, image_tokens=128)
    defaults = {
        "test": "test_cat",
        "host": "dashscope.aliyuncs.com",
        "model": "qwen3-vl-plus",
        "status": "200",
        "request_id": "0a1b",
        "usage": usage,
        "counted": 148,
    }
    return Call(**{**defaults, **values})


def read_rows(page: str) -> list[dict[str, str]]:
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in lines]
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[2:]]


def test_page_has_a_row_for_each_request() -> None:
    transcript = Transcript([make_call()], {"test_cat": "passed"})

    page = transcript.to_markdown(NOW)

    assert "- 2026-12-01 14:03 UTC, `dashscope.aliyuncs.com`\n" in page
    assert "- Tests: 1 passed\n" in page
    assert "- Requests: 1. The input of 1 cost 0.000150 yuan" in page
    assert read_rows(page) == [
        {
            "test": "test_cat",
            "result": "passed",
            "model": "qwen3-vl-plus",
            "request id": "0a1b",
            "input billed": "150",
            "input counted": "148",
            "difference": "-2",
            "of it images": "128",
            "of it videos": "–",
            "output billed": "12",
            "input cost (yuan)": "0.000150",
        }
    ]


def test_cost_is_left_out_where_no_price_is_known() -> None:
    transcript = Transcript([make_call(model="qwen4-max")], {"test_cat": "passed"})

    page = transcript.to_markdown(NOW)

    assert read_rows(page)[0]["input cost (yuan)"] == NO_PRICE
    assert "The input of 0 cost 0.000000 yuan" in page


def test_refused_request_has_a_row_without_usage() -> None:
    call = make_call(status="429 RateLimitError", usage=None, request_id=None)

    (row,) = read_rows(Transcript([call], {"test_cat": "failed"}).to_markdown(NOW))

    assert row["result"] == "failed: 429 RateLimitError"
    assert row["request id"] == "none"
    assert row["input billed"] == row["difference"] == "–"


def test_bars_and_line_breaks_do_not_break_the_table() -> None:
    (row,) = read_rows(Transcript([make_call(request_id="a | b\nc")]).to_markdown(NOW))

    assert row["request id"] == r"a \| b c"


def test_measured_figures_are_sections() -> None:
    transcript = Transcript([make_call()], notes={"Retrieval": "recall@1\n   0.900"})

    page = transcript.to_markdown(NOW)

    assert page.endswith("|\n\n## Retrieval\n\n```text\nrecall@1\n   0.900\n```\n")


def test_nothing_is_written_without_requests(tmp_path: Path) -> None:
    Transcript().write(tmp_path / "live.md", NOW, KEY)

    assert list(tmp_path.iterdir()) == []


def test_page_with_the_key_is_not_written(tmp_path: Path) -> None:
    transcript = Transcript([make_call(request_id=f"id of {KEY}")])

    with pytest.raises(RuntimeError, match="nothing was written") as raised:
        transcript.write(tmp_path / "live.md", NOW, KEY)

    assert KEY not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_make_live_needs_a_key_and_names_it() -> None:
    page = ROOT / "docs/live.md"
    before = page.read_bytes() if page.is_file() else None
    environment = {key: value for key, value in os.environ.items() if key != "DASHSCOPE_API_KEY"}

    done = subprocess.run(
        ["make", "live"],  # noqa: S607 - the one on the path.
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode != 0
    assert "set DASHSCOPE_API_KEY first" in done.stderr
    assert (page.read_bytes() if page.is_file() else None) == before


def run_live(path: Path, selection: str, base_url: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DASHSCOPE_API_KEY": KEY, "DASHSCOPE_BASE_URL": base_url}
    command = [sys.executable, "-m", "pytest", "-m", "live", "-k", selection, "tests/live"]
    return subprocess.run(
        [*command, "--transcript", str(path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.slow
def test_live_tests_write_what_was_billed(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "live.md"
    for text in ("A cat.", "Yes."):
        qwen_vl_sandbox.script(ScriptedAnswer(text=text))

    done = run_live(path, "costs_what_we_count or seen_and_streamed", qwen_vl_sandbox.base_url)
    page = path.read_text()

    assert done.returncode == 0, done.stdout
    assert KEY not in page
    assert "- Tests: 2 passed\n" in page
    rows = read_rows(page)
    assert [row["test"].rpartition("_")[2] for row in rows] == ["count", "streamed"]
    for row in rows:
        assert re.fullmatch(r"[0-9a-f-]{36}", row["request id"])
        # The sandbox counts media by the same rules, and text by another estimate.
        assert abs(int(row["difference"])) <= 10
        assert float(row["input cost (yuan)"]) > 0
    assert rows[0]["of it images"] == "128"
    assert int(rows[1]["of it videos"].replace(",", "")) > 128


@pytest.mark.slow
def test_refused_key_is_not_written(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "live.md"
    qwen_vl_sandbox.fail(status=401)

    done = run_live(path, "costs_what_we_count", qwen_vl_sandbox.base_url)

    assert done.returncode == 1
    assert KEY not in path.read_text()
    assert "failed: 401 AuthenticationError" in path.read_text()
