"""Media of earlier turns: notes for what is gone, and images that make room for the newest turn."""

import io
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from qwen_vl.content import (
    Audio,
    DataUrl,
    Document,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Part,
    Pixels,
    Text,
    ToolResult,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    RequestTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.data_url import read_data_url, to_data_url
from qwen_vl.media.history import forget_images, may_be_made_to_fit
from qwen_vl.media.load import MediaBytes
from qwen_vl.request.build import build_request
from qwen_vl.request.media_cache import MediaCache
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.servers import Server
from qwen_vl.tokens.conversation import count_tokens

ANSWER = Turn(role="assistant", parts=(Text(text="I see."),))
QUESTION = Turn(role="user", parts=(Text(text="And now?"),))


def shot(number: int, side: int = 128) -> bytes:
    """A screenshot that hardly compresses as PNG: 3 bytes for each pixel."""
    noise = random.Random(number).randbytes(side * side * 3)  # noqa: S311 - no secret
    file = io.BytesIO()
    PillowImage.frombytes("RGB", (side, side), noise).save(file, "PNG")
    return file.getvalue()


def step(number: int, *, n_images: int = 1, side: int = 128) -> tuple[Turn, Turn]:
    """A call of a tool, and its result."""
    images = (Image(source=Inline(shot(100 * number + n, side))) for n in range(n_images))
    result = ToolResult(tool_call_id=str(number), parts=tuple(images))
    return ANSWER, Turn(role="tool", parts=(result,))


def conversation(n_steps: int, **options: Any) -> tuple[Turn, ...]:
    steps = (turn for number in range(n_steps) for turn in step(number, **options))
    return (QUESTION, *steps)


def request_of(*turns: Turn, **policy: Any) -> Request:
    return Request(model="qwen3-vl-plus", turns=turns, policy=MediaPolicy(**policy))


def find_parts(request: Request) -> Iterator[Any]:
    for turn in request.turns:
        for part in turn.parts:
            yield from part.parts if isinstance(part, ToolResult) else (part,)


def find_sent(request: Request) -> list[DataUrl]:
    """All images of a prepared request."""
    return [
        part.source
        for part in find_parts(request)
        if isinstance(part, Image) and isinstance(part.source, DataUrl)
    ]


def closed_file() -> OpenFile:
    file = io.BytesIO(shot(0, 32))
    file.close()
    return OpenFile(file)


def closed_pixels(folder: Path) -> Pixels:
    path = folder / "lazy.png"
    path.write_bytes(shot(0, 32))
    image = PillowImage.open(path)
    image.fp.close()
    return Pixels(image)


def written(folder: Path, data: bytes) -> LocalFile:
    path = folder / "file.png"
    path.write_bytes(data)
    return LocalFile(path, is_trusted=True)


def lost(folder: Path) -> LocalFile:
    return LocalFile(folder / "lost", is_trusted=True)


# name: what stands in a message, the error while it is new, the note once it is answered
GONE: dict[str, tuple[Callable[[Path], Part], type[ContentError], str]] = {
    "file": (
        lambda folder: Image(source=lost(folder)),
        MediaNotFoundError,
        "The image cannot be shown: The file is gone.",
    ),
    "film": (
        lambda folder: Video(source=lost(folder)),
        MediaNotFoundError,
        "The video cannot be shown: The file is gone.",
    ),
    "frames": (
        lambda folder: Video(source=Frames((lost(folder),) * 4)),
        MediaNotFoundError,
        "The video cannot be shown: The file is gone.",
    ),
    "document": (
        lambda folder: Document(source=lost(folder)),
        MediaNotFoundError,
        "The PDF document cannot be shown: The file is gone.",
    ),
    "folder": (
        lambda folder: Image(source=LocalFile(folder, is_trusted=True)),
        MediaAccessError,
        "The file cannot be shown.",
    ),
    "emptied file": (
        lambda folder: Image(source=written(folder, b"")),
        MediaFormatError,
        "The image cannot be shown: There is nothing in it: 0 bytes.",
    ),
    "other file": (
        lambda folder: Image(source=written(folder, b"<html>404</html>")),
        MediaFormatError,
        "The image cannot be shown: Expected an image, but this looks like a web page.",
    ),
    "path as text": (
        lambda folder: Image(source=LocalFile(folder / "lost", is_trusted=False)),
        MediaAccessError,
        "The file cannot be shown.",
    ),
    "closed file": (
        lambda _: Image(source=closed_file()),
        MediaAccessError,
        "The file cannot be shown.",
    ),
    "closed pixels": (
        lambda folder: Image(source=closed_pixels(folder)),
        MediaFormatError,
        (
            "The image cannot be shown: The image's pixels cannot be read "
            "(ValueError: seek of closed file)."
        ),
    ),
}


@pytest.mark.parametrize("name", GONE)
def test_what_is_gone_becomes_a_note_once_it_is_answered(name: str, tmp_path: Path) -> None:
    make, error, note = GONE[name]
    old = Turn(role="user", parts=(make(tmp_path), Text(text="Look.")))
    with pytest.raises(error):
        prepare_media(request_of(old))
    with pytest.raises(error):
        prepare_media(request_of(ANSWER, old, QUESTION))

    request = request_of(old, ANSWER, QUESTION)
    with pytest.warns(UserWarning, match="The model gets a note in its place"):
        ready = prepare_media(request)
    assert ready.turns[0].parts == (Text(text=note), Text(text="Look."))
    assert [replacement.reason for replacement in ready.replaced] == [note]
    assert str(tmp_path) not in note
    assert count_tokens(request.turns, "qwen3-vl-plus") == count_tokens(ready.turns, ready.model)


def test_note_names_its_part_in_the_warning(tmp_path: Path) -> None:
    old = Image(source=lost(tmp_path), where="messages[0].content[0]")
    request = request_of(Turn(role="user", parts=(old,)), ANSWER, QUESTION)
    with pytest.warns(UserWarning, match=r"^messages\[0\]\.content\[0\]: The file "):
        ready = prepare_media(request)
    assert ready.replaced[0].where == "messages[0].content[0]"


def test_note_stays_where_the_answer_is_begun_for_the_model() -> None:
    begun = Turn(role="assistant", parts=(Text(text="It is"),), is_partial=True)
    missing = Turn(role="user", parts=(Image(source=LocalFile(Path("/lost"), is_trusted=True)),))
    with pytest.raises(MediaNotFoundError):
        prepare_media(request_of(missing, begun))


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Image(source=Inline(shot(0)), max_pixels=7), MediaOptionError),
        (Audio(source=Inline(b"RIFF"), format="wav"), UnsupportedContentError),
    ],
)
def test_faults_of_options_and_models_raise_in_any_turn(
    part: Image | Audio, error: type[ContentError]
) -> None:
    with pytest.raises(error):
        prepare_media(request_of(Turn(role="user", parts=(part,)), ANSWER, QUESTION))


