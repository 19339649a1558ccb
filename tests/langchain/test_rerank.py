"""`QwenVLRerank`: exact requests, media of documents, limits and errors."""

import base64
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_qwen_vl import QwenVLEmbeddings, QwenVLRerank, add_media
from qwen_vl.errors import AnswerFormatError, ConfigurationError, ContentError
from qwen_vl_sandbox import Sandbox

Make = Callable[..., QwenVLRerank]
PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
URL = "https://example.com/1.png"
VIDEO = "https://example.com/2.mp4"


def sent_documents(sandbox: Sandbox) -> Any:
    return sandbox.last_request.json["input"]["documents"]


def to_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_request_is_that_of_the_page(make_rerank: Make, qwen_vl_sandbox: Sandbox) -> None:
    documents = [
        Document("a red car", id="7", metadata={"source": "a.txt", "page": 0}),
        Document("", metadata={"image_url": URL}),
        Document("A walk.", metadata={"video_url": VIDEO}),
    ]
    before = [document.model_copy(deep=True) for document in documents]

    ranked = make_rerank(top_n=2, instruction="Find cars.").compress_documents(documents, "car")

    sent = qwen_vl_sandbox.last_request
    assert (sent.path, sent.unknown_fields) == (PATH, ())
    assert sent.json == {
        "model": "qwen3-vl-rerank",
        "input": {
            "query": {"text": "car"},
            "documents": [{"text": "a red car"}, {"image": URL}, {"video": VIDEO}],
        },
        "parameters": {"top_n": 2, "instruct": "Find cars."},
    }
    assert len(ranked) == 2
    assert documents == before
    assert (ranked[0].page_content, ranked[0].id) == ("a red car", "7")
    assert ranked[0].metadata.keys() == {"source", "page", "relevance_score"}
    scores = [document.metadata["relevance_score"] for document in ranked]
    assert scores == sorted(scores, reverse=True)


def test_media_of_documents(
    make_rerank: Make, qwen_vl_sandbox: Sandbox, squares: dict[str, Path], pdf: Path
) -> None:
    red = squares["red"]
    block = {"type": "image", "base64": to_url(red).partition(",")[2], "mime_type": "image/png"}
    documents = [
        Document("1", metadata={"image_path": str(red)}),
        Document("2", metadata={"image_url": to_url(red)}),
        Document("3", metadata={"image": block}),
        Document("4", metadata={"media": [{"type": "image_url", "image_url": {"url": URL}}]}),
        Document(to_url(red).partition(",")[2]),
        Document(to_url(red)),
        Document("7", metadata={"image_path": str(pdf), "page": 3}),
        Document("8", metadata={"image": "not read", "video": 3, "media": ["not read"]}),
    ]

    make_rerank(media_roots=[pdf.parent]).compress_documents(documents, "a square")

    *held, page, text = sent_documents(qwen_vl_sandbox)
    inline = {"image": to_url(red)}
    assert held == [inline, inline, inline, {"image": URL}, inline, inline]
    assert page["image"].startswith("data:image/")
    assert text == {"text": "8"}


def test_what_counts_of_documents_with_both(make_rerank: Make, qwen_vl_sandbox: Sandbox) -> None:
    documents = [
        Document("A cat.", metadata={"image_url": URL}),
        Document("A dog."),
        Document("", metadata={"image_url": URL}),
    ]

    make_rerank().compress_documents(documents, "cat")
    assert sent_documents(qwen_vl_sandbox) == [{"image": URL}, {"text": "A dog."}, {"image": URL}]
    make_rerank(rank_by="text").compress_documents(documents, "cat")
    assert sent_documents(qwen_vl_sandbox) == [
        {"text": "A cat."},
        {"text": "A dog."},
        {"image": URL},
    ]
    with pytest.raises(ConfigurationError, match="for self-hosted servers"):
        make_rerank(rank_by="both")


def test_self_hosted_models_rank_both() -> None:
    document = Document("A cat.", metadata={"image_url": "data:image/png;base64,iVBORw0KGgo="})
    image = Document("A cat.", metadata={"image_url": URL})
    with Sandbox(server="vllm") as sandbox:
        rerank = QwenVLRerank(
            model="Qwen/Qwen3-VL-Reranker-2B",
            server="vllm",
            base_url=sandbox.base_url,
            rank_by="both",
        )
        rerank.compress_documents([image, Document("A dog.")], "cat")
        assert sandbox.last_request.json["documents"] == [
            {
                "content": [
                    {"type": "text", "text": "A cat."},
                    {"type": "image_url", "image_url": {"url": URL}},
                ]
            },
            "A dog.",
        ]
        with pytest.raises(ContentError, match=r"documents\[0\]"):
            rerank.compress_documents([document], "cat")


def test_images_are_ranked_by_what_they_show(make_rerank: Make, squares: dict[str, Path]) -> None:
    rerank = make_rerank(media_roots=[squares["red"].parent])
    documents = [Document("", metadata={"image_path": str(path)}) for path in squares.values()]

    for color, path in squares.items():
        best = rerank.compress_documents(documents, f"a {color} square")[0]
        assert best.metadata["image_path"] == str(path)


