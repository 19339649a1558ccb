"""`QwenVLRerank`: exact requests, what is ranked of nodes, events, copies, failures."""

import asyncio
import base64
import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from PIL import Image as PillowImage
from pydantic import PrivateAttr

from llama_index.llms.qwen_vl import QwenMediaPostprocessor
from llama_index.postprocessor.qwen_vl import QwenVLRerank
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    MediaAccessError,
    QwenVLError,
    ServerError,
    UnsupportedContentError,
)
from qwen_vl_sandbox import Sandbox

KEY = "sk-hidden-9876"
URL = "https://example.com/1.png"
VIDEO_URL = "https://example.com/2.mp4"

MakeRerank = Callable[..., QwenVLRerank]


@pytest.fixture
def make(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> MakeRerank:
    def make(**fields: Any) -> QwenVLRerank:
        settings = {"api_base": qwen_vl_sandbox.base_url, "api_key": KEY, "media_roots": [tmp_path]}
        return QwenVLRerank(**{**settings, **fields})

    return make


def scored(*nodes: BaseNode) -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=0.5) for node in nodes]


def documents(sandbox: Sandbox) -> Any:
    return sandbox.last_request.json["input"]["documents"]


BOTH = TextNode(text="A cat.", metadata={"image_url": URL, "year": 2024})
FILM = TextNode(metadata={"video_url": VIDEO_URL})


def test_request(make: MakeRerank, qwen_vl_sandbox: Sandbox) -> None:
    rerank = make(top_n=2, instruction="Find animals.")
    rerank.postprocess_nodes(scored(TextNode(text="A dog."), BOTH, FILM), query_str="cats")

    sent = qwen_vl_sandbox.last_request
    assert sent.path == "/api/v1/services/rerank/text-rerank/text-rerank"
    assert sent.json == {
        "model": "qwen3-vl-rerank",
        "input": {
            "query": {"text": "cats"},
            "documents": [{"text": "A dog."}, {"image": URL}, {"video": VIDEO_URL}],
        },
        "parameters": {"top_n": 2, "instruct": "Find animals."},
    }


def test_images_are_found_by_what_they_show(make: MakeRerank, tmp_path: Path) -> None:
    nodes = []
    for color in ("blue", "red", "green"):
        PillowImage.new("RGB", (64, 64), color).save(tmp_path / f"{color}.png")
        nodes.append(ImageNode(text=color, image_path=str(tmp_path / f"{color}.png")))
    given = scored(*nodes)
    before = [each.model_dump() for each in given]

    found = make(top_n=2).postprocess_nodes(given, query_str="a red square")

    assert found[0].node is nodes[1]
    assert len(found) == 2
    assert (found[0].score or 0) > (found[1].score or 0)
    assert [each.model_dump() for each in given] == before


async def test_async_gives_the_same(make: MakeRerank, qwen_vl_sandbox: Sandbox) -> None:
    rerank, nodes = make(), scored(TextNode(text="A dog."), BOTH)
    expected = await asyncio.to_thread(rerank.postprocess_nodes, nodes, query_str="a dog")
    body = qwen_vl_sandbox.last_request.json

    assert await rerank.apostprocess_nodes(nodes, query_str="a dog") == expected
    assert qwen_vl_sandbox.last_request.json == body


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [{"image": URL}]),
        ({"rank_by": "media"}, [{"image": URL}]),
        ({"rank_by": "text"}, [{"text": "year: 2024\n\nA cat."}]),
    ],
)
def test_what_counts_of_nodes_with_both(
    make: MakeRerank, qwen_vl_sandbox: Sandbox, fields: dict[str, Any], expected: list[Any]
) -> None:
    make(**fields).postprocess_nodes(scored(BOTH), query_str="cats")
    assert documents(qwen_vl_sandbox) == expected


def test_nodes_without_text_count_by_their_media(
    make: MakeRerank, qwen_vl_sandbox: Sandbox
) -> None:
    make(rank_by="text").postprocess_nodes(scored(BOTH, FILM), query_str="cats")
    assert [list(each) for each in documents(qwen_vl_sandbox)] == [["text"], ["video"]]


