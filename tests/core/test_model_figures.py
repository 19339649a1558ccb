"""Figures of models and servers that the sandbox does not have, as their pages state them."""

from decimal import Decimal

import pytest

from qwen_vl.specs import batch_chat, embedding, processors, rerank, vision
from qwen_vl.specs.audio import MAX_AUDIO_BASE64_CHARS
from qwen_vl.specs.embedding import SELF_HOSTED_EMBEDDING, get_embedding_spec
from qwen_vl.specs.frame_times import find_fps
from qwen_vl.specs.models import get_model_spec, is_service_model
from qwen_vl.specs.prices import BATCH_FACTOR
from qwen_vl.specs.servers import Server, get_served_spec, get_server_spec

pytestmark = pytest.mark.any_version


# Tokens of input and output together, of input, and of an answer.
@pytest.mark.parametrize(
    ("model", "lengths"),
    [
        # OpenAI-Chat page, 2026-10.
        ("qwen4-max", (1_000_000, 991_808, 131_072)),
        ("qwen3.8-max", (1_000_000, 991_808, 131_072)),
        ("qwen3.8-27b", (1_000_000, 991_808, 65_536)),
        ("qwen3.7-plus", (1_000_000, 991_808, 65_536)),
        ("qwen3.7-flash", (1_000_000, 991_808, 131_072)),
        ("qwen3.6-plus", (1_000_000, 991_808, 65_536)),
        ("qwen3-vl-plus", (262_144, 260_096, 32_768)),
        ("qwen3-vl-8b-instruct", (262_144, 260_096, 32_768)),
        ("qwen-vl-max", (131_072, 129_024, 8_192)),
        ("qwen2.5-vl-72b-instruct", (131_072, 129_024, 8_192)),
        ("qwen2-vl-7b-instruct", (131_072, 129_024, 8_192)),
        ("qvq-max", (131_072, 129_024, 16_384)),
        # OCR page, 2026.
        ("qwen-vl-ocr", (38_192, 30_000, 8_192)),
        # Omni page, 2026-09.
        ("qwen3.8-omni-flash", (1_000_000, None, 131_072)),
        ("qwen3.5-omni-plus", (None, None, None)),
        ("qwen3-omni-flash", (65_536, 49_152, 16_384)),
        ("qwen-omni-turbo", (32_768, 30_720, 2_048)),
    ],
)
def test_lengths(model: str, lengths: tuple[int | None, ...]) -> None:
    spec = get_model_spec(model)

    assert (spec.context_window, spec.max_input_tokens, spec.max_output_tokens) == lengths


def test_model_behind_a_gateway_has_the_least_lengths() -> None:
    spec = get_served_spec("my-vision", "openai_compatible")

    lengths = (spec.context_window, spec.max_input_tokens, spec.max_output_tokens)
    assert lengths == (131_072, 129_024, 8_192)
    assert spec.family == "unknown"
    assert get_served_spec("my-vision", "vllm").max_output_tokens == 131_072


def test_longest_lists_of_frames_of_models_that_are_gone() -> None:
    # Vision page, 2026-08: 4 to 80 images of a list.
    assert get_model_spec("qwen2-vl-7b-instruct").max_frames == 80
    assert get_model_spec("qwen-omni-turbo").max_frames == 80


@pytest.mark.parametrize(("others", "is_found"), [(253, True), (254, False)])
def test_names_are_read_by_256_characters(others: int, is_found: bool) -> None:
    # Of a path the end, and of an id the beginning.
    assert (get_model_spec("qvq" + "x" * others).family == "QVQ") == is_found
    assert is_service_model("x" * others + "qvq") == is_found


# Minimum and maximum pixels that images are scaled to, and the shortest side.
@pytest.mark.parametrize(
    ("server", "of_qwen25", "of_qwen3"),
    [
        # The checkpoints' own (transformers 5.19.0).
        ("vllm", (3_136, 12_845_056, 28), (65_536, 16_777_216, 1)),
        ("sglang", (3_136, 12_845_056, 1), (65_536, 16_777_216, 1)),
        # 8 to 4,096 tokens of an image (tools/mtmd/clip.cpp).
        ("llamacpp", (6_272, 3_211_264, 1), (8_192, 4_194_304, 1)),
        # "2M limit" (model/models/qwen25vl).
        ("ollama", (3_136, 2_097_152, 28), (65_536, 2_097_152, 1)),
        ("dashscope", (3_136, 12_845_056, 11), (65_536, 16_777_216, 11)),
    ],
)
def test_images_of_servers(server: Server, of_qwen25: object, of_qwen3: object) -> None:
    spec = get_server_spec(server)

    assert (*spec.image_area("qwen2_5_vl"), spec.image_limits("qwen2_5_vl").min_side) == of_qwen25
    assert (*spec.image_area("qwen3_vl"), spec.image_limits("qwen3_vl").min_side) == of_qwen3


@pytest.mark.parametrize(
    ("server", "max_ratio", "max_odd_pixels", "min_video_seconds"),
    [
        # Vision page, 2026-08.
        ("dashscope", 200, 8_294_400, 2.0),
        ("vllm", 200, None, 0.0),
        ("sglang", 200, None, 0.0),
        ("ollama", 200, None, 0.0),
        ("llamacpp", None, None, 0.0),
        ("openai_compatible", None, None, 0.0),
    ],
)
def test_media_of_servers(
    server: Server, max_ratio: int | None, max_odd_pixels: int | None, min_video_seconds: float
) -> None:
    spec = get_server_spec(server)

    assert (spec.images.max_ratio, spec.images.max_odd_pixels) == (max_ratio, max_odd_pixels)
    assert spec.min_video_seconds == min_video_seconds


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        # Omni page, 2026-09.
        (10 * 1_048_576, MAX_AUDIO_BASE64_CHARS),
        # docs/embeddings.md; QwenLM/Qwen3-VL-Embedding, 2026-01.
        (1_310_720, embedding.SERVICE_MAX_PIXELS),
        (1_310_720, get_embedding_spec("qwen3-vl-embedding").max_pixels),
        (1_843_200, embedding.SELF_HOSTED_MAX_PIXELS),
        (1_843_200, SELF_HOSTED_EMBEDDING.max_pixels),
        (256, SELF_HOSTED_EMBEDDING.max_elements),
        (10_000_000, SELF_HOSTED_EMBEDDING.max_image_bytes),
        (10_000_000, rerank.MAX_IMAGE_BYTES),
        # vLLM 0.32.
        (1.0, processors.DEFAULT_FRAME_LIST_FPS),
        (32, processors.MAX_LISTED_FRAMES),
        # Native-API page, 2026-09; Batch-Chat page, 2026-10.
        (2.0, vision.DEFAULT_FPS),
        (Decimal("0.5"), BATCH_FACTOR),
        ((30.0, 3_600.0, 600.0, 3_600.0), batch_chat.BATCH_TIMEOUT),
    ],
)
def test_figure_is_the_one_that_is_stated(stated: object, found: object) -> None:
    assert found == stated


@pytest.mark.parametrize(
    ("timestamps", "fps"),
    [
        (None, None),
        ([0.0], None),
        ([0.0, 1.0], 1.0),
        # To four digits, and no less or more than servers take.
        ([0.0, 1.0, 3.0, 7.0], 0.4286),
        ([0.0, 10.0], 0.1),
        ([0.0, 11.0], 0.1),
        ([0.0, 0.1], 10.0),
        ([0.0, 0.05], 10.0),
    ],
)
def test_frames_per_second_of_timestamps(timestamps: list[float] | None, fps: float | None) -> None:
    assert find_fps(timestamps) == fps
