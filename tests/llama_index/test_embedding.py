"""`QwenVLEmbedding`: exact requests, nodes with their media, copies, events, failures."""

import asyncio
import base64
import copy
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    MediaResource,
    Node,
    TextNode,
)
from llama_index.core.storage.kvstore import SimpleKVStore
from PIL import Image as PillowImage
from pydantic import PrivateAttr, ValidationError

from llama_index.embeddings.qwen_vl import QwenVLEmbedding
from qwen_vl.embedding.embedder import QUERY_INSTRUCTION
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    ContentError,
    MediaAccessError,
    MediaFormatError,
    QwenVLError,
    ServerError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

KEY = "sk-hidden-9876"
URL = "https://example.com/1.png"
VIDEO_URL = "https://example.com/2.mp4"

MakeEmbedding = Callable[..., QwenVLEmbedding]


@pytest.fixture
def folder(tmp_path: Path, small_png: bytes) -> Path:
    (tmp_path / "small.png").write_bytes(small_png)
    pages = [PillowImage.new("RGB", (90, 120), color) for color in ("white", "red")]
    pages[0].save(tmp_path / "two.pdf", save_all=True, append_images=pages[1:])
    return tmp_path


@pytest.fixture
def make(qwen_vl_sandbox: Sandbox, folder: Path) -> MakeEmbedding:
    def make(**fields: Any) -> QwenVLEmbedding:
        settings = {
            "api_base": qwen_vl_sandbox.base_url,
            "api_key": KEY,
            "dimensions": 256,
            "media_roots": [folder],
        }
        return QwenVLEmbedding(**{**settings, **fields})

    return make


def contents(sandbox: Sandbox) -> list[list[dict[str, Any]]]:
    return [request.json["input"]["contents"] for request in sandbox.requests]


def kinds(sandbox: Sandbox) -> list[list[str]]:
    return [[key for content in each for key in content] for each in contents(sandbox)]


def test_interface() -> None:
    assert issubclass(QwenVLEmbedding, MultiModalEmbedding)
    embed_model = QwenVLEmbedding(api_key=KEY)
    assert embed_model.class_name() == "QwenVLEmbedding"
    assert embed_model.model_name == embed_model.model == "qwen3-vl-embedding"
    embed_model.model_name = "qwen2.5-vl-embedding"
    assert embed_model.model == embed_model.embedder.model == "qwen2.5-vl-embedding"
    assert QwenVLEmbedding(model="a", api_key=KEY).model_name == "a"
    assert QwenVLEmbedding("a", model="a", api_key=KEY).to_payload() == {
        "class_name": "QwenVLEmbedding",
        "model_name": "a",
        "embed_batch_size": 400,
        "dimensions": None,
    }


