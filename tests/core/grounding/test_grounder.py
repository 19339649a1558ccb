"""Things located, and scenes dated, in media whose truth is known, all the way to an endpoint.

Images and videos are drawn here, so that each edge and each change is known; the sandbox measures
what reaches it, and answers in the coordinates of the model that it is asked as.
"""

import base64
import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.content import Image as ImagePart
from qwen_vl.content import LocalFile
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    CoordinateSpaceError,
    MediaAccessError,
    MediaError,
    MediaOptionError,
    TimestampError,
)
from qwen_vl.grounding.grounder import Grounder
from qwen_vl.grounding.prompts import BOXES_SCHEMA, POINTS_SCHEMA
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

# The frameworks' own tests are quick.
_slow = pytest.mark.slow

Ask = Callable[..., Any]


@lru_cache
def make_picture(size: tuple[int, int]) -> tuple[Image.Image, dict[str, tuple[int, ...]]]:
    """Draw three boxes on a ground of many greys, and tell where they are."""
    width, height = size
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    # None of them a whole number of thousandths, which models answer in.
    shares = {
        "red": (0.0714, 0.1135, 0.3376, 0.4117),
        "blue": (0.5235, 0.2074, 0.8716, 0.3595),
        "green": (0.3115, 0.6176, 0.9434, 0.9915),
    }
    boxes = {
        name: (round(x1 * width), round(y1 * height), round(x2 * width), round(y2 * height))
        for name, (x1, y1, x2, y2) in shares.items()
    }
    for name, box in boxes.items():
        image.paste({"green": "#00c000"}.get(name, name), box)
    return image, boxes


@pytest.fixture(
    params=[
        "core",
        pytest.param("langchain", marks=_slow),
        pytest.param("llama_index", marks=_slow),
    ]
)
def make_asker(
    request: pytest.FixtureRequest, qwen_vl_sandbox: Sandbox, speaking: dict[str, Any]
) -> Callable[..., Any]:
    """Make what has `locate` and `timeline`, of any of the three packages."""
    place = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox", **speaking}
    make: dict[str, Callable[..., Any]] = {
        "core": lambda **fields: Grounder(QwenVLSettings(**place, **fields)),
        "langchain": lambda **fields: ChatQwenVL(**place, **fields),
        "llama_index": lambda **fields: QwenVL(**place, **fields),
    }
    return make[request.param]


# The quick tests have one that the model enlarges; all are a minute's work.
SIZES = [
    (200, 150),
    pytest.param((451, 300), marks=_slow),
    pytest.param((1000, 1400), marks=_slow),
    pytest.param((1920, 1080), marks=_slow),
    pytest.param((2400, 1800), marks=_slow),
]
SPACES: list[tuple[str, dict[str, Any]]] = [
    ("qwen3-vl-plus", {}),
    ("qwen2.5-vl-72b-instruct", {}),
    (
        "qwen3-vl-plus",
        {"space": "sent", "prompt": "Detect {what}, as bbox coordinates in pixels, in JSON."},
    ),
]


@pytest.mark.parametrize("shrinks", [None, pytest.param(False, marks=_slow)])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize(("model", "options"), SPACES, ids=["normalized", "resized", "sent"])
def test_boxes_are_within_two_pixels(
    make_asker: Ask, model: str, options: Any, size: Any, shrinks: bool | None
) -> None:
    image, truth = make_picture(size)
    found = make_asker(model=model, downscale_images=shrinks).locate(
        image, "red, blue and green boxes", **options
    )
    assert {box.label for box in found.boxes} == set(truth)
    assert (found.width, found.height) == size
    for box in found.boxes:
        assert box.xyxy == pytest.approx(truth[box.label], abs=2)


@pytest.mark.openai_wire
def test_picture_that_is_shrunk_on_its_way(make_asker: Ask, qwen_vl_sandbox: Sandbox) -> None:
    image, truth = make_picture((2400, 1800))
    found = make_asker().locate(image, "red things")
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)
    content = qwen_vl_sandbox.last_request.json["messages"][-1]["content"]
    sent = base64.b64decode(content[0]["image_url"]["url"].partition(",")[2])
    with Image.open(io.BytesIO(sent)) as opened:
        # What the documented formula makes of 2400 x 1800.
        assert opened.size == (1856, 1376)


