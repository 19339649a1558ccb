"""`QwenMediaPostprocessor`: what is found in nodes, and how it reaches the request."""

import asyncio
import base64
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl.nodes.postprocessor import QwenMediaPostprocessor
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    MediaAccessError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox

CAT_URL = "https://example.com/cat.png"
WALK_URL = "https://example.com/walk.mp4?signature=a%2Bb%3D"
FRAME_URLS = [f"https://example.com/{number}.jpg" for number in range(4)]
SAMPLES = CHELSEA.parent
# What LlamaIndex raises or answers where an LLM raises one of these.
SWALLOWED = (ValueError, TypeError)


def data_url(path: Path, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


CAT_DATA_URL = data_url(CHELSEA, "image/png")
FILM_DATA_URL = data_url(BIG_BUCK_BUNNY, "video/mp4")


class Shelf(BaseRetriever):
    """Finds all that stands on it."""

    def __init__(self, *nodes: BaseNode) -> None:
        self.nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=node, score=0.5) for node in self.nodes]


@pytest.fixture(autouse=True)
def _no_event_loop() -> None:
    """LlamaIndex would take the one that Python makes unasked, and not close it."""
    asyncio.set_event_loop(None)


@pytest.fixture
def llm(make_llm: Callable[..., QwenVL]) -> QwenVL:
    # What is stored should leave as it is, to be told by its bytes.
    return make_llm(media_roots=[str(SAMPLES)], downscale_images=False)


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex downloads by `requests.get`, and nothing here should."""

    def reject(url: str, **_: Any) -> None:
        pytest.fail(f"{url} was downloaded")

    monkeypatch.setattr("requests.get", reject)


def find(node: BaseNode, **fields: Any) -> NodeWithScore:
    postprocessor = QwenMediaPostprocessor(**fields)
    (found,) = postprocessor.postprocess_nodes([NodeWithScore(node=node, score=0.5)])
    return found


def ask(llm: QwenVL, *nodes: BaseNode, **options: Any) -> Any:
    engine = RetrieverQueryEngine.from_args(
        Shelf(*nodes),
        llm=llm,
        multimodal=True,
        node_postprocessors=[QwenMediaPostprocessor()],
        **options,
    )
    return engine.query("What is it?")


def sent_media(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Give every part of all requests that is not text."""
    return [
        part
        for request in sandbox.requests
        for message in request.json["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] != "text"
    ]


def image(url: str, **options: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, **options}


def video(url: str, **options: Any) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}, **options}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "part"),
    [
        (ImageNode(image_url=CAT_URL), image(CAT_URL)),
        (ImageNode(image_url="oss://bucket/cat.png"), image("oss://bucket/cat.png")),
        (ImageNode(image_url=CAT_DATA_URL), image(CAT_DATA_URL)),
        (ImageNode(image_path=str(CHELSEA)), image(CAT_DATA_URL)),
        (ImageNode(image=CAT_DATA_URL.partition(",")[2]), image(CAT_DATA_URL)),
        (
            ImageNode(image_url=CAT_URL, metadata={"max_pixels": 100_000}),
            image(CAT_URL, max_pixels=100_000),
        ),
        (
            ImageNode(image_path=str(CHELSEA), metadata={"min_pixels": 100_000}),
            image(CAT_DATA_URL, min_pixels=100_000),
        ),
        (ImageDocument(image_path=str(CHELSEA)), image(CAT_DATA_URL)),
        (ImageDocument(image=CAT_DATA_URL.partition(",")[2]), image(CAT_DATA_URL)),
        (Node(image_resource=MediaResource(url=CAT_URL)), image(CAT_URL)),
        (Node(image_resource=MediaResource(data=CHELSEA.read_bytes())), image(CAT_DATA_URL)),
        (
            Document(text="A film.", video_resource=MediaResource(path=BIG_BUCK_BUNNY)),
            video(FILM_DATA_URL),
        ),
        (
            Node(video_resource=MediaResource(url=WALK_URL), metadata={"fps": 0.5}),
            video(WALK_URL, fps=0.5),
        ),
        (
            Node(
                video_resource=MediaResource(data=BIG_BUCK_BUNNY.read_bytes()),
                metadata={"fps": 0.5, "total_pixels": 10_000_000},
            ),
            video(FILM_DATA_URL, fps=0.5, total_pixels=10_000_000),
        ),
        (TextNode(metadata={"image_url": CAT_URL}), image(CAT_URL)),
        (TextNode(metadata={"image_url": CAT_DATA_URL}), image(CAT_DATA_URL)),
        (TextNode(metadata={"image_path": str(CHELSEA)}), image(CAT_DATA_URL)),
        (TextNode(metadata={"image_url": CHELSEA.as_uri()}), image(CAT_DATA_URL)),
        (TextNode(metadata={"video_path": str(BIG_BUCK_BUNNY)}), video(FILM_DATA_URL)),
        (
            TextNode(metadata={"video_url": "oss://bucket/walk.mp4", "fps": 2}),
            video("oss://bucket/walk.mp4", fps=2),
        ),
        (
            TextNode(metadata={"video_frames": FRAME_URLS, "fps": 2}),
            {"type": "video", "video": FRAME_URLS, "fps": 2},
        ),
        (
            TextNode(metadata={"video_frames": json.dumps(FRAME_URLS)}),
            {"type": "video", "video": FRAME_URLS},
        ),
        (
            TextNode(metadata={"video_frames": [str(CHELSEA)] * 4}),
            {"type": "video", "video": [CAT_DATA_URL] * 4},
        ),
        (IndexNode(index_id="cats", metadata={"image_url": CAT_URL}), image(CAT_URL)),
        # Some stores make floats of numbers, and numbers of their own, and fill what is missing.
        (
            TextNode(
                metadata={
                    "image_url": CAT_URL,
                    "image_path": "",
                    "video_url": None,
                    "video_frames": [],
                    "max_pixels": 100_000.0,
                    "min_pixels": np.int64(70_000),
                }
            ),
            image(CAT_URL, min_pixels=70_000, max_pixels=100_000),
        ),
        # The node's own field comes first.
        (ImageNode(image_url=CAT_URL, metadata={"image_path": "old.png"}), image(CAT_URL)),
        # The bytes are lost on the way through a store.
        (
            Node(
                image_resource=MediaResource(mimetype="image/png"), metadata={"image_url": CAT_URL}
            ),
            image(CAT_URL),
        ),
    ],
)
def test_media_arrives_as_it_is_stored(
    node: BaseNode, part: dict[str, Any], llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    ask(llm, node)

    (sent,) = sent_media(qwen_vl_sandbox)
    assert sent == part
    is_stored_there = "oss://" in str(part)
    header = qwen_vl_sandbox.last_request.headers.get("x-dashscope-ossresourceresolve")
    assert header == ("enable" if is_stored_there else None)


def test_picture_and_video_of_one_node_both_arrive(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    metadata = {"image_url": CAT_URL, "video_url": WALK_URL, "fps": 1, "max_pixels": 200_000}
    ask(llm, TextNode(text="A cat walks.", metadata=metadata))

    assert sent_media(qwen_vl_sandbox) == [
        image(CAT_URL, max_pixels=200_000),
        video(WALK_URL, fps=1, max_pixels=200_000),
    ]


def test_words_stay_and_keys_are_not_among_them(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    metadata = {"image_url": CAT_DATA_URL, "max_pixels": 100_000, "album": "Holidays"}
    ask(llm, TextNode(text="A cat looks up.", metadata=metadata))

    (message,) = (m for m in qwen_vl_sandbox.last_request.json["messages"] if m["role"] == "user")
    words = " ".join(part["text"] for part in message["content"] if part["type"] == "text")
    assert "album: Holidays" in words
    assert "A cat looks up." in words
    assert "base64" not in words
    assert "max_pixels" not in words


@pytest.mark.parametrize(
    "node",
    [
        TextNode(id_="a", text="A cat.", metadata={"image_url": CAT_URL, "album": "Holidays"}),
        ImageNode(id_="a", text="A cat.", image_url=CAT_URL, metadata={"album": "Holidays"}),
        Document(
            id_="a",
            text="A cat.",
            image_resource=MediaResource(path=CHELSEA),
            metadata={"album": "Holidays"},
        ),
    ],
    ids=lambda node: type(node).__name__,
)
def test_node_stays_what_it_was(node: BaseNode) -> None:
    node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="source")
    before = node.model_copy(deep=True)

    found = find(node)

    assert node == before
    assert found.score == 0.5
    assert isinstance(found.node, type(node))
    assert found.node.class_name() == node.class_name()
    assert found.node_id == "a"
    assert found.node.get_content() == "A cat."
    assert found.metadata == before.metadata
    assert found.node.relationships == before.relationships
    assert found.node.hash == before.hash
    assert found.node.get_content(MetadataMode.LLM) == "album: Holidays\n\nA cat."


def test_nodes_without_media_pass_as_they_are() -> None:
    values = [NodeWithScore(node=TextNode(text="Words.", metadata={"fps": "many"}), score=0.5)]

    assert QwenMediaPostprocessor().postprocess_nodes(values)[0] is values[0]


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda node: pickle.loads(pickle.dumps(node))]
)
def test_found_nodes_can_be_copied_and_pickled(duplicate: Any) -> None:
    found = find(TextNode(text="A walk.", metadata={"video_url": WALK_URL, "fps": 0.5}))

    blocks = duplicate(found).node.get_content_blocks()

    assert isinstance(blocks[0], TextBlock)
    assert blocks[1].inline_url() == f"{WALK_URL}#fps=0.5"
    assert blocks[1].estimate_tokens() > 0