def test_text_model_ranks_text(make: MakeRerank, qwen_vl_sandbox: Sandbox) -> None:
    rerank = make(model="qwen3-rerank")
    rerank.postprocess_nodes(scored(BOTH), query_str="cats")

    sent = qwen_vl_sandbox.last_request
    assert sent.path == "/compatible-api/v1/reranks"
    assert sent.json["documents"] == ["year: 2024\n\nA cat."]
    with pytest.raises(UnsupportedContentError, match="qwen3-rerank ranks texts only"):
        rerank.postprocess_nodes(scored(FILM), query_str="cats")


def test_pages_and_other_keys(make: MakeRerank, qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    pages = [PillowImage.new("RGB", (90, 120), color) for color in ("white", "red")]
    pages[0].save(tmp_path / "two.pdf", save_all=True, append_images=pages[1:])
    nodes = [
        TextNode(metadata={"file_path": str(tmp_path / "two.pdf"), "page": page}) for page in (1, 2)
    ]
    found = make(keys={"image_path": "file_path"}).postprocess_nodes(
        scored(*nodes), query_str="a red page"
    )

    assert [list(each) for each in documents(qwen_vl_sandbox)] == [["image"], ["image"]]
    assert [each.node.metadata["page"] for each in found] == [2, 1]


def test_nodes_that_another_postprocessor_has_seen(
    make: MakeRerank, qwen_vl_sandbox: Sandbox
) -> None:
    shown = QwenMediaPostprocessor().postprocess_nodes(scored(BOTH))
    found = make().postprocess_nodes(shown, query_str="cats")

    assert documents(qwen_vl_sandbox) == [{"image": URL}]
    assert len(found[0].node.get_content_blocks()) == 2


def test_queries_may_be_images(
    make: MakeRerank, qwen_vl_sandbox: Sandbox, tmp_path: Path, small_png: bytes
) -> None:
    (tmp_path / "small.png").write_bytes(small_png)
    query = QueryBundle(query_str="", image_path=str(tmp_path / "small.png"))
    make().postprocess_nodes(scored(BOTH), query)

    url = "data:image/png;base64," + base64.b64encode(small_png).decode()
    assert qwen_vl_sandbox.last_request.json["input"]["query"] == {"image": url}


def test_no_nodes_and_no_question(make: MakeRerank, qwen_vl_sandbox: Sandbox) -> None:
    assert make().postprocess_nodes([], query_str="cats") == []
    with pytest.raises(ConfigurationError, match="ranks by a question, and there is none"):
        make().postprocess_nodes(scored(BOTH))
    assert qwen_vl_sandbox.n_requests == 0


@pytest.mark.parametrize(
    ("node", "kind", "problem"),
    [
        (
            ImageNode(id_="a", image_path="/etc/passwd"),
            MediaAccessError,
            "node 'a': The file '/etc/passwd' may not be read",
        ),
        (
            TextNode(id_="a", metadata={"image_path": "/etc/passwd"}),
            MediaAccessError,
            "node 'a': The file '/etc/passwd' may not be read",
        ),
        (
            TextNode(id_="a", metadata={"image_url": "file:///etc/passwd"}),
            MediaAccessError,
            "node 'a': The file '/etc/passwd' may not be read",
        ),
        (TextNode(id_="a"), UnsupportedContentError, "node 'a': It lacks text and media"),
        (
            TextNode(id_="a", metadata={"image_url": URL, "video_url": VIDEO_URL}),
            UnsupportedContentError,
            "node 'a': Several parts together are not ranked",
        ),
    ],
)
async def test_node_that_cannot_be_ranked_is_named(
    make: MakeRerank,
    qwen_vl_sandbox: Sandbox,
    node: BaseNode,
    kind: type[QwenVLError],
    problem: str,
) -> None:
    nodes = scored(TextNode(text="A dog."), node)
    with pytest.raises(kind, match=problem):
        await asyncio.to_thread(make().postprocess_nodes, nodes, query_str="cats")
    with pytest.raises(kind, match=problem):
        await make().apostprocess_nodes(nodes, query_str="cats")
    assert qwen_vl_sandbox.n_requests == 0


def test_images_beyond_the_limit_are_left_out_with_a_warning(
    make: MakeRerank, qwen_vl_sandbox: Sandbox
) -> None:
    nodes = [ImageNode(id_=f"{n}", image_url=URL) for n in range(42)]
    with pytest.warns(UserWarning, match="node '40'"):
        found = make(top_n=50).postprocess_nodes(scored(*nodes), query_str="cats")

    assert len(documents(qwen_vl_sandbox)) == len(found) == 40
    assert {each.node.node_id for each in found} == {f"{n}" for n in range(40)}


def test_answers_that_lack_something_raise(make: MakeRerank, qwen_vl_sandbox: Sandbox) -> None:
    nodes = scored(TextNode(id_="a", text="A."), TextNode(id_="b", text="B."))
    body = {"output": {"results": [{"index": 0, "relevance_score": 0.5}]}}
    qwen_vl_sandbox.script_raw(orjson.dumps(body))
    with pytest.raises(AnswerFormatError, match=r"has 1 scores; 2 were asked for\. node 'b' lack"):
        make().postprocess_nodes(nodes, query_str="cats")
    qwen_vl_sandbox.fail(status=500)
    with pytest.raises(ServerError):
        make(max_retries=0).postprocess_nodes(nodes, query_str="cats")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"topn": 1}, "'topn' is not a setting of QwenVLRerank. Did you mean top_n"),
        ({"additional": 1}, "'additional' is not a setting of QwenVLRerank.$"),
        ({"rank_by": "both"}, "ranks the text or the media of a node, not both"),
        ({"rank_by": "media", "model": "qwen3-rerank"}, "qwen3-rerank ranks texts only"),
        ({"model": "gte-rerank-v2", "instruction": "Find."}, "takes no instruction"),
        ({"server": "ollama"}, "a known way to rank documents"),
        ({"keys": {"photo": "a"}}, "keys has 'photo'"),
    ],
)
def test_wrong_settings_raise(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        QwenVLRerank(api_key=KEY, **fields)


@pytest.mark.parametrize("server", ["vllm", "sglang"])
def test_self_hosted_servers_rank_both_together(server: Any) -> None:
    with Sandbox(server=server) as sandbox:
        rerank = QwenVLRerank(
            "Qwen/Qwen3-VL-Reranker-2B", server=server, api_base=sandbox.base_url, rank_by="both"
        )
        found = rerank.postprocess_nodes(scored(BOTH, TextNode(text="A dog.")), query_str="a cat")

        assert len(found) == 2
        first = sandbox.last_request.json["documents"][0]
        parts = first["content"] if server == "vllm" else first
        assert [part["type"] for part in parts] == ["text", "image_url"]


class Collecting(BaseEventHandler):
    _events: list[Any] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **kwargs: Any) -> None:
        del kwargs
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self._events.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    handler, dispatcher = Collecting(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler._events
    dispatcher.event_handlers.remove(handler)


def test_events(make: MakeRerank, events: list[Any]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = make(top_n=1, callback_manager=CallbackManager([debug]))
    nodes = scored(TextNode(text="A cat."), TextNode(text="A dog."))
    found = rerank.postprocess_nodes(nodes, query_str="a dog")

    start, end = events
    assert (start.model_name, start.top_n, start.nodes) == ("qwen3-vl-rerank", 1, nodes)
    assert start.query.query_str == "a dog"
    assert end.nodes == found
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 1


@pytest.mark.parametrize(
    "how",
    [
        lambda rerank: pickle.loads(pickle.dumps(rerank)),
        copy.deepcopy,
        copy.copy,
        lambda rerank: QwenVLRerank.from_dict(rerank.to_dict()),
        lambda rerank: QwenVLRerank.from_json(rerank.to_json()),
    ],
)
def test_copies(
    make: MakeRerank, monkeypatch: pytest.MonkeyPatch, how: Callable[[Any], QwenVLRerank]
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment-1")
    used = make(top_n=1, instruction="Find animals.")
    expected = used.postprocess_nodes(scored(BOTH), query_str="cats")
    made = how(used)

    assert made.to_json() == used.to_json()
    assert made.class_name() == "QwenVLRerank"
    assert made.postprocess_nodes(scored(BOTH), query_str="cats") == expected
    assert KEY not in repr(used) + used.to_json() + repr(pickle.dumps(used))
