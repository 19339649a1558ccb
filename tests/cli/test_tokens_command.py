"""`qwen-vl tokens`, run as a user runs it."""

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_here: Run) -> Run:
    """Run `qwen-vl tokens`."""
    return functools.partial(run_here, "tokens")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    pytest.importorskip("pypdfium2", reason='needs: pip install "qwen-vl[pdf]"')
    path = tmp_path / "report.pdf"
    pages = [Image.new("RGB", (1240, 1754), color) for color in ("white", "gray", "black")]
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    return path


def _rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    assert done.returncode == 0, done.stderr
    return _rows_of(done.stdout)


def _rows_of(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()]


def test_files_are_counted_one_a_row(run_afresh: Run) -> None:
    rows = _rows(run_afresh("tokens", CHELSEA, ROCKET, BIG_BUCK_BUNNY))

    assert rows[0] == ["File", "Type", "Size", "Seen", "as", "Frames", "Tokens"]
    assert rows[1:4] == [
        [str(CHELSEA), "image/png", "451x300", "448x288", "–", "128"],
        [str(ROCKET), "image/jpeg", "640x427", "640x416", "–", "262"],
        [str(BIG_BUCK_BUNNY), "video/mp4", "1280x720", "1056x576", "10", "2,972"],
    ]
    assert rows[4] == ["Total", "3,362"]
    # 3,362 tokens at a yuan a million.
    assert _joined(rows[6:]) == (
        "By the rules of the hosted service, for qwen3-vl-plus. In one request: 0.0034 CNY "
        "(list price, Beijing)."
    )


def test_json_lines_say_the_same(run: Run) -> None:
    done = run(CHELSEA, BIG_BUCK_BUNNY, "--json")

    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "file": str(CHELSEA),
            "type": "image/png",
            "size": [451, 300],
            "resized": [448, 288],
            "frames": None,
            "pages": None,
            "seconds": None,
            "tokens": 128,
            "is_at_most": False,
        },
        {
            "file": str(BIG_BUCK_BUNNY),
            "type": "video/mp4",
            "size": [1280, 720],
            "resized": [1056, 576],
            "frames": 10,
            "pages": None,
            "seconds": None,
            "tokens": 2_972,
            "is_at_most": False,
        },
        {
            "model": "qwen3-vl-plus",
            "server": "dashscope",
            "files": 2,
            "total_tokens": 3_100,
            "total_price": 0.0031,
            "currency": "CNY",
            "is_price_unsure": False,
            "max_input_tokens": 260_096,
            "exceeds_context_window": False,
        },
    ]


def test_servers_of_ones_own_count_by_their_rule(run: Run) -> None:
    model = "Qwen/Qwen3-VL-8B-Instruct"
    done = run(CHELSEA, BIG_BUCK_BUNNY, "--server", "vllm", "--model", model)
    rows = _rows(done)
    # Ten frames of 40 x 22 squares in five pairs, each with a time stamp of 6 tokens and 2
    # markers, and 2 markers around them all.
    assert rows[2][-4:] == ["1280x720", "1280x704", "10", f"{5 * (880 + 8) + 2:,}"]
    assert _joined(rows[5:]) == f"By the rules of transformers, for {model} at vLLM."


def test_files_that_exceed_the_context_window_together_are_told(run: Run) -> None:
    # Each has 128 tokens; qwen-vl-ocr takes 30,000 of input in a window of 38,192.
    fitting, too_many = [CHELSEA] * 234, [CHELSEA] * 235
    model = ("--model", "qwen-vl-ocr")

    assert "context window" not in run(*fitting, *model).stdout
    shown = run(*too_many, *model).stdout
    assert _joined(_rows_of(shown)[-1:]) == (
        "Together they exceed the context window of qwen-vl-ocr, which takes 30,000 tokens of "
        "input (38,192 with the answer)."
    )
    total = json.loads(run(*too_many, *model, "--json").stdout.splitlines()[-1])
    assert (total["max_input_tokens"], total["exceeds_context_window"]) == (30_000, True)


@pytest.mark.parametrize("options", [("--server", "vllm"), ("--model", "my-own-model")])
def test_context_window_that_is_not_known_is_not_claimed(
    options: tuple[str, str], run: Run
) -> None:
    total = json.loads(run(CHELSEA, *options, "--json").stdout.splitlines()[-1])

    assert (total["max_input_tokens"], total["exceeds_context_window"]) == (None, None)


def test_standard_input_is_counted(run: Run) -> None:
    rows = _rows(run("-", stdin=CHELSEA))

    assert rows[1] == ["standard", "input", "image/png", "451x300", "448x288", "–", "128"]


