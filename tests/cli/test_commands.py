"""The command line, run as a user runs it."""

import io
import json
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from qwen_vl.grounding.results import Grounding
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_here: Run) -> Run:
    """Run the command in this process."""
    return run_here


def test_ask_answers_about_pictures_and_videos(run_afresh: Run) -> None:
    done = run_afresh("ask", "What is this?", CHELSEA, COFFEE, BIG_BUCK_BUNNY, "--sandbox")

    assert done.returncode == 0, done.stderr
    for seen in ("PNG 451x300", "PNG 600x400", "MP4 1280x720", '"What is this?"'):
        assert seen in done.stdout
    assert "tokens in" in done.stderr


@pytest.mark.slow
def test_ask_cuts_a_video(run: Run) -> None:
    cut = ("--start", "1", "--end", "4", "--max-frames", "4", "--video-mode", "frames")
    done = run("ask", "What happens?", BIG_BUCK_BUNNY, CHELSEA, *cut, "--sandbox")

    assert done.returncode == 0, done.stderr
    assert "4 frames sent" in done.stdout
    assert "1,190 video" in done.stderr


def test_ask_refuses_to_cut_what_is_not_here(run: Run) -> None:
    done = run("ask", "What happens?", "https://example.com/a.mp4", "--start", "1", "--sandbox")

    assert done.returncode == 3
    assert "start cannot be honoured for a video by URL" in done.stderr


def test_ask_prints_one_json_object(run: Run) -> None:
    done = run("ask", "What is this?", CHELSEA, "--sandbox", "--json", "--think")

    answer = json.loads(done.stdout)
    assert "PNG 451x300" in answer["answer"]
    assert answer["reasoning"]
    assert answer["usage"]["image_tokens"] == 128
    assert answer["usage"]["total_tokens"] > 128
    assert answer["request_id"]
    assert answer["finish_reason"] == "stop"


def test_ask_reaches_the_endpoint_of_the_environment(qwen_vl_sandbox: Sandbox, run: Run) -> None:
    environment = {
        "DASHSCOPE_API_KEY": "sk-env",
        "DASHSCOPE_COMPATIBLE_BASE_URL": qwen_vl_sandbox.base_url,
    }
    url, video = "https://example.com/cat.png", "https://example.com/walk.mp4"
    arguments = [url, video, "--video", "https://example.com/v", "--model", "qwen3.7-plus"]
    done = run("ask", "Well?", *arguments, "--fps", "1", "--no-think", environment=environment)

    assert done.returncode == 0, done.stderr
    body = qwen_vl_sandbox.last_request.json
    assert body["model"] == "qwen3.7-plus"
    assert body["enable_thinking"] is False
    assert body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "video_url", "video_url": {"url": video}, "fps": 1.0},
        {"type": "video_url", "video_url": {"url": "https://example.com/v"}, "fps": 1.0},
        {"type": "text", "text": "Well?"},
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask"], 2, "Missing argument"),
        (["ask", "Well?", "nowhere.png", "--sandbox"], 3, "nowhere.png"),
        (["ask", "Well?", __file__, "--sandbox"], 3, "JPEG"),
        (["ask", "Well?"], 4, "DASHSCOPE_API_KEY"),
        (["ask", "Well?", "--region", "mars", "--sandbox"], 0, ""),
        (["ask", "Well?", "--model", "qwen-vl-max", "--sandbox"], 5, "Model not exist"),
        (["ask", "Well?", CHELSEA, "--fps", "50", "--sandbox"], 4, "fps: "),
        (["ask", "Well?", "~nobody-here/cat.png", "--sandbox"], 3, "No such file"),
        (["ask", "Well?", "ftp://example.com/cat.png", "--sandbox"], 3, "not a URL that the"),
        (["ask", "Well?", Path(__file__).parent, "--sandbox"], 3, "is a folder"),
        (["sandbox", "--port", "99999"], 2, "--port"),
        (["ask", "", CHELSEA, "--sandbox"], 2, "The question is empty"),
        (["ask", " \n", "--sandbox"], 2, "The question is empty"),
    ],
    ids=[
        *("usage", "missing", "no image", "no key", "region with a URL", "retired model"),
        *("fps out of range", "home of nobody", "ftp", "folder", "port"),
        *("empty question", "blank question"),
    ],
)
def test_failure_is_one_readable_line_and_an_exit_code(
    arguments: list[object], code: int, words: str, run: Run
) -> None:
    done = run(*arguments)

    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_file_address_that_the_user_types_is_read(run: Run) -> None:
    done = run("ask", "What is this?", CHELSEA.as_uri(), BIG_BUCK_BUNNY.as_uri(), "--sandbox")

    assert done.returncode == 0, done.stderr
    assert "PNG 451x300" in done.stdout
    assert "MP4 1280x720" in done.stdout


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="This system has no named pipes.")
def test_pipe_is_refused_without_waiting_for_its_other_end(tmp_path: Path, run: Run) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    done = run("ask", "What is this?", tmp_path / "pipe.png", "--sandbox")

    assert done.returncode == 3, done.stderr
    assert "is a pipe" in done.stderr