@pytest.mark.openai_wire
async def test_asynchronous_finds_the_same(make_asker: Ask) -> None:
    image, truth = make_picture((640, 480))
    grounder = make_asker()
    found = await grounder.alocate(image, "the red box")
    assert found == grounder.locate(image, "the red box")
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)


def test_points_are_asked_for(make_asker: Ask, qwen_vl_sandbox: Sandbox) -> None:
    image, truth = make_picture((640, 480))
    found = make_asker().locate(image, "红色的盒子", points=True)
    x1, y1, x2, y2 = truth["red"]
    (point,) = found.points
    assert (point.x, point.y) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=2)
    assert point.label == "红色"
    prompt = qwen_vl_sandbox.last_request.json["messages"][-1]["content"][-1]["text"]
    assert prompt == "以点的形式定位图中所有红色的盒子，以JSON格式输出其point坐标"


@pytest.mark.openai_wire
def test_prompt_of_the_guide_is_sent(make_asker: Ask, qwen_vl_sandbox: Sandbox) -> None:
    grounder = make_asker()
    image, _ = make_picture((64, 48))
    for what, prompt in (
        ("cats", "Detect all cats in the image and output their bbox coordinates in JSON format."),
        ("猫", "检测图中所有猫并以JSON格式输出其bbox的坐标"),
    ):
        assert len(grounder.locate(image, what)) == 0
        content = qwen_vl_sandbox.last_request.json["messages"][-1]["content"]
        assert content[-1] == {"type": "text", "text": prompt}
        assert "response_format" not in qwen_vl_sandbox.last_request.json


def test_task_of_an_ocr_model_does_not_get_in_the_way(
    make_asker: Ask, qwen_vl_sandbox: Sandbox
) -> None:
    image, truth = make_picture((640, 480))
    grounder = make_asker(model="qwen-vl-ocr", ocr_task="text_recognition")
    assert grounder.locate(image, "red things").boxes[0].xyxy == pytest.approx(truth["red"], abs=2)
    body = qwen_vl_sandbox.last_request.json
    assert len(body["messages"][-1]["content"]) == 2
    assert "ocr_options" not in str(body)


@pytest.mark.openai_wire
def test_model_with_a_schema_is_held_to_it(make_asker: Ask, qwen_vl_sandbox: Sandbox) -> None:
    image, truth = make_picture((640, 480))
    found = make_asker(model="qwen3.7-plus").locate(image, "red things")
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)
    assert found.text.startswith('{"objects":')
    sent = qwen_vl_sandbox.last_request.json["response_format"]["json_schema"]
    assert (sent["name"], sent["strict"]) == ("Boxes", True)


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("points", "name", "count"), [(False, "bbox_2d", 4), (True, "point_2d", 2)]
)
def test_schema_states_how_many_numbers_there_are(
    make_asker: Ask, qwen_vl_sandbox: Sandbox, points: bool, name: str, count: int
) -> None:
    image, _ = make_picture((640, 480))
    make_asker(model="qwen3.7-plus").locate(image, "red things", points=points)

    schema = qwen_vl_sandbox.last_request.json["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["objects"]["items"]["properties"][name] == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": count,
        "maxItems": count,
    }


@_slow
def test_own_servers_have_limits_of_their_own() -> None:
    # Where the hosted service looks at 1316 x 728, a self-hosted server looks at 1932 x 1092.
    image, truth = make_picture((1920, 1080))
    for server in ("vllm", "ollama"):
        with Sandbox(server=server) as sandbox:  # type: ignore[arg-type]
            for model in ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"):
                settings = QwenVLSettings(
                    model=model,
                    server=server,  # type: ignore[arg-type]
                    base_url=sandbox.base_url,
                )
                found = Grounder(settings).locate(image, "red things")
                assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)


@_slow
def test_pixel_limits_are_accounted_for(make_asker: Ask, tmp_path: Path) -> None:
    image, truth = make_picture((1920, 1080))
    image.save(tmp_path / "image.png")
    grounder = make_asker(model="qwen2.5-vl-72b-instruct")
    source = LocalFile(tmp_path / "image.png", is_trusted=True)
    part = ImagePart(source=source, max_pixels=3_000_000)
    found = grounder.locate(part, "red things")
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=1)
    found = grounder.locate(tmp_path / "image.png", "red things", max_pixels=400_000)
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)
    found = grounder.locate(tmp_path / "image.png", "red things", vl_high_resolution_images=True)
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=1)