def test_images_that_fit_stay_byte_for_byte() -> None:
    sent = find_sent(prepare_media(request_of(*conversation(4))))
    assert [read_data_url(url) for url in sent] == [shot(100 * n) for n in range(4)]


def test_older_images_make_room_and_the_newest_stays_as_it_is() -> None:
    turns = conversation(8)
    request = request_of(*turns, max_total_inline_bytes=200_000)
    sent = find_sent(prepare_media(request))

    assert sum(url.n_bytes for url in sent) <= 200_000
    assert read_data_url(sent[-1]) == shot(700)
    assert {(url.media_type, url.size) for url in sent[:-1]} == {("image/jpeg", (128, 128))}


def test_image_becomes_smaller_where_quality_is_not_enough() -> None:
    request = request_of(*conversation(8), max_total_inline_bytes=100_000)
    sent = find_sent(prepare_media(request))
    assert {url.size for url in sent[:-1]} == {(64, 64)}
    for url in sent[:-1]:
        with PillowImage.open(io.BytesIO(read_data_url(url))) as opened:
            assert opened.size == url.size


@pytest.mark.parametrize("limit", [1_000_000, 200_000, 100_000])
def test_tokens_are_those_of_what_is_sent(limit: int) -> None:
    request = request_of(*conversation(8), max_total_inline_bytes=limit)
    ready = prepare_media(request)
    assert count_tokens(request.turns, request.model, policy=request.policy) == count_tokens(
        ready.turns, request.model
    )


def test_images_of_users_make_room_too() -> None:
    old = Turn(role="user", parts=tuple(Image(source=Inline(shot(n))) for n in range(4)))
    new = Turn(role="user", parts=(Image(source=Inline(shot(9))),))
    sent = find_sent(prepare_media(request_of(old, ANSWER, new, max_total_inline_bytes=150_000)))
    assert [url.media_type for url in sent] == ["image/jpeg"] * 4 + ["image/png"]


