"""Nodes that are numbered, the citations of answers, and search by words."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from llama_index.core.llms import TextBlock
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import BaseNode, ImageNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores import VectorStoreQueryResult
from PIL import Image

from llama_index.embeddings.qwen_vl import fuse_results, weigh_documents, weigh_queries
from llama_index.llms.qwen_vl import (
    CITATION_TEMPLATE,
    QwenMediaPostprocessor,
    QwenVL,
    QwenVLMediaReader,
    read_citations,
)
from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.errors import ConfigurationError, MediaAccessError
from qwen_vl.retrieval import CITATION_PROMPT, FrameOptions
from qwen_vl.retrieval.keywords import weigh_document, weigh_query
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl_sandbox import Sandbox

pytestmark = pytest.mark.openai_wire


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (120, 160), color) for color in ("red", "green", "blue")]
    pages[0].save(tmp_path / "red.png")
    pages[0].save(tmp_path / "report.pdf", save_all=True, append_images=pages[1:], resolution=72)
    return tmp_path


@pytest.fixture
def nodes(folder: Path) -> list[NodeWithScore]:
    page = {"image_path": str(folder / "report.pdf"), "page": 2, "total_pages": 3}
    held: list[BaseNode] = [
        TextNode(text="Revenue", metadata=page, excluded_llm_metadata_keys=list(page)),
        ImageNode(image_path=str(folder / "red.png")),
        TextNode(text="Nobody knows.", metadata={"source": "notes/diary.txt"}),
    ]
    return [NodeWithScore(node=node, score=0.5) for node in held]


class Found(BaseRetriever):
    """Retrieves what was found before."""

    def __init__(self, nodes: list[NodeWithScore]) -> None:
        self._nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._nodes


def make_engine(nodes: list[NodeWithScore], llm: QwenVL, **options: Any) -> RetrieverQueryEngine:
    postprocessor = QwenMediaPostprocessor(
        numbers_sources=True, media_roots=[str(root) for root in llm.media_roots or ()], **options
    )
    return RetrieverQueryEngine.from_args(
        Found(nodes),
        llm=llm,
        multimodal=True,
        node_postprocessors=[postprocessor],
        chat_content_qa_template=CITATION_TEMPLATE,
    )


async def test_model_sees_numbered_sources(
    make_llm: Callable[..., QwenVL],
    folder: Path,
    nodes: list[NodeWithScore],
    qwen_vl_sandbox: Sandbox,
) -> None:
    qwen_vl_sandbox.script('Green [1: "Revenue"], says [3: "Nobody knows"] and [4].')
    engine = make_engine(nodes, make_llm(media_roots=[folder]))

    response = await engine.aquery("Which color?")

    [message] = qwen_vl_sandbox.last_request.json["messages"]
    shown = [part.get("text", part["type"]) for part in message["content"]]
    assert shown == [
        CITATION_PROMPT,
        "Source [1]: report.pdf, page 2\nRevenue",
        'Page 2 of 3 of "report.pdf":',
        "image_url",
        "\nSource [2]: red.png",
        "image_url",
        "\nSource [3]: diary.txt\nsource: notes/diary.txt Nobody knows.",
        "Question:",
        "Which color?",
    ]
    cited = read_citations(response, response.source_nodes, media_roots=[folder])
    assert cited.text == "Green [1], says [3] and [4]."
    assert [citation.unit.name for citation in cited.citations] == [
        "report.pdf, page 2",
        "diary.txt",
    ]


async def test_budget_counts_numbers_and_pages(
    make_llm: Callable[..., QwenVL],
    folder: Path,
    nodes: list[NodeWithScore],
    qwen_vl_sandbox: Sandbox,
) -> None:
    llm = make_llm(media_roots=[folder])

    async def ask(max_tokens: int) -> tuple[int, int]:
        """Return how many nodes are shown, and what they cost."""
        engine = make_engine(nodes, llm, max_tokens=max_tokens)
        response = await engine.aquery("Which color?")
        [message] = qwen_vl_sandbox.last_request.json["messages"]
        texts = [part["text"] for part in message["content"] if part["type"] == "text"]
        n_text = sum(map(estimate_text_tokens, texts[1:-2]))
        return len(response.source_nodes), n_text + _count_images(qwen_vl_sandbox)

    n_all, tokens = await ask(100_000)
    assert n_all == 3
    # What they cost, but for line breaks that LlamaIndex leaves out, and one less.
    assert await ask(tokens + 4) == (3, tokens)
    n_shown, used = await ask(tokens - 1)
    assert n_shown == 2
    assert used < tokens


def _count_images(sandbox: Sandbox) -> int:
    """Return the tokens of the images of the last question, as the service counts them."""
    sent = sandbox.last_request
    headers = {"authorization": "Bearer sk-sandbox"}
    answer = httpx2.post(sandbox.url + sent.path, json=sent.json, headers=headers)
    usage = answer.raise_for_status().json()["usage"]
    return int(usage["prompt_tokens_details"]["image_tokens"])


def test_numbers_follow_what_is_kept(folder: Path, nodes: list[NodeWithScore]) -> None:
    postprocessor = QwenMediaPostprocessor(
        numbers_sources=True, max_tokens=120, media_roots=[folder]
    )

    kept = postprocessor.postprocess_nodes([nodes[1], nodes[0], nodes[2]])

    labels = [scored.node.get_content_blocks()[0] for scored in kept]
    assert [label.text for label in labels if isinstance(label, TextBlock)] == [
        "Source [1]: red.png",
        "\nSource [2]: diary.txt\nNobody knows.",
    ]
    assert [scored.score for scored in kept] == [0.5, 0.5]
    # The nodes themselves stay as they are, and so do the copies in another process.
    assert [scored.node.get_content() for scored in kept] == ["", "Nobody knows."]
    copy = pickle.loads(pickle.dumps(kept[1].node))
    assert copy.get_content_blocks()[0].text == "\nSource [2]: diary.txt\nNobody knows."


def test_without_numbers_nothing_changes(nodes: list[NodeWithScore]) -> None:
    first, _, third = QwenMediaPostprocessor().postprocess_nodes(nodes)

    assert [block.block_type for block in first.node.get_content_blocks()] == ["text", "image"]
    assert third is nodes[2]


@pytest.mark.parametrize(
    "metadata",
    [
        {"image_path": "/etc/passwd"},
        {"image_path": "{roots}/red.png", "source": "/etc/passwd", "seconds": 3},
    ],
)
def test_hostile_paths_are_not_cited(metadata: dict[str, Any], folder: Path) -> None:
    held = {
        key: value.format(roots=folder) if isinstance(value, str) else value
        for key, value in metadata.items()
    }

    with pytest.raises(MediaAccessError, match="'/etc/passwd' is outside"):
        read_citations("[1]", [TextNode(metadata=held)], media_roots=[folder])
    with pytest.raises(ConfigurationError, match="keys"):
        read_citations("[1]", [], media_roots=[], keys={"picture": "p"})


def test_reader_divides_videos_into_frames(tmp_path: Path) -> None:
    reader = QwenVLMediaReader(frames_folder=tmp_path / "frames", frames=FrameOptions(seconds=3))

    documents = reader.load_data(BIG_BUCK_BUNNY)

    assert [document.metadata["seconds"] for document in documents] == [1.32, 3.96]
    assert documents[0].id_ != documents[1].id_
    assert documents[0].id_ == reader.load_data(BIG_BUCK_BUNNY)[0].id_
    cited = read_citations("[2]", documents, media_roots=[BIG_BUCK_BUNNY.parent])
    assert cited.citations[0].unit.seconds == 3.96
    with pytest.raises(ConfigurationError, match="would find its frames as images"):
        reader.load_data(tmp_path)


def test_words_are_those_of_the_core() -> None:
    texts = ["rain, rain and sun", "发票 4712"]

    indices, values = weigh_documents(texts)

    assert [(tuple(a), tuple(b)) for a, b in zip(indices, values, strict=True)] == [
        (vector.indices, vector.values) for vector in map(weigh_document, texts)
    ]
    assert weigh_queries(["sun"])[0] == [list(weigh_query("sun").indices)]
    assert weigh_documents([]) == ([], [])


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_results_are_fused_by_rank(alpha: float) -> None:
    names = [["a", "b", "c"], ["c", "d"]]
    dense, sparse = (
        VectorStoreQueryResult(nodes=[TextNode(id_=name) for name in each], similarities=[0.1])
        for each in names
    )

    fused = fuse_results(dense, sparse, alpha=alpha, top_k=3)

    expected = fuse_rankings(names, weights=(2 * alpha, 2 - 2 * alpha))[:3]
    assert list(zip(fused.ids or (), fused.similarities or (), strict=True)) == expected
    assert [node.node_id for node in fused.nodes or ()] == fused.ids
    nothing = fuse_results(VectorStoreQueryResult(), VectorStoreQueryResult())
    assert nothing.nodes == []
