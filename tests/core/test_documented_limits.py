"""Limits that the service's pages or our own documents state, as they are stated there."""

import pytest

from qwen_vl import connection
from qwen_vl.grounding import coordinates
from qwen_vl.media import decoding, downscale, encode, tool_content
from qwen_vl.ocr import reader
from qwen_vl.request import cache_control, media_cache, ocr
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs import models, vision
from qwen_vl.wire import sse

pytestmark = pytest.mark.any_version

MIB = 1_048_576


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        # Vision page, 2026-08.
        (11, models.MIN_SIDE_PIXELS),
        (200, models.MAX_ASPECT_RATIO),
        (8_294_400, models.PIXELS_OF_4K),
        (250, models.MAX_INLINE_IMAGES),
        (64, models.MAX_VIDEOS),
        (4, models.MIN_FRAMES),
        (2, vision.MARKER_TOKENS),
        (1_000, coordinates.NORMALIZED),
        # Native-API page, 2026-09.
        ((0.1, 10), (models.MIN_FPS, models.MAX_FPS)),
        # Rate-limit page, 2026.
        (64 * MIB, models.MAX_BODY_BYTES),
        # Cache page, 2026-10; OCR page, 2026; Queueing page, 2026-10.
        (4, cache_control.MAX_CACHE_MARKS),
        (3, ocr.MAX_SCHEMA_LEVELS),
        ((3, 120), (connection.MIN_QUEUE_SECONDS, connection.MAX_QUEUE_SECONDS)),
        # docs/images.md, docs/videos.md, docs/langchain.md, docs/agents.md, docs/ocr.md.
        (64 * MIB, downscale.MAX_FILE_BYTES),
        (95, encode.JPEG_QUALITY),
        (90, encode.DOWNSCALED_JPEG_QUALITY),
        ((85, 75, 60, 45), encode.FRAME_JPEG_QUALITIES),
        (512 * MIB, decoding.DEFAULT_MAX_DECODE_MEMORY),
        (64 * MIB, media_cache.DEFAULT_MEDIA_CACHE_BYTES),
        (64 * MIB, connection.DEFAULT_MAX_RESPONSE_BYTES),
        (64 * MIB, sse.MAX_EVENT_BYTES),
        (50_000, tool_content.MAX_TEXT_CHARS),
        (4, reader.DEFAULT_CONCURRENCY),
    ],
)
def test_limit_is_the_one_that_is_stated(stated: object, found: object) -> None:
    assert found == stated


@pytest.mark.parametrize(
    ("name", "default"),
    [
        # The tables of docs/langchain.md.
        ("model", "qwen3-vl-plus"),
        ("max_inline_bytes", 7_340_032),
        ("max_total_inline_bytes", 12_582_912),
        ("max_decode_memory", 512 * MIB),
        ("max_response_bytes", 64 * MIB),
        ("media_cache", 64 * MIB),
        ("max_retries", 2),
        ("pdf_dpi", 150),
        ("pdf_max_pages", 20),
        ("pdf_timeout", 30),
        ("video_mode", "auto"),
        ("tool_media_errors", "note"),
        ("history_images", "all"),
    ],
)
def test_default_is_the_one_that_is_stated(name: str, default: object) -> None:
    assert getattr(QwenVLSettings(), name) == default
