"""The commands for places and times, run as a user runs them."""

import json
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
import webvtt
from PIL import Image

from qwen_vl.grounding.drawing.labels import PALETTE

# Images and videos are made, sent and drawn on.
pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    image = Image.new("RGB", (640, 480), "white")
    image.paste("red", (64, 48, 192, 240))
    image.paste("blue", (320, 96, 512, 192))
    image.save(tmp_path / "shapes.png")
    return tmp_path / "shapes.png"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Four seconds of red, then four of blue."""
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for color in ("red", "blue"):
            for _ in range(40):
                frame = av.VideoFrame.from_image(Image.new("RGB", (160, 120), color))
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return tmp_path / "film.mp4"


def test_locate_prints_and_draws(run: Run, shapes: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    done = run("locate", shapes, "red and blue boxes", "--sandbox", "-o", output)

    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["Label", "x1", "y1", "x2", "y2"],
        ["red", "64", "48", "192", "240"],
        ["blue", "320", "96", "512", "192"],
    ]
    with Image.open(output) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (640, 480))
        assert drawn.getpixel((64, 140)) == PALETTE[0]
        assert drawn.getpixel((511, 140)) == PALETTE[1]


def test_locate_prints_one_json_object(run: Run, shapes: Path) -> None:
    done = run("locate", shapes, "red", "--sandbox", "--json", "--points")

    found = json.loads(done.stdout)
    assert found["points"] == [{"label": "red", "xy": [128, 144]}]
    assert (found["width"], found["height"]) == (640, 480)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["{shapes}", "red", "-o", "out.jpg"], 4, "out.jpg"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (["{shapes}", "red", "-o", "{folder}/none/out.png"], 4, "cannot be written"),
                (["https://e.org/a.png", "red"], 3, "size="),
                (["https://e.org/a.png", "red", "--size", "big"], 4, "640x480"),
                (["https://e.org/a.png", "red", "-o", "out.png"], 4, "not fetched"),
                (["nowhere.png", "red"], 3, "nowhere.png"),
                (["{shapes}", ""], 4, "nothing to look for"),
                (["{shapes}", "red", "--prompt", "Where?"], 4, "{what}"),
            )
        ),
    ],
)
def test_locate_tells_what_is_wrong(
    run: Run, shapes: Path, arguments: list[str], code: int, problem: str
) -> None:
    names = {"{shapes}": str(shapes), "{folder}": str(shapes.parent)}
    values = [
        argument.replace("{folder}", names["{folder}"]).replace("{shapes}", names["{shapes}"])
        for argument in arguments
    ]
    done = run("locate", *values, "--sandbox")

    assert done.returncode == code
    assert problem in done.stderr


def test_timeline_prints_draws_and_writes(run: Run, film: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("png", "vtt", "srt", "csv")}
    writing = ("--vtt", files["vtt"], "--srt", files["srt"], "--csv", files["csv"])
    done = run("timeline", film, "--sandbox", "-o", files["png"], *writing)

    assert done.returncode == 0, done.stderr
    assert "scene 2" in done.stdout
    cues = webvtt.read(str(files["vtt"]))
    assert [cue.start_in_seconds for cue in cues] == pytest.approx([0, 4], abs=8 / 15)
    assert files["srt"].read_text().startswith("1\n00:00:00,000 --> ")
    assert files["csv"].read_text().startswith("start,end,event\n")
    with Image.open(files["png"]) as drawn:
        assert drawn.format == "PNG"
        middles = [drawn.getpixel((x, 150)) for x in (170, 486)]
    assert [max(range(3), key=middle.__getitem__) for middle in middles] == [0, 2]


@pytest.mark.slow
def test_timeline_of_a_part_as_json(run: Run, film: Path) -> None:
    cut = ("--start", "2", "--end", "8", "--fps", "2", "--video-mode", "frames")
    done = run("timeline", film, "what happens", *cut, "--sandbox", "--json")

    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert [event["start"] for event in made["events"]] == pytest.approx([2, 4], abs=0.6)
    assert made["seconds"] == 8
