"""Text from servers, models, files and messages is read in time that grows as its length does."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import ImageFont

from linear import TEXTS, Read, check_growth
from qwen_vl.content import Inline, LocalFile, Url, to_source
from qwen_vl.documents.blocks import ParsedBlocks
from qwen_vl.documents.boxes import read_box, read_polygon
from qwen_vl.documents.convert import to_html, to_markdown, to_text
from qwen_vl.documents.latex import read_cells
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.documents.parse_markdown import parse_markdown
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.damaged_json import read_damaged_json
from qwen_vl.grounding.drawing.fonts import find_font
from qwen_vl.grounding.drawing.labels import Lettering
from qwen_vl.grounding.drawing.storyboard import _wrap
from qwen_vl.grounding.parse_boxes import read_grounding
from qwen_vl.grounding.parse_timeline import read_timeline
from qwen_vl.grounding.timeline import Event, Timeline, read_range, read_seconds
from qwen_vl.media.image import find_damage
from qwen_vl.media.load import check_remote, load
from qwen_vl.media.pages import read_page_numbers
from qwen_vl.media.sniff import describe
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.media.upload.send import _read_refusal
from qwen_vl.ocr.results import read_ocr_result
from qwen_vl.parsing import find_fences, find_json, load_json
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.endpoints import hide_password
from qwen_vl.specs.models import get_model_spec
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl.transport.retries import retry_delay
from qwen_vl.wire.encode import encode_arguments
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.sse import EventParser

pytestmark = pytest.mark.any_version

FRAME = CoordinateFrame(space="normalized", image=(640, 480), scale=(1000, 1000))
POLICY = MediaPolicy(media_roots=())


def write_answer(**entry: str) -> str:
    return orjson.dumps([entry]).decode()


def write_subtitles(text: str) -> None:
    timeline = Timeline(events=(Event(start=1.0, end=2.0, text=text),))
    for write in (timeline.to_webvtt, timeline.to_srt, timeline.to_csv, timeline.describe):
        write()


def write_blocks(found: ParsedBlocks) -> None:
    for write in (to_markdown, to_html, to_text):
        write(found.blocks)


def letter(text: str) -> None:
    Lettering(16).make(text, 400)


def wrap(text: str) -> None:
    font: Any = ImageFont.load_default(16)
    _wrap(" ".join(text.split()), font, 300)


def parse_events(text: str) -> None:
    raw, parser = text.encode(), EventParser()
    for start in range(0, len(raw), 64):
        list(parser.feed(raw[start : start + 64]))
    list(parser.finish())


READERS: dict[str, Read] = {
    "error": lambda text: decode_error(500, text, {}),
    "error in JSON": lambda text: decode_error(
        400, orjson.dumps({"error": {"code": text, "message": text}}), {}
    ),
    "error of the storage": lambda text: _read_refusal(403, text),
    "leave to upload": lambda text: UploadPolicy.read(orjson.dumps({"data": {"policy": text}})),
    "lines of a stream": parse_events,
    "data of a stream": lambda text: parse_events(f"data: {text}"),
    "retry-after": lambda text: retry_delay(0, {"retry-after": text, "retry-after-ms": text}),
    "JSON": load_json,
    "JSON in prose": find_json,
    "damaged JSON": read_damaged_json,
    "fences": lambda text: list(find_fences(text)),
    "places": lambda text: read_grounding(text, FRAME),
    "place": lambda text: read_grounding(write_answer(bbox_2d=text, label=text), FRAME),
    "events": read_timeline,
    "event": lambda text: read_timeline(write_answer(start_time=text, event=text)),
    "span": lambda text: read_timeline(write_answer(time_range=text, event=text)),
    "range": read_range,
    "seconds": read_seconds,
    "blocks in HTML": lambda text: write_blocks(parse_html(text, FRAME)),
    "blocks in Markdown": lambda text: write_blocks(parse_markdown(text, FRAME)),
    "box of a block": lambda text: (read_box(text, FRAME), read_polygon(text, FRAME)),
    "cells in LaTeX": read_cells,
    "tables": lambda text: read_ocr_result("table_parsing", text),
    "lines": lambda text: read_ocr_result("advanced_recognition", text),
    "subtitles": write_subtitles,
    "label": letter,
    "lines of a label": wrap,
    "font": lambda text: find_font(text, 16),
    "arguments": encode_arguments,
    "source": to_source,
    "address": lambda text: check_remote(text, ""),
    "data URL": lambda text: load(Url(text), POLICY, ""),
    "inline": lambda text: load(Inline(text), POLICY, ""),
    "inline bytes": lambda text: load(Inline(text.encode()), POLICY, ""),
    "path": lambda text: load(LocalFile(Path(text), is_trusted=False), POLICY, ""),
    "pages": lambda text: read_page_numbers(text, ""),
    "kind of file": lambda text: describe(text.encode()),
    "JPEG": lambda text: find_damage(b"\xff\xd8" + text.encode("utf-16"), "image/jpeg"),
    "PNG": lambda text: find_damage(text.encode(), "image/png"),
    "tokens": estimate_text_tokens,
    "password": hide_password,
    "model": get_model_spec.__wrapped__,
}


@pytest.mark.parametrize("reader", READERS)
def test_reader_takes_time_by_the_length_of_the_text(reader: str) -> None:
    for name in TEXTS:
        check_growth(READERS[reader], name, largest=4_096)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("reader", READERS)
def test_reader_takes_time_by_the_length_of_a_long_text(reader: str) -> None:
    for name in TEXTS:
        check_growth(READERS[reader], name, largest=2**18)


def test_faster_growth_is_noticed() -> None:
    # Two steps at which it shows, since one may be hidden by whatever else runs here.
    with pytest.raises(AssertionError, match="spaces: "):
        check_growth(re.compile(r"\s*-\s*").split, "spaces", largest=16_384)
