"""Questions about real images and videos that stand in a real, embedded vector store.

Run as a program, it asks the store that an earlier process has left: `test_rag.py FOLDER ADDRESS`.
"""

import asyncio
import base64
import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from subprocess import run
from typing import Any, ClassVar

import numpy as np
import pytest
from llama_index.core import (
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import BaseNode, ImageNode, TextNode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.models import Distance, VectorParams
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl.nodes.postprocessor import QwenMediaPostprocessor
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox

# Qdrant's client leaves a database in memory unclosed, which Python tells of from 3.13 on.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")

SAMPLES = CHELSEA.parent
ROCKET_URL = "https://example.com/rocket.jpg"
FILM_URL = "https://example.com/film.mp4?signature=a%2Bb%3D"
STORED_URL = "oss://bucket/park.mp4"
WALL_URLS = [f"https://example.com/wall/{number}.jpg" for number in range(4)]
MEDIA_KEYS = ["image_path", "image_url", "video_url", "video_frames", "fps", "max_pixels"]


class WordVectors(BaseEmbedding):
    """The mean of the word vectors that the wheel of WordLlama brings along: nothing is fetched."""

    _tokenizer: Any = PrivateAttr()
    _vectors: Any = PrivateAttr()

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # Found without importing the package, which sets up logging for the whole program.
        folder = Path(find_spec("wordllama").origin).parent
        tokenizer = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")
        self._vectors = weights["embedding.weight"]

    def _get_text_embedding(self, text: str) -> list[float]:
        words = self._tokenizer.encode(text, add_special_tokens=False).ids
        vector = self._vectors[words].mean(axis=0, dtype=np.float32)
        return (vector / np.linalg.norm(vector)).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def note(text: str, **metadata: Any) -> TextNode:
    return TextNode(text=text, metadata=metadata, excluded_embed_metadata_keys=MEDIA_KEYS)


ALBUM = [
    note("A cat with green eyes looks straight ahead.", image_path=str(CHELSEA)),
    note("A cup of coffee on a saucer, with a spoon.", image_path=str(COFFEE), max_pixels=100_000),
    note("A rocket lifts off from its launch pad.", image_url=ROCKET_URL),
    note("Animated film: a big rabbit wakes up under a tree.", video_url=FILM_URL, fps=0.5),
    note("Somebody walks through a park.", video_url=STORED_URL, fps=2),
    note("Workers build a brick wall, filmed once an hour.", video_frames=WALL_URLS, fps=1),
]


def fill(folder: Path, nodes: list[BaseNode], vectors: BaseEmbedding) -> None:
    with closing(QdrantClient(path=str(folder))) as client:
        client.create_collection("album", VectorParams(size=256, distance=Distance.COSINE))
        store = QdrantVectorStore("album", client=client)
        storage = StorageContext.from_defaults(vector_store=store)
        VectorStoreIndex(nodes, storage_context=storage, embed_model=vectors)


def open_index(client: QdrantClient, vectors: BaseEmbedding) -> VectorStoreIndex:
    store = QdrantVectorStore("album", client=client)
    return VectorStoreIndex.from_vector_store(store, embed_model=vectors)


def make_engine(index: VectorStoreIndex, llm: QwenVL, n_nodes: int, **options: Any) -> Any:
    options = {"node_postprocessors": [QwenMediaPostprocessor()], "multimodal": True, **options}
    retriever = index.as_retriever(similarity_top_k=n_nodes)
    return RetrieverQueryEngine.from_args(retriever, llm=llm, **options)


@pytest.fixture(scope="module")
def vectors() -> WordVectors:
    return WordVectors()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory, vectors: WordVectors) -> Path:
    """A store on the disk that nobody has open."""
    folder = tmp_path_factory.mktemp("album")
    fill(folder, ALBUM, vectors)
    return folder


@pytest.fixture
def index(frames: Path, vectors: WordVectors) -> Iterator[VectorStoreIndex]:
    """The same, opened again."""
    with closing(QdrantClient(path=str(frames))) as client:
        yield open_index(client, vectors)


@pytest.fixture(autouse=True)
def _no_event_loop() -> None:
    """LlamaIndex would take the one that Python makes unasked, and not close it."""
    asyncio.set_event_loop(None)


