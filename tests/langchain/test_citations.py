"""Documents as numbered sources within a budget, and the citations of answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage

from langchain_qwen_vl import (
    ChatQwenVL,
    QwenVLMediaLoader,
    document_key,
    get_usage,
    read_citations,
    to_source_blocks,
)
from qwen_vl.errors import ConfigurationError, ContentError, MediaAccessError
from qwen_vl.retrieval import CITATION_PROMPT, FrameOptions
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl_sandbox import Sandbox

pytestmark = pytest.mark.openai_wire

Make = Callable[..., ChatQwenVL]


@pytest.fixture
def documents(pdf: Path, squares: dict[str, Path]) -> list[Document]:
    return [
        Document("Revenue", metadata={"image_path": str(pdf), "page": 2, "total_pages": 3}),
        Document("", metadata={"image_path": str(squares["red"]), "max_pixels": 90_000}),
        Document("Nobody knows.", metadata={"source": "notes/diary.txt"}),
    ]


def test_sources_are_numbered_blocks(
    make_chat: Make, documents: list[Document], pdf: Path, squares: dict[str, Path]
) -> None:
    chat = make_chat(media_roots=[pdf.parent])

    sources = to_source_blocks(documents, chat)

    assert sources.blocks == [
        {"type": "text", "text": CITATION_PROMPT},
        {"type": "text", "text": "Source [1]: report.pdf, page 2"},
        {
            "type": "file",
            "url": pdf.as_uri(),
            "mime_type": "application/pdf",
            "extras": {"pages": [2], "max_pixels": 1_310_720},
        },
        {"type": "text", "text": "Text of [1]:\nRevenue"},
        {"type": "text", "text": "Source [2]: red.png"},
        {"type": "image", "url": squares["red"].as_uri(), "extras": {"max_pixels": 90_000}},
        {"type": "text", "text": "Source [3]: diary.txt"},
        {"type": "text", "text": "Text of [3]:\nNobody knows."},
    ]
    assert (sources.documents, sources.left_out) == (documents, [])
    # What the model is set to takes precedence.
    small = to_source_blocks(documents[:1], make_chat(media_roots=[pdf.parent], max_pixels=70_000))
    assert small.blocks[2]["extras"] == {"pages": [2]}
    assert small.n_tokens < sources.n_tokens


def test_counted_is_used(
    make_chat: Make, documents: list[Document], pdf: Path, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(media_roots=[pdf.parent])
    sources = to_source_blocks(documents, chat)

    answer = chat.invoke([HumanMessage([*sources.blocks, "Question: Why?"])])

    [message] = qwen_vl_sandbox.last_request.json["messages"]
    texts = [part["text"] for part in message["content"] if part["type"] == "text"][1:-1]
    n_images = get_usage(answer).image_tokens or 0
    assert sources.n_tokens == n_images + sum(map(estimate_text_tokens, texts))


def test_budget_is_kept(make_chat: Make, documents: list[Document], pdf: Path) -> None:
    chat = make_chat(media_roots=[pdf.parent])
    whole = to_source_blocks(documents, chat)
    first = to_source_blocks(documents[:1], chat)

    fitted = to_source_blocks(documents, chat, max_context_tokens=whole.n_tokens - first.n_tokens)

    assert fitted.left_out == documents[:1]
    assert fitted.documents == documents[1:]
    assert fitted.blocks[1]["text"] == "Source [1]: red.png"
    with pytest.raises(ConfigurationError, match="No source fits into 3 tokens"):
        to_source_blocks(documents, chat, max_context_tokens=3)
    with pytest.raises(ConfigurationError, match="There are no sources"):
        to_source_blocks([], chat)


def test_content_blocks_in_metadata_are_sources(make_chat: Make, squares: dict[str, Path]) -> None:
    block = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    document = Document("A cat", metadata={"image": block, "source": "album"})

    with pytest.warns(UserWarning, match="the image cannot be measured"):
        sources = to_source_blocks([document], make_chat())

    assert sources.blocks[1:] == [
        {"type": "text", "text": "Source [1]: cat.png"},
        block,
        {"type": "text", "text": "Text of [1]:\nA cat"},
    ]


def test_citations_have_page_and_box(documents: list[Document], pdf: Path) -> None:
    answer = AIMessage('So [1], red [2: "red"] and [3: "Nobody knows"], not [4].')

    cited = read_citations(answer, documents, media_roots=[pdf.parent])

    assert cited.text == "So [1], red [2] and [3], not [4]."
    assert [citation.unit.name for citation in cited.citations] == [
        "report.pdf, page 2",
        "red.png",
        "diary.txt",
    ]
    assert [citation.quote for citation in cited.citations] == ["", "red", "Nobody knows"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"image_path": "/etc/passwd"}, "passwd: The file '/etc/passwd' is outside"),
        ({"image_path": "{roots}/../x.pdf", "page": 1}, "x.pdf, page 1: The file"),
        (
            {"image_path": "{roots}/red.png", "source": "/etc/passwd", "seconds": 3},
            "passwd, 0:03: The file '/etc/passwd' is outside",
        ),
    ],
)
def test_hostile_paths_are_not_cited(
    metadata: dict[str, Any], message: str, squares: dict[str, Path]
) -> None:
    roots = squares["red"].parent
    held = {
        key: value.format(roots=roots) if isinstance(value, str) else value
        for key, value in metadata.items()
    }

    with pytest.raises(MediaAccessError, match=message):
        read_citations("[1]", [Document("", metadata=held)], media_roots=[roots])


def test_wrong_metadata_names_the_document(make_chat: Make) -> None:
    wrong = Document("", metadata={"image_path": "https://example.com/a.png"})

    with pytest.raises(ContentError, match=r"documents\[1\]: metadata\['image_path'\]"):
        to_source_blocks([Document("A"), wrong], make_chat())
    with pytest.raises(ContentError, match=r"documents\[0\]: "):
        read_citations("[1]", [wrong], media_roots=[])
    with pytest.raises(ConfigurationError, match="keys has 'picture'"):
        read_citations("[1]", [], media_roots=[], keys={"picture": "p"})


def test_keys_and_first_page(make_chat: Make, pdf: Path) -> None:
    document = Document("Revenue", metadata={"file": str(pdf), "page": 1})
    options: dict[str, Any] = {"keys": {"image_path": "file"}, "first_page": 0}

    sources = to_source_blocks([document], make_chat(media_roots=[pdf.parent]), **options)
    cited = read_citations("[1]", [document], media_roots=[pdf.parent], **options)

    assert sources.blocks[2]["extras"]["pages"] == [2]
    assert cited.citations[0].unit.name == "report.pdf, page 2"


def test_loader_divides_videos_into_frames(tmp_path: Path) -> None:
    loader = QwenVLMediaLoader(
        BIG_BUCK_BUNNY, frames_folder=tmp_path / "frames", frames=FrameOptions(seconds=3)
    )

    documents = loader.load()

    assert [document.metadata["seconds"] for document in documents] == [1.32, 3.96]
    cited = read_citations("[2]", documents, media_roots=[BIG_BUCK_BUNNY.parent])
    assert cited.citations[0].unit.seconds == 3.96
    with pytest.raises(ConfigurationError, match="would find its frames as images"):
        QwenVLMediaLoader(tmp_path, frames_folder=tmp_path / "frames")


def test_keys_of_documents_are_uuids_of_their_content() -> None:
    one = document_key(Document("A cat", metadata={"page": 1, "source": "a"}))

    assert one == document_key(Document("A cat", metadata={"source": "a", "page": 1}, id="7"))
    assert one != document_key(Document("A cat", metadata={"source": "a", "page": 2}))
    assert len(one) == 36
