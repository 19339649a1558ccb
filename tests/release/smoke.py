"""What `make dist` runs where only the wheels are installed: imports, questions, the command.

python smoke.py core  where there is only `qwen-vl`
python smoke.py all   where all of the packages are
"""

import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

from qwen_vl.samples import CHELSEA

CORE = "qwen_vl"
PACKAGES = (
    CORE,
    "qwen_vl_sandbox",
    "langchain_qwen_vl",
    "llama_index.embeddings.qwen_vl",
    "llama_index.llms.qwen_vl",
    "llama_index.multi_modal_llms.qwen_vl",
    "llama_index.postprocessor.qwen_vl",
    "llama_index_vision_tests",
)
CAT_TOKENS = 128
CLI = f"{CORE}.cli"
NEEDS_EXTRAS = {"qwen_vl.transport.sdk"}
"""Modules that only extras bring what they import of."""
NEEDS_OTHERS = {"langchain_qwen_vl.sparse"}
"""Modules for packages of others, here langchain-qdrant, which no extra brings."""


def find_modules(package: str) -> Iterator[str]:
    """Return the names of a package's modules, those that run something left out."""
    yield package
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            yield found.name


def import_all(package: str, *, is_core_only: bool) -> int:
    """Import all modules of a package, and return their number."""
    names = [name for name in find_modules(package) if name not in NEEDS_OTHERS]
    if is_core_only:
        names = [name for name in names if name not in NEEDS_EXTRAS and not name.startswith(CLI)]
    for name in names:
        module = import_module(name)
        assert str(module.__file__).startswith(sys.prefix), f"{name} is from {module.__file__}"
    return len(names)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `qwen-vl` of this environment."""
    command = [str(Path(sys.executable).with_name("qwen-vl")), *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def check_core() -> None:
    """Check `qwen-vl` without its extras, and without the other packages."""
    print(f"  {import_all(CORE, is_core_only=True)} modules of {CORE} without extras")
    assert not [entry for entry in entry_points(group="pytest11") if "qwen" in entry.value]
    missing = run_command("ask", "What is this?", str(CHELSEA), "--sandbox")
    assert missing.returncode != 0
    assert "qwen-vl[cli]" in missing.stderr, missing.stderr
    print(f"  qwen-vl ask … without extras: {missing.stderr.strip()}")


def check_all() -> None:
    """Check all packages: imports, a question through each class, the command."""
    for package in PACKAGES:
        print(f"  {import_all(package, is_core_only=False)} modules of {package}")
    ask_through_frameworks()
    answer = run_command("ask", "What is this?", str(CHELSEA), "--sandbox")
    assert answer.returncode == 0, answer.stderr
    assert f"{CAT_TOKENS} tokens" in answer.stdout.replace("\n", " ")
    print(f"  qwen-vl ask … --sandbox: {answer.stdout.splitlines()[0]}")
    assert run_command("--version").stdout.strip() == version("qwen-vl")


def ask_through_frameworks() -> None:
    """Ask about an image through `ChatQwenVL` and `QwenVL`."""
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - only in the second step.
    from llama_index.core.base.llms.types import (  # noqa: PLC0415
        ChatMessage,
        ImageBlock,
        TextBlock,
    )

    from langchain_qwen_vl import ChatQwenVL, get_usage  # noqa: PLC0415
    from llama_index.llms import qwen_vl as llama  # noqa: PLC0415
    from qwen_vl_sandbox import Sandbox  # noqa: PLC0415

    with Sandbox() as sandbox:
        os.environ |= {"DASHSCOPE_API_KEY": "sk-sandbox", "DASHSCOPE_BASE_URL": sandbox.base_url}
        blocks = [{"type": "image", "image": CHELSEA}, "What is this?"]
        answer = ChatQwenVL().invoke([HumanMessage(blocks)])
        assert get_usage(answer).image_tokens == CAT_TOKENS
        print(f"  ChatQwenVL: {answer.text}")
        message = ChatMessage([ImageBlock(path=CHELSEA), TextBlock(text="What is this?")])
        response = llama.QwenVL().chat([message])
        assert llama.get_usage(response).image_tokens == CAT_TOKENS
        print(f"  QwenVL: {response.message.content}")


if __name__ == "__main__":
    {"core": check_core, "all": check_all}[sys.argv[1]]()
