"""Embedding by vLLM: the exact request of its example, and vectors that are cut here."""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as PillowImage

from qwen_vl.embedding.embedder import QUERY_INSTRUCTION, Embedder
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    InvalidRequestError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

MODEL = "Qwen/Qwen3-VL-Embedding-2B"
IMAGE = "https://example.com/1.png"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(server="vllm") as started:
        yield started


@pytest.fixture
def make(sandbox: Sandbox) -> Callable[..., Embedder]:
    def make(**options: Any) -> Embedder:
        url = sandbox.base_url
        return Embedder(QwenVLSettings(model=MODEL, base_url=url, server="vllm"), **options)

    return make


def conversation(*content: dict[str, Any], instruction: str) -> list[dict[str, Any]]:
    """As examples/pooling/embed/vision_embedding_online.py of vllm-project/vllm (dd30740)."""
    return [
        {"role": "system", "content": [{"type": "text", "text": instruction}]},
        {"role": "user", "content": list(content)},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    ]


TEXT_PART = {"type": "text", "text": "a cat"}
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE}}
EMPTY_PART = {"type": "text", "text": ""}


@pytest.mark.parametrize(
    ("item", "content"),
    [
        ({"image": IMAGE}, (IMAGE_PART, EMPTY_PART)),
        ("a cat", (TEXT_PART,)),
        ({"text": "a cat", "image": IMAGE}, (IMAGE_PART, TEXT_PART)),
    ],
)
def test_requests_are_those_of_the_example(
    make: Callable[..., Embedder], sandbox: Sandbox, item: object, content: tuple[Any, ...]
) -> None:
    embeddings = make().embed([item])

    sent = sandbox.last_request
    assert (sent.path, sent.unknown_fields) == ("/v1/embeddings", ())
    assert sent.json == {
        "model": MODEL,
        "encoding_format": "float",
        "messages": conversation(*content, instruction="Represent the user's input."),
        "continue_final_message": True,
        "add_special_tokens": True,
    }
    assert (len(embeddings), embeddings.dimensions) == (1, 2048)
    assert embeddings.usage is not None
    assert embeddings.request_ids


def test_batches_are_lists_of_conversations(
    make: Callable[..., Embedder], sandbox: Sandbox
) -> None:
    single = make().embed_queries(["a cat", {"image": IMAGE}])
    assert sandbox.n_requests == 2

    embeddings = make(batch_size=2).embed_queries(["a cat", {"image": IMAGE}])

    assert sandbox.n_requests == 3
    assert sandbox.last_request.json["messages"] == [
        conversation(TEXT_PART, instruction=QUERY_INSTRUCTION),
        conversation(IMAGE_PART, EMPTY_PART, instruction=QUERY_INSTRUCTION),
    ]
    assert embeddings.vectors == single.vectors


def test_vectors_are_cut_here_where_the_server_refuses(
    make: Callable[..., Embedder], sandbox: Sandbox
) -> None:
    images = [PillowImage.new("RGB", (64, 64), color) for color in ("red", "blue")]
    embedder = make(dimensions=128)

    embeddings = embedder.embed(images)

    # One refusal; what was learned holds for the requests behind it.
    assert ["dimensions" in request.json for request in sandbox.requests] == [True, False, False]
    assert embeddings.dimensions == 128
    assert all(math.isclose(math.hypot(*vector), 1) for vector in embeddings)
    assert asyncio.run(embedder.aembed(images)).vectors == embeddings.vectors


def test_vectors_that_are_too_short_raise(make: Callable[..., Embedder], sandbox: Sandbox) -> None:
    sandbox.fail(status=400, message="Model does not support matryoshka representation.")

    with pytest.raises(AnswerFormatError, match=r"items\[0\]: The vector has 2048 numbers; 4000"):
        make(dimensions=4000).embed(["a"])


def test_servers_that_can_cut_do() -> None:
    with Sandbox(server="vllm", matryoshka=True) as sandbox:
        settings = QwenVLSettings(model=MODEL, base_url=sandbox.base_url, server="vllm")
        embeddings = Embedder(settings, dimensions=128).embed(["a cat"])

        assert sandbox.last_request.json["dimensions"] == 128
    assert embeddings.dimensions == 128


def test_other_refusals_raise(make: Callable[..., Embedder], sandbox: Sandbox) -> None:
    sandbox.fail(status=400, message="Too long.")

    with pytest.raises(InvalidRequestError, match="Too long"):
        make(dimensions=128).embed(["a"])
    assert sandbox.n_requests == 1


@pytest.mark.parametrize("dimensions", [0, -1])
def test_wrong_dimensions_raise(make: Callable[..., Embedder], dimensions: int) -> None:
    with pytest.raises(ConfigurationError, match="must be a number above 0"):
        make(dimensions=dimensions)


def test_local_videos_raise(make: Callable[..., Embedder]) -> None:
    with pytest.raises(UnsupportedContentError, match=r"items\[0\]: A video is taken by URL only"):
        make().embed([BIG_BUCK_BUNNY])


@pytest.mark.parametrize("server", ["sglang", "llamacpp", "ollama", "openai_compatible"])
def test_servers_without_a_documented_way_raise(server: Any) -> None:
    settings = QwenVLSettings(model="m", base_url="http://127.0.0.1:9/v1", server=server)

    with pytest.raises(ConfigurationError, match="a documented way to embed images"):
        Embedder(settings)
