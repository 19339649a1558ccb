"""What is counted before sending, against what the sandbox counts of what it received.

The sandbox decodes what it is sent and applies the documented rules; a question without media is
subtracted on both sides, since its text is only estimated.
"""

import base64
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from qwen_vl.client import QwenVLClient
from qwen_vl.content import (
    Document,
    Frames,
    Image,
    Inline,
    LocalFile,
    Part,
    Pixels,
    Text,
    Turn,
    Video,
)
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.servers import Server
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl_sandbox import Sandbox

QWEN3, QWEN25 = "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"
MODELS = {"qwen3": QWEN3, "qwen2.5": QWEN25}
SELF_HOSTED: tuple[Server, ...] = ("vllm", "sglang", "llamacpp", "ollama")
BUNNY = LocalFile(BIG_BUCK_BUNNY, is_trusted=True)
QUESTION = Text(text="What is this?")


class RowClient:
    """Asks one server, and compares what it used with what was counted."""

    def __init__(self, sandbox: Sandbox, server: Server, **options: Any) -> None:
        self.sandbox = sandbox
        self._settings = QwenVLSettings(
            server=server, base_url=sandbox.base_url, api_key="sk-sandbox", **options
        )

    @cached_property
    def question(self) -> tuple[int, int]:
        """What the question without media uses, and what it is counted as."""
        return self._ask(()), self._count(())

    def used(self, parts: Sequence[Part]) -> int:
        return self._ask(parts) - self.question[0]

    def counted(self, parts: Sequence[Part]) -> int:
        return self._count(parts) - self.question[1]

    def check(self, *parts: Part, text: int = 0) -> int:
        """Return what was used, which is what was counted but for `text` tokens of labels."""
        with warnings.catch_warnings():
            # What cannot be sent is told elsewhere.
            warnings.filterwarnings("ignore", message=r".* does not read|.* applies here too")
            used, counted = self.used(parts), self.counted(parts)
        assert abs(counted - used) <= text
        return used

    def _request(self, parts: Sequence[Part]) -> Any:
        turn = Turn(role="user", parts=(*parts, QUESTION))
        return build_request(self._settings, [turn])

    def _ask(self, parts: Sequence[Part]) -> int:
        client = QwenVLClient(build_connection(self._settings))
        tokens = client.ask(self._request(parts)).usage.input_tokens
        assert tokens is not None
        return tokens

    def _count(self, parts: Sequence[Part]) -> int:
        request = self._request(parts)
        return count_tokens(
            request.turns,
            request.model,
            parameters=request.parameters,
            policy=request.policy,
            server=request.server,
            model_family=request.model_family,
        )


@contextmanager
def client(server: Server, **options: Any) -> Iterator[RowClient]:
    with Sandbox(server=server) as sandbox:
        yield RowClient(sandbox, server, **options)


def _noise(width: int, height: int, kind: str = "JPEG") -> Inline:
    file = io.BytesIO()
    Pillow.effect_noise((width, height), 30).convert("RGB").save(file, kind)
    return Inline(file.getvalue())


def _clip(
    times: Sequence[float], kind: str = "mp4", *, rate: float = 25, size: tuple[int, int] = (64, 48)
) -> Inline:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream("mpeg4", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            image = np.full((size[1], size[0], 3), number % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Inline(file.getvalue())


def _even(n_frames: int, rate: float) -> list[float]:
    return [number / rate for number in range(n_frames)]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("server", SELF_HOSTED)
def test_images_downscaled_here_count_as_they_are_sent(server: Server, model: str) -> None:
    limits = (5_000, 66_000, 70_000, 100_000, 200_000, 1_000_000)
    with client(server, model=MODELS[model]) as it:
        for max_pixels in limits:
            for size in ((320, 240), (90, 700), (64, 48)):
                it.check(Image(source=_noise(*size), max_pixels=max_pixels))
        # A flat image has fewer bytes before it is downscaled.
        flat = Pixels(Pillow.new("RGB", (900, 700), "red"))
        it.check(Image(source=flat, max_pixels=200_000))
        flat_file = io.BytesIO()
        Pillow.new("1", (900, 700)).save(flat_file, "PNG")
        it.check(Image(source=Inline(flat_file.getvalue()), max_pixels=200_000))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("server", SELF_HOSTED)
@pytest.mark.parametrize(
    "size",
    [
        (1_900, 29),
        pytest.param((29, 1_900), marks=pytest.mark.slow),
        pytest.param((1_900, 100), marks=pytest.mark.slow),
        (2_600, 13),
    ],
)
def test_thin_images_with_small_limits_count_as_they_are_sent(
    server: Server, model: str, size: tuple[int, int]
) -> None:
    if min(size) < 28 and model == "qwen2.5":
        pytest.skip("sides below 28 pixels are refused before sending")
    with client(server, model=MODELS[model]) as it:
        for max_pixels in (1_000, 3_000, 20_000):
            it.check(Image(source=_noise(*size, "PNG"), max_pixels=max_pixels))


@pytest.mark.slow
@pytest.mark.parametrize("server", SELF_HOSTED)
def test_image_within_the_limit_stays_within_it(server: Server) -> None:
    # 5,130 tokens without a limit.
    with client(server, model=QWEN3) as it:
        used = it.check(Image(source=_noise(2400, 1800), max_pixels=200_000))

    # 16 x 12 visual tokens of 512 x 384 pixels, and two markers.
    assert used == 16 * 12 + 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "size"),
    # What the model sees: of 12,845,056 pixels at most, and of 2,097,152.
    [("vllm", (3_920, 3_248)), ("ollama", (1_568, 1_316))],
)
def test_images_that_shall_be_downscaled_are_and_count_the_same(
    server: Server, size: tuple[int, int]
) -> None:
    image = Image(source=Pixels(Pillow.linear_gradient("L").resize((4_600, 3_800))))
    with client(server, model=QWEN25, downscale_images=True) as it:
        used = it.check(image)
        small = it.sandbox.requests[0].json["messages"][0]["content"][0]
    with client(server, model=QWEN25) as it:
        assert it.check(image) == used
        large = it.sandbox.requests[0].json["messages"][0]["content"][0]

    assert _size(small) == size
    assert _size(large) == (4_600, 3_800)


