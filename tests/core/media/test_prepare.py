"""The walk over a request: what is replaced, what is passed on, and the limits of a whole."""

import base64
import io
import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image as PillowImage

from qwen_vl.content import (
    Audio,
    DataUrl,
    Frames,
    Image,
    Inline,
    LocalFile,
    LocalFileUrl,
    Part,
    Pixels,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
    Video,
    to_source,
)
from qwen_vl.errors import (
    FrameCountError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    MediaTooLargeError,
    MediaTooSmallError,
    UnsupportedContentError,
)
from qwen_vl.media import needs_io, prepare_media, to_json_safe
from qwen_vl.media.video import probe
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.specs.models import MAX_INLINE_IMAGES, MAX_VIDEOS

HTTPS = Url("https://example.com/cat.png")
FILE = LocalFile(CHELSEA, is_trusted=True)
WHERE = "messages[0].content[0]"


def _request(*parts: Part, model: str = "qwen3-vl-plus", **policy: Any) -> Request:
    turns = (Turn(role="user", parts=parts),)
    return Request(model=model, turns=turns, policy=MediaPolicy(**policy))


def _prepared(part: Part, model: str = "qwen3-vl-plus", **policy: Any) -> Any:
    return prepare_media(_request(part, model=model, **policy)).turns[0].parts[0]


def _png(size: int = 32) -> bytes:
    file = io.BytesIO()
    PillowImage.new("RGB", (size, size)).save(file, "PNG")
    return file.getvalue()


def _frames(count: int, source: Source = HTTPS) -> Video:
    return Video(source=Frames((source,) * count), where=WHERE)


MPEG_TS = (b"G" + b"\x40" * 187) * 5
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(24)


def test_request_of_addresses_comes_back_as_the_same_object() -> None:
    request = _request(
        Text(text="Compare."),
        Image(source=HTTPS),
        Image(source=Url("oss://bucket/cat.png")),
        Video(source=Url("http://[::1]:8000/film.mp4")),
        _frames(4),
        ToolResult(tool_call_id="1", parts=(Image(source=HTTPS),)),
        Image(source=_prepared(Image(source=FILE)).source),
    )
    assert prepare_media(request) is request


def test_request_without_media_comes_back_as_the_same_object() -> None:
    request = _request(Text(text="https://example.com/cat.png"))
    assert prepare_media(request) is request


def test_prepare_replaces_sources_and_nothing_else() -> None:
    parts = (
        Text(text="/etc/passwd"),
        Image(source=FILE, min_pixels=65_536, detail="high", cache_control={"type": "ephemeral"}),
        Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), fps=2.0, total_pixels=10**6),
        Video(source=Frames((HTTPS, FILE, Inline(_png()), HTTPS)), fps=1),
        ToolResult(tool_call_id="7", parts=(Text(text="seen"), Image(source=FILE))),
        Reasoning(text="hm"),
        ToolCall(id="7", name="look", arguments="{}"),
    )
    request = _request(*parts)
    before = deepcopy(request)
    new_parts: Any = prepare_media(request).turns[0].parts
    assert request == before
    for old, new in zip(parts, new_parts, strict=True):
        if isinstance(old, Image | Video):
            assert replace(new, source=old.source) == old
        elif isinstance(old, ToolResult):
            assert new.parts[0] is old.parts[0]
            assert isinstance(new.parts[1], Image)
            assert isinstance(new.parts[1].source, DataUrl)
        else:
            assert new is old
    frames = new_parts[3].source.frames
    assert frames[0] is HTTPS
    assert [frame.url[:22] for frame in frames[1:3]] == ["data:image/png;base64,"] * 2


