"""Keywords, and their fusion with vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_qwen_vl import HybridRetriever, KeywordRetriever, QwenVLEmbeddings, add_media
from qwen_vl.errors import ConfigurationError

Make = Callable[..., QwenVLEmbeddings]
TEXTS = ("Invoice 4711 of May", "Invoice 4712 of June", "净利润增长了百分之十", "a photo of a cat")


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


def test_keywords_find_numbers_and_chinese() -> None:
    retriever = KeywordRetriever(documents=[Document(text) for text in TEXTS])

    assert contents(retriever.invoke("invoice 4712")) == [TEXTS[1], TEXTS[0]]
    assert contents(retriever.invoke("利润是多少")) == [TEXTS[2]]
    assert contents(retriever.invoke("invoice", k=1)) == [TEXTS[0]]
    assert retriever.invoke("unknown words") == retriever.invoke("?") == []


def test_keywords_of_nothing() -> None:
    assert KeywordRetriever(documents=[]).invoke("a") == []
    assert KeywordRetriever(documents=[Document("")]).invoke("a") == []


@pytest.fixture
def store(make_embeddings: Make, squares: dict[str, Path]) -> InMemoryVectorStore:
    store = InMemoryVectorStore(make_embeddings())
    items = [{"image": path, "metadata": {"color": color}} for color, path in squares.items()]
    add_media(store, [*items, *TEXTS])
    return store


def make_hybrid(store: InMemoryVectorStore, **fields: Any) -> HybridRetriever:
    documents = store.get_by_ids(list(store.store))
    keywords = KeywordRetriever(documents=documents)
    return HybridRetriever(vectorstore=store, keyword_retriever=keywords, **fields)


async def test_both_find_what_one_misses(store: InMemoryVectorStore) -> None:
    retriever = make_hybrid(store, k=3)

    assert contents(retriever.invoke("4711"))[0] == TEXTS[0]
    assert retriever.invoke("red square")[0].metadata["color"] == "red"
    assert await retriever.ainvoke("4711") == retriever.invoke("4711")
    assert len(retriever.invoke("invoice", k=5)) == 5


def test_documents_without_text_are_kept_apart(store: InMemoryVectorStore) -> None:
    found = make_hybrid(store, k=7, fetch_k=7).invoke("a red square")

    assert len(found) == 7
    colors = {document.metadata.get("color") for document in found}
    assert colors == {"red", "green", "blue", None}


def test_order_is_that_of_the_fusion(make_embeddings: Make) -> None:
    documents = [Document(text, metadata={"key": text}) for text in ("red", "red car", "cat")]
    store = InMemoryVectorStore.from_documents(documents, make_embeddings())
    by_vector = contents(store.similarity_search("red car", k=3))
    keywords = KeywordRetriever(documents=documents)
    by_keyword = contents(keywords.invoke("red car"))

    def fuse(**fields: Any) -> list[str]:
        retriever = HybridRetriever(vectorstore=store, keyword_retriever=keywords, **fields)
        return contents(retriever.invoke("red car"))

    scores = {
        text: sum(1 / (60 + r.index(text) + 1) for r in (by_vector, by_keyword) if text in r)
        for text in by_vector
    }
    assert fuse() == sorted(by_vector, key=lambda text: -scores[text])
    assert fuse(weights=(1, 0)) == by_vector
    assert fuse(weights=(0, 1), id_key="key")[:2] == by_keyword
    assert fuse(search_kwargs={"filter": lambda d: d.page_content == "cat"})[0] == "cat"
    with pytest.raises(ConfigurationError, match="id_key is 'name', which a document"):
        fuse(id_key="name")
    with pytest.raises(ConfigurationError, match="must be 0 or more"):
        fuse(weights=(1, -1))
    with pytest.raises(ValidationError):
        fuse(k=0)


def test_vectors_of_another_model_are_refused(
    store: InMemoryVectorStore, make_embeddings: Make
) -> None:
    store.embedding = make_embeddings(normalize=True)
    with pytest.raises(ConfigurationError, match="The store holds vectors of"):
        make_hybrid(store).invoke("a red square")


def test_chains_and_callbacks(store: InMemoryVectorStore) -> None:
    started: list[str] = []

    class Handler(BaseCallbackHandler):
        def on_retriever_start(self, *args: Any, name: str = "", **kwargs: Any) -> None:
            started.append(name)

    chain = {
        "context": make_hybrid(store),
        "question": RunnablePassthrough(),
    } | RunnablePassthrough()
    answer = chain.invoke("4711", {"callbacks": [Handler()]})

    assert contents(answer["context"])[0] == TEXTS[0]
    assert started == ["HybridRetriever", "KeywordRetriever"]
