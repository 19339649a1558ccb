"""`QwenVLEmbeddings`: LangChain's methods and those for media, settings, secrets and errors."""

import base64
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_qwen_vl import QwenVLEmbeddings, QwenVLRateLimitError
from qwen_vl.embedding.embedder import QUERY_INSTRUCTION
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    ContentError,
    MediaAccessError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

Make = Callable[..., QwenVLEmbeddings]
PATH = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"
URL = "https://example.com/1.png"


def test_texts_and_queries_are_sent_as_the_page_has_them(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox
) -> None:
    embeddings = make_embeddings(document_instruction="Represent the page.")

    documents = embeddings.embed_documents(["a cat", "a dog"])
    sent = qwen_vl_sandbox.last_request
    assert (sent.path, sent.unknown_fields) == (PATH, ())
    assert sent.json == {
        "model": "qwen3-vl-embedding",
        "input": {"contents": [{"text": "a cat"}, {"text": "a dog"}]},
        "parameters": {"dimension": 256, "instruct": "Represent the page."},
    }
    query = embeddings.embed_query("a cat")
    assert qwen_vl_sandbox.last_request.json == {
        "model": "qwen3-vl-embedding",
        "input": {"contents": [{"text": "a cat"}]},
        "parameters": {"dimension": 256, "instruct": QUERY_INSTRUCTION},
    }
    assert [len(vector) for vector in (*documents, query)] == [256] * 3
    assert all(type(number) is float for number in query)


def test_media_by_each_method(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox, squares: dict[str, Path], pdf: Path
) -> None:
    embeddings = make_embeddings(media_roots=[squares["red"].parent])
    data = "data:image/png;base64," + base64.b64encode(squares["red"].read_bytes()).decode()

    assert len(embeddings.embed_image([URL, data, str(squares["red"]), squares["red"]])) == 4
    contents = qwen_vl_sandbox.last_request.json["input"]["contents"]
    assert contents == [{"image": URL}, *[{"image": data}] * 3]

    fused = {"text": "A red square.", "image": squares["red"]}
    vectors = embeddings.embed_media([{"image": str(pdf), "page": 3}, fused, "a text"])
    assert len(vectors) == 3
    query = embeddings.embed_query_media(squares["red"])
    parameters = qwen_vl_sandbox.last_request.json["parameters"]
    assert (len(query), parameters["instruct"]) == (256, QUERY_INSTRUCTION)


def test_local_videos_by_upload(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    assert len(make_embeddings(video_mode="upload").embed_media([BIG_BUCK_BUNNY])) == 1
    content = qwen_vl_sandbox.last_request.json["input"]["contents"][0]
    assert content["video"].startswith("oss://")


async def test_asynchronous_methods_give_the_same(
    make_embeddings: Make, squares: dict[str, Path]
) -> None:
    embeddings = make_embeddings(batch_size=1)
    images = list(squares.values())
    texts = ["a cat", "a dog", "a cow"]

    assert await embeddings.aembed_documents(texts) == embeddings.embed_documents(texts)
    assert await embeddings.aembed_query("cat") == embeddings.embed_query("cat")
    assert await embeddings.aembed_image(images) == embeddings.embed_image(images)
    assert await embeddings.aembed_media(images) == embeddings.embed_media(images)
    assert await embeddings.aembed_query_media(URL) == embeddings.embed_query_media(URL)


def test_images_are_found_by_texts_and_by_images(
    make_embeddings: Make, squares: dict[str, Path]
) -> None:
    embeddings = make_embeddings()
    vectors = embeddings.embed_image(list(squares.values()))
    for number, (color, path) in enumerate(squares.items()):
        for query in (embeddings.embed_query(color), embeddings.embed_query_media(path)):
            scores = [sum(map(float.__mul__, query, vector)) for vector in vectors]
            assert scores.index(max(scores)) == number


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda e: e.embed_documents("a cat"), r"texts is one str, not a list. Pass \[texts\]"),
        (lambda e: e.embed_documents(7), "texts is one int, not a list"),
        (lambda e: e.embed_documents(["a", " "]), r"texts\[1\]: The text is empty"),
        (lambda e: e.embed_documents([Path("a.png")]), r"texts\[0\]: .*Path is not a text.*embed_"),
        (lambda e: e.embed_query(""), "query: The text is empty"),
        (lambda e: e.embed_query(["a"]), "query: A list is not a text"),
        (lambda e: e.embed_image("a.png"), "uris is one str, not a list"),
        (lambda e: e.embed_image([URL, None]), r"uris\[1\]: image is NoneType"),
        (lambda e: e.embed_image([URL, "/etc/passwd"]), r"uris\[1\]: .*media_roots"),
        (lambda e: e.embed_media([{"image": "/etc/passwd"}]), r"items\[0\]: .*media_roots"),
        (lambda e: e.embed_media([{}]), r"items\[0\]"),
        (lambda e: e.embed_media([BIG_BUCK_BUNNY]), r"items\[0\]: A video is taken by URL"),
        (lambda e: e.embed_query_media({"image": "/etc/passwd"}), "query: .*media_roots"),
    ],
)
def test_wrong_input_is_named(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox, call: Callable[..., Any], problem: str
) -> None:
    with pytest.raises(ContentError, match=problem):
        call(make_embeddings())
    assert qwen_vl_sandbox.n_requests == 0