def test_found_nodes_are_stored_as_what_they_were() -> None:
    node = TextNode(text="A walk.", metadata={"video_url": WALK_URL, "fps": 0.5})

    stored = TextNode.from_json(find(node).node.to_json())

    assert type(stored) is TextNode
    assert stored.metadata == node.metadata


def test_postprocessor_is_stored_with_its_fields() -> None:
    values = QwenMediaPostprocessor(model="qwen-vl-max", keys={"image_path": "file_path"})

    for copied in (
        QwenMediaPostprocessor.from_json(values.to_json()),
        pickle.loads(pickle.dumps(values)),
    ):
        assert copied.model == "qwen-vl-max"
        assert copied.keys == {"image_path": "file_path"}


def test_other_keys_are_read() -> None:
    metadata = {"file_path": str(CHELSEA), "image_url": "not read", "fps": "25 (camera)"}
    found = find(
        TextNode(metadata=metadata),
        keys={"image_path": "file_path", "image_url": "address", "fps": "sampling"},
    )

    (block,) = found.node.get_content_blocks()
    assert block.inline_url().startswith("file://localhost/")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'image'"):
        QwenMediaPostprocessor(keys={"image": "file_path"})


@pytest.mark.parametrize(
    ("metadata", "error", "reported"),
    [
        (
            {"image_url": CAT_URL, "image_path": "cat.png"},
            UnsupportedContentError,
            ["'image_url' and 'image_path'"],
        ),
        (
            {"video_url": WALK_URL, "video_frames": FRAME_URLS},
            UnsupportedContentError,
            ["'video_url' and 'video_frames'"],
        ),
        ({"image_url": 7}, MediaFormatError, ["metadata['image_url']", "7 must be text"]),
        ({"image_path": ["cat.png"]}, MediaFormatError, ["metadata['image_path']", "text"]),
        ({"image_url": "cat.png"}, MediaFormatError, ["metadata['image_url']", "not a URL"]),
        ({"video_url": "s3://bucket/a.mp4"}, MediaFormatError, ["metadata['video_url']"]),
        ({"video_path": WALK_URL}, MediaFormatError, ["metadata['video_path']", "is a URL"]),
        ({"video_frames": 4}, MediaFormatError, ["metadata['video_frames']", "list"]),
        ({"video_frames": "0.jpg, 1.jpg"}, MediaFormatError, ["metadata['video_frames']", "JSON"]),
        ({"video_frames": "[" + "1" * 5_000 + "]"}, MediaFormatError, ["list", "JSON"]),
        ({"video_frames": "[" * 100_000 + "]" * 100_000}, MediaFormatError, ["list", "JSON"]),
        ({"video_frames": [CAT_URL, 7]}, MediaFormatError, ["metadata['video_frames']", "7"]),
        ({"video_url": WALK_URL, "fps": "2"}, MediaOptionError, ["metadata['fps']", "'2'"]),
        ({"video_url": WALK_URL, "fps": True}, MediaOptionError, ["metadata['fps']", "True"]),
        ({"video_url": WALK_URL, "fps": float("nan")}, MediaOptionError, ["metadata['fps']"]),
        (
            {"image_url": CAT_URL, "max_pixels": 0.5},
            MediaOptionError,
            ["metadata['max_pixels']", "whole number"],
        ),
    ],
)
def test_wrong_metadata_is_named(
    metadata: dict[str, Any], error: type[ContentError], reported: list[str], llm: QwenVL
) -> None:
    with pytest.raises(error) as caught:
        ask(llm, TextNode(id_="a1", metadata=metadata))

    assert not isinstance(caught.value, SWALLOWED)
    assert str(caught.value).startswith("node 'a1': ")
    for words in reported:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("node", "error", "reported"),
    [
        (ImageNode(id_="a1"), MediaFormatError, "Its image is empty"),
        (Node(id_="a1", video_resource=MediaResource()), MediaFormatError, "Its video is empty"),
    ],
)
def test_empty_fields_are_named(
    node: BaseNode, error: type[MediaError], reported: str, llm: QwenVL
) -> None:
    with pytest.raises(error, match=reported) as caught:
        ask(llm, node)

    assert str(caught.value).startswith("node 'a1': ")