@pytest.mark.parametrize(
    "options", [("--model", "qwen9-max"), ("--region", "us-east-1"), ("--server", "vllm")]
)
def test_price_that_is_not_known_is_not_shown(options: tuple[str, str], run: Run) -> None:
    assert "In one request" not in run(CHELSEA, *options).stdout
    total = json.loads(run(CHELSEA, *options, "--json").stdout.splitlines()[-1])
    assert (total["total_price"], total["currency"]) == (None, None)


def test_price_is_of_the_region_and_with_an_answer(run: Run) -> None:
    done = run(CHELSEA, "--region", "ap-southeast-1", "--output-tokens", "1000")

    # 128 tokens at 0.20 and 1,000 at 1.60 dollars a million.
    assert "with an answer of 1,000 tokens: 0.0016 USD (list price," in " ".join(
        done.stdout.split()
    )


def test_price_that_is_unsure_says_so(run: Run) -> None:
    shown = " ".join(run(CHELSEA, "--model", "qwen3.5-plus").stdout.split())

    assert "(list price, Beijing, unsure)" in shown


def _joined(rows: list[list[str]]) -> str:
    return " ".join(word for row in rows for word in row)


def test_options_are_counted_with(run: Run) -> None:
    small = _rows(run(ROCKET, "--max-pixels", 70_000))
    slow = _rows(run(BIG_BUCK_BUNNY, "--fps", 1))
    older = _rows(run(CHELSEA, "--model", "qwen2.5-vl-72b-instruct"))

    assert small[1][2:] == ["640x427", "320x192", "–", "62"]
    assert slow[1][4:] == ["5", "1,784"]
    assert older[1][2:] == ["451x300", "448x308", "–", "178"]


def test_pages_of_a_document_are_counted(report: Path, run: Run) -> None:
    rows = _rows(run(report))

    assert rows[1][1:-1] == ["application/pdf", "1240x1754", "1248x1760", "3", "pages"]
    # 39 x 55 squares and two markers for each page, and its label.
    assert 3 * 2_147 < int(rows[1][-1].replace(",", "")) < 3 * 2_170


def test_size_that_cannot_be_read_counts_as_the_largest(tmp_path: Path, run: Run) -> None:
    cut_off = tmp_path / "cut.mp4"
    cut_off.write_bytes(BIG_BUCK_BUNNY.read_bytes()[:2_000])

    rows = _rows(run(cut_off))
    assert rows[1][1:] == ["video/mp4", "?", "?", "120", "≤", "38,402"]
    # 38,402 tokens at 1.5 yuan a million.
    assert "In one request: at most 0.0576 CNY (list price, Beijing)." in _joined(rows)


def test_address_of_a_file_is_read(run: Run) -> None:
    assert _rows(run(CHELSEA.as_uri()))[1][-1] == "128"


def test_name_in_brackets_is_no_markup(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "cat [bold].png"
    path.write_bytes(CHELSEA.read_bytes())

    assert "cat [bold].png" in run(path).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument"),
        (["nowhere.png"], 3, "The file 'nowhere.png' does not exist"),
        ([Path(__file__).parent], 3, "is a folder"),
        ([__file__], 3, "JPEG"),
        (["https://example.com/cat.png"], 3, "only files are counted"),
        (["data:image/png;base64,iVBORw0KGgo="], 3, "only files are counted"),
        ([CHELSEA, "--max-pixels", 5], 3, "max_pixels is 5"),
        ([BIG_BUCK_BUNNY, "--fps", 50], 3, "fps is 50.0"),
        ([BIG_BUCK_BUNNY, "--model", "qwen-vl-ocr"], 3, "takes no videos"),
    ],
    ids=[
        *("usage", "missing", "folder", "no image", "address", "data address"),
        *("pixels out of range", "fps out of range", "no videos"),
    ],
)
def test_failure_is_one_readable_line_and_an_exit_code(
    arguments: list[object], code: int, words: str, run: Run
) -> None:
    done = run(*arguments)

    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("size", [(5, 300), (20, 4_001)])
def test_picture_that_would_be_refused_is_not_counted(
    size: tuple[int, int], tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "thin.png"
    Image.new("RGB", size).save(path)
    done = run(path)

    assert done.returncode == 3, done.stdout
    assert f"{size[0]} x {size[1]} pixels" in done.stderr


def test_missing_reader_of_videos_is_told_with_its_command(tmp_path: Path, run_afresh: Run) -> None:
    # A finder that finds no `av` stands in for an environment without it.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'av' else find(name, *more)\n"
    )
    done = run_afresh("tokens", CHELSEA, BIG_BUCK_BUNNY, environment={"PYTHONPATH": str(tmp_path)})

    assert done.returncode == 4, done.stdout
    assert 'pip install "qwen-vl[video]"' in done.stderr