def test_nothing_to_embed_sends_nothing(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    embeddings = make_embeddings()
    assert embeddings.embed_documents([]) == embeddings.embed_image([]) == []
    assert embeddings.embed_media([]) == []
    assert qwen_vl_sandbox.n_requests == 0


def test_paths_outside_of_media_roots_are_refused(
    make_embeddings: Make, squares: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "public").mkdir()
    embeddings = make_embeddings(media_roots=[tmp_path / "public"])
    for uri in (str(squares["red"]), f"{tmp_path}/public/../red.png", squares["red"].as_uri()):
        with pytest.raises(MediaAccessError, match=r"uris\[0\]"):
            embeddings.embed_image([uri])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"dimensions": 100}, "dimensions is 100; qwen3-vl-embedding has vectors of 2560"),
        ({"model_kwargs": {"dimension": 512}}, "set by the embedder itself: pass dimensions"),
        ({"model_kwargs": {"api_key": "sk-1"}}, "looks like a secret"),
        ({"dashscope_api_key": "sk-1"}, "looks like a secret"),
        ({"verify": False}, "not an option here"),
        ({"server": "ollama"}, "a documented way to embed images"),
    ],
)
def test_wrong_fields_raise(make_embeddings: Make, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make_embeddings(**fields)


def test_values_out_of_range_are_validation_errors(make_embeddings: Make) -> None:
    for fields in ({"batch_size": 0}, {"max_concurrency": 0}, {"timeout": -1}, {"max_retries": -1}):
        with pytest.raises(ValidationError):
            make_embeddings(**fields)


def test_further_parameters(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    model = "tongyi-embedding-vision-plus-2026-03-06"
    with pytest.warns(UserWarning, match="res_level is not a parameter of QwenVLEmbeddings"):
        embeddings = make_embeddings(model=model, res_level=2)

    embeddings.embed_image([URL])
    assert qwen_vl_sandbox.last_request.json["parameters"]["res_level"] == 2
    assert make_embeddings(model_name="multimodal-embedding-v1", dimensions=1024).model == (
        "multimodal-embedding-v1"
    )


def test_environment(monkeypatch: pytest.MonkeyPatch, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="No API key"):
        QwenVLEmbeddings().embed_query("a cat")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment")
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", qwen_vl_sandbox.native_base_url)

    QwenVLEmbeddings().embed_query("a cat")
    assert qwen_vl_sandbox.last_request.headers["authorization"] == "Bearer …ment"


def test_self_hosted_models() -> None:
    model = "Qwen/Qwen3-VL-Embedding-2B"
    with Sandbox(server="vllm") as sandbox:
        embeddings = QwenVLEmbeddings(model=model, server="vllm", base_url=sandbox.base_url)
        assert len(embeddings.embed_documents(["a cat", "a dog"])) == 2
        assert sandbox.last_request.path == "/v1/embeddings"


def test_key_is_never_shown(make_embeddings: Make) -> None:
    embeddings = make_embeddings(api_key="sk-secret", default_headers={"x-mine": "mine-secret"})
    embeddings.embed_query("a cat")
    copied = pickle.loads(pickle.dumps(embeddings))

    shown = [repr(embeddings), str(embeddings), embeddings.model_dump_json(), repr(copied)]
    assert b"sk-secret" not in pickle.dumps(embeddings)
    assert not any("-secret" in text for text in shown)
    assert (copied.api_key, copied.dimensions) == (None, 256)


def test_copies_and_changes_are_followed(make_embeddings: Make) -> None:
    embeddings = make_embeddings()
    shorter = embeddings.model_copy(update={"dimensions": 512})

    assert [len(one.embed_query("a")) for one in (embeddings, shorter, deepcopy(embeddings))] == [
        256,
        512,
        256,
    ]
    embeddings.dimensions = 768
    assert len(embeddings.embed_query("a")) == 768
    embeddings.dimensions = 100
    with pytest.raises(ConfigurationError, match="dimensions is 100"):
        embeddings.embed_query("a")
    assert len(shorter.embed_query("a")) == 512


async def test_errors_are_those_of_langchain(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox
) -> None:
    embeddings = make_embeddings(max_retries=0)
    qwen_vl_sandbox.fail(status=429, code="limit_requests", message="Slow.", times=3)
    for call in (embeddings.embed_documents, embeddings.embed_image):
        with pytest.raises(QwenVLRateLimitError) as caught:
            call([URL])
        assert isinstance(caught.value, ModelRateLimitError)
    with pytest.raises(ModelRateLimitError):
        await embeddings.aembed_query("a cat")


def test_answers_are_checked(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    vector = {"index": 0, "embedding": [1.0] * 256, "type": "vl"}
    body = orjson.dumps({"output": {"embeddings": [vector]}, "request_id": "r"})
    store = InMemoryVectorStore(make_embeddings())
    qwen_vl_sandbox.script_raw(body)

    with pytest.raises(AnswerFormatError, match=r"texts\[1\]: The answer lacks a vector"):
        store.add_texts(["a", "b"])
    assert store.store == {}


def test_usage_is_at_hand(make_embeddings: Make) -> None:
    embedded = make_embeddings().embedder.embed(["a cat"])
    assert embedded.usage is not None
    assert embedded.usage.input_tokens > 0


def test_space_names_what_vectors_depend_on(make_embeddings: Make) -> None:
    spaces = {
        make_embeddings(**fields).embedder.space
        for fields in (
            {},
            {"dimensions": 512},
            {"normalize": True},
            {"document_instruction": "A"},
            {"document_instruction": "B"},
            {"model": "tongyi-embedding-vision-plus-2026-03-06"},
        )
    }
    assert len(spaces) == 6
    asked_otherwise = make_embeddings(query_instruction=None, batch_size=3)
    assert asked_otherwise.embedder.space == make_embeddings().embedder.space


def test_wrong_type_of_content() -> None:
    with pytest.raises(UnsupportedContentError):
        QwenVLEmbeddings(api_key="sk-1").embed_documents([None])  # type: ignore[list-item]  # wrong