def test_newest_turn_alone_is_never_made_smaller() -> None:
    newest = Turn(role="user", parts=tuple(Image(source=Inline(shot(n))) for n in range(4)))
    with pytest.raises(RequestTooLargeError):
        prepare_media(request_of(*conversation(2), ANSWER, newest, max_total_inline_bytes=150_000))


def test_history_that_cannot_be_made_to_fit_raises() -> None:
    with pytest.raises(RequestTooLargeError, match="history_images"):
        prepare_media(request_of(*conversation(40), max_total_inline_bytes=60_000))


def film(number: int) -> bytes:
    """Two seconds of noise, about 200 KB."""
    pixels = np.random.default_rng(number)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as writer:
        stream: Any = writer.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 96, "yuv420p", 1_000_000
        for _ in range(20):
            values = pixels.integers(0, 255, (96, 96, 3), dtype=np.uint8)
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        writer.mux(stream.encode())
    return file.getvalue()


def asking(source: Any, number: int) -> Turn:
    kind = Video if isinstance(source, Frames) or source.data[4:8] == b"ftyp" else Image
    return Turn(role="user", parts=(kind(source=source, where=f"messages[{number}].content[0]"),))


def find_forms(request: Request) -> list[str]:
    media = (part for turn in request.turns for part in turn.parts if hasattr(part, "source"))
    return [
        "frames" if isinstance(part.source, Frames) else part.source.media_type for part in media
    ]


@pytest.mark.parametrize("server", ["dashscope", "vllm", "sglang"])
def test_earlier_videos_that_do_not_fit_together_are_sampled(server: Server) -> None:
    films = [asking(Inline(film(number)), 2 * number) for number in range(4)]
    turns = tuple(turn for each in films for turn in (each, ANSWER))[:-1]
    # The newest, and one and a half more.
    limit = len(film(0)) * 5 // 2
    request = replace(request_of(*turns, max_total_inline_bytes=limit), server=server)
    ready = prepare_media(request)
    assert find_forms(ready) == ["video/mp4", "frames", "frames", "video/mp4"]
    counted = count_tokens(turns, request.model, policy=request.policy, server=server)
    assert counted == count_tokens(ready.turns, request.model, server=server)


def test_earlier_video_is_sampled_before_images_are_too_much() -> None:
    turns = (asking(Inline(film(0)), 0), ANSWER, asking(Inline(shot(1)), 2), ANSWER, QUESTION)
    limit = len(film(0)) + 500
    ready = prepare_media(request_of(*turns, max_total_inline_bytes=limit))
    assert find_forms(ready) == ["frames", "image/jpeg"]
    frames = asking(Frames((Inline(shot(2)),) * 4), 4)
    limit += 6_000
    ready = prepare_media(request_of(frames, ANSWER, *turns, max_total_inline_bytes=limit))
    assert find_forms(ready) == ["frames", "frames", "image/jpeg"]
    assert {url.media_type for url in ready.turns[0].parts[0].source.frames} == {"image/jpeg"}


def test_room_is_kept_for_a_video_that_is_sampled() -> None:
    shots = [asking(Inline(shot(number)), 2 * number) for number in range(4)]
    earlier = [turn for each in shots for turn in (each, ANSWER)]
    turns = (*earlier, asking(Inline(film(0)), 8))
    # Almost all of it is taken by the images as they are.
    limit = 4 * len(shot(0)) + 2_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        request = request_of(*turns, max_total_inline_bytes=limit, max_inline_bytes=100_000)
        ready = prepare_media(request)
    assert find_forms(ready) == ["image/jpeg"] * 4 + ["frames"]


def test_lists_of_frames_make_room_too() -> None:
    frames = [Frames(tuple(Inline(shot(9 * n + m)) for m in range(4))) for n in range(4)]
    lists = [asking(each, 2 * number) for number, each in enumerate(frames)]
    turns = tuple(turn for each in lists for turn in (each, ANSWER))[:-1]
    request = request_of(*turns, max_total_inline_bytes=8 * len(shot(0)))
    *earlier, newest = [turn.parts[0] for turn in prepare_media(request).turns[::2]]
    sent: list[Any] = [frame for video in earlier for frame in video.source.frames]
    assert {(frame.media_type, frame.size) for frame in sent} == {("image/jpeg", (128, 128))}
    assert [read_data_url(frame) for frame in newest.source.frames] == [
        shot(27 + m) for m in range(4)
    ]