def test_turns_that_need_nothing_are_passed_on_as_the_same_objects() -> None:
    first = Turn(role="system", parts=(Text(text="Be brief."),))
    second = Turn(role="user", parts=(Image(source=FILE),), name="Ann")
    ready = prepare_media(Request(model="qwen3-vl-plus", turns=(first, second)))
    assert ready.turns[0] is first
    assert ready.turns[1].name == "Ann"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text(text="x"), False),
        (Image(source=HTTPS), False),
        (Image(source=Url("OSS://bucket/key")), False),
        (_frames(4), False),
        (Image(source=Url("data:,x")), True),
        (Image(source=FILE), True),
        (Video(source=Frames((HTTPS, FILE))), True),
        (Audio(source=Inline(WAV), format="wav"), True),
        (ToolResult(tool_call_id="1", parts=(Image(source=HTTPS),)), False),
        (ToolResult(tool_call_id="1", parts=(Image(source=FILE),)), True),
    ],
)
def test_needs_io_tells_whether_anything_is_to_be_read(part: Part, expected: bool) -> None:
    assert needs_io(_request(part)) is expected


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTPS://Example.com/cat.png?x=1#y",
        "http://user:secret@10.0.0.1:8000/cat.png",
        "https://例子.cn/猫.png",
        "oss://dashscope-instant/a/cat.png",
    ],
)
@pytest.mark.parametrize("kind", [Image, Video])
def test_remote_address_is_passed_on_untouched(kind: Any, url: str) -> None:
    assert _prepared(kind(source=Url(url))).source.url is url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://", "lacks a host"),
        ("http:///cat.png", "lacks a host"),
        ("https://:443/cat.png", "lacks a host"),
        ("https:cat.png", "lacks a host"),
        ("oss://", "lacks a bucket and key"),
        ("oss://bucket", "lacks a bucket and key"),
        ("oss://bucket/", "lacks a bucket and key"),
        (" https://example.com/cat.png", "whitespace"),
        ("https://example.com/cat.png\n", "whitespace"),
        ("oss://bucket/key ", "whitespace"),
        ("ftp://example.com/cat.png", "not a URL that the service takes"),
        ("file:///cat.png", "not a URL that the service takes"),
        ("", "not a URL that the service takes"),
    ],
)
@pytest.mark.parametrize("kind", [Image, Video])
def test_address_that_cannot_be_right_is_refused(kind: Any, url: str, words: str) -> None:
    with pytest.raises(MediaFormatError, match=words) as caught:
        _prepared(kind(source=Url(url), where=WHERE))
    assert caught.value.where == WHERE
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
        (b"\x00\x00\x00\x14ftypisom", "video/mp4"),
        (b"\x00\x00\x00\x14ftyp3gp4", "video/3gpp"),
        (b"\x1a\x45\xdf\xa3\x82\x88matroska", "video/x-matroska"),
        (b"\x1a\x45\xdf\xa3\x82\x84webm", "video/webm"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "video/x-msvideo"),
        (b"FLV\x01\x05", "video/x-flv"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
        (MPEG_TS, "video/mpeg"),
    ],
)
def test_video_container_goes_out_under_its_own_type(
    head: bytes, media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With PyAV they would be found to be but heads.
    monkeypatch.setattr(probe, "has_av", lambda: False)
    data = head + bytes(188 * 3 if head is not MPEG_TS else 0)
    url = _prepared(Video(source=Inline(data))).source.url
    assert url == f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"Dear reader", "text"), (b"%PDF-1.7", "a PDF document"), (WAV, "audio"), (_png(), "png")],
)
def test_other_file_in_a_videos_place_is_named(data: bytes, words: str) -> None:
    with pytest.raises(MediaFormatError, match=f"Expected a video.*{words}"):
        _prepared(Video(source=Inline(data)))


def test_picture_object_in_a_videos_place_is_refused() -> None:
    with pytest.raises(MediaFormatError, match="decoded image") as caught:
        _prepared(Video(source=Pixels(PillowImage.new("RGB", (20, 20)))))
    assert "list of images" in caught.value.remedy


def test_video_over_the_byte_limit_is_refused_with_both_remedies() -> None:
    with pytest.raises(MediaTooLargeError) as caught:
        _prepared(
            Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="inline"),
            max_inline_bytes=10**6,
        )
    assert (caught.value.value, caught.value.limit) == (1_055_736, 10**6)
    assert "https://" in caught.value.remedy
    assert "list of frames" in caught.value.remedy


