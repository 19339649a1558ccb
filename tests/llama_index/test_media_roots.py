"""Files outside of `media_roots` are never read, where their path stands."""

import asyncio
import base64
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.chat_engine import MultiModalContextChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from audio_samples import make_wav
from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl.nodes.postprocessor import QwenMediaPostprocessor
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

MakeLlm = Callable[..., QwenVL]

OMNI = "qwen3.8-omni-flash"
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n"
WAV = make_wav()

pytestmark = pytest.mark.media_alone


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
def roots(tmp_path: Path) -> Path:
    """The folder that may be read."""
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "cat.png").write_bytes(CHELSEA.read_bytes())
    return folder


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder that may not, with files of every kind."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "cat.png").write_bytes(CHELSEA.read_bytes())
    (folder / "walk.mp4").write_bytes(BIG_BUCK_BUNNY.read_bytes())
    (folder / "voice.wav").write_bytes(WAV)
    (folder / "id_rsa").write_bytes(KEY)
    (folder / "report.pdf").write_bytes(b"%PDF-1.7\n")
    return folder


def restored(node: BaseNode) -> BaseNode:
    """Give a node as a store loads it."""
    return type(node).from_json(node.to_json())


NODES: dict[str, Callable[[Path], BaseNode]] = {
    "ImageNode": lambda folder: ImageNode(image_path=str(folder / "cat.png")),
    "ImageDocument": lambda folder: ImageDocument(image_path=str(folder / "cat.png")),
    "image_resource": lambda folder: Node(image_resource=MediaResource(path=folder / "cat.png")),
    "video_resource": lambda folder: Document(
        text="A walk.", video_resource=MediaResource(path=folder / "walk.mp4")
    ),
    "metadata": lambda folder: TextNode(metadata={"image_path": str(folder / "cat.png")}),
    "key file": lambda folder: ImageNode(image_path=str(folder / "id_rsa")),
}


def retriever_engine(llm: QwenVL, node: BaseNode) -> Any:
    return RetrieverQueryEngine.from_args(
        Shelf(node), llm=llm, multimodal=True, node_postprocessors=[QwenMediaPostprocessor()]
    )


def citation_engine(llm: QwenVL, node: BaseNode) -> Any:
    return CitationQueryEngine(
        Shelf(node), llm=llm, multimodal=True, node_postprocessors=[QwenMediaPostprocessor()]
    )


@pytest.mark.parametrize("make", [retriever_engine, citation_engine])
@pytest.mark.parametrize("name", NODES)
def test_engine_sends_no_file_from_outside(
    name: str,
    make: Callable[[QwenVL, BaseNode], Any],
    make_llm: MakeLlm,
    roots: Path,
    secrets: Path,
    qwen_vl_sandbox: Sandbox,
) -> None:
    node = NODES[name](secrets)
    for media_roots, found in (([roots], node), (None, restored(node))):
        with pytest.raises(MediaAccessError):
            make(make_llm(media_roots=media_roots), found).query("What is it?")
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("make", [retriever_engine, citation_engine])
def test_engine_sends_a_file_from_inside(
    make: Callable[[QwenVL, BaseNode], Any],
    make_llm: MakeLlm,
    roots: Path,
    qwen_vl_sandbox: Sandbox,
) -> None:
    llm = make_llm(media_roots=[roots], downscale_images=False)
    make(llm, restored(NODES["ImageNode"](roots))).query("What is it?")

    url = f"data:image/png;base64,{base64.b64encode(CHELSEA.read_bytes()).decode()}"
    assert url.encode() in qwen_vl_sandbox.last_request.body


@pytest.mark.parametrize("file", ["voice.wav", "id_rsa"])
def test_engine_sends_no_audio_file_from_outside(
    file: str, make_llm: MakeLlm, roots: Path, secrets: Path, qwen_vl_sandbox: Sandbox
) -> None:
    node = Node(
        text_resource=MediaResource(text="A voice."),
        audio_resource=MediaResource(path=secrets / file),
    )
    for media_roots in ([roots], None):
        with pytest.raises(MediaAccessError):
            retriever_engine(make_llm(OMNI, media_roots=media_roots), node).query("What is it?")
    assert qwen_vl_sandbox.requests == []

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        llm = make_llm(OMNI, media_roots=[secrets])
        if file == "voice.wav":
            retriever_engine(llm, node).query("What is it?")
            assert base64.b64encode(WAV) in qwen_vl_sandbox.last_request.body
        else:
            with pytest.raises(MediaFormatError, match="looks like text"):
                retriever_engine(llm, node).query("What is it?")


