"""Audio: its format, its length and its limits (Omni page, 2026-09)."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from audio_samples import encode_audio, make_wav
from qwen_vl.content import (
    Audio,
    Inline,
    LocalFile,
    OpenFile,
    Source,
    Text,
    ToolResult,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    MediaFormatError,
    MediaTooLargeError,
    RequestTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.media.audio import measure_audio, measure_seconds, prepare_audio
from qwen_vl.media.data_url import MediaBytes, to_data_url
from qwen_vl.media.prepare import prepare_media
from qwen_vl.media.sniff import sniff
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import CHELSEA
from qwen_vl.specs.models import AUDIO_MODELS, get_model_spec
from qwen_vl.tokens.conversation import count_tokens

OMNI = "qwen3.8-omni-flash"
HTTPS = Url("https://example.com/recording")


def prepared(audio: Audio, model: str = OMNI, **fields: Any) -> Audio:
    return prepare_audio(audio, Request(model=model, turns=(), **fields))


def ask(*parts: Any, model: str = OMNI, **fields: Any) -> Request:
    turn = Turn(role="user", parts=parts)
    return prepare_media(Request(model=model, turns=(turn,), **fields))


@pytest.mark.parametrize(
    ("container", "codec", "rate", "name"),
    [
        ("mp3", "libmp3lame", 16_000, "mp3"),
        ("adts", "aac", 16_000, "aac"),
        ("ogg", "libopus", 48_000, "ogg"),
        ("flac", "flac", 8_000, "flac"),
        ("ipod", "aac", 16_000, "m4a"),
        ("3gp", "aac", 16_000, "3gp"),
        ("mp4", "aac", 16_000, "mp4"),
        ("webm", "libopus", 48_000, "webm"),
    ],
)
def test_format_and_length_are_those_of_the_bytes(
    container: str, codec: str, rate: int, name: str
) -> None:
    data = encode_audio(container, codec, 2.0, rate)

    assert prepared(Audio(source=Inline(data), format="wav")).format == name
    assert measure_seconds(data, sniff(data)) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: Inline(path.read_bytes()),
        lambda path: Inline(base64.b64encode(path.read_bytes()).decode()),
        lambda path: LocalFile(path, is_trusted=True),
        lambda path: OpenFile(io.BytesIO(path.read_bytes())),
    ],
    ids=["bytes", "Base64", "path", "file object"],
)
def test_every_source_becomes_a_data_url(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "voice.mp3"  # The name is wrong.
    path.write_bytes(make_wav())
    ready = prepared(Audio(source=make(path), format="mp3"))

    url = f"data:;base64,{base64.b64encode(make_wav()).decode()}"
    assert (ready.format, getattr(ready.source, "url", None)) == ("wav", url)


@pytest.mark.parametrize(
    ("url", "stated", "name"),
    [
        ("https://example.com/a.mp3?x=1", "", "mp3"),
        ("https://example.com/a.WAV", "", "wav"),
        ("oss://bucket/a.3gpp", "", "3gp"),
        ("https://example.com/a.mp3", "audio/x-wav", "wav"),
        ("https://example.com/a", "audio/mpeg", "mp3"),
        ("https://example.com/a", "amr", "amr"),
    ],
)
def test_format_of_a_url_is_stated_or_in_its_name(url: str, stated: str, name: str) -> None:
    assert prepared(Audio(source=Url(url), format=stated)).format == name


def test_url_without_a_format_is_refused_where_the_protocol_wants_one() -> None:
    with pytest.raises(MediaFormatError, match=r"its name does not show it") as caught:
        prepared(Audio(source=HTTPS, where="messages[0].content[0]"))
    assert caught.value.where == "messages[0].content[0]"

    assert prepared(Audio(source=HTTPS), protocol="native").format == ""


def test_wav_of_a_pipe_is_measured_to_its_end() -> None:
    wav = make_wav(2.0)
    at = wav.index(b"data") + 4
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        piped = wav[:at] + length + wav[at + 4 :]
        assert measure_seconds(piped, "audio/wav") == pytest.approx(2.0)
    assert measure_seconds(b"RIFF\x24\0\0\0WAVE", "audio/wav") is None
    assert measure_seconds(b"ID3" + bytes(50), "audio/mpeg") is None


@pytest.mark.parametrize(
    ("model", "seconds", "limit"),
    [("qwen-omni-turbo", 181, 180), ("qwen3-omni-flash", 1_201, 1_200)],
)
def test_audio_that_is_too_long_for_the_model_is_refused(
    model: str, seconds: int, limit: int
) -> None:
    # Eight bits and 1,000 samples a second.
    head = make_wav()[:44].replace((16_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    wav = head[:40] + (seconds * 1_000).to_bytes(4, "little") + bytes(seconds * 1_000)
    with pytest.raises(MediaTooLargeError, match=f"at most {limit:,} s") as caught:
        prepared(Audio(source=Inline(wav)), model)
    assert (caught.value.value, caught.value.limit) == (seconds, limit)
    n_bytes = limit * 1_000
    longest = wav[:40] + n_bytes.to_bytes(4, "little") + wav[44 : 44 + n_bytes]
    assert prepared(Audio(source=Inline(longest)), model).format == "wav"

    assert prepared(Audio(source=Inline(wav))).format == "wav"


def test_base64_of_audio_is_shorter_than_10_mib() -> None:
    """Whatever `max_inline_bytes` allows for images."""
    policy = MediaPolicy(max_inline_bytes=2**24, max_total_inline_bytes=2**24)
    largest = 7_864_317  # Its Base64 has 10,485,756 characters.
    for extra in (0, 1):
        wav = make_wav()[:44] + bytes(largest - 44 + extra)
        if not extra:
            assert prepared(Audio(source=Inline(wav)), policy=policy).source.n_bytes == largest  # type: ignore[union-attr]  # A data URL.
            continue
        with pytest.raises(MediaTooLargeError, match="at most 7,864,317") as caught:
            prepared(Audio(source=Inline(wav)), policy=policy)
        assert "MP3" in caught.value.remedy


@pytest.mark.parametrize(
    ("model", "sources", "words"),
    [
        (OMNI, [Inline(make_wav())] * 251, "251 inline audio files; at most 250"),
        (OMNI, [Url("https://example.com/a.wav")] * 2_049, "2049 audio files; at most 2048"),
        ("qwen3-omni-flash", [Url("https://example.com/a.wav")] * 2, "at most 1"),
    ],
)
def test_number_of_audio_files_is_limited(model: str, sources: list[Source], words: str) -> None:
    parts = [Audio(source=source) for source in sources]
    with pytest.raises(RequestTooLargeError, match=words):
        ask(*parts, model=model)
    assert ask(*parts[1:], model=model)


def test_models_that_take_audio_are_named() -> None:
    assert all(get_model_spec(model).accepts_audio for model in AUDIO_MODELS)
    with pytest.raises(UnsupportedContentError, match="'qwen3-vl-plus' takes no audio") as caught:
        ask(Audio(source=Inline(make_wav())), model="qwen3-vl-plus")
    assert all(model in caught.value.remedy for model in AUDIO_MODELS)


def tool_turns(part: Audio) -> tuple[Turn, ...]:
    result = ToolResult(tool_call_id="a", parts=(part,), where="messages[1]")
    return (Turn(role="tool", parts=(result,)),)


def test_audio_from_a_tool_is_a_link_or_a_note_for_a_model_that_takes_none() -> None:
    url = Audio(source=Url("https://example.com/a.mp3"))
    for audio, text in (
        (url, "Link: https://example.com/a.mp3 (audio/mp3)"),
        (
            Audio(source=Inline(make_wav())),
            "The audio cannot be shown: The model 'qwen3-vl-plus' takes no audio.",
        ),
    ):
        request = prepare_media(Request(model="qwen3-vl-plus", turns=tool_turns(audio)))
        assert request.turns[0].parts[0].parts == (Text(text=text),)  # type: ignore[union-attr]  # A result.


def test_damaged_audio_from_a_tool_becomes_a_note() -> None:
    request = Request(model=OMNI, turns=tool_turns(Audio(source=Inline(b"Dear reader"))))
    (note,) = prepare_media(request).turns[0].parts[0].parts  # type: ignore[union-attr]  # A result.
    assert note.text == "The audio cannot be shown: Expected audio, but this looks like text."  # type: ignore[union-attr]  # A text.


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("qwen3.8-omni-flash", 420),
        ("qwen3.5-omni-plus", 420),
        ("qwen3-omni-flash", 750),
        ("qwen-omni-turbo", 1_500),
    ],
)
def test_second_of_audio_costs_what_the_page_says(model: str, tokens: int) -> None:
    assert count_tokens(Audio(source=Inline(make_wav(60.0))), model) == tokens


def test_less_than_a_second_counts_as_one() -> None:
    assert count_tokens(Audio(source=Inline(make_wav(0.25))), OMNI) == 7


def test_audio_that_cannot_be_measured_counts_as_a_minute_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="420 tokens are counted, it may cost from 7 to 75,600"):
        assert count_tokens(Audio(source=Url("https://example.com/a.mp3")), OMNI) == 420


def make_clip(*, with_audio: bool, seconds: float = 3.0) -> bytes:
    import av  # noqa: PLC0415 - an extra
    import numpy as np  # noqa: PLC0415 - as av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=4)
        video.width, video.height = 64, 64
        audio = output.add_stream("aac", rate=8_000) if with_audio else None
        for _ in range(int(seconds * 4)):
            pixels = np.full((64, 64, 3), 90, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(video.encode(None))
        if audio is not None:
            silence = np.zeros((1, int(seconds * 8_000)), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate = 8_000
            output.mux(audio.encode(frame))
            output.mux(audio.encode(None))
    return buffer.getvalue()


def test_audio_of_a_whole_video_is_counted_and_sent() -> None:
    """`video_tokens` and `audio_tokens` are counted apart (Omni page, 2026-09)."""
    silent, loud = make_clip(with_audio=False), make_clip(with_audio=True)
    tokens = {
        (name, model): count_tokens(Video(source=Inline(data)), model)
        for name, data in (("silent", silent), ("loud", loud))
        for model in (OMNI, "qwen3.7-plus")
    }
    assert tokens["loud", OMNI] - tokens["silent", OMNI] == 3 * 7
    assert tokens["loud", "qwen3.7-plus"] == tokens["silent", "qwen3.7-plus"]

    (part,) = ask(Video(source=Inline(loud))).turns[0].parts
    assert base64.b64decode(part.source.url.partition(",")[2]) == loud  # type: ignore[union-attr]  # A data URL.


@pytest.mark.parametrize(
    ("model", "with_audio", "warns"),
    [(OMNI, True, True), (OMNI, False, False), ("qwen3.7-plus", True, False)],
)
def test_audio_that_is_lost_with_frames_is_warned_of(
    model: str, with_audio: bool, warns: bool, recwarn: pytest.WarningsRecorder
) -> None:
    clip = Video(source=Inline(make_clip(with_audio=with_audio)), video_mode="frames")
    ask(clip, model=model)
    found = [str(warning.message) for warning in recwarn]
    assert any("without its audio" in text for text in found) is warns


def test_image_is_no_audio() -> None:
    with pytest.raises(MediaFormatError, match="looks like an image"):
        prepared(Audio(source=LocalFile(CHELSEA, is_trusted=True), format="wav"))


class Pipe(io.RawIOBase):
    """Bytes that can be read once."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._file.readinto(buffer)


