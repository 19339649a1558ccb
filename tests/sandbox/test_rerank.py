"""The rerank services: what they refuse."""

from typing import Any

import httpx2
import pytest

from qwen_vl_sandbox import Sandbox

PATH = "/services/rerank/text-rerank/text-rerank"
VL, TEXT_ONLY, GTE = "qwen3-vl-rerank", "qwen3-rerank", "gte-rerank-v2"
IMAGE = {"image": "https://example.com/a.png"}


def post(url: str, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(url, json=body, headers={"authorization": "Bearer sk"})


@pytest.mark.parametrize(
    ("model", "documents", "parameters", "message"),
    [
        (VL, [IMAGE] * 41, {}, "should not be larger than 40"),
        (VL, [{"text": "a", **IMAGE}], {}, "must have one of text, image and video"),
        (VL, [{"video": "data:video/mp4;base64,AA"}], {}, "Base64 is not supported"),
        (VL, [], {}, "documents must be a list"),
        (VL, ["a"], {"top_n": 0}, "Range of parameters.top_n"),
        (GTE, [{"text": "a"}], {}, "documents[0] must be a string"),
        (GTE, ["a"], {"instruct": "a"}, "instruct is not supported"),
        (TEXT_ONLY, ["a"], {}, "url error"),
    ],
)
def test_what_the_page_does_not_allow_is_refused(
    qwen_vl_sandbox: Sandbox, model: str, documents: Any, parameters: Any, message: str
) -> None:
    values = {"query": "a", "documents": documents}
    body = {"model": model, "input": values, "parameters": parameters}
    answer = post(qwen_vl_sandbox.native_base_url + PATH, body)

    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_documents_come_back_where_asked_for(qwen_vl_sandbox: Sandbox) -> None:
    values = {"query": "a cat", "documents": ["a dog", "a cat"]}
    parameters = {"return_documents": True, "top_n": 1, "size": 3}
    body = {"model": VL, "input": values, "parameters": parameters}
    answer = post(qwen_vl_sandbox.native_base_url + PATH, body).json()

    [result] = answer["output"]["results"]
    assert (result["index"], result["document"]) == (1, {"text": "a cat"})
    assert qwen_vl_sandbox.last_request.unknown_fields == ("parameters.size",)


def test_the_flat_form_is_for_one_model(qwen_vl_sandbox: Sandbox) -> None:
    url = f"{qwen_vl_sandbox.url}/compatible-api/v1/reranks"
    body = {"model": VL, "query": "a", "documents": ["a"], "return_documents": True}

    assert post(url, body).status_code == 400
    assert qwen_vl_sandbox.last_request.unknown_fields == ("return_documents",)
    assert post(url, {**body, "model": TEXT_ONLY}).json()["object"] == "list"