def test_thin_image_keeps_its_shape() -> None:
    noise = random.Random(1).randbytes(800 * 20 * 3)  # noqa: S311 - no secret
    file = io.BytesIO()
    PillowImage.frombytes("RGB", (800, 20), noise).save(file, "PNG")
    turns = (asking(Inline(file.getvalue()), 0), ANSWER, QUESTION)
    request = request_of(*turns, max_total_inline_bytes=len(file.getvalue()) - 1)
    assert [url.size for url in find_sent(prepare_media(request))] == [(800, 20)]


def test_images_made_smaller_are_encoded_once() -> None:
    cache = MediaCache()
    request = request_of(*conversation(8), max_total_inline_bytes=200_000, cache=cache)
    first = find_sent(prepare_media(request))
    held = cache.n_bytes
    second = find_sent(prepare_media(request))
    assert [url is other for url, other in zip(first[:-1], second[:-1], strict=True)] == [True] * 7
    assert cache.n_bytes == held


def test_what_cannot_be_decoded_stays_as_it_is() -> None:
    # A HEIC file of which only the header is read here.
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(60_000)
    old = Turn(role="user", parts=(Image(source=Inline(heic)), Image(source=Inline(shot(1)))))
    ready = prepare_media(request_of(old, ANSWER, QUESTION, max_total_inline_bytes=80_000))
    assert [url.media_type for url in find_sent(ready)] == ["image/heic", "image/jpeg"]


def forget(n_steps: int, n_kept: int, n_images: int = 1) -> str:
    turns = forget_images(conversation(n_steps, n_images=n_images, side=8), n_kept)
    return "".join(
        "x" if isinstance(part, Image) else "-"
        for part in find_parts(request_of(*turns))
        if isinstance(part, Image) or "older image" in part.text
    )


@pytest.mark.parametrize(
    ("n_steps", "shown"),
    [
        (1, "x"),
        (4, "xxxx"),
        # Four of earlier turns, and the newest: twice two are held.
        (5, "--xxx"),
        (6, "--xxxx"),
        (7, "----xxx"),
        (9, "------xxx"),
    ],
)
def test_half_of_the_images_is_forgotten_at_once(n_steps: int, shown: str) -> None:
    assert forget(n_steps, 2) == shown


def test_images_of_the_newest_turn_are_not_counted() -> None:
    assert forget(1, 1, n_images=5) == "xxxxx"
    assert forget(2, 2, n_images=5) == "--xxxxxxxx"


def test_images_of_users_are_not_forgotten() -> None:
    asked = Turn(role="user", parts=(Image(source=Inline(shot(1))),))
    turns = (asked, ANSWER) * 9
    assert forget_images(turns, 1) == turns


def test_beginning_of_the_request_changes_once_in_n_steps() -> None:
    seen = [forget_images(conversation(n, side=8), 4) for n in range(1, 25)]
    changed = [
        n for n, (before, after) in enumerate(pairwise(seen)) if after[: len(before)] != before
    ]
    assert changed == [7, 11, 15, 19]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "some", None])
def test_wrong_number_of_images_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="history_images"):
        QwenVLSettings(history_images=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "some"])
def test_wrong_number_of_images_is_refused_for_one_call(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="history_images"):
        build_request(QwenVLSettings(), [QUESTION], history_images=value)


def test_call_takes_precedence() -> None:
    settings = QwenVLSettings(history_images=3)
    assert build_request(settings, [QUESTION]).policy.history_images == 3
    request = build_request(settings, [QUESTION], history_images="all")
    assert request.policy.history_images is None
    assert "history_images" not in request.parameters


