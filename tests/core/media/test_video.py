"""Local videos of any size: which way they go, which frames are taken, and odd files."""

import base64
import io
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.content import (
    DataUrl,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Text,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    FrameCountError,
    MediaAccessError,
    MediaError,
    MediaFormatError,
    MediaOptionError,
    MediaTooLargeError,
    MissingExtraError,
    UnsupportedContentError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.encode import FRAME_JPEG_QUALITIES, encode_jpeg
from qwen_vl.media.video import container, cut, reader
from qwen_vl.media.video.frame_buffer import FrameBuffer
from qwen_vl.media.video.probe import Clip, probe
from qwen_vl.media.video.sampling import Span, make_schedule
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import get_model_spec
from qwen_vl.tokens.conversation import TokenCounter, count_tokens
from qwen_vl_sandbox import Sandbox

MODEL = "qwen3-vl-plus"
WHERE = "messages[0].content[0]"
FRAMES = MediaPolicy(video_mode="frames")


def _color(second: int) -> tuple[int, int, int]:
    """A color by which a frame tells its second."""
    return 40 + second % 6 * 40, 40 + second // 6 % 6 * 40, 60 + second // 36 * 120


def _second(color: Sequence[int]) -> int:
    distances = [
        sum(abs(a - b) for a, b in zip(color, _color(second), strict=True)) for second in range(72)
    ]
    assert min(distances) < 30, f"{color} is not a second's color"
    return distances.index(min(distances))


def _film(  # noqa: PLR0913 - each is what one test is about.
    path: Path,
    *,
    size: tuple[int, int] = (320, 180),
    rate: int = 10,
    seconds: float = 6,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    gop: int = 10,
    sound_seconds: float = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Film a plain color that changes every second."""
    if times is None:
        times = [number / rate for number in range(round(rate * seconds))]
    with av.open(str(path), "w", options=options or {}) as film:
        preset = {"preset": "ultrafast"} if codec == "libx264" else {}
        stream = film.add_stream(codec, rate=rate, options=preset)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, 1000 if codec == "libx264" else rate)
        sound = film.add_stream("aac", rate=8000) if sound_seconds else None
        shown, frame = -1, None
        for time in times:
            if int(time) != shown:
                shown = int(time)
                pixels = np.full((16, 16, 3), _color(shown), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                    *size, format="yuv420p"
                )
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
        if sound:
            _add_silence(film, sound, sound_seconds)
    return path


def _add_silence(film: Any, sound: Any, seconds: float) -> None:
    silence = av.AudioFrame.from_ndarray(
        np.zeros((1, round(8000 * seconds)), dtype=np.float32), format="fltp", layout="mono"
    )
    silence.sample_rate = 8000
    film.mux(sound.encode(silence))
    film.mux(sound.encode(None))


@pytest.fixture(scope="session")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute in 1080p, five frames a second, a key frame every five seconds."""
    path = tmp_path_factory.mktemp("video") / "minute.mp4"
    return _film(path, size=(1920, 1080), rate=5, seconds=60, gop=25)


def _file(path: Path) -> LocalFile:
    return LocalFile(path, is_trusted=True)


def _sent(video: Video, policy: MediaPolicy = FRAMES, model: str = MODEL) -> Any:
    turn = Turn(role="user", parts=(video,))
    return prepare_media(Request(model=model, turns=(turn,), policy=policy)).turns[0].parts[0]


def _images(video: Any) -> list[Any]:
    assert isinstance(video.source, Frames)
    files = [
        base64.b64decode(frame.url.removeprefix("data:image/jpeg;base64,"))
        for frame in video.source.frames
    ]
    return [Pillow.open(io.BytesIO(file)) for file in files]


def _seconds(video: Any) -> list[int]:
    images = _images(video)
    for image in images:
        # An eighth of each is enough, and decoded in less time.
        image.draft("RGB", (1, 1))
    return [_second(image.resize((1, 1)).getpixel((0, 0))) for image in images]


# Which frames


@pytest.mark.slow
def test_minute_gives_the_frames_of_the_worked_example(minute: Path) -> None:
    sent = _sent(Video(source=_file(minute), where=WHERE))
    images = _images(sent)

    assert len(images) == 120
    assert {image.size for image in images} == {(1056, 576)}
    assert {image.format for image in images} == {"JPEG"}
    # Every frame is of the second that its number and the fps say.
    assert _seconds(sent) == [round(n * 299 / 119) // 5 for n in range(120)]
    assert [int(n / sent.fps + 0.1) for n in range(120)] == _seconds(sent)


@pytest.mark.parametrize("fps", [0.1, 0.5, 1, 2, 3, 7])
@pytest.mark.parametrize(("seconds", "n_frames"), [(60.0, 1500), (5.28, 132), (7.5, 90), (4, 9)])
def test_frames_are_those_of_the_rule(fps: float, seconds: float, n_frames: int) -> None:
    clip = Clip(640, 360, seconds, n_frames)
    times = make_schedule(clip, Span(), fps=fps, max_frames=2000, where="").times
    rate = n_frames / seconds

    # As `torch.linspace(0, n_frames - 1, n).round()` in qwen-vl-utils.
    indices = [round(n * (n_frames - 1) / (len(times) - 1)) for n in range(len(times))]
    assert [round(time * rate) for time in times] == indices


@pytest.mark.slow
def test_span_begins_and_ends_where_it_is_told_to(minute: Path) -> None:
    sent = _sent(Video(source=_file(minute), start=30, end=40, fps=1, where=WHERE))

    assert _seconds(sent) == list(range(30, 40))
    assert sent.fps == pytest.approx(9 / 9.8, rel=1e-5)
    assert (sent.start, sent.end, sent.max_frames, sent.video_mode) == (None,) * 4


@pytest.mark.parametrize(("start", "end", "seconds"), [(57, None, 57), (None, 3, 0)])
def test_span_may_be_open_at_one_side(
    start: float | None, end: float | None, seconds: int, minute: Path
) -> None:
    sent = _sent(Video(source=_file(minute), start=start, end=end, where=WHERE))
    assert _seconds(sent) == [seconds + n // 2 for n in range(6)]


@pytest.mark.slow
def test_far_frames_are_sought_and_near_ones_decoded_through(
    minute: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []
    decode = reader.FrameReader._decode

    def count(self: Any, begin: float) -> Any:
        for shown in decode(self, begin):
            taken.append(shown.begin)
            yield shown

    monkeypatch.setattr(reader.FrameReader, "_decode", count)
    # 8 frames of 8 groups, each of 25: on the average half of a group is decoded for each.
    assert _seconds(_sent(Video(source=_file(minute), max_frames=8))) == [
        *(0, 8, 17, 25, 34, 42, 51, 59)
    ]
    assert len(taken) < 8 * 25
    taken.clear()
    _sent(Video(source=_file(minute), fps=1))
    # The one seek that was tried went back to where it came from.
    assert len(taken) < 310


def test_max_frames_counts_of_part_then_policy(minute: Path) -> None:
    video = Video(source=_file(minute))
    assert len(_sent(video, MediaPolicy(max_frames=8)).source.frames) == 8
    own = Video(source=_file(minute), max_frames=10)
    assert len(_sent(own, MediaPolicy(max_frames=8)).source.frames) == 10
    # The bounds of the rule are even.
    assert len(_sent(Video(source=_file(minute), max_frames=9)).source.frames) == 8


def test_small_frames_are_not_enlarged(tmp_path: Path) -> None:
    path = _film(tmp_path / "small.mp4", size=(160, 90))
    sent = _sent(Video(source=_file(path)))

    assert {image.size for image in _images(sent)} == {(160, 90)}
    assert count_tokens(sent, MODEL) == count_tokens(Video(source=_file(path)), MODEL)


def test_fps_out_of_range_is_sent_as_its_limit_with_a_warning(minute: Path) -> None:
    with pytest.warns(UserWarning, match=r"0\.05\d* per second.*0\.1 is sent"):
        sent = _sent(Video(source=_file(minute), max_frames=4, where=WHERE))
    assert sent.fps == 0.1


# Odd files


def test_uneven_frames_are_taken_by_their_times(tmp_path: Path) -> None:
    # A recording of a screen: busy for two seconds, then a frame a second.
    times = [n / 30 for n in range(60)] + [float(second) for second in range(2, 12)]
    path = _film(tmp_path / "screen.mp4", times=times, rate=30)
    sent = _sent(Video(source=_file(path), fps=1, where=WHERE))

    seconds = _seconds(sent)
    shown = [min(11, int(n / sent.fps + 1e-6)) for n in range(len(seconds))]
    assert all(abs(a - b) <= 1 for a, b in zip(seconds, shown, strict=True))
    assert seconds == sorted(seconds)
    # How long the last frame is shown is for the muxer to say.
    assert seconds[0] == 0
    assert seconds[-1] in {10, 11}


@pytest.mark.parametrize(
    ("matrix", "size", "colors"),
    [
        # As telephones write it: to be turned clockwise by 90, 180, 270 degrees.
        ((0, 1, -1, 0), (180, 320), ("red", "blue")),
        ((-1, 0, 0, -1), (320, 180), ("blue", "red")),
        ((0, -1, 1, 0), (180, 320), ("blue", "red")),
    ],
)
def test_turned_video_is_sent_upright(
    matrix: tuple[int, ...], size: tuple[int, int], colors: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "phone.mp4"
    pixels = np.zeros((180, 320, 3), dtype=np.uint8)
    pixels[:, :160, 0] = pixels[:, 160:, 2] = 255
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(30):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    # The display matrix of the track's header, in 16.16 fixed point.
    at = data.index(b"tkhd") + 44
    a, b, c, d = ((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    data[at : at + 20] = a + b + bytes(4) + c + d
    path.write_bytes(data)

    for image in _images(_sent(Video(source=_file(path)))):
        assert image.size == size
        width, high = size
        ends = [(8, 8), (width - 8, high - 8)]
        names = tuple(
            "red" if image.getpixel(end)[0] > image.getpixel(end)[2] else "blue" for end in ends
        )
        assert names == colors


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.ts", "libx264"), ("b.mpg", "mpeg2video"), ("c.avi", "mpeg4"), ("d.flv", "flv1")],
)
def test_containers_of_every_kind_are_cut(name: str, codec: str, tmp_path: Path) -> None:
    path = _film(tmp_path / name, codec=codec, rate=25, seconds=6)
    with path.open("rb") as file:
        clip = probe(file, "")
    assert clip.seconds == pytest.approx(6, abs=0.2)
    times = make_schedule(clip, Span(), fps=1, max_frames=2000, where="").times
    sent = _sent(Video(source=_file(path), fps=1, where=WHERE))

    assert _seconds(sent) == [int(time + 0.02) for time in times]


def test_video_without_duration_is_measured_by_its_packets(tmp_path: Path) -> None:
    # As a browser records: a stream that was never told its length.
    path = _film(tmp_path / "live.mkv", options={"live": "1"}, rate=10, seconds=6)
    with av.open(str(path)) as film:
        assert film.duration is None
        assert film.streams.video[0].duration is None

    with path.open("rb") as file:
        clip = probe(file, "")
    assert (clip.n_frames, clip.seconds) == (60, pytest.approx(6, abs=0.01))
    video = Video(source=_file(path), fps=1)
    assert _seconds(_sent(video)) == [0, 1, 2, 3, 4, 5]
    assert count_tokens(video, MODEL) == count_tokens(_sent(video), MODEL)


def test_sound_that_is_longer_is_not_waited_for(tmp_path: Path) -> None:
    path = _film(tmp_path / "song.mkv", seconds=6, sound_seconds=20)
    assert _seconds(_sent(Video(source=_file(path), fps=1))) == [0, 1, 2, 3, 4, 5]


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as film:
        _add_silence(film, film.add_stream("aac", rate=8000), 3)

    with pytest.raises(MediaFormatError, match="no moving images: audio is all") as caught:
        _sent(Video(source=_file(path), where=WHERE))
    assert caught.value.where == WHERE


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = _film(tmp_path / "whole.mp4", options={"movflags": "faststart"}, seconds=30)
    data = whole.read_bytes()

    # Its header tells of 30 seconds, and its data ends in the middle of them.
    with pytest.raises(MediaFormatError, match=r"damaged or incomplete: it should have a frame at"):
        _sent(Video(source=Inline(data[: len(data) * 3 // 5]), where=WHERE))
    # Its header is missing.
    with pytest.raises(MediaFormatError, match="damaged or incomplete: it cannot be read"):
        _sent(Video(source=Inline(BIG_BUCK_BUNNY.read_bytes()[:400_000]), where=WHERE))


def test_what_can_be_saved_of_a_truncated_file_is_sent(tmp_path: Path) -> None:
    whole = _film(tmp_path / "whole.mp4", options={"movflags": "faststart"}, seconds=30)
    data = whole.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sent = _sent(Video(source=Inline(data[: len(data) * 3 // 5]), end=10, fps=1))
    assert _seconds(sent) == list(range(10))


def test_damaged_packets_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = _film(tmp_path / "film.avi", codec="mpeg4", seconds=6)
    data = bytearray(path.read_bytes())
    at = data.index(b"00dc", len(data) // 2) + 8
    data[at : at + 16] = b"\xff" * 16
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sent = _sent(Video(source=Inline(bytes(data)), fps=1, where=WHERE))
    assert len(sent.source.frames) == 6
    assert all("damaged" in str(warning.message) for warning in caught)


def test_short_span_is_too_few_frames(minute: Path) -> None:
    with pytest.raises(FrameCountError, match="Set start and end farther apart") as caught:
        _sent(Video(source=_file(minute), start=5, end=5.2, where=WHERE))
    assert caught.value.limit == 4


@pytest.mark.parametrize("data", [b"words", CHELSEA.read_bytes(), b"\x00\x00\x01\xba" + bytes(99)])
def test_what_is_no_video_is_refused(data: bytes) -> None:
    with pytest.raises(MediaFormatError) as caught:
        _sent(Video(source=Inline(data), where=WHERE))
    assert caught.value.where == WHERE


@pytest.mark.parametrize("name", ["empty.mkv", "empty.mp4"])
def test_video_without_frames_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        film.start_encoding()

    with pytest.raises(MediaFormatError, match=r"no frames|nor anything else|cannot be read"):
        _sent(Video(source=_file(path), where=WHERE))


def test_frames_beyond_8k_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FRAME_PIXELS", 1280 * 720 - 1)
    with pytest.raises(MediaTooLargeError, match="1280 x 720"):
        _sent(Video(source=_file(BIG_BUCK_BUNNY), where=WHERE))


# Which way


def test_auto_sends_whole_what_fits() -> None:
    sent = _sent(Video(source=_file(BIG_BUCK_BUNNY)), MediaPolicy())
    assert base64.b64decode(sent.source.url.partition(",")[2]) == BIG_BUCK_BUNNY.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    [
        MediaPolicy(max_inline_bytes=1_000_000),
        MediaPolicy(max_total_inline_bytes=1_000_000),
        MediaPolicy(max_frames=8),
    ],
)
def test_auto_cuts_what_does_not_fit(policy: MediaPolicy) -> None:
    sent = _sent(Video(source=_file(BIG_BUCK_BUNNY)), policy)
    assert len(sent.source.frames) == (8 if policy.max_frames else 10)
    assert sum(len(frame.url) for frame in sent.source.frames) * 3 / 4 <= 1_000_000 * 1.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "base64", "data", "open"])
def test_any_source_can_be_cut(kind: str) -> None:
    data = BIG_BUCK_BUNNY.read_bytes()
    text = base64.b64encode(data).decode()
    file = io.BytesIO(data)
    file.seek(77)
    source = {
        "bytes": Inline(data),
        "base64": Inline(text),
        "data": Url(f"data:video/mp4;base64,{text}"),
        "open": OpenFile(file),
    }[kind]
    sent = _sent(Video(source=source), MediaPolicy(max_inline_bytes=900_000))

    assert len(sent.source.frames) == 10
    assert file.tell() == 77


def test_pipe_is_not_cut() -> None:
    pipe = io.BytesIO(BIG_BUCK_BUNNY.read_bytes())
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with pytest.raises(MediaAccessError, match="read only once"):
        _sent(Video(source=OpenFile(pipe), where=WHERE))


def test_inline_sends_whole_or_refuses() -> None:
    inline = MediaPolicy(video_mode="inline", max_inline_bytes=1_000_000)
    with pytest.raises(MediaTooLargeError):
        _sent(Video(source=_file(BIG_BUCK_BUNNY)), inline)
    with pytest.raises(MediaOptionError, match='start cannot be honoured with video_mode="inline"'):
        _sent(Video(source=_file(BIG_BUCK_BUNNY), start=1), inline)


def test_part_overrides_the_policy() -> None:
    video = Video(source=_file(BIG_BUCK_BUNNY), video_mode="inline")
    assert isinstance(_sent(video).source, DataUrl)


def test_path_in_text_is_not_read() -> None:
    with pytest.raises(MediaAccessError):
        _sent(Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=False), where=WHERE))


@pytest.mark.parametrize(
    "options", [{"start": 1}, {"end": 2}, {"max_frames": 8}, {"video_mode": "frames"}]
)
def test_address_cannot_be_cut(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError, match=next(iter(options))) as caught:
        _sent(Video(source=Url("https://example.com/a.mp4"), where=WHERE, **options))
    assert caught.value.where == WHERE
    assert "URL" in str(caught.value)


def test_list_of_frames_cannot_be_cut() -> None:
    frames = Frames(tuple(Url(f"https://example.com/{n}.jpg") for n in range(4)))
    with pytest.raises(UnsupportedContentError, match="start and end"):
        _sent(Video(source=frames, start=1, end=2))


def test_policy_leaves_addresses_alone() -> None:
    video = Video(source=Url("https://example.com/a.mp4"))
    assert _sent(video, MediaPolicy(video_mode="frames")) is video
    with pytest.warns(UserWarning, match="max_frames does not reach"):
        assert _sent(video, MediaPolicy(max_frames=8)) is video


@pytest.mark.parametrize(
    "options",
    [
        {"start": -1},
        {"start": float("nan")},
        {"start": True},
        {"start": "1"},
        {"start": 5.5},
        {"end": 0},
        {"end": float("inf")},
        {"end": 90},
        {"start": 3, "end": 3},
        {"start": 3, "end": 2},
        {"max_frames": 3},
        {"max_frames": 2001},
        {"max_frames": True},
        {"max_frames": 8.0},
        {"video_mode": "whole"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    video = Video(source=_file(BIG_BUCK_BUNNY), where=WHERE, **options)
    for reject in (lambda: _sent(video), lambda: count_tokens(video, MODEL)):
        with pytest.raises(MediaOptionError) as caught:
            reject()
        assert caught.value.where == WHERE


def test_end_may_be_rounded_up() -> None:
    sent = _sent(Video(source=_file(BIG_BUCK_BUNNY), start=3, end=6))
    assert len(sent.source.frames) == 4


def test_missing_extra_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "has_av", lambda: False)
    video = Video(source=_file(BIG_BUCK_BUNNY), where=WHERE)
    expected = (
        "messages[0].content[0] is to be cut into frames, since it has 1.0 MiB, and 0.5 may be "
        'inlined, which needs: pip install "qwen-vl[video]"'
    )
    with pytest.raises(MissingExtraError) as caught:
        _sent(video, MediaPolicy(max_inline_bytes=2**19))
    assert str(caught.value) == expected


# Bytes


def _noise(seed: int, size: tuple[int, int] = (320, 180)) -> Any:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    return Pillow.fromarray(pixels)


def test_quality_falls_before_frames_are_left_out() -> None:
    whole = FrameBuffer(16, 10**9, 10**9, WHERE)
    for number in range(16):
        whole.add(number, _noise(number))
    n_bytes = sum(map(len, whole.files.values()))
    assert whole.quality == FRAME_JPEG_QUALITIES[0]

    tight = FrameBuffer(16, n_bytes * 3 // 4, 10**9, WHERE)
    for number in range(16):
        tight.add(number, _noise(number))
    assert tight.quality in FRAME_JPEG_QUALITIES[1:]
    assert list(tight.files) == list(range(16))
    assert sum(map(len, tight.files.values())) <= n_bytes * 3 // 4

    thin = FrameBuffer(16, n_bytes // 3, 10**9, WHERE)
    for number in range(16):
        if thin.wants(number):
            thin.add(number, _noise(number))
    assert (thin.quality, thin.every) == (FRAME_JPEG_QUALITIES[-1], 2)
    assert list(thin.files) == list(range(0, 16, 2))
    assert sum(map(len, thin.files.values())) <= n_bytes // 3


def test_frames_that_fill_the_limit_exactly_stay_as_they_are() -> None:
    data = encode_jpeg(_noise(0), FRAME_JPEG_QUALITIES[0])
    full = FrameBuffer(2, 2 * len(data), len(data), WHERE)
    for number in range(2):
        full.add(number, _noise(0))
    assert full.files == {0: data, 1: data}

    for limit, most_each in ((2 * len(data) - 1, len(data)), (2 * len(data), len(data) - 1)):
        over = FrameBuffer(2, limit, most_each, WHERE)
        for number in range(2):
            over.add(number, _noise(0))
        assert over.quality == FRAME_JPEG_QUALITIES[1]
        smaller = encode_jpeg(_noise(0), over.quality)
        assert len(over.files) == 2
        assert over.files[1] == smaller


def test_album_of_four_that_does_not_fit_is_refused() -> None:
    frames = FrameBuffer(4, 10_000, 10**9, WHERE)
    with pytest.raises(MediaTooLargeError, match=r"4 frames of [\d,]+ bytes") as caught:
        frames.add(0, _noise(0))
    assert caught.value.where == WHERE


@pytest.mark.slow
def test_left_out_frames_are_told_and_the_times_stay_right(minute: Path) -> None:
    policy = MediaPolicy(video_mode="frames", max_total_inline_bytes=700_000)
    with pytest.warns(UserWarning, match=r"60 of 120 frames are sent"):
        sent = _sent(Video(source=_file(minute), where=WHERE), policy)
    seconds = _seconds(sent)
    assert len(seconds) == 60
    assert [int(n / sent.fps + 0.1) for n in range(60)] == seconds


def test_no_more_frames_are_taken_than_pictures_go_into_a_request(
    tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = _film(tmp_path / "hour.mp4", seconds=60, rate=5)
    image = Image(source=LocalFile(CHELSEA, is_trusted=True))
    video = Video(source=_file(path), fps=5, where=WHERE)
    settings = QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk", video_mode="frames")
    turn = Turn(role="user", parts=(image, video, Text(text="What happens?")))
    # 300 frames and an image do not go into 250: every second frame is taken.
    with pytest.warns(UserWarning, match=r"content\[0\]: 150 of 300 frames .* 250 images"):
        QwenVLClient(build_connection(settings)).ask(build_request(settings, [turn]))
    sent = qwen_vl_sandbox.last_request.json["messages"][0]["content"][1]
    assert len(sent["video"]) == 150
    assert sent["fps"] == 2.5


@pytest.mark.slow
def test_two_videos_share_what_the_request_has_left() -> None:
    video = Video(source=_file(BIG_BUCK_BUNNY), video_mode="frames", where=WHERE)
    turn = Turn(role="user", parts=(video, video, Image(source=_file(CHELSEA))))
    policy = MediaPolicy(max_total_inline_bytes=1_840_512)
    first, second, _ = (
        prepare_media(Request(model=MODEL, turns=(turn,), policy=policy)).turns[0].parts
    )
    sizes = [sum(len(frame.url) for frame in part.source.frames) for part in (first, second)]
    # The image has its 240,512 bytes first; of the rest each has half.
    assert all(0 < size * 3 / 4 <= 800_000 * 1.01 for size in sizes)
    assert len(first.source.frames) == len(second.source.frames) == 10


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(minute: Path) -> None:
    """The raw frames are 750 MB at their own size, 220 MB at that of the model."""
    program = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        import av, PIL.Image
        from qwen_vl import LocalFile, Request, Turn, Video
        from qwen_vl.media import prepare_media
        from qwen_vl.request.types import MediaPolicy
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        video = Video(source=LocalFile(Path(sys.argv[1]), is_trusted=True))
        policy = MediaPolicy(video_mode="frames")
        turn = Turn(role="user", parts=(video,))
        prepare_media(Request(model="qwen3-vl-plus", turns=(turn,), policy=policy))
        print((peak() - before) / 1024)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(minute)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 150


# At the endpoint


@pytest.mark.slow
def test_sandbox_takes_the_frames_and_counts_alike(minute: Path, qwen_vl_sandbox: Sandbox) -> None:
    video = Video(source=_file(minute), video_mode="frames", where=WHERE)
    settings = QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    request = build_request(
        settings, [Turn(role="user", parts=(video, Text(text="What happens?")))]
    )
    reply = QwenVLClient(build_connection(settings)).ask(request)

    assert reply.usage is not None
    assert reply.usage.video_tokens == count_tokens(video, MODEL) == 35_642
    body = qwen_vl_sandbox.requests[-1].json["messages"][0]["content"][0]
    assert set(body) == {"type", "video", "fps"}
    assert len(body["video"]) == 120


async def test_loop_runs_on_while_frames_are_taken(
    minute: Path, qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    take = cut._take
    monkeypatch.setattr(
        cut, "_take", lambda *args: threads.append(threading.current_thread()) or take(*args)
    )
    settings = QwenVLSettings(
        video_mode="frames", fps=0.2, api_key="sk-sandbox", base_url=qwen_vl_sandbox.base_url
    )
    request = build_request(
        settings,
        [Turn(role="user", parts=(Video(source=_file(minute)), Text(text="What happens?")))],
    )
    await AsyncQwenVLClient(build_connection(settings)).ask(request)
    assert threads
    assert threading.main_thread() not in threads


# Settings


def test_settings_and_calls_say_how_to_cut() -> None:
    settings = QwenVLSettings(video_mode="frames", max_frames=16, api_key="sk-x")
    policy = build_request(settings, []).policy
    assert (policy.video_mode, policy.max_frames) == ("frames", 16)
    policy = build_request(settings, [], video_mode="auto", max_frames=None).policy
    assert (policy.video_mode, policy.max_frames) == ("auto", None)
    assert "max_frames" not in build_request(settings, []).parameters


# Counting


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options"),
    [
        (MODEL, {}),
        (MODEL, {"fps": 1.5}),
        (MODEL, {"start": 1, "end": 4.5}),
        (MODEL, {"max_frames": 6}),
        (MODEL, {"max_pixels": 200_000, "min_pixels": 100_000}),
        (MODEL, {"total_pixels": 500_000}),
        ("qwen3.5-plus", {}),
        ("qwen2.5-vl-72b-instruct", {}),
    ],
)
def test_what_is_sent_is_what_was_counted(model: str, options: dict[str, Any]) -> None:
    video = Video(source=_file(BIG_BUCK_BUNNY), **options)
    sent = _sent(video, model=model)
    counter = TokenCounter(model=model, parameters={}, policy=MediaPolicy())
    before, after = counter.measure(video), counter.measure(sent)
    assert (before.tokens, before.n_frames) == (after.tokens, after.n_frames)
    assert get_model_spec(model).max_frames >= after.n_frames


def test_span_counts_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_vl.media.measure.has_av", lambda: False)
    counter = TokenCounter(model=MODEL, parameters={}, policy=MediaPolicy())
    video = Video(source=_file(BIG_BUCK_BUNNY), start=10, end=20)
    assert counter.measure(video).n_frames == 20


def test_damage_anywhere_is_told_or_lived_with(tmp_path: Path) -> None:
    films = [
        _film(tmp_path / name, codec=codec, size=(96, 64), rate=25, seconds=2).read_bytes()
        for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.avi", "mpeg4"))
    ]
    random = np.random.default_rng(0)
    outcomes = set()
    for number in range(90):
        data = bytearray(films[number % 3])
        if number % 2:
            del data[random.integers(len(data)) :]
        else:
            for at in random.integers(len(data), size=20):
                data[at] = random.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                _sent(Video(source=Inline(bytes(data)), where=WHERE))
                outcomes.add("sent")
            except MediaError as error:
                outcomes.add(error.where)
    assert outcomes == {"sent", WHERE}
