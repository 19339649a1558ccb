"""Embedding by the hosted service: exact requests, and answers that are checked.

Expected JSON is that of the Multimodal-embedding page (2026-11), and what the official SDK sends.
"""

import asyncio
import base64
import math
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import dashscope
import orjson
import pytest
from dashscope import MultiModalEmbedding
from dashscope.api_entities.http_request import close_shared_sync_session
from PIL import Image as PillowImage

from qwen_vl.content import Image, Inline
from qwen_vl.embedding.embedder import QUERY_INSTRUCTION, Embedder
from qwen_vl.errors import (
    AnswerFormatError,
    APITimeoutError,
    ConfigurationError,
    InvalidRequestError,
    MediaFormatError,
    RateLimitError,
    ServerError,
    ServiceError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

PATH = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"
IMAGE = "https://example.com/1.png"
OTHER = "https://example.com/2.png"
VIDEO = "https://example.com/3.mp4"
TEXT = "An image of a cat"

FORMS = [
    # Independent vectors.
    (
        {"model": "qwen3-vl-embedding", "dimensions": 1024, "parameters": {"fps": 0.5}},
        [TEXT, {"image": IMAGE}, {"video": VIDEO}],
        [{"text": TEXT}, {"image": IMAGE}, {"video": VIDEO}],
        {"dimension": 1024, "fps": 0.5},
        3,
    ),
    # One fused vector: all contents of the request become one.
    (
        {"model": "qwen3-vl-embedding"},
        [{"text": TEXT, "multi_images": [IMAGE, OTHER]}],
        [{"text": TEXT}, {"image": IMAGE}, {"image": OTHER}],
        {"enable_fusion": True},
        1,
    ),
    # A model that always fuses.
    (
        {"model": "qwen2.5-vl-embedding", "dimensions": 768},
        [(TEXT, {"image": IMAGE})],
        [{"text": TEXT}, {"image": IMAGE}],
        {"dimension": 768},
        1,
    ),
    # Fused by object, several of them, and images as one sequence.
    (
        {
            "model": "tongyi-embedding-vision-plus-2026-03-06",
            "dimensions": 1152,
            "parameters": {"res_level": 1, "max_video_frames": 8},
        },
        [{"text": TEXT, "image": IMAGE}, {"multi_images": [IMAGE, OTHER]}],
        [{"text": TEXT, "image": IMAGE}, {"multi_images": [IMAGE, OTHER]}],
        {"dimension": 1152, "res_level": 1, "max_video_frames": 8},
        2,
    ),
    (
        {"model": "tongyi-embedding-vision-flash", "dimensions": 768},
        [{"multi_images": [IMAGE, OTHER]}, TEXT],
        [{"multi_images": [IMAGE, OTHER]}, {"text": TEXT}],
        {},
        2,
    ),
    ({"model": "multimodal-embedding-v1"}, [TEXT], [{"text": TEXT}], {}, 1),
]


@pytest.fixture
def call_sdk(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)
    yield MultiModalEmbedding.call
    close_shared_sync_session()


@pytest.mark.parametrize(("options", "items", "contents", "parameters", "n_vectors"), FORMS)
def test_requests_are_those_of_the_page_and_of_the_sdk(
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
    call_sdk: Any,
    options: dict[str, Any],
    items: list[object],
    contents: list[object],
    parameters: dict[str, Any],
    n_vectors: int,
) -> None:
    embeddings = make_embedder(**options).embed(items)

    sent = qwen_vl_sandbox.last_request
    expected = {
        "model": options["model"],
        "input": {"contents": contents},
        "parameters": parameters,
    }
    assert (sent.path, sent.json, sent.unknown_fields) == (PATH, expected, ())
    assert len(embeddings) == n_vectors
    answer = call_sdk(
        model=options["model"], input=[dict(one) for one in contents], api_key="k", **parameters
    )
    assert answer.status_code == 200
    by_sdk = qwen_vl_sandbox.last_request
    assert (by_sdk.path, by_sdk.json) == (sent.path, expected)
    assert [one["embedding"] for one in answer.output["embeddings"]] == list(embeddings)


def test_images_go_within_the_body(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, small_png: bytes
) -> None:
    make_embedder().embed([Image(source=Inline(small_png))])

    url = "data:image/png;base64," + base64.b64encode(small_png).decode()
    assert qwen_vl_sandbox.last_request.json["input"]["contents"] == [{"image": url}]


def test_local_videos_are_uploaded(
    make_settings: Callable[..., QwenVLSettings], qwen_vl_sandbox: Sandbox
) -> None:
    settings = make_settings(video_mode="upload")

    assert len(Embedder(settings).embed([BIG_BUCK_BUNNY])) == 1
    request = qwen_vl_sandbox.last_request
    assert request.json["input"]["contents"][0]["video"].startswith("oss://")
    assert request.headers["x-dashscope-ossresourceresolve"] == "enable"
    assert [upload.model for upload in qwen_vl_sandbox.uploads] == ["qwen3-vl-embedding"]
    # It is remembered, and uploaded again where the service no longer has it.
    assert len(asyncio.run(Embedder(settings).aembed([BIG_BUCK_BUNNY]))) == 1
    assert len(qwen_vl_sandbox.uploads) == 1
    qwen_vl_sandbox.expire_uploads()
    assert len(asyncio.run(Embedder(settings).aembed([BIG_BUCK_BUNNY]))) == 1
    assert len(qwen_vl_sandbox.uploads) == 2
    with pytest.raises(UnsupportedContentError, match=r"items\[0\]: A video is taken by URL only"):
        Embedder(make_settings()).embed([BIG_BUCK_BUNNY])


def test_queries_and_documents_have_instructions_of_their_own(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    embedder = make_embedder(document_instruction="Represent the page.")

    embedder.embed_queries(["cat"])
    assert qwen_vl_sandbox.last_request.json["parameters"] == {"instruct": QUERY_INSTRUCTION}
    embedder.embed(["cat"])
    assert qwen_vl_sandbox.last_request.json["parameters"] == {"instruct": "Represent the page."}


def test_texts_find_images(make_embedder: Callable[..., Embedder]) -> None:
    embedder = make_embedder(normalize=True, dimensions=512)
    colors = ("red", "green", "blue")
    images = embedder.embed([PillowImage.new("RGB", (64, 64), color) for color in colors])

    for number, color in enumerate(colors):
        [query] = embedder.embed_queries([f"a {color} square"])
        assert math.isclose(math.hypot(*query), 1)
        scores = [sum(a * b for a, b in zip(query, image, strict=True)) for image in images]
        assert scores.index(max(scores)) == number


def test_async_gives_the_same_in_order(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    items: list[object] = [f"text {n}" for n in range(45)]
    items[7] = ("fused", {"image": IMAGE})
    whole = make_embedder(dimensions=256).embed(items)

    found = asyncio.run(make_embedder(dimensions=256, max_concurrency=3).aembed(items))

    assert found.vectors == whole.vectors
    assert (len(found.request_ids), found.usage) == (4, whole.usage)
    assert found.usage is not None
    assert found.usage.total_tokens >= 45
    assert found.to_numpy().shape == (45, 256)


def test_no_items_send_nothing(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    embeddings = make_embedder().embed([])

    assert (len(embeddings), embeddings.dimensions, qwen_vl_sandbox.n_requests) == (0, 0, 0)
    assert embeddings.to_numpy().shape == (0, 0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dimensions": 100}, "dimensions is 100; qwen3-vl-embedding has vectors of 2560"),
        ({"parameters": {"dimension": 1}}, "set by the embedder itself: pass dimensions"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_options_raise(
    make_embedder: Callable[..., Embedder], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make_embedder(**options)


def test_endpoints_of_others_raise() -> None:
    settings = QwenVLSettings(base_url="http://127.0.0.1:9/v1", api_key="k")

    with pytest.raises(ConfigurationError, match="not an endpoint of the hosted service"):
        Embedder(settings).embed(["a"])


def _answer(*entries: object) -> bytes:
    return orjson.dumps({"output": {"embeddings": entries}, "request_id": "r"})


def _vector(index: object, vector: object) -> dict[str, object]:
    return {"index": index, "embedding": vector, "type": "vl"}


ONES = [1.0] * 256
FIRST, SECOND = _vector(0, ONES), _vector(1, [2.0] * 256)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (_answer(FIRST), r"items\[1\]: The answer lacks a vector"),
        (_answer(), r"items\[0\], items\[1\]: The answer lacks a vector"),
        (_answer(FIRST, FIRST), r"items\[0\]: The answer has two vectors"),
        (_answer(FIRST, _vector(2, ONES)), "a vector of index 2; 2 were asked for"),
        (_answer(FIRST, _vector(-1, ONES)), "a vector of index -1"),
        (_answer(FIRST, _vector("1", ONES)), "a vector of index '1'"),
        (_answer(FIRST, _vector(1, ONES[1:])), r"items\[1\]: The vector has 255 numbers; 256"),
        (_answer(FIRST, _vector(1, [])), r"items\[1\]: The answer has an empty vector"),
        (_answer(FIRST, _vector(1, None)), r"items\[1\]: The answer has an empty vector"),
        (_answer(FIRST, _vector(1, [None] * 256)), r"items\[1\]: .*not a finite number"),
        (_answer(FIRST, _vector(1, ["1"] * 256)), r"items\[1\]: .*not a finite number"),
    ],
)
def test_answers_that_lack_something_raise(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, body: bytes, problem: str
) -> None:
    qwen_vl_sandbox.script_raw(body)

    with pytest.raises(AnswerFormatError, match=problem):
        make_embedder(dimensions=256).embed(["a", "b"])


@pytest.mark.parametrize("odd", [b"NaN", b"1e999", b"-Infinity"])
def test_numbers_that_are_not_finite_raise(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, odd: bytes
) -> None:
    body = _answer(FIRST, SECOND).replace(b"2.0", odd, 1)
    qwen_vl_sandbox.script_raw(body)

    with pytest.raises(AnswerFormatError, match=r"items\[1\]: .*not a finite number"):
        make_embedder(dimensions=256).embed(["a", "b"])


def test_answers_in_another_order_are_sorted_by_index(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script_raw(_answer(SECOND, FIRST))

    assert make_embedder(dimensions=256).embed(["a", "b"]).vectors == (ONES, [2.0] * 256)


def test_an_item_that_cannot_be_read_is_named_in_async_calls_too(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    items: list[object] = ["a"] * 30
    items[25] = b"not an image"

    with pytest.raises(MediaFormatError, match=r"items\[25\]"):
        asyncio.run(make_embedder(dimensions=256).aembed(items))
    with pytest.raises(MediaFormatError, match=r"items\[25\]"):
        make_embedder(dimensions=256).embed(items)


def test_a_deadline_bounds_each_request(
    make_settings: Callable[..., QwenVLSettings], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(latency=5)

    with pytest.raises(APITimeoutError):
        Embedder(make_settings(deadline=0.2)).embed(["a"])


def test_failures_that_pass_are_retried_and_others_raise(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    embedder = make_embedder(dimensions=256)

    qwen_vl_sandbox.fail(status=429, retry_after=0.01)
    assert len(embedder.embed(["a"])) == 1
    assert qwen_vl_sandbox.n_requests == 2
    qwen_vl_sandbox.fail(status=429, retry_after=0.01, times=3)
    with pytest.raises(RateLimitError):
        embedder.embed(["a"])
    qwen_vl_sandbox.fail(status=400)
    with pytest.raises(InvalidRequestError):
        embedder.embed(["a"])
    qwen_vl_sandbox.fail(status=500, retry_after=0.01, times=3)
    with pytest.raises(ServerError):
        embedder.embed(["a"])
    qwen_vl_sandbox.fail(error_in_200=True)
    with pytest.raises(ServiceError):
        embedder.embed(["a"])


def test_vectors_of_zeros_cannot_be_normalized(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script_raw(_answer(_vector(0, [0] * 256)))

    with pytest.raises(AnswerFormatError, match=r"items\[0\]: All numbers"):
        make_embedder(dimensions=256, normalize=True).embed(["a"])


def test_space_names_what_vectors_are_made_by() -> None:
    def space(model: str = "qwen3-vl-embedding", **options: Any) -> str:
        return Embedder(QwenVLSettings(api_key="sk-1", model=model), **options).space

    assert space() == "qwen3-vl-embedding/2560"
    assert space(dimensions=512, normalize=True) == "qwen3-vl-embedding/512/normalized"
    assert space("my-embedding") == "my-embedding/default"
    digest = sha256(b"Find it.").hexdigest()[:8]
    assert space(document_instruction="Find it.") == f"qwen3-vl-embedding/2560/instruction-{digest}"