@pytest.mark.openai_wire
def test_picture_may_come_in_many_forms(make_asker: Ask, tmp_path: Path) -> None:
    image, _ = make_picture((320, 240))
    path = tmp_path / "image.png"
    image.save(path)
    grounder = make_asker()
    first = grounder.locate(path, "red things")
    for form in (path.read_bytes(), path.open("rb"), image):
        assert grounder.locate(form, "red things") == first
        if isinstance(form, io.BufferedReader):
            form.close()


@pytest.mark.openai_wire
def test_turned_photograph_is_located_upright(make_asker: Ask) -> None:
    image, truth = make_picture((640, 480))
    exif = Image.Exif()
    # The camera was held so that its top was to the left: to be turned clockwise by a quarter.
    exif[0x0112] = 6
    buffer = io.BytesIO()
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.save(buffer, "JPEG", quality=95, subsampling=0, exif=exif)
    found = make_asker().locate(buffer.getvalue(), "red things")
    assert (found.width, found.height) == (640, 480)
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)


@pytest.mark.openai_wire
def test_picture_behind_an_address_needs_its_size(
    make_asker: Ask, qwen_vl_sandbox: Sandbox
) -> None:
    grounder = make_asker(model="qwen2.5-vl-72b-instruct")
    url = "https://example.com/cat.png"
    with pytest.raises(MediaOptionError, match="size="):
        grounder.locate(url, "cats")
    assert not qwen_vl_sandbox.requests
    qwen_vl_sandbox.script('{"bbox_2d": [658, 364, 1316, 728]}')
    found = grounder.locate(url, "cats", size=(1920, 1080))
    assert found.boxes[0].xyxy == (960, 540, 1920, 1080)


@pytest.mark.parametrize(
    "size", [(1, 2, 3), (640,), "big", 5, ("640", "480"), (0, 0), (float("nan"), 3)]
)
def test_size_that_is_none(make_asker: Ask, size: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"size is .* width and height"):
        make_asker().locate("https://example.com/cats.png", "cats", size=size)


@pytest.mark.parametrize("seconds", ["10", 0, -5, float("nan"), (1, 2)])
def test_length_that_is_none(make_asker: Ask, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"seconds is .* above 0"):
        make_asker().timeline("https://example.com/cats.mp4", "cats", seconds=seconds)


