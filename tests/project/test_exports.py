"""What the packages offer, and what importing them costs."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from qwen_vl_sandbox import Sandbox

ROOT = Path(__file__).parents[2]

PUBLIC = (
    "qwen_vl",
    "qwen_vl.media",
    "qwen_vl_sandbox",
    "qwen_vl.wire.openai",
    "langchain_qwen_vl",
    "llama_index.embeddings.qwen_vl",
    "llama_index.llms.qwen_vl",
    "llama_index.multi_modal_llms.qwen_vl",
    "llama_index.postprocessor.qwen_vl",
    "llama_index_vision_tests",
)

HEAVY = ("PIL", "av", "dashscope", "numpy", "openai", "starlette", "uvicorn")
"""Packages that take a tenth of a second and more to import, and that many programs never need."""


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_sorted(package: str) -> None:
    names = import_module(package).__all__
    assert names == sorted(set(names))


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_import(package: str) -> None:
    module = import_module(package)
    assert {name for name in module.__all__ if not hasattr(module, name)} == set()


@pytest.mark.parametrize("package", PUBLIC)
def test_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="'Qwen9'"):
        _ = import_module(package).Qwen9


def test_public_names_are_listed_by_dir() -> None:
    package = import_module("qwen_vl")
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize(
    "folder",
    [
        "src/qwen_vl",
        "integrations/sandbox/qwen_vl_sandbox",
        "integrations/langchain/langchain_qwen_vl",
        "integrations/llama-index/llama_index/embeddings/qwen_vl",
        "integrations/llama-index/llama_index/llms/qwen_vl",
        "integrations/llama-index/llama_index/multi_modal_llms/qwen_vl",
        "integrations/llama-index/llama_index/postprocessor/qwen_vl",
        "integrations/llama-index-vision-tests/llama_index_vision_tests",
    ],
)
def test_package_says_that_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "import qwen_vl",
        "import langchain_qwen_vl",
        "import qwen_vl_sandbox.pytest_plugin",
        "from qwen_vl import Request, Url, errors, get_model_spec",
        "from qwen_vl import QwenVLClient",
        "from langchain_qwen_vl import ChatQwenVL; ChatQwenVL(api_key='sk-1')",
    ],
)
def test_import_is_light(statement: str) -> None:
    assert _loaded_by(statement) == set()


@pytest.mark.slow
def test_llama_index_brings_its_own_weight_and_no_more() -> None:
    core = "from llama_index.core.llms.function_calling import FunctionCallingLLM"
    ours = "from llama_index.llms.qwen_vl import QwenVL; QwenVL(api_key='sk-1')"
    assert _loaded_by(ours) <= _loaded_by(core)


@pytest.mark.slow
def test_heavy_import_is_found() -> None:
    assert "openai" in _loaded_by("from langchain_qwen_vl import QwenVLRateLimitError")


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    media = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()
    return set(HEAVY) & set(media)


OPTIONAL = (
    *("av", "filelock", "numpy", "platformdirs", "pypdfium2", "rich", "supervision"),
    *("tqdm", "typer", "webvtt"),
)
"""Packages that only extras of `qwen-vl` bring."""

CALLS = """
import sys
# Python then finds no such modules.
sys.modules.update(dict.fromkeys({optional!r}))
from langchain_core.messages import HumanMessage
from langchain_qwen_vl import ChatQwenVL
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
chat = ChatQwenVL(base_url={base_url!r}, api_key="sk-sandbox")
parts = [{{"type": "image", "image": CHELSEA}}, {{"type": "video", "video": BIG_BUCK_BUNNY}}]
question = HumanMessage([*parts, "What is this?"])
print(chat.invoke([question]).text)
print("".join(chunk.text for chunk in chat.stream([question])))
print(chat.timeline(BIG_BUCK_BUNNY).to_csv())
"""


@pytest.mark.slow
def test_base_install_is_enough_for_images_videos_and_timelines(
    qwen_vl_sandbox: Sandbox,
) -> None:
    code = CALLS.format(optional=OPTIONAL, base_url=qwen_vl_sandbox.base_url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)

    assert done.stderr == ""
    assert done.stdout.count("received") == 2
    assert "start,end,event" in done.stdout