def test_wrong_numbers_are_refused_before_anything_is_sent(
    llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(MediaOptionError, match="fps is 25"):
        ask(llm, TextNode(id_="a1", metadata={"video_url": WALK_URL, "fps": 25}))

    assert qwen_vl_sandbox.requests == []


def test_paths_of_metadata_are_read_inside_media_roots_alone(
    llm: QwenVL, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(CHELSEA.read_bytes())
    closed = llm.model_copy(update={"media_roots": None})

    for asked, path in ((llm, secret), (closed, CHELSEA)):
        with pytest.raises(MediaAccessError):
            ask(asked, TextNode(metadata={"image_path": str(path)}))
    with pytest.raises(MediaAccessError):
        ask(closed, TextNode(metadata={"video_frames": [str(CHELSEA)] * 4}))

    assert qwen_vl_sandbox.requests == []


def test_path_with_odd_characters_is_found(
    llm: QwenVL, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    odd = tmp_path / "50% off #1 猫?.png"
    odd.write_bytes(CHELSEA.read_bytes())
    metadata = {"image_path": str(odd), "max_pixels": 100_000}

    ask(llm.model_copy(update={"media_roots": (tmp_path,)}), TextNode(metadata=metadata))

    assert sent_media(qwen_vl_sandbox) == [image(CAT_DATA_URL, max_pixels=100_000)]


@pytest.mark.parametrize(
    "node",
    [
        ImageNode(image_path=str(SAMPLES / "lost.png")),
        Node(video_resource=MediaResource(path=SAMPLES / "lost.png")),
    ],
    ids=["image", "video"],
)
def test_lost_file_inside_media_roots_is_named(
    node: BaseNode, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(MediaNotFoundError, match=r"lost\.png"):
        ask(llm, node)

    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize(
    ("node", "tokens"),
    [
        # What the service counts for this very file.
        (TextNode(metadata={"image_url": CAT_DATA_URL}), 128),
        # The largest image that the model looks at, and a minute of the largest frames.
        (TextNode(metadata={"image_url": CAT_URL}), 2_562),
        (TextNode(metadata={"image_url": CAT_URL, "max_pixels": 100_000}), 99),
        (TextNode(metadata={"image_path": str(CHELSEA)}), 2_562),
        (ImageNode(image_path=str(CHELSEA)), 2_562),
        (Node(image_resource=MediaResource(path=COFFEE)), 2_562),
        (ImageNode(image_path="/nowhere/cat.png"), 2_562),
        (TextNode(metadata={"video_url": WALK_URL}), 38_402),
        (TextNode(metadata={"video_url": WALK_URL, "fps": 0.5}), 9_602),
        (TextNode(metadata={"video_frames": FRAME_URLS}), 1_282),
        (TextNode(metadata={"video_frames": [str(CHELSEA)] * 4}), 1_282),
    ],
)
async def test_tokens_are_those_of_the_model(node: BaseNode, tokens: int) -> None:
    block = find(node).node.get_content_blocks()[-1]

    assert await block.aestimate_tokens() == tokens


@pytest.mark.parametrize(
    ("node", "tokens"),
    [
        (ImageNode(image_path=str(CHELSEA)), 128),
        (TextNode(metadata={"image_path": str(CHELSEA)}), 128),
        (Node(image_resource=MediaResource(path=COFFEE)), 230),
        (ImageNode(image_path=str(SAMPLES / "lost.png")), 2_562),
        (ImageNode(image_path="/etc/passwd"), 2_562),
    ],
)
def test_tokens_of_files_inside_media_roots_are_exact(node: BaseNode, tokens: int) -> None:
    block = find(node, media_roots=[SAMPLES]).node.get_content_blocks()[-1]

    assert block.estimate_tokens() == tokens


def test_tokens_are_those_of_the_model_that_is_named() -> None:
    node = TextNode(metadata={"image_url": CAT_URL})

    counts = {
        model: find(node, model=model).node.get_content_blocks()[-1].estimate_tokens()
        for model in ("qwen3-vl-plus", "qwen2.5-vl-72b-instruct")
    }

    assert counts == {"qwen3-vl-plus": 2_562, "qwen2.5-vl-72b-instruct": 1_282}


def test_damaged_picture_is_named_when_it_is_counted() -> None:
    (block,) = find(ImageNode(id_="a1", image="bm8gcGljdHVyZQ==")).node.get_content_blocks()

    with pytest.raises(MediaFormatError, match="node 'a1'"):
        block.estimate_tokens()
