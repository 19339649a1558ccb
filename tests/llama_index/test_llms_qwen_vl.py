"""What LlamaIndex expects of every LLM's package, and what is known of each model."""

import pickle
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.multi_modal_llms import MultiModalLLM, MultiModalLLMMetadata

from llama_index.llms.qwen_vl import QwenVL
from llama_index.multi_modal_llms.qwen_vl import QwenVLMultiModal
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection
from qwen_vl.specs.models import CURRENT_MODELS

MakeLlm = Callable[..., QwenVL]
PACKAGE = Path(__file__).parents[2] / "integrations/llama-index"


def test_class() -> None:
    names_of_base_classes = [b.__name__ for b in QwenVL.__mro__]
    assert BaseLLM.__name__ in names_of_base_classes
    assert FunctionCallingLLM.__name__ in names_of_base_classes


def test_multi_modal_class() -> None:
    names_of_base_classes = [b.__name__ for b in QwenVLMultiModal.__mro__]
    assert MultiModalLLM.__name__ in names_of_base_classes
    assert BaseLLM.__name__ in names_of_base_classes
    # MultiModalVectorStoreIndex warns of any other name.
    assert "multi" in QwenVL.class_name()


def test_package_follows_llama_index_s_conventions() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
    hub = project["tool"]["llamahub"]
    kinds = ("llms", "embeddings", "multi_modal_llms", "postprocessor")
    modules = [import_module(f"llama_index.{kind}.qwen_vl") for kind in kinds]
    assert hub["import_path"] == modules[0].__name__
    for name in hub["class_authors"]:
        assert [module for module in modules if name in module.__all__]
    assert project["project"]["name"] == "llama-index-llms-qwen-vl"
    requirements = project["project"]["dependencies"]
    assert not [text for text in requirements if text.startswith(("openai", "llama-index-llms"))]
    assert "llama-index-core>=0.14.24,<0.15" in requirements
    # A namespace that many packages share (PEP 420) has no files of its own.
    for folder in ("llama_index", *(f"llama_index/{kind}" for kind in kinds)):
        assert not (PACKAGE / folder / "__init__.py").exists()


@pytest.mark.parametrize(
    ("model", "window", "output", "calls_tools"),
    [
        ("qwen3-vl-plus", 262_144, 32_768, True),
        ("qwen3-vl-plus-2025-12-19", 262_144, 32_768, True),
        ("qwen3.8-flash", 1_000_000, 131_072, True),
        ("qwen3.7-plus", 1_000_000, 65_536, True),
        ("qwen-vl-max-latest", 131_072, 8_192, False),
        ("qwen-vl-ocr", 38_192, 8_192, False),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 131_072, 8_192, False),
        ("qwen9-vision", 1_000_000, 131_072, True),
    ],
)
def test_metadata(
    model: str, window: int, output: int, calls_tools: bool, make_llm: MakeLlm
) -> None:
    assert make_llm(model).metadata == LLMMetadata(
        context_window=window,
        num_output=output,
        is_chat_model=True,
        is_function_calling_model=calls_tools,
        model_name=model,
        system_role="user" if "ocr" in model else "system",
    )


@pytest.mark.parametrize("model", [*CURRENT_MODELS, "qwen-vl-max", "qwen3-vl-32b-instruct"])
def test_prompt_helper_has_room(model: str, make_llm: MakeLlm) -> None:
    metadata = make_llm(model).metadata
    helper = PromptHelper.from_llm_metadata(metadata)
    assert helper._get_available_context_size(1_000) > metadata.context_window // 2


def test_metadata_that_was_set(make_llm: MakeLlm) -> None:
    llm = make_llm(context_window=8_192, max_tokens=256, is_function_calling_model=False)
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (8_192, 256)
    assert not metadata.is_function_calling_model


def test_metadata_of_both_interfaces() -> None:
    metadata = QwenVLMultiModal("qwen3.7-plus", api_key="sk").metadata
    assert isinstance(metadata, LLMMetadata)
    assert isinstance(metadata, MultiModalLLMMetadata)
    assert metadata.num_input_files == 2_048


