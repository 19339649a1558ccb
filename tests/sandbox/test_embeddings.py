"""The native embedding service: what it refuses, and how it counts."""

from typing import Any

import httpx2
import pytest

from qwen_vl_sandbox import Sandbox

PATH = "/services/embeddings/multimodal-embedding/multimodal-embedding"
QWEN3, QWEN2_5 = "qwen3-vl-embedding", "qwen2.5-vl-embedding"
PLUS = "tongyi-embedding-vision-plus"
TEXT = {"text": "red"}
IMAGE = {"image": "https://example.com/a.png"}


def post(sandbox: Sandbox, model: str, contents: Any, **parameters: Any) -> httpx2.Response:
    body = {"model": model, "input": {"contents": contents}, "parameters": parameters}
    headers = {"authorization": "Bearer sk"}
    return httpx2.post(sandbox.native_base_url + PATH, json=body, headers=headers)


@pytest.mark.parametrize(
    ("model", "contents", "parameters", "message"),
    [
        (QWEN3, [TEXT] * 21, {}, "batch size is invalid, it should not be larger than 20"),
        (QWEN3, [IMAGE] * 6, {}, "images is invalid, it should not be larger than 5"),
        (QWEN3, [TEXT], {"dimension": 100}, "dimension 100 is not supported"),
        (PLUS, [TEXT], {"dimension": 1152}, "dimension 1152 is not supported"),
        (PLUS, [TEXT], {"enable_fusion": True}, "enable_fusion is not supported"),
        (QWEN2_5, [TEXT, TEXT], {}, "texts is invalid, it should not be larger than 1"),
        (QWEN3, [{**TEXT, **IMAGE}], {}, "must have one of"),
        (QWEN3, [{"multi_images": ["https://example.com/a.png"]}], {}, "multi_images is not"),
        (QWEN3, [{"video": "data:video/mp4;base64,AAAA"}], {}, "Base64 is not supported"),
        (QWEN3, [TEXT], {"fps": 2}, r"Range of parameters.fps should be [0.0, 1.0]"),
        (QWEN3, [TEXT], {"res_level": 1}, "res_level and max_video_frames are not supported"),
        (QWEN3, [], {}, "input.contents must be a list"),
        (QWEN3, [{"sound": "a"}], {}, "must have text, image or video"),
    ],
)
def test_what_the_page_does_not_allow_is_refused(
    qwen_vl_sandbox: Sandbox, model: str, contents: Any, parameters: dict[str, Any], message: str
) -> None:
    answer = post(qwen_vl_sandbox, model, contents, **parameters)

    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
    assert message in answer.json()["message"]


def test_models_that_are_not_there_are_not_found(qwen_vl_sandbox: Sandbox) -> None:
    assert post(qwen_vl_sandbox, "qwen3-vl-plus", [TEXT]).status_code == 404


def test_unknown_fields_are_recorded(qwen_vl_sandbox: Sandbox) -> None:
    assert post(qwen_vl_sandbox, QWEN3, [{**TEXT, "role": "user"}], size=1).status_code == 200
    assert qwen_vl_sandbox.last_request.unknown_fields == (
        "input.contents[0].role",
        "parameters.size",
    )


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (QWEN3, ["vl", "vl"]),
        (QWEN2_5, ["fusion"]),
        (PLUS, ["text", "image"]),
        ("tongyi-embedding-vision-plus-2026-03-06", ["text", "image"]),
    ],
)
def test_vectors_have_the_documented_types(
    qwen_vl_sandbox: Sandbox, model: str, kinds: list[str]
) -> None:
    answer = post(qwen_vl_sandbox, model, ["red", IMAGE]).json()

    assert [one["type"] for one in answer["output"]["embeddings"]] == kinds
    assert [one["index"] for one in answer["output"]["embeddings"]] == list(range(len(kinds)))


def test_vectors_are_the_same_each_time(qwen_vl_sandbox: Sandbox) -> None:
    first, second = (
        post(qwen_vl_sandbox, QWEN3, [TEXT, {"text": "blue"}], dimension=256).json()["output"]
        for _ in range(2)
    )

    assert first == second
    one, other = (entry["embedding"] for entry in first["embeddings"])
    assert one != other


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": "a"}, "The sandbox reads messages"),
        (
            {"messages": [{"role": "user", "content": "a"}], "dimensions": 64},
            'Model "m" does not support matryoshka representation',
        ),
        (
            {"messages": [{"role": "user", "content": "a"}], "continue_final_message": True},
            "the final message is not an assistant's",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "must be a text"),
        ({"messages": [[], []]}, "must be a list of messages"),
    ],
)
def test_vllm_refuses_what_it_does_not_take(fields: dict[str, Any], message: str) -> None:
    with Sandbox(server="vllm") as sandbox:
        answer = httpx2.post(f"{sandbox.base_url}/embeddings", json={"model": "m", **fields})

    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_other_servers_have_no_vectors_of_images() -> None:
    with Sandbox(server="ollama") as sandbox:
        answer = httpx2.post(f"{sandbox.base_url}/embeddings", json={"model": "m"})

    assert answer.status_code == 404


def test_scripted_answer_of_a_chat_is_not_lost_in_silence(qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script("A cat.")
    answer = post(qwen_vl_sandbox, QWEN3, [TEXT])

    assert answer.status_code == 400
    assert "Script this one by script_raw" in answer.json()["message"]
    assert post(qwen_vl_sandbox, QWEN3, [TEXT]).status_code == 200