def test_what_is_measured_is_not_used_up() -> None:
    wav = make_wav(1.5)
    file = io.BytesIO(wav)
    assert measure_audio(Audio(source=OpenFile(file)), MediaPolicy()) == 1.5
    assert file.read() == wav
    with io.BufferedReader(Pipe(wav)) as pipe:
        assert measure_audio(Audio(source=OpenFile(pipe)), MediaPolicy()) is None
        assert pipe.read() == wav
    assert measure_audio(Audio(source=HTTPS), MediaPolicy()) is None
    assert (
        measure_audio(Audio(source=to_data_url("audio/wav", MediaBytes(wav))), MediaPolicy()) == 1.5
    )


def test_wav_without_samples_lasts_no_time() -> None:
    head = make_wav()[:44]
    assert measure_seconds(head[:40] + bytes(4), "audio/wav") == 0
    assert measure_seconds(head[:43], "audio/wav") is None
    # A chunk of an odd length is followed by a byte that belongs to none.
    odd = head[:36] + b"note\x03\0\0\0abc\0" + head[36:40] + (16_000).to_bytes(4, "little")
    assert measure_seconds(odd + bytes(16_000), "audio/wav") == 1.0


def test_audio_that_cannot_be_measured_is_named_by_its_place() -> None:
    for where, name in (("", "audio"), ("messages[0].content[0]", "messages[0].content[0]")):
        part = Audio(source=HTTPS, format="mp3", where=where)
        with pytest.warns(UserWarning, match="cannot be measured") as warned:
            count_tokens(part, OMNI)
        (told,) = warned
        assert str(told.message) == (
            f"{name}: the audio cannot be measured; 420 tokens are counted, it may cost from 7 to "
            "75,600."
        )
