"""Videos and documents as recorders, discs and mail programs write them."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from qwen_vl import count_tokens
from qwen_vl.content import Document, Frames, Inline, Turn, Video
from qwen_vl.media import prepare_media, sniff
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.video.probe import probe
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.servers import Server

RATE = 10
SECONDS = 12
WHERE = "messages[0].content[0]"
# A packet of MPEG-TS; Blu-ray discs put 4 bytes before it, DVB 16 behind it (EN 300 429).
PACKET = 188


def written(
    container: str,
    codec: str = "libx264",
    begin: float = 0.0,
    gop_size: int = 12,
    seconds: float = SECONDS,
    rate: int = RATE,
    **options: str,
) -> bytes:
    """A video that becomes lighter by a shade of 20 in each second, on a clock of its own."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as writer:
        stream: Any = writer.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = gop_size
        for number in range(round(seconds * rate)):
            shade = number * 20 // rate
            values = np.full((48, 64, 3), shade, np.uint8)
            frame = av.VideoFrame.from_ndarray(values, format="rgb24")
            frame.pts, frame.time_base = number + round(begin * rate), Fraction(1, rate)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode())
    return file.getvalue()


def prepared(part: Any, server: Server = "dashscope", **policy: Any) -> Any:
    turn = Turn(role="user", parts=(part,))
    model = "qwen3-vl-plus" if server == "dashscope" else "Qwen/Qwen3-VL-8B-Instruct"
    request = Request(model=model, turns=(turn,), policy=MediaPolicy(**policy), server=server)
    return prepare_media(request).turns[0].parts


def seconds_of(video: Any) -> list[float]:
    """The second in which each frame that was sent is shown, by its shade."""
    assert isinstance(video.source, Frames)
    found = []
    for frame in video.source.frames:
        image = PillowImage.open(io.BytesIO(read_data_url(frame))).convert("L")
        found.append(np.asarray(image).mean() / 20)
    return found


