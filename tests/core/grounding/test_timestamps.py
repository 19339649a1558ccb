"""Frames that are not evenly spaced: what is sent of their times, and how answers are dated."""

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl import frames_block as langchain_frames_block
from llama_index.llms.qwen_vl import QwenVL, frames_block
from qwen_vl.content import Frames, Pixels, Video
from qwen_vl.errors import MediaOptionError
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

FRAMES = [Image.new("RGB", (64, 64), (number * 40, 0, 0)) for number in range(6)]
TIMES = [0.0, 1.2, 1.5, 9.0, 30.5, 61.0]
# Five steps in 61 seconds are 0.082 a second; servers take 0.1 at least.
FPS = 0.1
WARNING = r"The model dates frame i to i / 0\.1 seconds"


def make(cls: Any, sandbox: Sandbox) -> Any:
    return cls(base_url=sandbox.base_url, api_key="sk-sandbox")


def sent(sandbox: Sandbox) -> dict[str, Any]:
    part = sandbox.last_request.json["messages"][-1]["content"][0]
    assert isinstance(part, dict)
    return part


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
@pytest.mark.parametrize("form", ["option", "video"])
def test_timeline_dates_events_by_the_frames(cls: Any, form: str, qwen_vl_sandbox: Sandbox) -> None:
    # Frame 3, between frames 3 and 4, and the last one, as the model dates them.
    events = [
        {"start_time": "00:00:30", "end_time": "00:00:35", "event": "a"},
        {"start_time": "00:00:50", "end_time": "00:01:00", "event": "b"},
    ]
    qwen_vl_sandbox.script(json.dumps({"events": events}))
    model = make(cls, qwen_vl_sandbox)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if form == "option":
            found = model.timeline(FRAMES, timestamps=TIMES)
        else:
            frames = Frames(tuple(map(Pixels, FRAMES)))
            found = model.timeline(Video(source=frames, timestamps=TIMES))
    assert [(event.start, event.end) for event in found] == [(9.0, 19.75), (61.0, 61.0)]
    assert set(sent(qwen_vl_sandbox)) == {"type", "video", "fps"}
    assert sent(qwen_vl_sandbox)["fps"] == FPS


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "video": FRAMES, "timestamps": TIMES},
        {"type": "video", "video": FRAMES, "timestamps": np.array(TIMES)},
        {"type": "video", "video": FRAMES, "extras": {"timestamps": tuple(TIMES)}},
        langchain_frames_block(FRAMES, timestamps=TIMES),
    ],
)
def test_chat_warns_of_times_that_it_cannot_send(block: Any, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.warns(UserWarning, match=rf"^messages\[0\]\.content\[0\]: {WARNING}"):
        make(ChatQwenVL, qwen_vl_sandbox).invoke([HumanMessage([block, "When?"])])
    assert set(sent(qwen_vl_sandbox)) == {"type", "video", "fps"}


def test_llama_index_warns_too(qwen_vl_sandbox: Sandbox) -> None:
    message = ChatMessage([frames_block(FRAMES, timestamps=TIMES)])
    with pytest.warns(UserWarning, match=WARNING):
        make(QwenVL, qwen_vl_sandbox).chat([message])
    assert sent(qwen_vl_sandbox)["fps"] == FPS


def test_even_times_are_sent_as_they_are(qwen_vl_sandbox: Sandbox) -> None:
    block = {"type": "video", "video": FRAMES, "timestamps": [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(ChatQwenVL, qwen_vl_sandbox).invoke([HumanMessage([block])])
    assert sent(qwen_vl_sandbox)["fps"] == 2.0


@pytest.mark.parametrize("server", ["sglang", "llamacpp", "ollama"])
def test_times_are_told_where_frames_are_images(server: Any) -> None:
    with Sandbox(server=server) as sandbox:
        model = ChatQwenVL(
            model="Qwen/Qwen3-VL-8B", server=server, base_url=sandbox.base_url, api_key="x"
        )
        block = {"type": "video", "video": FRAMES, "timestamps": TIMES}
        model.invoke([HumanMessage([block])])
        label = sent(sandbox)["text"]
    assert label.endswith("taken at 0, 1.2, 1.5, 9, 30.5, 61 seconds, in order.")


def test_own_fps_takes_precedence(qwen_vl_sandbox: Sandbox) -> None:
    events = [{"start_time": "00:00:02", "end_time": "00:00:03", "event": "a"}]
    qwen_vl_sandbox.script(json.dumps({"events": events}))
    found = make(ChatQwenVL, qwen_vl_sandbox).timeline(FRAMES, timestamps=TIMES, fps=1)
    assert sent(qwen_vl_sandbox)["fps"] == 1
    assert [(event.start, event.end) for event in found] == [(1.5, 9.0)]


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (TIMES[:5], "5 timestamps for 6 frames"),
        ([*TIMES, 90.0], "7 timestamps for 6 frames"),
        ([], "0 timestamps for 6 frames"),
        ("0123456"[:6], "for 6 frames"),
        (5.0, "timestamps 5.0 for 6 frames"),
        ([0.0, 1.0, 1.0, 2.0, 3.0, 4.0], r"timestamps\[2\], 1, is not later"),
        ([0.0, 2.0, 1.0, 3.0, 4.0, 5.0], r"timestamps\[2\], 1, is not later"),
        ([-1.0, *TIMES[1:]], r"timestamps\[0\] is -1.0; it must be seconds from 0"),
        ([0.0, "1", *TIMES[2:]], r"timestamps\[1\] is '1'"),
        ([0.0, None, *TIMES[2:]], r"timestamps\[1\] is None"),
        ([*TIMES[:5], math.nan], r"timestamps\[5\] is nan"),
        ([*TIMES[:5], math.inf], r"timestamps\[5\] is inf"),
    ],
)
def test_wrong_timestamps_are_refused(times: Any, problem: str, qwen_vl_sandbox: Sandbox) -> None:
    model = make(ChatQwenVL, qwen_vl_sandbox)
    block = {"type": "video", "video": FRAMES, "timestamps": times}
    with pytest.raises(MediaOptionError, match=rf"^messages\[0\]\.content\[0\]: .*{problem}"):
        model.invoke([HumanMessage([block])])
    with pytest.raises(MediaOptionError, match=problem):
        model.timeline(FRAMES, timestamps=times)
    assert qwen_vl_sandbox.requests == []


def test_timestamps_beside_a_file_are_refused(qwen_vl_sandbox: Sandbox) -> None:
    block = {"type": "video", "video": BIG_BUCK_BUNNY, "timestamps": TIMES}
    with pytest.raises(MediaOptionError, match="this is a file"):
        make(ChatQwenVL, qwen_vl_sandbox).invoke([HumanMessage([block])])
