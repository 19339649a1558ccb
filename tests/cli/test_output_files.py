"""Where `qwen-vl locate` and `timeline` write: checked first, never over an input, or to a pipe."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(run_here: Run, qwen_vl_sandbox: Sandbox) -> Run:
    """Run the command in this process, with the endpoint of the environment."""
    environment = {"DASHSCOPE_API_KEY": "sk-env", "DASHSCOPE_BASE_URL": qwen_vl_sandbox.base_url}

    def run(*arguments: object, **options: Path) -> subprocess.CompletedProcess[str]:
        return run_here(*arguments, environment=environment, **options)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an image, a video, and other ways to them."""
    monkeypatch.chdir(tmp_path)
    image = Image.new("RGB", (64, 48), "white")
    image.paste("red", (8, 8, 24, 24))
    image.save("cat.png")
    Path("walk.mp4").write_bytes(BIG_BUCK_BUNNY.read_bytes())
    Path("sub.png").mkdir()
    Path("sub").mkdir()
    Path("link.png").symlink_to("cat.png")
    Path("loop.png").symlink_to("loop.png")
    Path("lost.png").symlink_to("gone/cat.png")
    Path("here").symlink_to(".")
    os.link("cat.png", "hard.png")
    return tmp_path


@pytest.mark.parametrize(
    ("image", "output"),
    [
        ("cat.png", "cat.png"),
        ("cat.png", "./sub/../cat.png"),
        ("cat.png", "{folder}/cat.png"),
        ("cat.png", "here/cat.png"),
        ("cat.png", "link.png"),
        ("link.png", "cat.png"),
        ("cat.png", "hard.png"),
        ("file://{folder}/cat.png", "cat.png"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_input_is_never_overwritten(
    image: str, output: str, run: Run, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    before = Path("cat.png").read_bytes()
    image, output = image.format(folder=tmp_path), output.format(folder=tmp_path)
    done = run("locate", image, "red", "-o", output)

    assert (done.returncode, done.stdout) == (4, "")
    assert "is an input of this command" in done.stderr
    assert Path("cat.png").read_bytes() == before
    assert not qwen_vl_sandbox.requests


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Standard input is redirected by a fork.")
@pytest.mark.slow
def test_redirected_input_is_never_overwritten(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue("run_afresh")
    done = run("locate", "-", "red", "--sandbox", "-o", "cat.png", stdin=folder / "cat.png")

    assert done.returncode == 4
    assert "is an input of this command" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "out.jpg"], 4, "must be a .png file"),
        (["-o", "out"], 4, "must be a .png file"),
        (["-o", ""], 4, "must be a .png file"),
        (["-o", "none/out.png"], 4, "no folder 'none'"),
        (["-o", "cat.png/out.png"], 4, "cannot be written"),
        (["-o", "sub.png"], 4, "it is a folder"),
        (["-o", "loop.png"], 4, "cannot be written"),
        (["-o", "lost.png"], 4, "cannot be written"),
        (["-o", f"{'x' * 300}.png"], 4, "cannot be written"),
        (["-o", "out.png", "--font", "nowhere.ttf"], 4, "'nowhere.ttf' cannot be read"),
        (["-o", "-", "--json"], 2, "exclude each other on standard output"),
        (["--size", "big"], 4, "640x480"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_output_is_checked_before_anything_is_asked(
    arguments: list[str], code: int, words: str, run: Run, qwen_vl_sandbox: Sandbox
) -> None:
    before = set(Path().iterdir())
    done = run("locate", "cat.png", "red", *arguments)

    assert done.returncode == code, done.stderr
    assert words in (done.stderr + done.stdout)
    assert set(Path().iterdir()) == before
    assert not qwen_vl_sandbox.requests


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--vtt", "out.srt"], 4, "--vtt: 'out.srt' must be a .vtt file"),
        (["--srt", "out.vtt"], 4, "--srt: 'out.vtt' must be a .srt file"),
        (["--csv", "none/out.csv"], 4, "no folder"),
        (["--csv", "-", "--vtt", "-"], 2, "--vtt and --csv exclude each other"),
        (["--csv", "-", "--json"], 2, "exclude each other"),
        (["--vtt", "a.vtt", "--srt", "b.srt"], 2, "--vtt and --srt name the same file"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_outputs_of_a_timeline_are_checked(
    arguments: list[str], code: int, words: str, run: Run, qwen_vl_sandbox: Sandbox
) -> None:
    Path("b.srt").symlink_to("here/a.vtt")
    done = run("timeline", "walk.mp4", *arguments)

    assert done.returncode == code, done.stderr
    assert words in " ".join((done.stderr + done.stdout).split())
    assert not Path("a.vtt").exists()
    assert not qwen_vl_sandbox.requests


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("av", ["-o", "out.png"], "video"),
        ("webvtt", ["--vtt", "out.vtt"], "subtitles"),
        ("webvtt", ["--srt", "-"], "subtitles"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_extra_is_checked_before_anything_is_asked(
    missing: str,
    arguments: list[str],
    extra: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    qwen_vl_sandbox: Sandbox,
) -> None:
    # What cannot be imported, or found, stands in for a package that is not installed.
    monkeypatch.setitem(sys.modules, missing, None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    done = run("timeline", "walk.mp4", *arguments)

    assert (done.returncode, done.stdout) == (4, "")
    assert f'pip install "qwen-vl[{extra}]"' in done.stderr
    assert not qwen_vl_sandbox.requests


@pytest.mark.usefixtures("folder")
def test_image_goes_to_standard_output_and_nothing_else(run: Run) -> None:
    done = run("locate", "cat.png", "red", "-o", "-")

    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout.encode("utf-8", "surrogateescape"))) as drawn:
        drawn.load()
        assert (drawn.format, drawn.size) == ("PNG", (64, 48))
    assert done.stderr.split() == ["Label", "x1", "y1", "x2", "y2", "red", "8", "8", "24", "24"]


@pytest.mark.usefixtures("folder")
def test_image_comes_from_standard_input(run: Run) -> None:
    done = run("locate", "-", "red", "-o", "out.png", stdin=Path("cat.png"))

    assert done.returncode == 0, done.stderr
    assert Path("out.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("option", "start"), [("--vtt", "WEBVTT\n"), ("--srt", "1\n"), ("--csv", "start,end,event\n")]
)
@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_text_goes_to_standard_output_and_nothing_else(option: str, start: str, run: Run) -> None:
    done = run("timeline", "-", option, "-", stdin=Path("walk.mp4"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\r\n", "\n").startswith(start)
    # The table has a column for the event, and stands elsewhere.
    assert "From" not in done.stdout
    assert "From" in done.stderr


@pytest.mark.usefixtures("folder")
def test_output_that_is_there_is_replaced(run: Run) -> None:
    Path("out.png").write_bytes(b"of an earlier run")
    done = run("locate", "cat.png", "red", "-o", "out.png")

    assert done.returncode == 0, done.stderr
    assert Path("out.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("folder")
def test_json_is_an_error_too(run: Run) -> None:
    done = run("locate", "cat.png", "red", "-o", "cat.png", "--json")

    assert (done.returncode, done.stderr) == (4, "")
    assert json.loads(done.stdout)["error"]["type"] == "ConfigurationError"