TS = written("mpegts")
CONTAINERS: dict[str, bytes] = {
    "MPEG-TS": TS,
    "MPEG-TS, MPEG-2": written("mpegts", "mpeg2video"),
    "MPEG-TS, one key frame": written("mpegts", gop_size=10_000),
    "MPEG-TS, late": written("mpegts", begin=3_600),
    # Its clock of 33 bits starts again at 0.
    "MPEG-TS, wrapped": written("mpegts", begin=2**33 / 90_000 - 5),
    "M2TS": written("mpegts", mpegts_m2ts_mode="1"),
    "MPEG-TS, 204 bytes": b"".join(
        TS[at : at + PACKET] + bytes(16) for at in range(0, len(TS), PACKET)
    ),
    "MPEG-TS, cut within a packet": TS[100:PACKET] + TS,
    "MPEG-PS, late": written("mpeg", "mpeg2video", begin=50),
    "MP4, late": written("mp4", begin=5),
    "MP4, late without edit list": written(
        "mp4", begin=5, use_editlist="0", avoid_negative_ts="disabled"
    ),
    "MP4, fragments": written("mp4", begin=5, movflags="frag_keyframe+empty_moov"),
    "MOV, late": written("mov", begin=5),
    "Matroska, late": written("matroska", begin=5),
    "WEBM, late": written("webm", "libvpx", begin=5),
    "FLV, late": written("flv", begin=5),
    "ASF, late": written("asf", "mpeg4", begin=5),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_length_and_frames_are_those_of_the_clip(name: str) -> None:
    data = CONTAINERS[name]
    # MPEG's own containers may lose frames of their end.
    assert probe(io.BytesIO(data), WHERE).seconds == pytest.approx(SECONDS, abs=0.6)
    for number in (4, 6):
        part = Video(source=Inline(data), max_frames=number, where=WHERE)
        (video,) = prepared(part)
        expected = [at * (SECONDS - 0.1) / (number - 1) for at in range(number)]
        assert seconds_of(video) == pytest.approx([int(at) for at in expected], abs=1.1)
    part = Video(source=Inline(data), start=6.2, end=8.2, where=WHERE)
    (video,) = prepared(part)
    assert seconds_of(video) == pytest.approx([6, 7, 7, 8], abs=1.1)


@pytest.mark.parametrize("name", [name for name in CONTAINERS if "TS" in name])
def test_transport_streams_are_sampled_for_vllm(name: str) -> None:
    part = Video(source=Inline(CONTAINERS[name]), where=WHERE)
    (video,) = prepared(part, "vllm")
    assert len(video.source.frames) == 24
    (whole,) = prepared(part)
    assert whole.source.media_type == "video/mpeg"


def test_short_clip_is_sent_as_its_frames() -> None:
    data = written("mp4", seconds=1)
    part = Video(source=Inline(data), where=WHERE)
    (video,) = prepared(part)
    assert len(video.source.frames) == 4
    (whole,) = prepared(part, "vllm")
    assert whole.source.media_type == "video/mp4"
    (inline,) = prepared(part, video_mode="inline")
    assert inline.source.media_type == "video/mp4"


@pytest.mark.filterwarnings("ignore:.*the service knows no fps but")
@pytest.mark.parametrize("container", ["mp4", "matroska", "webm", "mov"])
@pytest.mark.parametrize("n_frames", [1, 2, 3])
@pytest.mark.parametrize("mode", ["auto", "frames"])
def test_clip_of_few_frames_is_sent_as_these(mode: Any, n_frames: int, container: str) -> None:
    codec = "libvpx" if container == "webm" else "libx264"
    data = written(container, codec, seconds=n_frames / RATE)
    part = Video(source=Inline(data), where=WHERE, video_mode=mode)
    (video,) = prepared(part)
    assert isinstance(video.source, Frames)
    assert len(video.source.frames) == 4
    assert count_tokens(part, "qwen3-vl-plus") == count_tokens(video, "qwen3-vl-plus")


def test_each_of_few_frames_is_sent() -> None:
    data = written("mp4", seconds=3, rate=1)
    (video,) = prepared(Video(source=Inline(data), where=WHERE, video_mode="frames"))
    assert seconds_of(video) == pytest.approx([0, 1, 1, 2], abs=1.1)
    assert len(set(video.source.frames)) == 3


def pdf() -> bytes:
    file = io.BytesIO()
    PillowImage.new("RGB", (320, 240), "red").save(file, "PDF")
    return file.getvalue()


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b"\r\n\r\n",
        b"Content-Type: application/pdf\r\n\r\n",
        b"\x1b%-12345X@PJL ENTER LANGUAGE=PDF\r\n",
        bytes(128),
        b" " * 900 + b"\n",
        # julianhille/MuhammaraJS#211
        b" ",
        b"\t  ",
        b'"',
        b"garbage",
        # py-pdf/pypdf#3925
        b"PK\x03\x04abc3454",
    ],
)
def test_pdf_with_bytes_before_its_header(before: bytes) -> None:
    data = before + pdf()
    assert sniff(data) == "application/pdf"
    assert sniff(b"PK3454%PDF-1.5\n%\xe2\xe3\xcf\xd3\n") == "application/pdf"
    label, page = prepared(Document(source=Inline(data), where=WHERE))
    assert label.text == "Page 1 of 1:"
    assert page.source.size[0] > 300
    assert count_tokens(Document(source=Inline(data)), "qwen3-vl-plus") > 60


@pytest.mark.parametrize("before", [b"GIF89a", b"ID3", b"Files: %PDF-1.7. "])
def test_document_that_begins_like_something_else(before: bytes) -> None:
    label, _ = prepared(Document(source=Inline(before + pdf()), where=WHERE))
    assert label.text == "Page 1 of 1:"


@pytest.mark.parametrize(
    "text",
    [
        b"Files that begin with %PDF-1.7 are documents.",
        b"G" * 2_000,
        b"import re\nPDF = '%PDF-1.7'\n",
        b"The first line is %PDF-1.7\nand the second is a comment.",
    ],
)
def test_text_is_neither_document_nor_video(text: bytes) -> None:
    assert sniff(text) is None


def test_length_of_matroska_in_hours() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as writer:
        stream: Any = writer.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for second in (0, 1, 2, 3, 2 * 3_600 + 3 * 60 + 4):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = second, Fraction(1)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode())
    file.seek(0)
    assert probe(file, WHERE).seconds == pytest.approx(2 * 3_600 + 3 * 60 + 4, abs=1.01)