@pytest.mark.openai_wire
def test_nothing_is_read_or_sent_by_mistake(
    make_asker: Ask, qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    image, _ = make_picture((64, 48))
    image.save(tmp_path / "image.png")
    grounder = make_asker()
    with pytest.raises(MediaAccessError, match="media_roots"):
        grounder.locate(str(tmp_path / "image.png"), "red things")
    with pytest.raises(MediaAccessError, match="media_roots"):
        grounder.timeline(str(tmp_path / "image.png"))
    for wrong in (5, None, "data:image/png;base64,aaaa", b"nothing", io.StringIO("text")):
        with pytest.raises(MediaError):
            grounder.locate(wrong, "red things")
        with pytest.raises(MediaError):
            grounder.timeline(wrong)
    for what, options in (("", {}), ("  ", {}), (None, {}), ("x", {"prompt": "Where is it?"})):
        with pytest.raises(ConfigurationError):
            grounder.locate(image, what, **options)
    with pytest.raises(ConfigurationError, match="space"):
        grounder.locate(image, "red things", space="pixels")
    assert not qwen_vl_sandbox.requests


@pytest.mark.openai_wire
def test_odd_answers_are_results_or_errors_with_the_text(
    make_asker: Ask, qwen_vl_sandbox: Sandbox
) -> None:
    grounder = make_asker()
    image, _ = make_picture((1000, 500))
    cut = '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "cat"}, {"bbox'
    qwen_vl_sandbox.script(ScriptedAnswer(text=cut, finish_reason="length"))
    found = grounder.locate(image, "cats")
    assert (found.boxes[0].xyxy, found.is_cut_off) == ((100, 100, 300, 200), True)
    qwen_vl_sandbox.script("I see no cat.")
    with pytest.raises(AnswerFormatError) as caught:
        grounder.locate(image, "cats")
    assert caught.value.text == "I see no cat."
    qwen_vl_sandbox.script('{"bbox_2d": [100, 200, 3000, 400]}')
    with pytest.raises(CoordinateSpaceError, match="0 to 1000"):
        grounder.locate(image, "cats")


def test_size_that_the_service_tells_counts(qwen_vl_sandbox: Sandbox) -> None:
    settings = QwenVLSettings(
        model="qwen2.5-vl-72b-instruct",
        protocol="native",
        base_url=qwen_vl_sandbox.base_url,
        api_key="sk-sandbox",  # type: ignore[arg-type]
    )
    image, truth = make_picture((1920, 1080))
    found = Grounder(settings).locate(image, "red things", vl_enable_image_hw_output=True)
    assert found.boxes[0].xyxy == pytest.approx(truth["red"], abs=2)


# A video of 12 seconds at 10 frames a second; scenes change at these times.
CHANGES = (0.0, 3.0, 5.5, 9.0)
LENGTH, RATE = 12.0, 10
COLORS = ("#c03030", "#3030c0", "#30c030", "#c0c030")


def color_at(time: float) -> str:
    return COLORS[max(n for n, change in enumerate(CHANGES) if time >= change - 1e-6)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(int(LENGTH * RATE)):
            image = Image.new("RGB", (160, 120), color_at(number / RATE))
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


def check_scenes(timeline: Any, changes: Any, *, end: float, interval: float) -> None:
    assert [event.start for event in timeline] == pytest.approx(changes, abs=interval)
    assert [event.end for event in timeline] == pytest.approx([*changes[1:], end], abs=interval)
    assert timeline.interval == pytest.approx(interval, rel=0.05)


@pytest.mark.parametrize(
    "fps", [0.5, pytest.param(1, marks=_slow), pytest.param(5, marks=_slow), 2]
)
@pytest.mark.parametrize("video_mode", ["inline", "frames"])
def test_scenes_of_a_file(make_asker: Ask, film: Path, video_mode: str, fps: float) -> None:
    timeline = make_asker().timeline(film, fps=fps, video_mode=video_mode)
    interval = (LENGTH - 1 / RATE) / (LENGTH * fps - 1)
    check_scenes(timeline, CHANGES, end=LENGTH, interval=interval)
    assert timeline.seconds == LENGTH
    assert timeline.events[1].text.startswith("scene 2, mean color #")


@pytest.mark.parametrize("fps", [pytest.param(1, marks=_slow), 2])
def test_scenes_of_a_list_of_frames(make_asker: Ask, fps: int) -> None:
    frames = [Image.new("RGB", (160, 120), color_at(number / fps)) for number in range(12 * fps)]
    timeline = make_asker().timeline(frames, "the scenes", fps=fps)
    check_scenes(timeline, CHANGES, end=LENGTH, interval=1 / fps)


@_slow
@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("seconds", "max_frames"), [(45, 4), (60, 4), (60, 5), (80, 6), (120, 4), (120, 8), (600, 12)]
)
def test_times_that_are_corrected_are_not_warned_of(
    make_asker: Ask, tmp_path: Path, seconds: int, max_frames: int
) -> None:
    path = tmp_path / "slow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(1))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(seconds):
            color = COLORS[0] if 2 * number < seconds else COLORS[1]
            container.mux(
                stream.encode(av.VideoFrame.from_image(Image.new("RGB", (160, 120), color)))
            )
        container.mux(stream.encode())
    # Fewer frames than the service's lowest fps, 0.1, allows. Warnings are errors here.
    timeline = make_asker().timeline(path, max_frames=max_frames, video_mode="frames")
    # The second color is seen from the first frame on that is not in the first half.
    n_frames = max_frames // 2 * 2  # Qwen processes pairs of frames.
    step = (seconds - 1) / (n_frames - 1)
    change = next(n * step for n in range(n_frames) if 2 * n * step >= seconds - 1)
    assert [event.start for event in timeline] == pytest.approx([0, change], abs=0.5)
    assert [event.end for event in timeline] == pytest.approx([change, seconds], abs=0.5)
    assert timeline.seconds == seconds


@pytest.mark.openai_wire
def test_scenes_of_a_part_count_from_the_whole_videos_beginning(
    make_asker: Ask, film: Path
) -> None:
    timeline = make_asker().timeline(film, fps=2, start=2.0, end=10.0)
    interval = 7.9 / 15
    check_scenes(timeline, (2.0, 3.0, 5.5, 9.0), end=10.0, interval=interval)


@pytest.mark.openai_wire
async def test_asynchronous_dates_the_same(make_asker: Ask, film: Path) -> None:
    grounder = make_asker()
    assert await grounder.atimeline(film, fps=1) == grounder.timeline(film, fps=1)


@pytest.mark.openai_wire
def test_prompt_of_the_video_guide_is_sent(
    make_asker: Ask, qwen_vl_sandbox: Sandbox, film: Path
) -> None:
    make_asker().timeline(film, "人物的一系列动作")
    prompt = qwen_vl_sandbox.last_request.json["messages"][-1]["content"][-1]["text"]
    assert prompt == (
        "请你描述下视频中的人物的一系列动作，以JSON格式输出开始时间（start_time）、"
        "结束时间（end_time）、事件（event），请使用HH:mm:ss表示时间戳。"
    )


@pytest.mark.openai_wire
def test_timeline_is_held_to_a_schema(make_asker: Ask, film: Path) -> None:
    timeline = make_asker(model="qwen3.7-plus").timeline(film, fps=2)
    check_scenes(timeline, CHANGES, end=LENGTH, interval=11.9 / 23)
    assert timeline.text.startswith('{"events":')


@pytest.fixture
def ollama() -> Iterator[Sandbox]:
    with Sandbox(server="ollama") as sandbox:
        yield sandbox


def test_servers_that_take_frames_as_pictures_are_told_when_they_were_taken(
    ollama: Sandbox, film: Path
) -> None:
    settings = QwenVLSettings(model="qwen3-vl:8b", server="ollama", base_url=ollama.base_url, fps=1)
    ollama.script('{"events": [{"start_time": "00:00:03", "end_time": "00:00:04"}]}')
    timeline = Grounder(settings).timeline(film, "blue")
    assert timeline.events[0].start == 3
    text = ollama.last_request.json["messages"][-1]["content"][-1]["text"]
    assert text.endswith(
        "The pictures are frames of one video, taken every 1.08182 seconds from second 0 on."
    )


@pytest.mark.openai_wire
def test_times_beyond_the_video_are_told(
    make_asker: Ask, qwen_vl_sandbox: Sandbox, film: Path
) -> None:
    late = '[{"start_time": "00:00:30", "end_time": "00:00:40", "event": "x"}]'
    qwen_vl_sandbox.script(late)
    with pytest.raises(TimestampError, match=r"12\.0 s") as caught:
        make_asker().timeline(film)
    assert caught.value.text == late
    url = "https://example.com/a.mp4"
    qwen_vl_sandbox.script(late)
    assert make_asker().timeline(url).events[0].start == 30
    qwen_vl_sandbox.script(late)
    with pytest.raises(TimestampError):
        make_asker().timeline(url, seconds=20)


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 50 minutes, a frame a second, whose scenes change at minutes 20 and 40."""
    path = tmp_path_factory.mktemp("films") / "lecture.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(1))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        images = [Image.new("RGB", (64, 64), color) for color in COLORS]
        for second in range(3_000):
            frame = av.VideoFrame.from_image(images[second // 1_200])
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@_slow
def test_frames_farther_apart_than_the_service_can_be_told_are_dated_rightly(
    make_asker: Ask, lecture: Path
) -> None:
    # 60 frames are 51 seconds apart, and no fps says less than one in ten seconds.
    timeline = make_asker().timeline(lecture, max_frames=60, video_mode="frames")
    check_scenes(timeline, (0, 1_200, 2_400), end=3_000, interval=2_999 / 59)


@pytest.mark.openai_wire
def test_scenes_of_an_uploaded_video(make_asker: Ask, film: Path, qwen_vl_sandbox: Sandbox) -> None:
    timeline = make_asker().timeline(film, fps=2, video_mode="upload")
    check_scenes(timeline, CHANGES, end=LENGTH, interval=11.9 / 23)
    assert len(qwen_vl_sandbox.uploads) == 1


def test_schemas_of_places() -> None:
    def schema(title: str, field: str, name: str, count: int) -> dict[str, Any]:
        numbers = {
            "type": "array",
            "items": {"type": "number"},
            "minItems": count,
            "maxItems": count,
        }
        entry = {
            "type": "object",
            "properties": {name: numbers, "label": {"type": "string"}},
            "required": [name, "label"],
            "additionalProperties": False,
        }
        return {
            "title": title,
            "type": "object",
            "properties": {field: {"type": "array", "items": entry}},
            "required": [field],
            "additionalProperties": False,
        }

    assert schema("Boxes", "objects", "bbox_2d", 4) == BOXES_SCHEMA
    assert schema("Points", "objects", "point_2d", 2) == POINTS_SCHEMA