def test_endpoint_that_is_not_there_may_be_tried_again(run: Run) -> None:
    with Sandbox() as gone:
        base_url = gone.base_url
    done = run("ask", "Well?", "--base-url", base_url, environment={"DASHSCOPE_API_KEY": "sk"})

    assert done.returncode == 6
    assert "cannot be reached" in done.stderr


@pytest.mark.slow
def test_demo_asks_the_sandbox_and_says_so(run_afresh: Run, tmp_path: Path) -> None:
    done = run_afresh("demo", "--output", tmp_path / "drawn")

    assert done.returncode == 0, done.stderr
    assert "Asking the local sandbox" in done.stdout
    for seen in ("chelsea.png", "coffee.png", "rocket.jpg", "bigbuckbunny.mp4", "128 image"):
        assert seen in done.stdout
    assert done.stdout.index("LangChain 6 of 6") < done.stdout.index("LlamaIndex 1 of 5")
    assert done.stdout.count("Calls     zoom(left=200") == 2
    # What an answer quotes is what was asked, not what ties an image to a tool call.
    assert "call_" not in done.stdout
    assert done.stdout.count("; the last from the tool zoom") == 2
    assert done.stdout.count("1280 x 720") == 4
    _check_reading(done.stdout, tmp_path / "drawn")
    for name, size in {"boxes": (451, 300), "timeline": (340, 304)}.items():
        for framework in ("langchain", "llama-index"):
            path = tmp_path / "drawn" / f"{name}-{framework}.png"
            assert f"Saved     {path}" in done.stdout
            with Image.open(path) as drawn:
                assert drawn.size == size
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert f"{tmp_path / 'drawn'}: {', '.join(names)}" in done.stdout
    # The command as it can be run here, whether the environment is activated or not.
    command, _, rest = done.stdout.splitlines()[-1].partition(":")[2].strip().partition(" ")
    assert rest == "ask --help"
    assert shutil.which(command) is not None


def _check_reading(shown: str, folder: Path) -> None:
    """Check the last part: an invoice that is read, or how to have it read."""
    if find_spec("rapidocr") is None:
        assert 'A sandbox that reads text needs: pip install "qwen-vl[sandbox-ocr]"' in shown
        return
    assert "Object    Invoice(invoice_number='2026-0117', due_date=datetime.date(2026, 12, 30)" in (
        shown
    )
    assert "Item(description='Brush set', quantity=2, amount=25.9)], total=92.5)" in shown
    assert "Parsed    6 blocks: 1 heading, 3 paragraphs, 2 tables" in shown
    assert re.search(r"Found     Total: EUR 92\.50 at \(58\d, 48\d, 7[56]\d, 50\d\)", shown)
    for name in ("invoice.png", "invoice-layout.png", "invoice-total.png"):
        assert f"Saved     {folder / name}" in shown