@pytest.mark.parametrize(
    ("model", "count", "limit"),
    [
        ("qwen3-vl-plus", 3, 4),
        ("qwen3-vl-plus", 0, 4),
        ("qwen3-vl-plus", 2_001, 2_000),
        ("qwen2.5-vl-7b-instruct", 513, 512),
        ("qwen3.8-max", 8_001, 8_000),
    ],
)
def test_frame_count_outside_the_models_range_is_refused(
    model: str, count: int, limit: int
) -> None:
    with pytest.raises(FrameCountError) as caught:
        _prepared(_frames(count), model)
    assert (caught.value.value, caught.value.limit) == (count, limit)
    assert caught.value.where == WHERE
    assert caught.value.remedy


@pytest.mark.parametrize("count", [4, 2_000])
def test_frame_count_at_the_limits_passes(count: int) -> None:
    assert len(_prepared(_frames(count)).source.frames) == count


def test_bad_frame_is_named_by_its_number() -> None:
    frames = (HTTPS, FILE, Inline(_png(9)), HTTPS)
    with pytest.raises(MediaTooSmallError) as caught:
        _prepared(Video(source=Frames(frames), where=WHERE))
    assert caught.value.where == f"{WHERE}.video[2]"


def test_frames_are_counted_before_the_first_is_read(tmp_path: Path) -> None:
    missing = LocalFile(tmp_path / "none.png", is_trusted=True)
    with pytest.raises(FrameCountError):
        _prepared(_frames(3, missing))


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("qwen-vl-ocr", _frames(4)),
        ("qwen-vl-ocr", Video(source=HTTPS, where=WHERE)),
        ("qwen3.7-max", Image(source=HTTPS, where=WHERE)),
        ("qwen3.7-max", Video(source=HTTPS, where=WHERE)),
        ("qwen3-vl-plus", Audio(source=HTTPS, format="mp3", where=WHERE)),
    ],
)
def test_model_that_does_not_take_the_part_is_named(model: str, part: Part) -> None:
    with pytest.raises(UnsupportedContentError, match=model) as caught:
        _prepared(part, model)
    assert caught.value.where == WHERE
    assert caught.value.remedy


OMNI = "qwen3.8-omni-flash"


@pytest.mark.parametrize(
    "source",
    [
        Inline(WAV),
        Inline(base64.b64encode(WAV)),
        Inline(base64.b64encode(WAV).decode()),
        Url(f"data:audio/wav;base64,{base64.b64encode(WAV).decode()}"),
        Url(f"data:;base64,{base64.b64encode(WAV).decode()}"),
    ],
)
def test_sound_goes_out_without_a_type(source: Source) -> None:
    url = _prepared(Audio(source=source, format="wav"), OMNI).source.url
    assert url == f"data:;base64,{base64.b64encode(WAV).decode()}"


def test_sound_behind_an_address_is_passed_on() -> None:
    audio = Audio(source=Url("https://example.com/song.mp3"), format="mp3")
    assert _prepared(audio, OMNI) is audio


def test_sound_without_a_header_passes() -> None:
    data = b"\x00\x01\x00\xff" * 100
    url = _prepared(Audio(source=Inline(data), format="pcm"), OMNI).source.url
    assert base64.b64decode(url.partition(",")[2]) == data