# Pages of several megabytes are encoded again and again.
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
@pytest.mark.parametrize("is_from_tool", [False, True], ids=["user", "tool"])
def test_tokens_follow_pages_that_are_made_smaller(kind: str, is_from_tool: bool) -> None:
    file = io.BytesIO()
    pages = [PillowImage.effect_noise((850, 1_100), 80 + n).convert("RGB") for n in range(2)]
    pages[0].save(file, kind, save_all=True, append_images=pages[1:])
    source = Inline(file.getvalue())
    part: Any = Document(source=source) if kind == "PDF" else Image(source=source)
    if is_from_tool:
        part = ToolResult(tool_call_id="1", parts=(part,))
    shown = Turn(role="tool" if is_from_tool else "user", parts=(part,))
    answered = Turn(role="assistant", parts=(Text(text="ok"),))
    turns = (*(shown, answered) * 3, Turn(role="user", parts=(Text(text="?"),)))
    policy = MediaPolicy(max_inline_bytes=2_000_000, max_total_inline_bytes=2_000_000)
    roomy = MediaPolicy(max_total_inline_bytes=200_000_000)
    request = Request(model="qwen3-vl-plus", turns=turns, policy=policy)
    sent = count_tokens(prepare_media(request).turns, "qwen3-vl-plus")
    assert count_tokens(turns, "qwen3-vl-plus", policy=policy) == sent
    assert sent < count_tokens(turns, "qwen3-vl-plus", policy=roomy) // 2


def test_tokens_follow_what_is_forgotten() -> None:
    turns = conversation(5)
    policy = MediaPolicy(history_images=2)
    ready = prepare_media(request_of(*turns, history_images=2))
    assert count_tokens(turns, "qwen3-vl-plus", policy=policy) == count_tokens(
        ready.turns, ready.model
    )


@pytest.mark.parametrize(
    ("source", "n_bytes"),
    [
        (Inline(bytes(600)), 600),
        # Base64 has 4 characters for 3 bytes.
        (Inline("A" * 800), 600),
        (Url("data:image/png;base64," + "A" * 778), 600),
        (to_data_url("image/png", MediaBytes(bytes(600))), 600),
        (Pixels(PillowImage.new("RGB", (20, 10))), 600),
        (Pixels(np.zeros((20, 10, 3), np.uint8)), 600),
        # It is not read, and a note is sent.
        (LocalFile(Path("cat.png"), is_trusted=False), 0),
        (LocalFile(Path("no-such-file.png"), is_trusted=True), 0),
        (Url("https://example.com/cat.png"), 0),
    ],
)
def test_bytes_of_a_source_are_estimated_without_reading_it(source: Any, n_bytes: int) -> None:
    image = Image(source=source)
    turns = (
        Turn(role="user", parts=(image,)),
        Turn(role="assistant", parts=()),
        Turn(role="user", parts=()),
    )
    assert not may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=n_bytes))
    if n_bytes:
        assert may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=n_bytes - 1))
    # The newest turn is sent as it is.
    assert not may_be_made_to_fit(turns[:1], MediaPolicy(max_total_inline_bytes=0))


def test_half_of_the_room_is_for_videos() -> None:
    result = ToolResult(tool_call_id="a", parts=(Image(source=Inline(bytes(600))),))
    clip = Video(source=Frames((Inline(bytes(100)), Inline(bytes(100)))))
    turns = (
        Turn(role="tool", parts=(result, clip)),
        Turn(role="assistant", parts=()),
        Turn(role="user", parts=()),
    )
    assert not may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=1_600))
    assert may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=1_599))


def test_video_that_may_not_be_read_counts_as_a_mebibyte() -> None:
    clip = Video(source=LocalFile(Path("walk.mp4"), is_trusted=False))
    turns = (
        Turn(role="user", parts=(clip,)),
        Turn(role="assistant", parts=()),
        Turn(role="user", parts=()),
    )
    assert not may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=2**21))
    assert may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=2**21 - 1))


def test_two_videos_share_the_room() -> None:
    clip = Video(source=Inline(bytes(400)))
    one = (Turn(role="user", parts=(clip,)),)
    two = (Turn(role="user", parts=(clip, clip)),)
    policy = MediaPolicy(max_total_inline_bytes=1_599, max_inline_bytes=400)
    assert not may_be_made_to_fit(one, policy)
    assert may_be_made_to_fit(two, policy)
    # What is too long is sampled.
    assert not may_be_made_to_fit(two, replace(policy, max_inline_bytes=399))


def test_pages_are_estimated_by_their_pixels(tmp_path: Path) -> None:
    path = tmp_path / "two.tiff"
    pages = [PillowImage.new("L", (100, 50)), PillowImage.new("L", (60, 50))]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    part = Document(source=LocalFile(path, is_trusted=True))
    turns = (
        Turn(role="user", parts=(part,)),
        Turn(role="assistant", parts=()),
        Turn(role="user", parts=()),
    )
    assert not may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=8_000))
    assert may_be_made_to_fit(turns, MediaPolicy(max_total_inline_bytes=7_999))