def test_demo_refuses_a_folder_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run("demo", "-o", tmp_path / "file" / "folder")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("Error: --output: images cannot be saved in ")


def test_demo_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "boxes.png").write_text("mine")
    found = Grounding(boxes=(), width=451, height=300, space="normalized")
    console = Console(file=io.StringIO(), width=160)
    with warnings.catch_warnings():
        # Older releases of typer use names that newer ones of click deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        demo = import_module("qwen_vl.cli.demo")
    for _ in range(2):
        demo.show_boxes(console, found, tmp_path / "boxes.png")

    assert (tmp_path / "boxes.png").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("boxes-2.png", "boxes-3.png", "boxes.png")
    ]


@pytest.mark.slow
def test_demo_asks_the_service_where_there_is_a_key(
    qwen_vl_sandbox: Sandbox, run_afresh: Run, tmp_path: Path
) -> None:
    done = run_afresh(
        "demo",
        environment={
            "TMPDIR": str(tmp_path),
            "DASHSCOPE_API_KEY": "sk-env",
            "DASHSCOPE_COMPATIBLE_BASE_URL": qwen_vl_sandbox.base_url,
        },
    )

    assert "Asking the service" in done.stdout
    assert "Calls     zoom(left=200" in done.stdout
    # Each framework's questions, and one that is asked again with what the tool has seen.
    assert len(qwen_vl_sandbox.requests) == (5 + 2) + (4 + 2) + 3
    by_langchain, by_llama_index = qwen_vl_sandbox.requests[0], qwen_vl_sandbox.requests[7]
    assert by_langchain.body == by_llama_index.body
    # Where no folder is named, a new one is made.
    assert len(list(tmp_path.glob("qwen-vl-demo-*/*.png"))) == 7


def test_sandbox_that_cannot_read_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = import_module("qwen_vl_sandbox.ocr.engine")
    monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    done = run("sandbox", "--ocr", "--port", "0")

    assert done.returncode == 4
    assert done.stderr == (
        'Error: A sandbox that reads text needs: pip install "qwen-vl[sandbox-ocr]"\n'
    )


def test_models_are_listed_with_what_they_can(run_afresh: Run) -> None:
    done = run_afresh("models")

    row = next(line for line in done.stdout.splitlines() if line.startswith("qwen3-vl-plus"))
    assert row.split() == ["qwen3-vl-plus", "off", "yes", "–", "256", "2000", "262k", "33k"]


def test_port_in_use_is_one_line(qwen_vl_sandbox: Sandbox, run: Run) -> None:
    port = qwen_vl_sandbox.url.rpartition(":")[2]
    done = run("sandbox", "--port", port)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"Error: Port {port} on 127.0.0.1 is in use. Choose another port, or 0 for a free one.\n"
    )


def test_version_is_printed(run: Run) -> None:
    assert run("--version").stdout.strip().count(".") == 2


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("typer", ["ask", "Well?", "--sandbox"]),
        ("av", ["ask", "Well?", "--sandbox"]),
        ("uvicorn", ["sandbox", "--port", "0"]),
        ("jsonschema", ["ask", "Well?", "--schema", "a"]),
    ],
)
def test_missing_extra_is_told_with_its_command(
    missing: str, arguments: list[str], tmp_path: Path, run_afresh: Run
) -> None:
    # A module that cannot be imported stands in for a package that is not installed.
    (tmp_path / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError('No module named {missing}', name='{missing}')"
    )
    done = run_afresh(*arguments, environment={"PYTHONPATH": str(tmp_path)})

    extra = "cli" if missing in {"typer", "jsonschema"} else "sandbox"
    assert done.returncode != 0
    assert f'pip install "qwen-vl[{extra}]"' in done.stderr
    assert done.stderr.count("\n") == 1