@pytest.mark.parametrize("model", MODELS)
def test_videos_with_limits_count_as_they_are_sent(model: str) -> None:
    even = _even(32, 8)
    with client("vllm", model=MODELS[model]) as it:
        source = _clip(even, rate=8, size=(320, 240))
        for options in (
            {"max_pixels": 50_176},
            {"min_pixels": 200_000},
            {"total_pixels": 200_000},
            {"fps": 1},
            {"fps": 0.5, "max_pixels": 100_000},
        ):
            for mode in ("inline", "frames"):
                it.check(Video(source=source, video_mode=mode, **options))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("server", SELF_HOSTED)
def test_videos_sampled_here_count_as_they_are_sent(server: Server, model: str) -> None:
    with client(server, model=MODELS[model]) as it:
        for size in ((64, 48), (320, 240), (34, 300)):
            source = _clip(_even(30, 10), rate=10, size=size)
            for options in ({}, {"fps": 4}, {"max_pixels": 30_000}, {"start": 1, "end": 2.9}):
                part = Video(source=source, video_mode="frames", **options)  # type: ignore[arg-type]
                # Of a label that tells the rate, where frames are sent as images.
                it.check(part, text=0 if server == "vllm" else 8)


def test_video_sampled_for_vllm_costs_what_the_file_costs() -> None:
    with client("vllm", model=QWEN3) as it:
        whole = it.check(Video(source=BUNNY, video_mode="inline"))
        sampled = it.check(Video(source=BUNNY, video_mode="frames"))

    assert whole == sampled == 5 * (880 + 8) + 2


def test_lists_of_frames_count_as_they_are_sent() -> None:
    image = _noise(96, 64)
    for model in (QWEN3, QWEN25):
        with client("vllm", model=model) as it:
            for n_frames, fps in ((2, None), (4, 1), (33, None), (40, 0.3), (5, 7)):
                frames = Frames((image,) * n_frames)
                it.check(Video(source=frames, fps=fps))
                it.check(Video(source=frames, fps=fps, max_pixels=3_000))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["matroska", "mp4", "avi", "mov"])
def test_frames_that_come_unevenly_are_counted(kind: str, model: str) -> None:
    few = [0, 0.1, 0.2, 0.3, 2, 4, 5]
    many = [number * 0.04 if number < 20 else number * 0.2 for number in range(40)]
    with client("vllm", model=MODELS[model]) as it:
        for times in (few, many):
            it.check(Video(source=_clip(times, kind), video_mode="inline"))
        it.check(Video(source=_clip(_even(367, 24), kind, rate=24), video_mode="inline"))


def test_few_frames_of_matroska_are_not_taken_for_many() -> None:
    with client("vllm", model=QWEN3) as it:
        source = _clip([0, 0.1, 0.2, 0.3, 2, 4, 5], "matroska", size=(128, 96))

        # Four of the seven, in pairs of 12 + 6 + 2, and two markers.
        assert it.check(Video(source=source, video_mode="inline")) == 2 * 20 + 2


def test_options_of_one_part_count_for_all_at_vllm() -> None:
    small, large = _noise(320, 240), _noise(640, 480)
    clip, frames = _clip(_even(32, 8), rate=8, size=(320, 240)), Frames((_noise(96, 64),) * 6)
    for model in (QWEN3, QWEN25):
        with client("vllm", model=model) as it:
            it.check(Image(source=small, max_pixels=100_000), Image(source=large))
            it.check(Image(source=large), Image(source=small, min_pixels=500_000))
            it.check(Video(source=clip, fps=1), Video(source=clip))
            it.check(Video(source=frames), Video(source=frames, fps=0.1))
            it.check(Image(source=large, max_pixels=100_000), Video(source=frames))