def test_other_keys_and_page_numbers(
    make_rerank: Make, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    documents = [
        # As PyPDFLoader has them.
        Document("text", metadata={"source": str(pdf), "page": page, "page_label": str(page + 1)})
        for page in range(3)
    ]
    rerank = make_rerank(keys={"image_path": "source"}, first_page=0, media_roots=[pdf.parent])

    best = rerank.compress_documents(documents, "a blue page")[0]
    assert best.metadata["page"] == 2
    with pytest.raises(ConfigurationError, match="keys has 'picture_path'; it can have image_url"):
        make_rerank(keys={"picture_path": "source"})


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"image_path": "/etc/passwd"}, r"documents\[1\]: .*passwd.*media_roots"),
        ({"image_path": "{root}/../secret.png"}, r"documents\[1\]: .*secret.png.*media_roots"),
        ({"image_url": "file:///etc/passwd"}, r"documents\[1\]: .*passwd.*media_roots"),
        ({"video_path": "/etc/passwd"}, r"documents\[1\]: A video is taken by URL"),
        ({"image": {"type": "image", "url": "/etc/passwd"}}, r"documents\[1\]: .*media_roots"),
        ({"image_path": URL}, r"documents\[1\]: metadata\['image_path'\]: .*no path"),
        ({"image_path": "{root}/gone.png"}, r"documents\[1\]: .*gone.png"),
        ({"image_path": "{root}/report.pdf", "page": 9}, r"documents\[1\]"),
        ({"image_path": "{root}/report.pdf"}, r"documents\[1\]: .*"),
        ({"image_path": "a.png", "image_url": URL}, r"documents\[1\]: .*one image is read"),
        ({"image_url": URL, "video_url": VIDEO}, r"documents\[1\]: Several parts together"),
        ({"media": {"type": "audio", "url": URL}}, r"documents\[1\]: metadata\['media'\]"),
        ({}, r"documents\[1\]: The document has neither text nor media"),
    ],
)
def test_hostile_and_wrong_documents_are_named(
    make_rerank: Make,
    qwen_vl_sandbox: Sandbox,
    pdf: Path,
    metadata: dict[str, Any],
    problem: str,
) -> None:
    root = pdf.parent / "public"
    root.mkdir()
    (pdf.parent / "secret.png").write_bytes(b"secret")
    (root / "report.pdf").write_bytes(pdf.read_bytes())
    metadata = {
        name: value.format(root=root) if isinstance(value, str) else value
        for name, value in metadata.items()
    }
    documents = [Document("a text"), Document("", metadata=metadata)]

    with pytest.raises(ContentError, match=problem):
        make_rerank(media_roots=[root]).compress_documents(documents, "cat")
    assert qwen_vl_sandbox.n_requests == 0


def test_documents_beyond_the_limits_are_left_out(
    make_rerank: Make, qwen_vl_sandbox: Sandbox
) -> None:
    documents = [
        Document("", metadata={"image_url": f"https://example.com/{n}.png"}) for n in range(45)
    ]
    with pytest.warns(UserWarning, match=r"documents\[40\].* and 2 more of 45 documents were not"):
        ranked = make_rerank().compress_documents(documents, "cat")
    assert len(ranked) == len(sent_documents(qwen_vl_sandbox)) == 40
    # As many texts are no excess.
    assert len(make_rerank(rank_by="text").compress_documents([Document("a")] * 45, "cat")) == 45


async def test_asynchronous_ranking_is_the_same(make_rerank: Make) -> None:
    rerank, documents = make_rerank(), [Document("a blue car"), Document("a red car")]
    expected = rerank.compress_documents(documents, "red")

    assert await rerank.acompress_documents(documents, "red") == expected
    values = {"documents": documents, "query": "red"}
    assert rerank.as_runnable().invoke(values) == expected
    assert await rerank.as_runnable().ainvoke(values) == expected


def test_nothing_to_rank_sends_nothing(make_rerank: Make, qwen_vl_sandbox: Sandbox) -> None:
    assert make_rerank().compress_documents([], "cat") == []
    assert qwen_vl_sandbox.n_requests == 0


async def test_errors_are_those_of_langchain(make_rerank: Make, qwen_vl_sandbox: Sandbox) -> None:
    rerank = make_rerank(max_retries=0)
    qwen_vl_sandbox.fail(status=429, code="limit_requests", message="Slow.", times=2)
    with pytest.raises(ModelRateLimitError):
        rerank.compress_documents([Document("a")], "cat")
    with pytest.raises(ModelRateLimitError):
        await rerank.acompress_documents([Document("a")], "cat")
    result = {"index": 0, "relevance_score": 0.5}
    qwen_vl_sandbox.script_raw(orjson.dumps({"output": {"results": [result]}, "request_id": "r"}))
    with pytest.raises(AnswerFormatError, match=r"documents\[1\] lack one"):
        rerank.compress_documents([Document("a"), Document("b")], "cat")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"topn": 3}, "topn is not a parameter of QwenVLRerank. Did you mean top_n?"),
        ({"temperature": 1}, "temperature is not a parameter"),
        ({"server": "ollama"}, "a known way to rank"),
        ({"model": "gte-rerank-v2", "instruction": "Find."}, "takes no instruction"),
    ],
)
def test_wrong_fields_raise(make_rerank: Make, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make_rerank(**fields)


def test_key_is_never_shown_and_pickles_work(make_rerank: Make) -> None:
    rerank = make_rerank(api_key="sk-secret", top_n=1)
    rerank.compress_documents([Document("a")], "a")
    assert b"sk-secret" not in pickle.dumps(rerank)
    assert "sk-secret" not in repr(rerank)
    assert pickle.loads(pickle.dumps(rerank)).top_n == 1


def test_compression_retriever_over_a_store_of_images(
    make_rerank: Make, make_embeddings: Callable[..., QwenVLEmbeddings], squares: dict[str, Path]
) -> None:
    store = InMemoryVectorStore(make_embeddings())
    add_media(store, squares.values())
    retriever = ContextualCompressionRetriever(
        base_compressor=make_rerank(top_n=1, media_roots=[squares["red"].parent]),
        base_retriever=store.as_retriever(search_kwargs={"k": 3}),
    )
    (found,) = retriever.invoke("a green square")
    assert found.metadata["image_path"] == str(squares["green"])
