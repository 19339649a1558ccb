"""Animated images: as a video their frames with their times, as an image the first frame."""

import base64
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage, TextBlock
from PIL import Image as PillowImage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, video_block
from qwen_vl import count_tokens
from qwen_vl.content import Frames, Image, Inline, Pixels, Source, Turn, Video
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media import prepare_media
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.video import animation
from qwen_vl.media.video.animation import open_animation
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.servers import Server
from qwen_vl_sandbox import Sandbox

KINDS = ("GIF", "PNG", "WEBP", "AVIF")
SIZE = (64, 48)
WHERE = "messages[0].content[0]"


def written(kind: str, durations: Any, **options: Any) -> bytes:
    """An animation whose frames are each a little lighter than the last."""
    n_frames = len(durations)
    shades = [240 * number // max(1, n_frames - 1) for number in range(n_frames)]
    frames = [PillowImage.new("RGB", SIZE, (shade,) * 3) for shade in shades]
    if kind in {"WEBP", "AVIF"}:
        options.setdefault("quality", 100)
    file = io.BytesIO()
    frames[0].save(
        file, kind, save_all=True, append_images=frames[1:], duration=durations, **options
    )
    return file.getvalue()


def prepared(part: Image | Video, server: Server = "dashscope", **policy: Any) -> Any:
    turn = Turn(role="user", parts=(part,))
    model = "qwen3-vl-plus" if server == "dashscope" else "Qwen/Qwen3-VL-8B-Instruct"
    request = Request(model=model, turns=(turn,), policy=MediaPolicy(**policy), server=server)
    return prepare_media(request).turns[0].parts[0]


def shades(video: Any) -> list[int]:
    """The frames that were sent, as numbers of a twelfth of all shades."""
    assert isinstance(video.source, Frames)
    pixels = (opened(frame).convert("L").getpixel((9, 9)) for frame in video.source.frames)
    return [round(shade / 240 * 11) for shade in pixels]  # type: ignore[operator]  # In L.


def opened(source: Any) -> PillowImage.Image:
    return PillowImage.open(io.BytesIO(read_data_url(source)))


@pytest.mark.parametrize("mode", ["auto", "frames"])
@pytest.mark.parametrize("server", ["dashscope", "vllm"])
@pytest.mark.parametrize("kind", KINDS)
def test_video_is_sent_as_its_frames(kind: str, server: Any, mode: Any) -> None:
    data = written(kind, [500] * 12)
    part = Video(source=Inline(data), where=WHERE)
    video = prepared(part, server, video_mode=mode)
    # Two frames per second of six seconds, each of which stands for half a second.
    assert shades(video) == list(range(12))
    assert video.fps == pytest.approx(2)
    assert prepared(Video(source=Inline(data), start=2, end=5, where=WHERE)).source.frames


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_that_are_shown_at_their_times(kind: str) -> None:
    uneven = [100] * 6 + [5_000] + [100] * 5
    video = prepared(Video(source=Inline(written(kind, uneven)), fps=1, where=WHERE))
    shown = shades(video)
    assert (shown[0], shown[-1]) == (0, 11)
    assert shown[1:-1] == [6] * (len(shown) - 2)


def test_few_frames_are_taken_more_than_once() -> None:
    data = written("GIF", [1_000, 1_000])
    video = prepared(Video(source=Inline(data), where=WHERE))
    assert shades(video) == [0, 0, 11, 11]


def test_frames_without_a_duration_are_shown_as_browsers_do() -> None:
    data = written("GIF", [0] * 12)
    video = prepared(Video(source=Inline(data), fps=10, where=WHERE))
    assert shades(video) == list(range(12))
    assert video.fps == pytest.approx(10)


@pytest.mark.parametrize("kind", KINDS)
def test_video_is_counted_as_it_is_sent(kind: str) -> None:
    data = written(kind, [500] * 12)
    sent = prepared(Video(source=Inline(data), where=WHERE))
    assert count_tokens(Video(source=Inline(data)), "qwen3-vl-plus") == count_tokens(
        sent, "qwen3-vl-plus"
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_still_image_is_not_a_video(kind: str) -> None:
    file = io.BytesIO()
    PillowImage.new("RGB", SIZE).save(file, kind)
    with pytest.raises(MediaFormatError, match=r"not animated.*Pass it as an image"):
        prepared(Video(source=Inline(file.getvalue()), where=WHERE))


def test_number_of_frames_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written("GIF", [100] * 6)
    monkeypatch.setattr(animation, "MAX_ANIMATION_FRAMES", 6)
    assert len(shades(prepared(Video(source=Inline(data=data), where=WHERE)))) >= 4
    monkeypatch.setattr(animation, "MAX_ANIMATION_FRAMES", 5)
    with pytest.raises(MediaTooLargeError, match=r"has 6 frames; at most 5 are read") as caught:
        prepared(Video(source=Inline(data=data), where=WHERE))
    assert (caught.value.value, caught.value.limit) == (6, 5)


def test_whole_file_is_refused_with_a_remedy() -> None:
    data = written("GIF", [500] * 12)
    with pytest.raises(MediaFormatError, match='video_mode="auto"'):
        prepared(Video(source=Inline(data), video_mode="inline", where=WHERE))


@pytest.mark.parametrize("form", ["file", "Pillow"])
@pytest.mark.parametrize("kind", KINDS)
def test_image_is_the_first_frame_with_a_warning(kind: str, form: str) -> None:
    data = written(kind, [100] * 12)
    image = PillowImage.open(io.BytesIO(data))
    source: Source = Inline(data) if form == "file" else Pixels(image)
    with pytest.warns(UserWarning, match=r"content\[0\]: the image is animated.*as a video"):
        part = prepared(Image(source=source, where=WHERE))
    sent = opened(part.source)
    assert not getattr(sent, "is_animated", False)
    assert sent.convert("L").getpixel((9, 9)) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_animation_that_pillow_opened_is_a_video(kind: str, at: int) -> None:
    image = PillowImage.open(io.BytesIO(written(kind, [500] * 11 + [250])))
    image.seek(at)
    part = Video(source=Pixels(image), where=WHERE)
    video = prepared(part)
    assert (shades(video)[0], shades(video)[-1]) == (0, 11)
    assert len(video.source.frames) in {10, 11, 12}
    assert image.tell() == at
    assert count_tokens(part, "qwen3-vl-plus") == count_tokens(video, "qwen3-vl-plus")
    with pytest.raises(MediaFormatError, match='video_mode="auto"'):
        prepared(replace(part, video_mode="inline"))


def test_still_image_that_pillow_opened_is_not_a_video() -> None:
    with pytest.raises(MediaFormatError, match="Pass it as an image"):
        prepared(Video(source=Pixels(PillowImage.new("RGB", SIZE)), where=WHERE))


def test_first_frame_is_warned_of_each_time(tmp_path: Path, chat: ChatQwenVL) -> None:
    path = tmp_path / "steps.gif"
    path.write_bytes(written("GIF", [100] * 12))
    # Older than what a cache may know by the time of the file.
    os.utime(path, (1_000_000_000, 1_000_000_000))
    for image in (path, path.read_bytes(), PillowImage.open(io.BytesIO(path.read_bytes()))):
        for _ in range(2):
            with pytest.warns(UserWarning, match="its first frame is sent"):
                chat.invoke([HumanMessage([{"type": "image", "image": image}])])


def test_frame_that_the_program_chose_is_sent() -> None:
    image = PillowImage.open(io.BytesIO(written("GIF", [100] * 12)))
    image.seek(11)
    part = prepared(Image(source=Pixels(image), where=WHERE))
    assert opened(part.source).convert("L").getpixel((9, 9)) == 240
    assert image.tell() == 11


FORMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "bytes": lambda path: {"type": "video", "video": path.read_bytes()},
    "path": lambda path: {"type": "video", "video": path},
    "Base64": lambda path: {
        "type": "video",
        "base64": base64.b64encode(path.read_bytes()).decode(),
        "mime_type": "image/gif",
    },
    "open file": lambda path: {"type": "video", "video": io.BytesIO(path.read_bytes())},
    "Pillow": lambda path: {
        "type": "video",
        "video": PillowImage.open(io.BytesIO(path.read_bytes())),
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_blocks_of_langchain(
    name: str, tmp_path: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "steps.gif"
    path.write_bytes(written("GIF", [500] * 12))
    answer = chat.invoke([HumanMessage([FORMS[name](path), "What happens?"])])
    assert "12 frames sent" in answer.text


@pytest.mark.parametrize("form", ["path", "bytes", "Pillow"])
def test_blocks_of_llama_index(tmp_path: Path, qwen_vl_sandbox: Sandbox, form: str) -> None:
    path = tmp_path / "steps.gif"
    path.write_bytes(written("GIF", [500] * 12))
    forms = {"path": path, "bytes": path.read_bytes()}
    video = forms.get(form) or PillowImage.open(io.BytesIO(path.read_bytes()))
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    answer = llm.chat([ChatMessage([video_block(video), TextBlock(text="What happens?")])])
    assert "12 frames sent" in str(answer)


@pytest.mark.parametrize(("stated", "seconds"), [(0, 0.1), (10, 0.1), (11, 0.011), (20, 0.02)])
def test_frames_of_ten_milliseconds_or_less_last_a_tenth_of_a_second(
    stated: int, seconds: float
) -> None:
    # As browsers show them.
    file = io.BytesIO(written("PNG", [stated] * 4))
    with open_animation(file, "") as (animation, _):
        assert animation.seconds == pytest.approx(4 * seconds)
