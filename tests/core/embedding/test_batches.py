"""Many items whose vectors are stored as they come, and some of which fail."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image as PillowImage

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.items import to_item
from qwen_vl.embedding.results import DecodedVectors, EmbeddedBatch, decode_usage
from qwen_vl.errors import (
    AnswerFormatError,
    AuthenticationError,
    ContentError,
    InvalidRequestError,
    MediaNotFoundError,
    QwenVLError,
)
from qwen_vl_sandbox import Sandbox

Collect = Callable[[Embedder, list[Any], Any], "list[EmbeddedBatch]"]


def collect(embedder: Embedder, items: list[Any], on_error: Any = None) -> list[EmbeddedBatch]:
    return list(embedder.embed_batches(items, on_error=on_error))


async def acollect(
    embedder: Embedder, items: list[Any], on_error: Any = None
) -> list[EmbeddedBatch]:
    return [batch async for batch in embedder.aembed_batches(items, on_error=on_error)]


@pytest.fixture(params=["sync", "async"])
def embed_batches(request: pytest.FixtureRequest) -> Any:
    """Return the batches, of the one method or of the other."""

    async def embed(*args: Any) -> list[EmbeddedBatch]:
        return collect(*args) if request.param == "sync" else await acollect(*args)

    return embed


def draw(number: int) -> PillowImage.Image:
    return PillowImage.new("RGB", (32, 32), (number * 20 % 256, 40, 90))


async def test_each_request_is_a_batch(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, embed_batches: Any
) -> None:
    items = [draw(number) for number in range(12)]

    batches = await embed_batches(make_embedder(dimensions=256), items)

    assert [batch.positions for batch in batches] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11)]
    whole = make_embedder(dimensions=256).embed(items)
    assert [vector for batch in batches for vector in batch.vectors] == list(whole)
    assert len({batch.request_id for batch in batches}) == 3
    assert all(batch.usage.image_tokens for batch in batches)


def test_batches_come_before_the_next_request(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    def find_items() -> Iterator[Any]:
        for number in range(1_000_000):
            taken.append(number)
            yield draw(number)

    taken: list[int] = []
    batches = make_embedder().embed_batches(find_items())

    assert next(batches).positions == (0, 1, 2, 3, 4)
    assert len(qwen_vl_sandbox.requests) == 1
    assert taken == list(range(6))


async def test_caller_that_stops_sends_no_more(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox
) -> None:
    batches: AsyncIterator[EmbeddedBatch]
    embedder = make_embedder(max_concurrency=2)
    batches = embedder.aembed_batches(draw(number) for number in range(1_000))

    first = await anext(batches)
    await batches.aclose()  # type: ignore[attr-defined]

    assert first.positions == (0, 1, 2, 3, 4)
    assert len(qwen_vl_sandbox.requests) <= 3


async def test_items_that_cannot_be_sent_are_left_out(
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
    tmp_path: Path,
    embed_batches: Any,
) -> None:
    (tmp_path / "text.png").write_text("not an image")
    items = [draw(0), tmp_path / "gone.png", draw(2), tmp_path / "text.png", draw(4)]
    failed: dict[int, QwenVLError] = {}

    batches = await embed_batches(make_embedder(), items, failed.__setitem__)

    assert [batch.positions for batch in batches] == [(0, 2, 4)]
    assert {place: type(error).__name__ for place, error in failed.items()} == {
        1: "MediaNotFoundError",
        3: "MediaFormatError",
    }
    assert str(failed[3]).startswith("items[3]: ")
    with pytest.raises(MediaNotFoundError, match=r"items\[1\]"):
        await embed_batches(make_embedder(), items)


async def test_what_the_model_cannot_fuse_is_left_out(
    make_embedder: Callable[..., Embedder], embed_batches: Any
) -> None:
    failed: dict[int, QwenVLError] = {}

    [batch] = await embed_batches(
        make_embedder("multimodal-embedding-v1"), ["a", ("b", draw(1)), "c"], failed.__setitem__
    )

    assert batch.positions == (0, 2)
    assert isinstance(failed[1], ContentError)


async def test_request_that_is_refused_is_divided(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, embed_batches: Any
) -> None:
    # The request of all three, and that of the first alone.
    qwen_vl_sandbox.fail(status=400, times=2)
    failed: dict[int, QwenVLError] = {}

    batches = await embed_batches(make_embedder(), ["a", "b", "c"], failed.__setitem__)

    assert [batch.positions for batch in batches] == [(1,), (2,)]
    assert isinstance(failed[0], InvalidRequestError)
    assert [
        [content["text"] for content in request.json["input"]["contents"]]
        for request in qwen_vl_sandbox.requests
    ] == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_answer_that_lacks_a_vector_is_asked_for_again(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, embed_batches: Any
) -> None:
    short = {"index": 0, "embedding": [0.5] * 2560, "type": "vl"}
    qwen_vl_sandbox.script_raw(orjson.dumps({"output": {"embeddings": [short]}}))
    failed: dict[int, QwenVLError] = {}

    batches = await embed_batches(make_embedder(), ["a", "b"], failed.__setitem__)

    assert [batch.positions for batch in batches] == [(0,), (1,)]
    assert failed == {}


async def test_what_is_no_item_s_fault_ends_all(
    make_embedder: Callable[..., Embedder], qwen_vl_sandbox: Sandbox, embed_batches: Any
) -> None:
    qwen_vl_sandbox.fail(status=401)
    failed: dict[int, QwenVLError] = {}

    with pytest.raises(AuthenticationError):
        await embed_batches(make_embedder(), ["a", "b"], failed.__setitem__)

    assert failed == {}
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        # Qwen3-VL-Embedding; the flat form; Qwen2.5-VL-Embedding, which has no sum.
        (
            {
                "input_tokens": 9,
                "output_tokens": 1,
                "total_tokens": 10,
                "input_tokens_details": {"image_tokens": 5, "text_tokens": 4},
            },
            (9, 1, 10, 5, 4),
        ),
        ({"prompt_tokens": 9, "total_tokens": 9}, (9, 0, 9, None, None)),
        ({"input_tokens": 4, "image_tokens": 5}, (9, 0, 9, 5, 4)),
        ({"input_tokens": 4, "image_tokens": 5, "total_tokens": 9}, (9, 0, 9, 5, 4)),
        ({"input_tokens": 4}, (4, 0, 4, None, 4)),
        ({"total_tokens": 9}, (9, 0, 9, None, None)),
        ({"total_tokens": 9, "output_tokens": 2}, (9, 2, 9, None, None)),
        ({"input_tokens": 0, "output_tokens": 2}, (0, 2, 2, None, None)),
    ],
)
def test_counts_of_each_family(raw: dict[str, Any], counts: tuple[Any, ...]) -> None:
    used = decode_usage(raw)
    assert used
    assert counts == (
        *(used.input_tokens, used.output_tokens, used.total_tokens),
        *(used.image_tokens, used.text_tokens),
    )
    assert used.raw == raw


@pytest.mark.parametrize("raw", [None, {}, [], {"output_tokens": 3}, {"input_tokens": "many"}])
def test_no_counts(raw: object) -> None:
    assert decode_usage(raw) is None


def test_vectors_are_cut_to_a_length_that_they_have() -> None:
    item = to_item("a", "items[0]")
    decoded = DecodedVectors(vectors=([3.0, 4.0, 12.0],), usage=None, request_id="r")
    assert [list(vector) for vector in decoded.cut(2, [item]).vectors] == [[0.6, 0.8]]
    (whole,) = decoded.cut(3, [item]).vectors
    assert list(whole) == pytest.approx([3 / 13, 4 / 13, 12 / 13])
    with pytest.raises(AnswerFormatError, match=r"^items\[0\]: The vector has 3 numbers; 4 were"):
        decoded.cut(4, [item])