def test_file_without_a_header_is_no_audio_whatever_is_stated(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\x30\x82\x04\xa4\x02\x01\x00" * 99)
    source = LocalFile(tmp_path / "key", is_trusted=True)
    with pytest.raises(MediaFormatError, match="Expected audio"):
        _prepared(Audio(source=source, format="pcm"), OMNI)


def test_mp3_that_begins_with_zeros_is_audio() -> None:
    data = bytes(100) + b"\xff\xfb\x90\x00" + bytes(400)
    assert _prepared(Audio(source=Inline(data), format="mp3"), OMNI).source.n_bytes == len(data)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Inline(b"la la la, sang the bird"), "looks like text"),
        (Inline(_png()), "looks like an image"),
        (Pixels(PillowImage.new("L", (20, 20))), "a decoded image"),
        (Inline(b"-----BEGIN PRIVATE KEY-----\nMIIE"), "looks like text"),
        (Inline(b"\x30\x82\x04\xa4\x02\x01\x00" * 99), "no kind of file"),
        (Inline("UklGR*"), "Wrong Base64"),
        (Inline(""), "0 bytes"),
    ],
)
def test_other_thing_in_a_sounds_place_is_refused(source: Source, words: str) -> None:
    with pytest.raises(MediaFormatError, match=words):
        _prepared(Audio(source=source, format="wav"), OMNI)


@pytest.mark.parametrize("fps", [0.1, 1, 2.0, 10])
def test_fps_in_its_range_passes(fps: float) -> None:
    assert _prepared(Video(source=HTTPS, fps=fps)).fps == fps


@pytest.mark.parametrize("fps", [0, 0.09, 10.1, -1, float("nan"), float("inf"), True, "2"])
def test_fps_out_of_its_range_is_refused(fps: Any) -> None:
    for part in (Video(source=HTTPS, fps=fps, where=WHERE), replace(_frames(4), fps=fps)):
        with pytest.raises(MediaOptionError, match="fps") as caught:
            _prepared(part)
        assert caught.value.value is fps
        assert "0.1" in str(caught.value.limit)
        assert caught.value.where == WHERE


@pytest.mark.parametrize("value", [0, -1, 1.5, float("nan"), True, "65536"])
@pytest.mark.parametrize("name", ["min_pixels", "max_pixels", "total_pixels"])
def test_pixel_option_that_is_no_count_is_refused(name: str, value: Any) -> None:
    part: Any = replace(Video(source=HTTPS, where=WHERE), **{name: value})
    parts = (
        [part] if name == "total_pixels" else [part, replace(Image(source=HTTPS), **{name: value})]
    )
    for bad in parts:
        with pytest.raises(MediaOptionError, match=name) as caught:
            _prepared(bad)
        assert caught.value.value is value
        assert caught.value.remedy


@pytest.mark.parametrize("kind", [Image, Video])
def test_least_pixels_above_most_pixels_are_refused(kind: Any) -> None:
    assert _prepared(kind(source=HTTPS, min_pixels=70_000, max_pixels=70_000))
    with pytest.raises(MediaOptionError, match="min_pixels is 70001"):
        _prepared(kind(source=HTTPS, min_pixels=70_001, max_pixels=70_000))


def test_least_pixels_above_most_pixels_are_refused_for_other_servers_too() -> None:
    for server in ("vllm", "sglang", "llamacpp"):
        equal = Image(source=HTTPS, min_pixels=70_000, max_pixels=70_000)
        prepare_media(replace(_request(equal), server=server))
        crossed = replace(equal, min_pixels=70_001, where=WHERE)
        with pytest.raises(MediaOptionError) as caught:
            prepare_media(replace(_request(crossed), server=server))
        assert (caught.value.where, caught.value.value) == (WHERE, 70_001)
        assert "at most max_pixels, which is 70000" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "model", "name", "lowest", "highest"),
    [
        # OpenAI-Chat page (2026-10), the ranges of each family.
        (Image, "qwen3-vl-plus", "min_pixels", 65_536, 16_777_216),
        (Image, "qwen3-vl-plus", "max_pixels", 65_536, 16_777_216),
        (Image, "qwen2.5-vl-7b-instruct", "max_pixels", 3_136, 12_845_056),
        (Video, "qwen3-vl-plus", "min_pixels", 4_096, 2_048_000),
        (Video, "qwen3-vl-plus", "max_pixels", 4_096, 2_048_000),
        (Video, "qwen3-vl-8b-instruct", "max_pixels", 4_096, 786_432),
        (Video, "qwen2.5-vl-7b-instruct", "max_pixels", 3_136, 602_112),
        (Video, "qwen3.8-max", "total_pixels", 4_096, 819_200_000),
        (Video, "qwen3-vl-plus", "total_pixels", 4_096, 134_217_728),
        (Video, "qwen3-vl-8b-instruct", "total_pixels", 4_096, 67_108_864),
        (Video, "qwen2.5-vl-7b-instruct", "total_pixels", 3_136, 51_380_224),
    ],
)
def test_pixel_limits_have_the_range_of_the_model(
    kind: Any, model: str, name: str, lowest: int, highest: int
) -> None:
    for value in (lowest, highest):
        prepare_media(_request(kind(source=HTTPS, **{name: value}), model=model))
    for value in (lowest - 1, highest + 1):
        with pytest.raises(MediaOptionError, match=name) as caught:
            prepare_media(_request(kind(source=HTTPS, **{name: value}), model=model))
        assert caught.value.value == value
        assert f"{lowest:,} to {highest:,}" in str(caught.value.limit)