@pytest.fixture
def llm(make_llm: Callable[..., QwenVL]) -> QwenVL:
    # What is stored should leave as it is, to be told by its bytes.
    return make_llm(media_roots=[str(SAMPLES)], downscale_images=False)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What LlamaIndex downloads, which it does by `requests`; nothing is, in fact."""
    asked: list[str] = []

    class DownloadError(Exception):
        """No error that LlamaIndex makes an empty answer of."""

    def reject(url: str, **_: Any) -> None:
        asked.append(url)
        raise DownloadError(url)

    monkeypatch.setattr("requests.get", reject)
    return asked


def sent_media(sandbox: Sandbox) -> list[dict[str, Any]]:
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


def inline(path: Path, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


EXPECTED = {
    "What can I drink?": image(inline(COFFEE), max_pixels=100_000),
    "The kitten's gaze": image(inline(CHELSEA)),
    "spacecraft": image(ROCKET_URL),
    "cartoon bunny": video(FILM_URL, fps=0.5),
    "people strolling outdoors": video(STORED_URL, fps=2),
    "masonry": {"type": "video", "video": WALL_URLS, "fps": 1},
}
"""Questions that share no word with what is stored, and what must be sent for them."""


@pytest.mark.parametrize("question", EXPECTED)
def test_picture_or_video_that_fits_is_found_and_sent_as_stored(
    question: str,
    index: VectorStoreIndex,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
    downloads: list[str],
) -> None:
    response = make_engine(index, llm, 1).query(question)

    assert sent_media(qwen_vl_sandbox) == [EXPECTED[question]]
    assert "I received" in str(response)
    (source,) = response.source_nodes
    assert source.text in [node.text for node in ALBUM]
    assert source.score > 0
    assert downloads == []


def test_stored_address_goes_with_its_header(
    index: VectorStoreIndex, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    make_engine(index, llm, 1).query("people strolling outdoors")

    assert qwen_vl_sandbox.last_request.headers["x-dashscope-ossresourceresolve"] == "enable"


REQUESTS = {
    "compact": 1,
    "refine": 6,
    "tree_summarize": 1,
    "simple_summarize": 1,
    "accumulate": 6,
    "compact_accumulate": 1,
}
"""How many requests six nodes take in each mode."""
STREAMING = [mode for mode in REQUESTS if "accumulate" not in mode]


def check_all_arrived(sandbox: Sandbox, mode: str, downloads: list[str]) -> None:
    sent = sent_media(sandbox)
    assert len(sent) == len(EXPECTED)
    for part in EXPECTED.values():
        assert part in sent
    assert len(sandbox.requests) == REQUESTS[mode]
    assert downloads == []


@pytest.mark.parametrize("mode", REQUESTS)
def test_media_arrives_in_every_mode(
    mode: str,
    index: VectorStoreIndex,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
    downloads: list[str],
) -> None:
    response = make_engine(index, llm, 6, response_mode=mode).query("What is there?")

    assert "I received" in str(response)
    check_all_arrived(qwen_vl_sandbox, mode, downloads)


@pytest.mark.parametrize("mode", REQUESTS)
async def test_media_arrives_in_every_mode_async(
    mode: str,
    frames: Path,
    vectors: WordVectors,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
    downloads: list[str],
) -> None:
    client = AsyncQdrantClient(path=str(frames))
    try:
        store = QdrantVectorStore("album", aclient=client)
        index = VectorStoreIndex.from_vector_store(store, embed_model=vectors)
        response = await make_engine(index, llm, 6, response_mode=mode).aquery("What is there?")
    finally:
        await client.close()

    assert "I received" in str(response)
    check_all_arrived(qwen_vl_sandbox, mode, downloads)


@pytest.mark.parametrize("mode", STREAMING)
def test_media_arrives_in_every_mode_that_streams(
    mode: str,
    index: VectorStoreIndex,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
    downloads: list[str],
) -> None:
    engine = make_engine(index, llm, 6, response_mode=mode, streaming=True)

    pieces = engine.query("What is there?").response_gen

    assert "I received" in "".join(pieces)
    check_all_arrived(qwen_vl_sandbox, mode, downloads)


def test_media_arrives_with_citations(
    index: VectorStoreIndex, llm: QwenVL, qwen_vl_sandbox: Sandbox, downloads: list[str]
) -> None:
    # This engine makes nodes of its own from what the postprocessor gives.
    engine = CitationQueryEngine.from_args(
        index,
        llm=llm,
        similarity_top_k=6,
        multimodal=True,
        node_postprocessors=[QwenMediaPostprocessor()],
    )

    response = engine.query("What is there?")

    assert "Source 1" in str(response)
    check_all_arrived(qwen_vl_sandbox, "compact", downloads)
    assert qwen_vl_sandbox.last_request.headers["x-dashscope-ossresourceresolve"] == "enable"


def test_modes_that_take_no_context_send_no_media(
    index: VectorStoreIndex, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    make_engine(index, llm, 6, response_mode="generation").query("What is there?")
    make_engine(index, llm, 6, multimodal=False).query("What is there?")
    chat = ContextChatEngine.from_defaults(
        retriever=index.as_retriever(similarity_top_k=6),
        llm=llm,
        memory=ChatMemoryBuffer.from_defaults(),
        node_postprocessors=[QwenMediaPostprocessor()],
    )
    chat.chat("What is there?")

    assert len(qwen_vl_sandbox.requests) == 3
    assert sent_media(qwen_vl_sandbox) == []


@pytest.mark.slow
def test_store_answers_a_fresh_process(
    frames: Path, qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    command = [sys.executable, __file__, str(frames), qwen_vl_sandbox.base_url]

    done = run(command, capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 0, done.stderr
    assert "I received" in done.stdout
    assert sent_media(qwen_vl_sandbox) == [EXPECTED["cartoon bunny"]]


def test_llama_index_s_own_store_keeps_media_too(
    tmp_path: Path,
    vectors: WordVectors,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
    downloads: list[str],
) -> None:
    rocket = ImageNode(text="A rocket lifts off.", image_url=ROCKET_URL)
    VectorStoreIndex([*ALBUM[3:], rocket], embed_model=vectors).storage_context.persist(tmp_path)

    storage = StorageContext.from_defaults(persist_dir=str(tmp_path))
    again = load_index_from_storage(storage, embed_model=vectors)
    make_engine(again, llm, 4).query("What is there?")

    sent = sent_media(qwen_vl_sandbox)
    assert len(sent) == 4
    for question in ("spacecraft", "cartoon bunny", "people strolling outdoors", "masonry"):
        assert EXPECTED[question] in sent
    assert downloads == []


class CountingHandler(SimpleHTTPRequestHandler):
    """Serves the samples, and counts who asks for them."""

    agents: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.agents[(self.headers["User-Agent"] or "").partition("/")[0]] += 1
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the interface.
        """Say nothing."""


@pytest.fixture
def media_server() -> Iterator[str]:
    CountingHandler.agents.clear()
    handler = functools.partial(CountingHandler, directory=str(SAMPLES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("is_there", [True, False], ids=["with", "without the postprocessor"])
def test_nothing_is_downloaded_but_by_the_service(
    is_there: bool,
    media_server: str,
    tmp_path: Path,
    vectors: WordVectors,
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    film, cat = f"{media_server}/{BIG_BUCK_BUNNY.name}", f"{media_server}/{CHELSEA.name}"
    nodes = [
        note("A film about a rabbit.", video_url=film, fps=2),
        ImageNode(text="A cat.", image_url=cat),
    ]
    fill(tmp_path / "served", nodes, vectors)

    with closing(QdrantClient(path=str(tmp_path / "served"))) as client:
        postprocessors = [QwenMediaPostprocessor()] if is_there else []
        engine = make_engine(
            open_index(client, vectors), llm, 2, node_postprocessors=postprocessors
        )
        response = engine.query("What is there?")

    sent = sent_media(qwen_vl_sandbox)
    # LlamaIndex says who it is in one way or another; the sandbox, which stands for the service and
    # looks at what it is sent, does not.
    n_client = sum(count for agent, count in CountingHandler.agents.items() if agent)
    if is_there:
        assert "a video: MP4 1280x720" in str(response)
        assert n_client == 0
        assert CountingHandler.agents[""] == 2
        assert sorted(sent, key=str) == sorted([video(film, fps=2), image(cat)], key=str)
    else:
        # The image is downloaded for every look at it, and nobody knows that there is a film.
        assert n_client > 0
        assert sent == [image(inline(CHELSEA))]


def main(folder: str, base_url: str) -> None:
    """Ask the store in a folder."""
    with closing(QdrantClient(path=folder)) as client:
        llm = QwenVL(base_url=base_url, api_key="sk-sandbox")
        engine = make_engine(open_index(client, WordVectors()), llm, 1)
        sys.stdout.write(str(engine.query("cartoon bunny")))


if __name__ == "__main__":
    main(*sys.argv[1:])
