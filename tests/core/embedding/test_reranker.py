"""Ranking: exact requests of each form, and answers that are checked.

Expected JSON is that of the Rerank page (2026-10), of vLLM 0.32 (entrypoints/pooling), and of
SGLang's page about rerank models (2026-11).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import dashscope
import orjson
import pytest
from dashscope import TextReRank
from dashscope.api_entities.http_request import close_shared_sync_session
from PIL import Image as PillowImage

from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    MediaTooLargeError,
    RateLimitError,
    RequestTooLargeError,
    ServiceError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

NATIVE = "/api/v1/services/rerank/text-rerank/text-rerank"
IMAGE = "https://example.com/1.png"
VIDEO = "https://example.com/3.mp4"
DOCUMENTS = ["a red car", {"image": IMAGE}, {"video": VIDEO}]
OPEN_MODEL = "Qwen/Qwen3-VL-Reranker-2B"


@pytest.fixture
def call_sdk(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)
    yield TextReRank.call
    close_shared_sync_session()


@pytest.fixture
def reranker(make_settings: Callable[..., QwenVLSettings]) -> Reranker:
    return Reranker(make_settings())


def test_native_requests_are_those_of_the_page_and_of_the_sdk(
    reranker: Reranker, qwen_vl_sandbox: Sandbox, call_sdk: Any
) -> None:
    ranking = reranker.rank("car", DOCUMENTS, top_n=2, instruction="Find cars.")

    sent = qwen_vl_sandbox.last_request
    documents = [{"text": "a red car"}, {"image": IMAGE}, {"video": VIDEO}]
    expected = {
        "model": "qwen3-vl-rerank",
        "input": {"query": {"text": "car"}, "documents": documents},
        "parameters": {"top_n": 2, "instruct": "Find cars."},
    }
    assert (sent.path, sent.json, sent.unknown_fields) == (NATIVE, expected, ())
    assert len(ranking.results) == 2
    assert ranking.results[0].index == 0
    assert ranking.usage is not None
    answer = call_sdk(
        model="qwen3-vl-rerank",
        query={"text": "car"},
        documents=documents,
        top_n=2,
        instruct="Find cars.",
        api_key="k",
    )
    assert answer.status_code == 200
    by_sdk = qwen_vl_sandbox.last_request
    assert (by_sdk.path, by_sdk.json) == (NATIVE, expected)


def test_text_models_have_forms_of_their_own(
    make_settings: Callable[..., QwenVLSettings], qwen_vl_sandbox: Sandbox
) -> None:
    Reranker(make_settings(model="qwen3-rerank")).rank("car", ["a car", "a cat"], 1, "Find.")
    sent = qwen_vl_sandbox.last_request
    assert (sent.path, sent.unknown_fields) == ("/compatible-api/v1/reranks", ())
    assert sent.json == {
        "model": "qwen3-rerank",
        "query": "car",
        "documents": ["a car", "a cat"],
        "top_n": 1,
        "instruct": "Find.",
    }

    gte = Reranker(make_settings(model="gte-rerank-v2"))
    gte.rank("car", ["a car", "a cat"])
    sent = qwen_vl_sandbox.last_request
    assert (sent.path, sent.unknown_fields) == (NATIVE, ())
    assert sent.json == {
        "model": "gte-rerank-v2",
        "input": {"query": "car", "documents": ["a car", "a cat"]},
        "parameters": {},
    }
    with pytest.raises(ConfigurationError, match="takes no instruction"):
        gte.rank("car", ["a"], instruction="Find.")
    with pytest.raises(UnsupportedContentError, match=r"documents\[1\]: .*ranks texts only"):
        gte.rank("car", ["a", {"image": IMAGE}])


def test_vllm_requests() -> None:
    with Sandbox(server="vllm") as sandbox:
        settings = QwenVLSettings(model=OPEN_MODEL, base_url=sandbox.base_url, server="vllm")
        documents = ["a red car", ("red", {"image": IMAGE})]
        ranking = Reranker(settings, instruction="Find cars.").rank("car", documents, top_n=5)

        sent = sandbox.last_request
    assert (sent.path, sent.unknown_fields) == ("/v1/rerank", ())
    assert sent.json == {
        "model": OPEN_MODEL,
        "query": "car",
        "documents": [
            "a red car",
            {
                "content": [
                    {"type": "text", "text": "red"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                ]
            },
        ],
        "top_n": 2,
        "instruction": "Find cars.",
    }
    assert [ranked.index for ranked in ranking.results] == [0, 1]
    assert ranking.request_id


def test_sglang_requests() -> None:
    with Sandbox(server="sglang") as sandbox:
        settings = QwenVLSettings(model=OPEN_MODEL, base_url=sandbox.base_url, server="sglang")
        reranker = Reranker(settings)
        ranking = reranker.rank({"image": IMAGE}, ["red", {"video": VIDEO}], instruction="Find.")

        sent = sandbox.last_request
    assert (sent.path, sent.unknown_fields) == ("/v1/rerank", ())
    assert sent.json == {
        "model": OPEN_MODEL,
        "query": [{"type": "image_url", "image_url": {"url": IMAGE}}],
        "documents": ["red", [{"type": "video_url", "video_url": {"url": VIDEO}}]],
        "instruct": "Find.",
    }
    assert sorted(ranked.index for ranked in ranking.results) == [0, 1]


@pytest.mark.parametrize("server", ["llamacpp", "ollama", "openai_compatible"])
def test_other_servers_do_not_rank(server: Any) -> None:
    settings = QwenVLSettings(model="m", base_url="http://127.0.0.1:9/v1", server=server)

    with pytest.raises(ConfigurationError, match="lacks a known way to rank"):
        Reranker(settings)


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        (["a"] * 101, r"documents\[100\]: There are 101 texts; .* ranks 100"),
        ([{"image": IMAGE}] * 41, r"documents\[40\]: There are 41 images; .* ranks 40"),
        ([{"video": VIDEO}] * 5, r"documents\[4\]: There are 5 videos; .* ranks 4"),
        ([("a", {"image": IMAGE})], r"documents\[0\]: Several parts together"),
        ([BIG_BUCK_BUNNY], r"documents\[0\]: A video is taken by URL only"),
    ],
)
def test_limits_are_checked_before_anything_is_sent(
    reranker: Reranker, qwen_vl_sandbox: Sandbox, documents: list[object], problem: str
) -> None:
    with pytest.raises((MediaTooLargeError, UnsupportedContentError), match=problem):
        reranker.rank("a", documents)
    assert qwen_vl_sandbox.n_requests == 0


def test_images_are_ranked_by_image_and_text(reranker: Reranker) -> None:
    images = [PillowImage.new("RGB", (64, 64), color) for color in ("red", "green", "blue")]

    assert reranker.rank("a green square", images).results[0].index == 1
    ranking = asyncio.run(reranker.arank(images[2], images, top_n=1))
    assert [(ranked.index, ranked.score) for ranked in ranking.results] == [(2, 1.0)]


def test_no_documents_send_nothing(reranker: Reranker, qwen_vl_sandbox: Sandbox) -> None:
    assert reranker.rank("a", []).results == ()
    assert asyncio.run(reranker.arank("a", [])).results == ()
    assert qwen_vl_sandbox.n_requests == 0


def test_long_texts_warn(make_settings: Callable[..., QwenVLSettings]) -> None:
    reranker = Reranker(make_settings(model="qwen3-rerank"))

    with pytest.warns(UserWarning, match="The request has about"):
        reranker.rank("word " * 900, ["word " * 300] * 200)


@pytest.mark.parametrize("top_n", [0, -1, 1.5, True])
def test_wrong_top_n_raises(reranker: Reranker, top_n: Any) -> None:
    with pytest.raises(ConfigurationError, match="top_n"):
        reranker.rank("a", ["b"], top_n=top_n)


def _answer(*results: tuple[object, object]) -> bytes:
    found = [{"index": index, "relevance_score": score} for index, score in results]
    return orjson.dumps({"output": {"results": found}})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (_answer((0, 0.5)), r"1 scores; 2 were asked for. documents\[1\] lack one"),
        (_answer((0, 0.5), (0, 0.4)), r"documents\[0\]: The answer ranks it twice"),
        (_answer((0, 0.5), (2, 0.4)), "ranks index 2; 2 were sent"),
        (_answer((0, 0.5), (None, 0.4)), "ranks index None"),
        (_answer((0, 0.5), (1, None)), r"documents\[1\]: The score None is not a finite number"),
        (
            _answer((0, 0.5), (1, 0.4)).replace(b"0.4", b"NaN"),
            r"documents\[1\]: The score nan is not a finite number",
        ),
    ],
)
def test_answers_that_lack_something_raise(
    reranker: Reranker, qwen_vl_sandbox: Sandbox, body: bytes, problem: str
) -> None:
    qwen_vl_sandbox.script_raw(body)

    with pytest.raises(AnswerFormatError, match=problem):
        reranker.rank("a", ["b", "c"])


def test_answers_are_sorted_by_score(reranker: Reranker, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script_raw(_answer((1, 0.1), (0, 0.9)))

    assert [ranked.index for ranked in reranker.rank("a", ["b", "c"]).results] == [0, 1]


def test_failures_raise(reranker: Reranker, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(status=429, retry_after=0.01, times=3)
    with pytest.raises(RateLimitError):
        reranker.rank("a", ["b"])
    qwen_vl_sandbox.fail(error_in_200=True)
    with pytest.raises(ServiceError):
        reranker.rank("a", ["b"])


def test_documents_beyond_the_limits_can_be_left_out(
    make_settings: Callable[..., QwenVLSettings], qwen_vl_sandbox: Sandbox
) -> None:
    reranker = Reranker(make_settings(), leaves_out_excess=True)
    images = [{"image": f"https://example.com/{number}.png"} for number in range(42)]
    documents: list[object] = [*images[:41], "a red car", images[41], "a blue car"]

    with pytest.warns(UserWarning, match=r"documents\[40\], documents\[42\] of 44 documents were"):
        ranking = reranker.rank("a red car", documents)

    sent = qwen_vl_sandbox.last_request.json["input"]["documents"]
    assert sent == [*images[:40], {"text": "a red car"}, {"text": "a blue car"}]
    assert {ranked.index for ranked in ranking.results} == {*range(40), 41, 43}
    assert ranking.results[0].index == 41


@pytest.mark.parametrize(
    ("n_images", "named"),
    [
        (41, "documents[40] of 41"),
        (43, "documents[40], documents[41], documents[42] of 43"),
        (44, "documents[40], documents[41], documents[42] and 1 more of 44"),
    ],
)
def test_three_documents_that_are_left_out_are_named(
    n_images: int, named: str, make_settings: Callable[..., QwenVLSettings]
) -> None:
    images = [{"image": f"https://example.com/{number}.png"} for number in range(n_images)]
    with pytest.warns(UserWarning, match="were not ranked") as warned:
        Reranker(make_settings(), leaves_out_excess=True).rank("a red car", images)
    assert [str(each.message).partition(" documents were")[0] for each in warned] == [named]


def test_documents_beyond_the_bytes_of_a_request_can_be_left_out(
    make_settings: Callable[..., QwenVLSettings],
) -> None:
    settings = make_settings(max_total_inline_bytes=500)
    image = PillowImage.new("RGB", (64, 64), "red")

    with pytest.warns(UserWarning, match=r"documents\[2\], documents\[3\] of 5 documents"):
        ranking = Reranker(settings, leaves_out_excess=True).rank("red", [*[image] * 4, "red"])
    assert {ranked.index for ranked in ranking.results} == {0, 1, 4}
    with pytest.raises(RequestTooLargeError, match=r"documents\[2\]"):
        Reranker(settings).rank("red", [image] * 4)
    small = make_settings(max_total_inline_bytes=10)
    with pytest.raises(RequestTooLargeError, match=r"documents\[0\]"):
        Reranker(small, leaves_out_excess=True).rank("red", [image])