def test_pictures_are_counted_against_the_models_limit() -> None:
    parts = [Image(source=HTTPS, where=f"content[{number}]") for number in range(257)]
    prepare_media(_request(*parts[:256]))
    prepare_media(_request(*parts, model="qwen3.8-max"))
    with pytest.raises(MediaTooLargeError, match="257 images; at most 256") as caught:
        prepare_media(_request(*parts))
    assert caught.value.where == "content[256]"


def test_pictures_of_tools_are_counted_as_well() -> None:
    parts = [Image(source=HTTPS)] * 256
    result = ToolResult(tool_call_id="1", parts=(Image(source=HTTPS, where="tool[0]"),))
    with pytest.raises(MediaTooLargeError) as caught:
        prepare_media(_request(*parts, result))
    assert caught.value.where == "tool[0]"


def test_inline_pictures_have_their_own_limit() -> None:
    parts = [Image(source=Inline(_png()), where=f"content[{n}]") for n in range(251)]
    request = _request(*parts[:MAX_INLINE_IMAGES], Image(source=HTTPS), model="qwen3.8-max")
    assert prepare_media(request) is not request
    with pytest.raises(MediaTooLargeError, match="251 inline images; at most 250") as caught:
        prepare_media(_request(*parts, model="qwen3.8-max"))
    assert caught.value.where == "content[250]"


def test_videos_are_counted() -> None:
    parts = [Video(source=HTTPS)] * (MAX_VIDEOS + 1)
    prepare_media(_request(*parts[:-1]))
    with pytest.raises(MediaTooLargeError, match="65 videos; at most 64"):
        prepare_media(_request(*parts))


def test_inlined_bytes_are_summed_and_the_part_past_the_limit_is_named() -> None:
    size = CHELSEA.stat().st_size
    inline = Url(_prepared(Image(source=FILE)).source.url)
    parts = (
        Image(source=FILE, where="content[0]"),
        ToolResult(tool_call_id="1", parts=(Image(source=inline, where="content[1]"),)),
        Image(source=HTTPS),
        Video(source=Frames((HTTPS, HTTPS, FILE, HTTPS)), where="content[3]"),
    )
    prepare_media(_request(*parts, max_total_inline_bytes=3 * size))
    with pytest.raises(MediaTooLargeError) as caught:
        prepare_media(_request(*parts, max_total_inline_bytes=3 * size - 1))
    assert caught.value.where == "content[3].video[2]"
    assert (caught.value.value, caught.value.limit) == (3 * size, 3 * size - 1)
    assert caught.value.remedy


def test_everything_is_checked_before_the_first_file_is_read(tmp_path: Path) -> None:
    missing = Image(source=LocalFile(tmp_path / "none.png", is_trusted=True))
    with pytest.raises(MediaNotFoundError):
        prepare_media(_request(missing))
    with pytest.raises(MediaOptionError):
        prepare_media(_request(missing, Video(source=HTTPS, fps=99)))