def test_keywords_that_llama_index_s_users_know() -> None:
    llm = QwenVL(
        model="qwen3.7-plus",
        api_key="sk-1",
        api_base="http://127.0.0.1:1/v1",
        temperature=0.1,
        max_tokens=10,
        additional_kwargs={"top_p": 0.5},
        timeout=3.0,
        max_retries=1,
        default_headers={"X-Team": "a"},
        system_prompt="Be brief.",
        callback_manager=None,
        context_window=9_000,
    )
    assert (llm.model, llm.model_name, llm.base_url) == (
        "qwen3.7-plus",
        "qwen3.7-plus",
        "http://127.0.0.1:1/v1",
    )
    assert (llm.timeout, llm.max_retries, llm.temperature, llm.max_tokens) == (3.0, 1, 0.1, 10)
    assert QwenVL("qwen3.7-plus").model == QwenVL(model_name="qwen3.7-plus").model == "qwen3.7-plus"
    assert QwenVL().model == "qwen3-vl-plus"


def test_other_name_may_be_set() -> None:
    llm = QwenVL()
    llm.model_name = "qwen3.7-plus"
    assert (llm.model, llm.metadata.model_name) == ("qwen3.7-plus", "qwen3.7-plus")


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("temprature", "Did you mean temperature"),
        ("http_clients", "Did you mean http_client"),
        ("color", "additional_kwargs"),
        ("image_documents", "additional_kwargs"),
    ],
)
@pytest.mark.parametrize("kind", [QwenVL, QwenVLMultiModal])
def test_unknown_keyword_is_refused(kind: type[QwenVL], keyword: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{keyword!r} is not a setting.*{said}"):
        kind(**{keyword: 1})


def test_one_setting_by_two_names() -> None:
    with pytest.raises(ConfigurationError, match="api_base and base_url mean the same"):
        QwenVL(api_base="http://a/v1", base_url="http://b/v1")
    with pytest.raises(ConfigurationError, match="model and model_name mean the same"):
        QwenVL("qwen3.7-plus", model_name="qwen3.8-flash")


def test_parameters_in_the_body(make_llm: MakeLlm, qwen_vl_sandbox: Any) -> None:
    llm = make_llm(
        temperature=0.1,
        top_p=0.9,
        top_k=20,
        seed=7,
        max_tokens=99,
        presence_penalty=0.5,
        enable_thinking=False,
        vl_high_resolution_images=True,
        additional_kwargs={"top_p": 0.5, "enable_search": False},
        default_headers={"X-Team": "a"},
    )
    llm.complete("Hello", seed=8, repetition_penalty=1.1, extra_headers={"X-Call": "b"})
    request = qwen_vl_sandbox.last_request
    assert {key: value for key, value in request.json.items() if key != "messages"} == {
        "model": "qwen3-vl-plus",
        "temperature": 0.1,
        "top_p": 0.5,
        "top_k": 20,
        "seed": 8,
        "max_tokens": 99,
        "presence_penalty": 0.5,
        "repetition_penalty": 1.1,
        "enable_thinking": False,
        "vl_high_resolution_images": True,
        "enable_search": False,
    }
    assert (request.headers["x-team"], request.headers["x-call"]) == ("a", "b")


def test_unknown_option_of_a_call_is_sent_with_a_word(
    make_llm: MakeLlm, qwen_vl_sandbox: Any
) -> None:
    with pytest.warns(UserWarning, match="'color' is not a parameter"):
        make_llm().complete("Hello", color="red")
    assert qwen_vl_sandbox.last_request.json["color"] == "red"


def test_secret_among_the_options() -> None:
    with pytest.raises(ConfigurationError, match="looks like a secret"):
        QwenVL(additional_kwargs={"dashscope_api_key": "sk-1"})


def test_nothing_is_read_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = QwenVL()
    assert llm.api_key is None
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-later-4321")
    assert build_connection(llm).require_api_key() == "sk-later-4321"
    again = pickle.loads(pickle.dumps(llm))
    assert build_connection(again).require_api_key() == "sk-later-4321"


@pytest.mark.parametrize(
    ("model", "fields", "window", "output"),
    [
        ("qwen3-vl-plus", {}, 262_144, 32_768),
        ("qwen3-vl-plus", {"max_tokens": 500}, 262_144, 500),
        # At most a quarter of the window is left to the answer.
        ("qwen3-vl-plus", {"context_window": 10_000}, 10_000, 2_500),
        ("qwen3-vl-plus", {"context_window": 3}, 3, 1),
        ("qwen-vl-ocr", {}, 38_192, 8_192),
        # Of the omni models no page gives figures.
        ("qwen3.5-omni-plus", {}, 262_144, 32_768),
    ],
)
def test_window_and_output_of_the_metadata(
    model: str, fields: dict[str, int], window: int, output: int
) -> None:
    metadata = QwenVL(model, **fields).metadata
    assert (metadata.context_window, metadata.num_output) == (window, output)