def test_queries_and_documents(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    embed_model = make(document_instruction="Represent the page.")
    vector = embed_model.get_query_embedding("/etc/passwd")
    query = qwen_vl_sandbox.last_request.json
    # A text is a text, whatever it looks like.
    texts = embed_model.get_text_embedding_batch(["/etc/passwd", URL])
    documents = qwen_vl_sandbox.last_request.json

    assert query == {
        "model": "qwen3-vl-embedding",
        "input": {"contents": [{"text": "/etc/passwd"}]},
        "parameters": {"dimension": 256, "instruct": QUERY_INSTRUCTION},
    }
    assert documents["input"] == {"contents": [{"text": "/etc/passwd"}, {"text": URL}]}
    assert documents["parameters"] == {"dimension": 256, "instruct": "Represent the page."}
    assert [len(each) for each in [vector, *texts]] == [256] * 3
    make(query_instruction=None).get_query_embedding("a")
    assert qwen_vl_sandbox.last_request.json["parameters"] == {"dimension": 256}


async def test_async_sends_the_same(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox, folder: Path
) -> None:
    image = str(folder / "small.png")
    sync, other = make(), make()
    expected = await asyncio.to_thread(
        lambda: [
            sync.get_query_embedding("a"),
            sync.get_text_embedding("a"),
            sync.get_image_embedding(image),
            sync.get_video_embedding(VIDEO_URL),
            sync.get_query_media_embedding({"text": "a", "image": image}),
            *sync.get_text_embedding_batch(["a", "b"]),
            *sync.get_image_embedding_batch([image, URL]),
            *sync.get_media_embeddings(["a", ("b", Path(image))]),
        ]
    )
    bodies = [request.json for request in qwen_vl_sandbox.requests]
    qwen_vl_sandbox.clear()

    found = [
        await other.aget_query_embedding("a"),
        await other.aget_text_embedding("a"),
        await other.aget_image_embedding(image),
        await other.aget_video_embedding(VIDEO_URL),
        await other.aget_query_media_embedding({"text": "a", "image": image}),
        *await other.aget_text_embedding_batch(["a", "b"]),
        *await other.aget_image_embedding_batch([image, URL]),
        *await other.aget_media_embeddings(["a", ("b", Path(image))]),
    ]

    assert found == expected
    key = orjson.dumps
    assert sorted(map(key, [each.json for each in qwen_vl_sandbox.requests])) == sorted(
        map(key, bodies)
    )


def test_images_of_every_kind(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox, folder: Path, small_png: bytes
) -> None:
    path = folder / "small.png"
    images = [str(path), path, io.BytesIO(small_png), URL, path.as_uri()]

    vectors = make().get_image_embedding_batch(images)

    local = {"image": "data:image/png;base64," + base64.b64encode(small_png).decode()}
    assert contents(qwen_vl_sandbox) == [[local, local, local, {"image": URL}, local]]
    assert vectors[0] == vectors[1] == vectors[2] == vectors[4]


@pytest.mark.parametrize(
    ("image", "kind", "problem"),
    [
        ("/etc/passwd", MediaAccessError, r"images\[0\]: The file '/etc/passwd' may not be read"),
        ("file:///etc/passwd", MediaAccessError, r"images\[0\]: The file '/etc/passwd'"),
        (io.BytesIO(b"not an image"), MediaFormatError, r"images\[0\]"),
        (3, UnsupportedContentError, r"images\[0\]: image is int"),
    ],
)
def test_image_that_cannot_be_sent_raises(
    make: MakeEmbedding,
    qwen_vl_sandbox: Sandbox,
    image: Any,
    kind: type[QwenVLError],
    problem: str,
) -> None:
    with pytest.raises(kind, match=problem):
        make().get_image_embedding_batch([image])
    assert qwen_vl_sandbox.n_requests == 0


def test_paths_need_roots(make: MakeEmbedding, folder: Path) -> None:
    with pytest.raises(MediaAccessError, match="media_roots"):
        make(media_roots=None).get_image_embedding(str(folder / "small.png"))
    assert make(media_roots=None).get_image_embedding(folder / "small.png")


def test_local_videos_are_uploaded_if_told_so(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(UnsupportedContentError, match="A video is taken by URL only"):
        make(media_roots=None).get_video_embedding(BIG_BUCK_BUNNY)
    vector = make(media_roots=None, video_mode="upload").get_video_embedding(BIG_BUCK_BUNNY)

    assert len(vector) == 256
    sent = qwen_vl_sandbox.last_request.json["input"]["contents"]
    assert sent[0]["video"].startswith("oss://")


def test_batches_are_packed_by_the_limits_of_the_model(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    embed_model = make()
    assert len(embed_model.get_text_embedding_batch(["a"] * 50)) == 50
    assert len(embed_model.get_image_embedding_batch([URL] * 12)) == 12
    assert [len(each) for each in contents(qwen_vl_sandbox)] == [20, 20, 10, 5, 5, 2]


class Counting(httpx2.AsyncHTTPTransport):
    """Counts the requests that are under way."""

    running = most = 0

    async def handle_async_request(self, request: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().handle_async_request(request)
        finally:
            self.running -= 1


@pytest.mark.parametrize("what", ["texts", "images", "nodes"])
async def test_batches_of_one_call_do_not_all_begin_together(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox, what: str
) -> None:
    transport = Counting()
    async with httpx2.AsyncClient(transport=transport) as client:
        embed_model = make(embed_batch_size=10, max_concurrency=3, http_async_client=client)
        match what:
            case "texts":
                found = await embed_model.aget_text_embedding_batch(["a"] * 200)
            case "images":
                found = await embed_model.aget_image_embedding_batch([URL] * 100)
            case _:
                nodes = [TextNode(metadata={"image_url": URL}) for _ in range(60)]
                found = list(await embed_model.acall(nodes))

    assert transport.most <= 3
    assert len(found) in {200, 100, 60}
    assert transport.most > 1 or what == "texts"


NODES: list[tuple[Callable[[Path], BaseNode], list[str]]] = [
    (lambda _: TextNode(text="A cat."), ["text"]),
    (lambda _: TextNode(text="A cat.", metadata={"image_url": URL}), ["text", "image"]),
    (lambda at: TextNode(metadata={"image_path": str(at / "small.png")}), ["image"]),
    (
        lambda _: TextNode(text="A walk.", metadata={"video_url": VIDEO_URL, "fps": 2}),
        ["text", "video"],
    ),
    (
        lambda at: TextNode(metadata={"image_path": str(at / "two.pdf"), "page": 2, "a": 1}),
        ["text", "image"],
    ),
    (lambda _: ImageNode(image_url=URL), ["image"]),
    (lambda at: ImageNode(text="A cat.", image_path=str(at / "small.png")), ["text", "image"]),
    (
        lambda at: ImageNode(image=base64.b64encode((at / "small.png").read_bytes()).decode()),
        ["image"],
    ),
    (lambda at: ImageDocument(text="A", image_path=str(at / "small.png")), ["text", "image"]),
    (lambda _: Document(text="A", video_resource=MediaResource(url=VIDEO_URL)), ["text", "video"]),
    (
        lambda at: Node(
            text_resource=MediaResource(text="A"),
            image_resource=MediaResource(path=at / "small.png"),
            video_resource=MediaResource(url=VIDEO_URL),
        ),
        ["text", "image", "video"],
    ),
]


@pytest.mark.parametrize(("make_node", "expected"), NODES)
def test_nodes_are_embedded_with_their_media(
    make: MakeEmbedding,
    qwen_vl_sandbox: Sandbox,
    folder: Path,
    make_node: Callable[[Path], BaseNode],
    expected: list[str],
) -> None:
    node = make_node(folder)
    before = node.model_dump()

    (embedded,) = make()([node])

    assert embedded is node
    assert kinds(qwen_vl_sandbox) == [expected]
    assert (qwen_vl_sandbox.last_request.json["parameters"].get("enable_fusion") is True) == (
        len(expected) > 1
    )
    assert len(embedded.embedding or ()) == 256
    assert {**embedded.model_dump(), "embedding": None} == before


def test_text_of_a_node_lacks_what_says_where_its_media_is(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    node = TextNode(
        text="A cat.",
        metadata={"image_url": URL, "max_pixels": 90_000, "page": 3, "year": 2024, "secret": 1},
        excluded_embed_metadata_keys=["secret"],
    )
    make()([node])

    assert contents(qwen_vl_sandbox) == [[{"text": "year: 2024\n\nA cat."}, {"image": URL}]]
    # Without media, `max_pixels` is its owner's.
    make()([TextNode(text="A.", metadata={"max_pixels": 9})])
    assert contents(qwen_vl_sandbox)[-1] == [{"text": "max_pixels: 9\n\nA."}]


def test_pages_are_embedded_as_images(make: MakeEmbedding, folder: Path) -> None:
    pages = [
        TextNode(metadata={"image_path": str(folder / "two.pdf"), "page": page}) for page in (1, 2)
    ]
    embed_model = make(embed_by="media", normalize=True)
    embed_model(pages)
    query = embed_model.get_query_embedding("a red page")

    scores = [embed_model.similarity(query, page.embedding or []) for page in pages]
    assert scores[1] > scores[0]


@pytest.mark.parametrize(
    ("model", "embed_by", "expected"),
    [
        ("qwen3-vl-embedding", None, [["text", "image"]]),
        ("qwen3-vl-embedding", "both", [["text", "image"]]),
        ("qwen3-vl-embedding", "media", [["image"]]),
        ("qwen3-vl-embedding", "text", [["text"]]),
        ("qwen2.5-vl-embedding", None, [["text", "image"]]),
        ("tongyi-embedding-vision-plus-2026-03-06", None, [["text", "image"]]),
        ("tongyi-embedding-vision-plus", None, [["image"]]),
        ("multimodal-embedding-v1", None, [["image"]]),
    ],
)
def test_what_counts_of_nodes_with_both(
    make: MakeEmbedding,
    qwen_vl_sandbox: Sandbox,
    model: str,
    embed_by: Any,
    expected: list[list[str]],
) -> None:
    embed_model = make(model_name=model, embed_by=embed_by, dimensions=None)
    embed_model([TextNode(text="A cat.", metadata={"image_url": URL})])

    assert kinds(qwen_vl_sandbox) == expected


def test_other_keys_are_read(make: MakeEmbedding, qwen_vl_sandbox: Sandbox, folder: Path) -> None:
    node = TextNode(metadata={"file_path": str(folder / "two.pdf"), "page_number": 1})
    embed_model = make(keys={"image_path": "file_path", "page": "page_number"})
    embed_model([node])

    assert kinds(qwen_vl_sandbox) == [["image"]]


def test_no_nodes(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    assert make()([]) == []
    assert make().get_media_embeddings([]) == []
    assert qwen_vl_sandbox.n_requests == 0


BAD_NODES = [
    (TextNode(id_="a", text=" "), UnsupportedContentError, "node 'a': It lacks text and media"),
    (
        TextNode(id_="a", metadata={"image_path": "/etc/passwd"}),
        MediaAccessError,
        "node 'a': The file '/etc/passwd' may not be read",
    ),
    (
        ImageNode(id_="a", image_path="/etc/passwd"),
        MediaAccessError,
        "node 'a': The file '/etc/passwd' may not be read",
    ),
    (
        TextNode(id_="a", metadata={"image_path": "../../etc/passwd"}),
        MediaAccessError,
        "node 'a': The file .*may not be read",
    ),
    (
        ImageNode(id_="a", image=base64.b64encode(b"not an image").decode()),
        MediaFormatError,
        "node 'a'",
    ),
    (
        TextNode(id_="a", metadata={"image_url": URL, "max_pixels": "many"}),
        ContentError,
        r"node 'a': metadata\['max_pixels'\]: 'many' is not a whole number",
    ),
    (
        TextNode(id_="a", metadata={"video_frames": [URL] * 4}),
        UnsupportedContentError,
        "node 'a': A list of frames is not taken as a video here",
    ),
    (
        TextNode(id_="a", metadata={"video_path": "a.mp4"}),
        UnsupportedContentError,
        "node 'a': A video is taken by URL only",
    ),
]


@pytest.mark.parametrize(("node", "kind", "problem"), BAD_NODES)
async def test_node_that_cannot_be_embedded_is_named_and_none_is_changed(
    make: MakeEmbedding, node: BaseNode, kind: type[ContentError], problem: str
) -> None:
    nodes = [TextNode(text="first"), TextNode(metadata={"image_url": URL}), node]
    with pytest.raises(kind, match=problem):
        await asyncio.to_thread(make(), nodes)
    with pytest.raises(kind, match=problem):
        await make().acall(nodes)
    assert [each.embedding for each in nodes] == [None] * 3


def test_nodes_without_text_count_by_their_media(
    make: MakeEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    make(embed_by="text")([TextNode(metadata={"image_url": URL})])
    assert kinds(qwen_vl_sandbox) == [["image"]]


def answer(*vectors: list[float]) -> bytes:
    entries = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return orjson.dumps({"output": {"embeddings": entries}})


def test_answers_that_lack_something_raise(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    embed_model = make(max_retries=0)
    for body in (answer([1.0] * 256), answer([1.0] * 256, []), b'{"output": {"embeddings": []}}'):
        qwen_vl_sandbox.script_raw(body)
        nodes = [TextNode(text="one"), TextNode(text="two")]
        with pytest.raises(AnswerFormatError, match=r"texts\[1\] \('two'\): The answer"):
            embed_model(nodes)
        assert [node.embedding for node in nodes] == [None, None]
    qwen_vl_sandbox.fail(status=500)
    with pytest.raises(ServerError):
        embed_model.get_text_embedding("one")
    with pytest.raises(UnsupportedContentError, match=r"texts\[0\] \(''\): The text is empty"):
        embed_model.get_text_embedding("")


def test_long_texts_are_shortened_in_errors(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script_raw(answer([]))
    with pytest.raises(AnswerFormatError, match=r"query \('a{40}…'\): "):
        make().get_query_embedding("a" * 5_000)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"temprature": 1}, "'temprature' is not a setting of QwenVLEmbedding"),
        ({"dimension": 5}, "Did you mean dimensions"),
        ({"dimensions": 5}, "dimensions is 5; qwen3-vl-embedding has vectors of"),
        ({"model": "a", "model_name": "b"}, "model and model_name mean the same"),
        ({"keys": {"photo": "a"}}, "keys has 'photo'"),
        (
            {"model": "multimodal-embedding-v1", "embed_by": "both"},
            "makes no vectors of text and media together",
        ),
        ({"additional_kwargs": {"dimension": 5}}, "set by the embedder itself"),
        ({"additional_kwargs": {"api_key": "a"}}, "api_key"),
        ({"server": "ollama"}, "a documented way to embed images"),
    ],
)
def test_wrong_settings_raise(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        QwenVLEmbedding(api_key=KEY, **fields)


@pytest.mark.parametrize(
    "fields", [{"timeout": "soon"}, {"embed_by": "sight"}, {"embed_batch_size": 0}]
)
def test_wrong_values_are_refused_by_field(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        QwenVLEmbedding(api_key=KEY, **fields)


def test_parameters_of_the_service_are_sent(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    model = "tongyi-embedding-vision-plus-2026-03-06"
    make(
        model=model, additional_kwargs={"res_level": 2}, query_instruction=None
    ).get_query_embedding("a")

    sent = qwen_vl_sandbox.last_request
    assert (sent.json["parameters"], sent.unknown_fields) == (
        {"dimension": 256, "res_level": 2},
        (),
    )


def test_vllm() -> None:
    with Sandbox(server="vllm") as sandbox:
        embed_model = QwenVLEmbedding(
            "Qwen/Qwen3-VL-Embedding-2B", server="vllm", api_base=sandbox.base_url
        )
        nodes = [TextNode(text="A cat.", metadata={"image_url": URL}), TextNode(text="A dog.")]
        embed_model(nodes)

        assert [len(node.embedding or ()) for node in nodes] == [2048, 2048]
        assert sandbox.n_requests == 2


# Copies, dumps.

FIELDS: dict[str, Any] = {
    "query_instruction": None,
    "normalize": True,
    "embed_by": "media",
    "keys": {"image_path": "file_path"},
    "max_retries": 1,
    "timeout": 20.0,
}
COPIES: dict[str, Callable[[QwenVLEmbedding], Any]] = {
    "pickle": lambda used: pickle.loads(pickle.dumps(used)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "model_copy": lambda used: used.model_copy(),
    "to_dict": lambda used: QwenVLEmbedding.from_dict(used.to_dict()),
    "to_json": lambda used: QwenVLEmbedding.from_json(used.to_json()),
}


@pytest.fixture
def used(make: MakeEmbedding, monkeypatch: pytest.MonkeyPatch) -> QwenVLEmbedding:
    """One that has open connections of both kinds."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment-1")
    made = make(default_headers={"X-Secret": "hidden-header"}, **FIELDS)
    made.get_text_embedding("a")
    asyncio.run(made.aget_text_embedding("a"))
    return made


@pytest.mark.parametrize("how", COPIES)
async def test_copy_works(how: str, used: QwenVLEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    made = COPIES[how](used)

    assert {name: getattr(made, name) for name in FIELDS} == FIELDS
    assert made.to_json() == used.to_json()
    assert len(await made.aget_text_embedding("b")) == 256
    assert len(made.get_text_embedding("b")) == 256
    shown = qwen_vl_sandbox.last_request.headers["authorization"]
    assert shown == ("Bearer …9876" if "copy" in how else "Bearer …nt-1")


def test_copies_do_not_share_what_is_set_later(
    used: QwenVLEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    other = copy.copy(used)
    other.dimensions = 512
    other.api_key = "sk-other-1111"

    assert (len(other.get_text_embedding("a")), len(used.get_text_embedding("a"))) == (512, 256)
    keys = [each.headers["authorization"] for each in qwen_vl_sandbox.requests[-2:]]
    assert keys == ["Bearer …1111", "Bearer …9876"]


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda used: json.dumps(used.to_dict()),
        lambda used: used.to_json(),
        lambda used: repr(used.model_dump()),
        lambda used: repr(used.to_payload()),
        lambda used: repr(pickle.dumps(used)),
    ],
)
def test_key_is_nowhere_to_be_seen(
    show: Callable[[QwenVLEmbedding], str], used: QwenVLEmbedding
) -> None:
    shown = show(used)
    assert KEY not in shown
    # A pickle is the program's own, and would not work behind a gateway without its headers.
    assert "hidden-header" not in shown or shown.startswith("b'\\x80")


def test_own_client(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    with httpx2.Client(headers={"x-own": "1"}) as client:
        embed_model = make(http_client=client)
        assert copy.deepcopy(embed_model).get_text_embedding("a")
        with pytest.raises(ConfigurationError, match="cannot be pickled"):
            pickle.dumps(embed_model)
    assert qwen_vl_sandbox.last_request.headers["x-own"] == "1"


def test_settings_take_it(make: MakeEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = embed_model = make()
    assert Settings.embed_model is embed_model


# Events, caches, rate limits.


class Collecting(BaseEventHandler):
    _events: list[Any] = PrivateAttr(default_factory=list)

    def handle(self, event: Any, **kwargs: Any) -> None:
        del kwargs
        if isinstance(event, EmbeddingStartEvent | EmbeddingEndEvent):
            self._events.append(event)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    handler, dispatcher = Collecting(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler._events
    dispatcher.event_handlers.remove(handler)


def test_events_come_once_for_each_batch(make: MakeEmbedding, events: list[Any]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embed_model = make(callback_manager=CallbackManager([debug]))
    nodes = [
        TextNode(text="A cat.", metadata={"image_url": URL}),
        TextNode(text="A dog."),
        ImageNode(image_url=URL),
    ]
    embed_model(nodes)

    assert [type(event).__name__ for event in events] == [
        "EmbeddingStartEvent",
        "EmbeddingEndEvent",
    ] * 2
    assert [event.chunks for event in events[1::2]] == [["A dog."], ["A cat. [image]", "[image]"]]
    assert events[3].embeddings == [nodes[0].embedding, nodes[2].embedding]
    assert KEY not in str(events)
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2


def test_cache_of_texts_is_used(make: MakeEmbedding, qwen_vl_sandbox: Sandbox) -> None:
    embed_model = make(embeddings_cache=SimpleKVStore())
    for _ in range(2):
        nodes = [TextNode(text="A dog."), TextNode(text="A cat.", metadata={"image_url": URL})]
        embed_model(nodes)
    assert kinds(qwen_vl_sandbox) == [["text"], ["text", "image"], ["text", "image"]]


async def test_rate_limiter_is_asked(make: MakeEmbedding) -> None:
    class Limiter:
        n_asked = 0

        def acquire(self) -> None:
            self.n_asked += 1

        async def async_acquire(self) -> None:
            self.n_asked += 1

    limiter = Limiter()
    embed_model = make(rate_limiter=limiter, embed_batch_size=2)
    items = ["a", "b", "c", Path("d.png")][:3]
    await asyncio.to_thread(embed_model.get_media_embeddings, items)
    await embed_model.aget_media_embeddings(items)
    await embed_model.aget_text_embedding_batch(["a", "b", "c"])

    assert limiter.n_asked == 6


async def test_survives_its_event_loop_and_many_at_once(make: MakeEmbedding) -> None:
    embed_model = make()
    found = await asyncio.gather(
        *(embed_model.aget_text_embedding_batch([f"{n}"]) for n in range(24))
    )
    assert len({tuple(each[0]) for each in found}) == 24
    again = await asyncio.to_thread(asyncio.run, embed_model.aget_text_embedding_batch(["7"]))
    assert again == found[7]