def test_chat_engine_sends_no_file_from_outside(
    make_llm: MakeLlm, roots: Path, secrets: Path, qwen_vl_sandbox: Sandbox
) -> None:
    engine = MultiModalContextChatEngine.from_defaults(
        Shelf(NODES["ImageNode"](secrets)),
        multi_modal_llm=make_llm(media_roots=[roots]),
        memory=ChatMemoryBuffer.from_defaults(token_limit=100_000),
    )
    with pytest.raises(MediaAccessError):
        engine.chat("What is it?")
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("name", [name for name in NODES if name != "metadata"])
def test_stored_nodes_are_not_the_word_of_the_program(
    name: str, make_llm: MakeLlm, secrets: Path, qwen_vl_sandbox: Sandbox
) -> None:
    node = restored(NODES[name](secrets))
    for found in (node, NodeWithScore(node=NODES[name](secrets), score=0.5)):
        with pytest.raises(MediaAccessError):
            make_llm().complete("What is it?", image_documents=[found])
    assert qwen_vl_sandbox.requests == []


BLOCKS: dict[str, Callable[[Path], ContentBlock]] = {
    "ImageBlock": lambda folder: ImageBlock(path=folder / "cat.png"),
    "VideoBlock": lambda folder: VideoBlock(path=folder / "walk.mp4"),
    "AudioBlock": lambda folder: AudioBlock(path=folder / "voice.wav"),
    "AudioBlock, key": lambda folder: AudioBlock(path=folder / "id_rsa", format="wav"),
    "DocumentBlock": lambda folder: DocumentBlock(path=folder / "report.pdf"),
}


@pytest.mark.parametrize("name", BLOCKS)
async def test_chat_reads_no_block_from_outside(
    name: str,
    make_llm: MakeLlm,
    memory: Memory,
    roots: Path,
    secrets: Path,
    qwen_vl_sandbox: Sandbox,
) -> None:
    llm = make_llm(OMNI, media_roots=[roots])
    message = ChatMessage([BLOCKS[name](secrets), TextBlock(text="What is it?")])
    await memory.aput(message)
    parsed = ChatMessage.model_validate_json(message.model_dump_json())

    for asked in (message, parsed, *await memory.aget()):
        with pytest.raises(MediaAccessError):
            llm.chat([asked])
        with pytest.raises(MediaAccessError):
            await llm.achat([asked])
        with pytest.raises(MediaAccessError):
            list(llm.stream_chat([asked]))
    assert qwen_vl_sandbox.requests == []


def test_document_named_by_text_is_not_read_without_roots(
    make_llm: MakeLlm, secrets: Path, qwen_vl_sandbox: Sandbox
) -> None:
    for path in (str(secrets / "report.pdf"), str(secrets / "lost.pdf")):
        with pytest.raises(MediaAccessError, match="media_roots is not set"):
            make_llm().chat([ChatMessage([DocumentBlock(path=path)])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("media_format", ["wav", "mp3", "pcm"])
def test_key_file_is_no_audio(
    media_format: str, make_llm: MakeLlm, secrets: Path, qwen_vl_sandbox: Sandbox
) -> None:
    (secrets / "key.der").write_bytes(b"\x30\x82\x04\xa4\x02\x01\x00\x00" * 40)
    for name in ("id_rsa", "key.der"):
        block = AudioBlock(path=secrets / name, format=media_format)
        parsed = ChatMessage.model_validate_json(ChatMessage([block]).model_dump_json())
        with pytest.raises(MediaFormatError, match="Expected audio"):
            make_llm(OMNI).chat([parsed])
    assert qwen_vl_sandbox.requests == []