@pytest.mark.parametrize("kind", ["image", "frames"])
def test_options_that_contradict_each_other_are_refused_alike_at_vllm(kind: str) -> None:
    frames = Frames((_noise(96, 64),) * 6)
    if kind == "image":
        parts: Any = (
            Image(source=_noise(64, 48), min_pixels=900_000, where="first"),
            Image(source=_noise(64, 48), max_pixels=80_000, where="second"),
        )
    else:
        parts = (
            Video(source=frames, min_pixels=900_000, where="first"),
            Video(source=frames, max_pixels=80_000, where="second"),
        )
    with client("vllm", model=QWEN3) as it:
        for do in (it.used, it.counted):
            with pytest.raises(
                UnsupportedContentError, match=r"of first, and max_pixels is .* of s"
            ):
                do(parts)


def test_options_of_one_part_count_for_pages_at_vllm() -> None:
    page = _document()
    with client("vllm", model=QWEN3) as it:
        alone = it.check(page, text=3)
        shared = it.check(page, Image(source=_noise(640, 480), max_pixels=66_000), text=3)

    assert shared < alone


def _size(part: Any) -> tuple[int, int]:
    data = part["image_url"]["url"].partition(",")[2]
    return Pillow.open(io.BytesIO(base64.b64decode(data))).size


def _document() -> Document:
    file = io.BytesIO()
    Pillow.new("RGB", (800, 600), "white").save(file, "PDF", resolution=150)
    return Document(source=Inline(file.getvalue()))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen2.5-vl-72b-instruct"])
def test_limits_near_the_least_count_as_the_service_sees_them(model: str) -> None:
    with client("dashscope", model=model) as it:
        for max_pixels in range(66_000, 80_000, 2_600):
            for size in ((640, 480), (1_300, 90), (451, 300), (700, 701)):
                it.check(Image(source=_noise(*size), max_pixels=max_pixels))


def test_image_is_not_downscaled_below_what_the_service_would_enlarge() -> None:
    with client("dashscope", model="qwen3-vl-plus") as it:
        used = it.check(Image(source=_noise(640, 480), max_pixels=70_000))

    # The rule of the Vision page (2026-08) once: the sides divided by the root of 307,200 / 70,000.
    assert used == 9 * 7 + 2


def test_frames_count_as_the_service_sees_them() -> None:
    with client("dashscope", model="qwen3-vl-plus") as it:
        for size in ((64, 48), (320, 240)):
            source = _clip(_even(60, 10), rate=10, size=size)
            for options in ({}, {"max_pixels": 70_000}, {"total_pixels": 150_000}):
                it.check(Video(source=source, video_mode="frames", **options))
        frames = Frames((_noise(400, 300),) * 8)
        for max_pixels in (66_000, 70_000, 79_000):
            it.check(Video(source=frames, max_pixels=max_pixels))


def test_family_that_is_set_counts_where_the_name_does_not_tell() -> None:
    image = Image(source=LocalFile(CHELSEA, is_trusted=True))
    with client("vllm", model="my-vl", model_family="qwen2_5_vl") as it:
        counted = it.counted([image])
    with client("vllm", model=QWEN25) as it:
        assert it.check(image) == counted


def test_no_more_frames_are_counted_than_a_request_of_the_service_holds() -> None:
    source = _clip(_even(1_300, 10), rate=10)
    with client("dashscope", model="qwen3-vl-plus") as it:
        part = Video(source=source, video_mode="frames", fps=4)
        with pytest.warns(UserWarning, match=r"174 of 520 frames are taken"):
            used = it.used([part])

        assert it.counted([part]) == used


def test_frames_that_may_be_left_out_are_warned_of() -> None:
    source = _clip(_even(40, 10), rate=10, size=(320, 240))
    with client("vllm", model=QWEN25, max_total_inline_bytes=50_000) as it:
        part = Video(source=source, video_mode="frames", fps=10)
        words = r"frames may be left out to fit into .*; 1,982 tokens .* as few as 200"
        with pytest.warns(UserWarning, match=words):
            it.counted([part])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("server", ["dashscope", *SELF_HOSTED])
def test_text_counts_as_the_sandbox_does(server: Server, model: str) -> None:
    name = MODELS[model] if server != "dashscope" else "qwen3-vl-plus"
    with client(server, model=name) as it:
        assert it.question[0] == it.question[1]


@pytest.mark.parametrize(
    ("model", "tokens"),
    # What vLLM 0.32 reports for this text alone.
    [("Qwen/Qwen3-VL-8B-Instruct", 13), ("Qwen/Qwen2.5-VL-7B-Instruct", 24)],
)
def test_template_of_open_models_is_counted(model: str, tokens: int) -> None:
    question = Turn(role="user", parts=(Text(text="What is this?"),))
    assert count_tokens([question], model, server="vllm") == tokens
    # The model's own system message gives way to another.
    system = Turn(role="system", parts=(Text(text="What is this?"),))
    assert count_tokens([system, question], model, server="vllm") == 22