@pytest.mark.parametrize(
    "value", [ROCKET.read_bytes(), bytearray(ROCKET.read_bytes()), memoryview(ROCKET.read_bytes())]
)
def test_to_json_safe_gives_what_goes_on_the_wire(value: object) -> None:
    expected = _prepared(Image(source=LocalFile(ROCKET, is_trusted=True))).source.url
    assert to_json_safe(value, "image", WHERE) == expected
    assert to_json_safe(io.BytesIO(ROCKET.read_bytes()), "image", WHERE) == expected


def test_to_json_safe_gives_the_same_key_for_the_same_pixels() -> None:
    with PillowImage.open(COFFEE) as image:
        from_pillow = to_json_safe(image, "image", WHERE)
        from_numpy = to_json_safe(np.asarray(image), "image", WHERE)
    assert from_pillow is not None
    assert from_pillow == from_numpy
    assert orjson.loads(orjson.dumps(from_pillow)) == from_pillow


def test_to_json_safe_of_a_path_is_text_that_stays_trusted(tmp_path: Path) -> None:
    path = tmp_path / "größe #1?.png"
    path.write_bytes(CHELSEA.read_bytes())
    os.utime(path, ns=(5, 7))
    text = to_json_safe(path, "image", WHERE)
    assert isinstance(text, LocalFileUrl)
    # Its name alone, and what tells it from others.
    size = CHELSEA.stat().st_size
    assert text.startswith(f"file:///gr%C3%B6%C3%9Fe%20%231%3F.png#mtime_ns=7&size={size}&path=")
    assert to_source(text) == LocalFile(path, is_trusted=True)
    os.utime(path, ns=(5, 8))
    assert to_json_safe(path, "image", WHERE) != text


def test_to_json_safe_of_a_missing_path_has_no_version(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    text = to_json_safe(path, "image", WHERE)
    assert str(text).startswith("file:///none.png#path=")
    assert to_source(text) == LocalFile(path, is_trusted=True)


@pytest.mark.parametrize("text", ["https://example.com/cat.png", "/etc/passwd", "iVBORw0KGgo="])
def test_to_json_safe_leaves_text_as_it_is(text: str) -> None:
    assert to_json_safe(text, "image", WHERE) is text


@pytest.mark.parametrize("value", [None, 1, {"url": "x"}, ["https://example.com/1.png"], object()])
def test_to_json_safe_of_other_values_is_nothing(value: object) -> None:
    assert to_json_safe(value, "image", WHERE) is None


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (b"words", "image", "looks like text"),
        (ROCKET.read_bytes(), "video", "looks like an image"),
        (BIG_BUCK_BUNNY.read_bytes(), "image", "looks like a video"),
        (io.StringIO("words"), "image", "open as text"),
        (np.zeros((5, 20, 20, 3), dtype=np.uint8), "video", "array of pixels"),
    ],
)
def test_to_json_safe_raises_the_errors_of_prepare(value: object, kind: Any, words: str) -> None:
    with pytest.raises(MediaFormatError, match=words) as caught:
        to_json_safe(value, kind, WHERE)
    assert caught.value.where == WHERE


def test_to_json_safe_obeys_the_policy_that_it_is_given() -> None:
    policy = MediaPolicy(max_inline_bytes=1_000, downscale_images=False)
    with pytest.raises(MediaTooLargeError):
        to_json_safe(ROCKET.read_bytes(), "image", WHERE, policy)
    # Where images are shrunk, how long it will be is not known before the model is.
    assert to_json_safe(ROCKET.read_bytes(), "image", WHERE, replace(policy, downscale_images=None))


@pytest.mark.parametrize("data", [bytes(7), b"\xff\xd8\xff" + bytes(50), b"\x89PNG\r\n\x1a\n"])
def test_every_refusal_is_a_media_error_with_place_and_remedy(data: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        _prepared(Image(source=Inline(data), where=WHERE))
    assert caught.value.where == WHERE
    assert caught.value.remedy
