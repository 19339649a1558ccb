"""What is fuzzed: a strategy for the input, and what is done with it."""

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage
from PIL import Image as Pillow
from pydantic import ValidationError

from fuzz.strategies import changed, shaped
from langchain_qwen_vl.messages import to_turns as langchain_turns
from llama_index.llms.qwen_vl.messages import to_turns as llama_index_turns
from qwen_vl.content import Document, Image, Inline, Turn, Video
from qwen_vl.documents.blocks import Block
from qwen_vl.documents.convert import to_html, to_markdown, to_text
from qwen_vl.documents.drawing import draw_layout
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.documents.parse_markdown import parse_markdown
from qwen_vl.errors import QwenVLError
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.parse_boxes import read_grounding
from qwen_vl.grounding.parse_timeline import read_timeline
from qwen_vl.media import prepare_media
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.ocr.results import read_ocr_result
from qwen_vl.parsing import find_json, parse_arguments, parse_whole_json
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET
from qwen_vl.specs.upload_hosts import UploadHosts
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.protocols import find_wire

POLICY = MediaPolicy(max_decode_memory=64 * 2**20, media_roots=())
CALL = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": '{"q": "cat"}'}}
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "input_tokens": 3,
    "output_tokens": 2,
    "prompt_tokens_details": {"image_tokens": 1, "cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 1},
}
MESSAGE = {
    "role": "assistant",
    "content": [{"text": "A cat."}],
    "reasoning_content": "Hm.",
    "tool_calls": [CALL],
}
CHOICE = {"index": 0, "finish_reason": "stop", "message": MESSAGE, "delta": MESSAGE}
ANSWER = {
    "id": "c-1",
    "request_id": "r-1",
    "model": "qwen3-vl-plus",
    "choices": [CHOICE],
    "output": {"choices": [CHOICE]},
    "usage": USAGE,
}
ERROR = {
    "error": {"code": "invalid_api_key", "message": "Wrong key", "type": "t", "param": None},
    "request_id": "r-1",
    "code": "InvalidApiKey",
    "message": "Wrong key",
}
LEAVE = {
    "data": {
        "upload_host": "https://bucket.oss-cn-beijing.aliyuncs.com",
        "upload_dir": "dashscope-instant/a/b",
        "policy": "eyJl",
        "signature": "g5K+",
        "oss_access_key_id": "LTAI",
        "x_oss_object_acl": "private",
        "x_oss_forbid_overwrite": "true",
        "max_file_size_mb": 100,
    }
}
FRAME = CoordinateFrame(space="normalized", image=(640, 480), scale=(1000, 1000))
PAGE = Pillow.new("RGB", FRAME.image, "white")
DOCUMENT_ANSWERS = (
    (
        b'```html\n<html><body>\n<h1 data-bbox="1 2 300 40">A &amp; b</h1><ol data-bbox="1 1 9 9">'
        b'<li data-bbox="1 50 99 60">One<ul><li data-bbox="1 2 3 4">in</li></ul></li></ol>\n'
        b'<style>t</style><table data-bbox="1 70 99 90" class="table1"><tr><td>x</td></tr></table>'
        b'<div class="formula" data-bbox="1 2 3 4"><img data-bbox="1 2 3 4" /><p>$$x$$</p></div>'
        b"<p data-polygon='1 2 3 4 5 6'>x<sup>2</sup><script>x</script></p></body></html>\n```"
    ),
    (
        b"```markdown\n# A\n\n<!-- Table (1, 2, 300, 40) -->\n\\begin{tabular}{l}a & b \\\\\n"
        b"\\end{tabular}\n\n<!-- Image (1, 2, 3, 4) -->\nFigure 1: b\n\n- c\n  1. d\n$$\ne\n$$\n"
        b"| f |\n|---|\n```x\ng\n```\n<table><tr><td>h</td></tr></table>\n> i\n```"
    ),
    b"<think>Hm.</think><div data-bbox='1 2 3 4'><p>a<p>b</div><x-y data-bbox='1,2,3,4'>c",
)
MODEL_ANSWERS = (
    b'```json\n[{"bbox_2d": [1, 2, 30, 40], "label": "cat"}]\n```',
    b'<think>Hm.</think>{"total": 12.5, "lines": [{"text": "a", "n": 1}]}',
    b"<box>(1,2),(3,4)</box> <|box_start|>(1,2),(3,4)<|box_end|>",
    b'[{"start_time": "00:01.5", "end_time": "00:03", "event": "A walk."}]',
    b'<tool_call>\n{"name": "find", "arguments": {"q": "cat"}}\n</tool_call>',
    b"<table><tr><td>1</td><td>2</td></tr></table>",
    b"[{'point_2d': [1, 2], 'label': 'it\\'s',},]",
    b'[{"rotate_rect": [1, 2, 3, 4, 5], "text": "line"}]',
)
PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUB"
    "AScY42YAAAAASUVORK5CYII="
)
BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "Hi"},
    {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}, "max_pixels": 100_000},
    {"type": "image", "url": "https://example.com/a.png", "mime_type": "image/png"},
    {"type": "image", "base64": PNG.partition(",")[2], "mime_type": "image/png", "extras": {}},
    {"type": "image", "source": {"type": "base64", "data": PNG, "media_type": "image/png"}},
    {"type": "video", "url": "https://example.com/a.mp4", "fps": 2, "extras": {"fps": 2}},
    {"type": "video", "video": [PNG, PNG, PNG, PNG], "fps": 1, "timestamps": [0, 1, 2, 3]},
    {"type": "file", "file": {"file_data": PNG, "filename": "a.pdf"}, "pages": "1-2"},
    {"type": "media", "data": PNG, "mime_type": "image/png"},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "non_standard", "value": {"type": "image", "image": PNG}},
    {"inlineData": {"mimeType": "image/png", "data": PNG}},
]
LLAMA_INDEX_BLOCKS: list[dict[str, Any]] = [
    {"block_type": "text", "text": "Hi"},
    {"block_type": "image", "image": PNG.partition(",")[2], "image_mimetype": "image/png"},
    {"block_type": "image", "url": "https://example.com/a.png", "detail": "high"},
    {"block_type": "video", "url": "https://example.com/a.mp4", "fps": 2},
    {"block_type": "document", "url": "https://example.com/a.pdf", "title": "a.pdf"},
    {"block_type": "audio", "audio": "AAAA", "format": "wav"},
    {"block_type": "thinking", "content": "Hm."},
    {"block_type": "tool_call", "tool_call_id": "c1", "tool_name": "find", "tool_kwargs": {"q": 1}},
]


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads foreign input.

    Args:
        inputs: Makes the strategy.
        run: Reads one input; it may raise errors of ours.
    """

    inputs: Callable[[], st.SearchStrategy[Any]]
    run: Callable[[Any], None]


def read_answer(body: Any) -> None:
    raw = json.dumps(body, default=repr).encode()
    for protocol in ("openai", "native"):
        with suppress(QwenVLError):
            find_wire(protocol).decode(raw, {}, Request(model="qwen3-vl-plus", turns=()))


def read_error(drawn: tuple[bytes, int]) -> None:
    body, status = drawn
    assert isinstance(decode_error(status, body, {}), QwenVLError)


def read_stream(drawn: tuple[bytes, int, str]) -> None:
    raw, size, protocol = drawn
    request = Request(model="qwen3-vl-plus", turns=(), stream=True)
    decoder = find_wire(protocol).decoder({}, request)
    with suppress(QwenVLError):
        for start in range(0, len(raw), size):
            list(decoder.feed(raw[start : start + size]))
            if decoder.is_done:
                break
        list(decoder.finish())


def read_model_answer(raw: bytes) -> None:
    # JSON may hold half of a surrogate pair, which text in UTF-8 cannot.
    text = raw.decode(errors="replace").replace("\u2028", "\ud83d")
    readers: tuple[Callable[[], Any], ...] = (
        lambda: find_json(text),
        lambda: parse_whole_json(text),
        lambda: parse_arguments(text, name="find"),
        lambda: read_grounding(text, FRAME),
        lambda: read_timeline(text),
        lambda: read_ocr_result("table_parsing", text),
        lambda: read_ocr_result("advanced_recognition", text),
        lambda: read_ocr_result("key_information_extraction", text),
    )
    for read in readers:
        with suppress(QwenVLError):
            read()


def read_document_answer(drawn: tuple[bytes, bool]) -> None:
    raw, is_cut_off = drawn
    text = raw.decode(errors="replace").replace("\u2028", "\ud83d")
    width, height = FRAME.image
    for found in (
        parse_html(text, FRAME),
        parse_html(text, FRAME, is_cut_off=is_cut_off),
        parse_markdown(text, FRAME, is_cut_off=is_cut_off),
    ):
        for block in found.blocks:
            x1, y1, x2, y2 = block.box or (0, 0, 1, 1)
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert block.box or block.no_box_reason
            assert Block.from_dict(block.to_dict()) == block
        about = [problem.block for problem in found.problems if problem.block is not None]
        assert all(index < len(found.blocks) for index in about)
        assert "<script" not in to_html(found.blocks).lower()
        to_markdown(found.blocks)
        to_text(found.blocks)
        draw_layout(PAGE, found.blocks, legend=is_cut_off)


def read_leave(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body, default=repr).encode()
    with suppress(QwenVLError):
        UploadHosts(["*.aliyuncs.com"], "https://example.com").check(UploadPolicy.read(raw).host)


def send_media(part: Image | Video | Document) -> None:
    turn = Turn(role="user", parts=(part,))
    request = Request(model="qwen3-vl-plus", turns=(turn,), policy=POLICY)
    for act in (
        lambda: prepare_media(request),
        lambda: count_tokens(part, "qwen3-vl-plus", policy=POLICY),
    ):
        with suppress(QwenVLError):
            act()


def send_image(data: bytes) -> None:
    send_media(Image(source=Inline(data), max_pixels=4_096 * 4))


def send_video(data: bytes) -> None:
    send_media(Video(source=Inline(data), video_mode="frames", max_frames=4))


def send_document(data: bytes) -> None:
    send_media(Document(source=Inline(data)))


def convert_langchain(content: Any) -> None:
    for make in (
        lambda: HumanMessage(content),
        lambda: ToolMessage(content, tool_call_id="c1"),
        lambda: AIMessage(content),
    ):
        with suppress(ValidationError, TypeError):
            message = make()
            with suppress(QwenVLError):
                request = Request(
                    model="qwen3-vl-plus", turns=langchain_turns([message]), policy=POLICY
                )
                find_wire("openai").encode(prepare_media(request))


def convert_llama_index(blocks: Any) -> None:
    for role in ("user", "tool", "assistant"):
        raw = {"role": role, "blocks": blocks, "additional_kwargs": {"tool_call_id": "c1"}}
        # What the framework's own classes refuse does not reach us.
        with suppress(Exception):
            message = ChatMessage.model_validate(raw)
            break
    else:
        return
    with suppress(QwenVLError):
        turns = llama_index_turns([message])
        prepare_media(Request(model="qwen3-vl-plus", turns=turns, policy=POLICY))


@cache
def image_seeds() -> tuple[bytes, ...]:
    return tuple(_write_images())


def _write_images() -> Iterator[bytes]:
    image = Pillow.new("RGB", (48, 40), "red")
    for kind in (
        "PNG",
        "JPEG",
        "WEBP",
        "BMP",
        "TIFF",
        "GIF",
        "ICO",
        "JPEG2000",
        "PPM",
        "AVIF",
        "ICNS",
    ):
        buffer = io.BytesIO()
        # A format that this Pillow does not write is left out.
        with suppress(KeyError, OSError):
            image.save(buffer, kind)
            yield buffer.getvalue()
    others = [Pillow.new("RGB", (48, 40), color) for color in ("green", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        image.save(
            buffer,
            kind,
            save_all=True,
            append_images=others,
            **({"duration": 100} if kind != "TIFF" else {}),
        )
        yield buffer.getvalue()
    for mode in ("RGBA", "LA", "P", "I;16", "1"):
        buffer = io.BytesIO()
        Pillow.new(mode, (48, 40)).save(buffer, "PNG")
        yield buffer.getvalue()
    yield CHELSEA.read_bytes()[:4_000]
    yield ROCKET.read_bytes()[:4_000]


@cache
def video_seeds() -> tuple[bytes, ...]:
    return tuple(_write_videos())


def _write_videos() -> Iterator[bytes]:
    import av  # noqa: PLC0415 - slow to import
    import numpy as np  # noqa: PLC0415 - as av

    for kind, codec in (
        ("mp4", "libx264"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
        ("mpegts", "mpeg2video"),
        ("flv", "flv"),
        ("asf", "mpeg4"),
        ("mpeg", "mpeg2video"),
    ):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=kind) as made:
            stream = made.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(12):
                pixels = np.full((48, 64, 3), number * 20, dtype=np.uint8)
                made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            made.mux(stream.encode(None))
        yield buffer.getvalue()
    yield BIG_BUCK_BUNNY.read_bytes()[:30_000]
    yield from image_seeds()[11:15]


@cache
def document_seeds() -> tuple[bytes, ...]:
    import pypdfium2  # noqa: PLC0415 - an extra

    document = pypdfium2.PdfDocument.new()
    for _ in range(2):
        document.new_page(100, 100)
    buffer = io.BytesIO()
    document.save(buffer)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.txt", "no PDF")
    return buffer.getvalue(), archive.getvalue(), *image_seeds()[4:5]


def _sse(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


STREAMS = (
    _sse(ANSWER) + _sse(ANSWER) + b"data: [DONE]\n\n",
    b": keep-alive\n\n" + _sse(ANSWER) + b"id:1\nevent:result\n" + _sse({**ANSWER, "usage": None}),
    _sse(ERROR),
    b"event: error\r\n" + _sse(ERROR).replace(b"\n", b"\r\n"),
)


TARGETS: dict[str, Target] = {
    "answers": Target(lambda: shaped(ANSWER), read_answer),
    "errors": Target(
        lambda: st.tuples(
            changed([orjson.dumps(ERROR), b"<html><title>502</title>"]), st.integers(100, 599)
        ),
        read_error,
    ),
    "streams": Target(
        lambda: st.tuples(
            changed(STREAMS), st.integers(1, 4_096), st.sampled_from(("openai", "native"))
        ),
        read_stream,
    ),
    "model-answers": Target(lambda: changed(MODEL_ANSWERS), read_model_answer),
    "parsed-pages": Target(
        lambda: st.tuples(changed(DOCUMENT_ANSWERS), st.booleans()), read_document_answer
    ),
    "upload-policies": Target(
        lambda: st.one_of(shaped(LEAVE), changed([orjson.dumps(LEAVE)])), read_leave
    ),
    "images": Target(lambda: changed(image_seeds()), send_image),
    "videos": Target(lambda: changed(video_seeds()), send_video),
    "documents": Target(lambda: changed(document_seeds()), send_document),
    "langchain-blocks": Target(
        lambda: st.lists(st.one_of([shaped(block) for block in BLOCKS]), max_size=4),
        convert_langchain,
    ),
    "llama-index-blocks": Target(
        lambda: st.lists(st.one_of([shaped(block) for block in LLAMA_INDEX_BLOCKS]), max_size=4),
        convert_llama_index,
    ),
}


def quietly(run: Callable[[Any], None]) -> Callable[[Any], None]:
    """Run without the warnings of what is wrong with the input."""

    def read(drawn: Any) -> None:
        logging.disable(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                run(drawn)
        finally:
            logging.disable(logging.NOTSET)

    return read
