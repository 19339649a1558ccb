"""What type checkers say of programs that use the packages."""

from pathlib import Path

import pytest

from document_examples import find_type_errors, name_documents

pytest.importorskip("pyright", reason="only with the group `check`")

ACCEPTED = """
import httpx2
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.llms import qwen_vl as llama
from pydantic import SecretStr

from langchain_qwen_vl import ChatQwenVL, QwenVLRateLimitError, get_usage
from qwen_vl import Grounder, QwenVLSettings, ResponseMetadata

model = ChatQwenVL(api_key="sk-1", model="qwen3-vl-plus", timeout=60, max_retries=3, tags=["a"])
ChatQwenVL(api_key=SecretStr("sk-1"), timeout=httpx2.Timeout(5), stop=["."], fps=2)
ChatQwenVL(api_key=None)
model.api_key = "sk-2"
settings = QwenVLSettings(api_key="sk-1", region="ap-southeast-1")
grounder = Grounder(settings)
answer: AIMessage = model.invoke("Hello")
answer = await model.ainvoke("Hello")
image_tokens: int | None = get_usage(answer).image_tokens
n_tokens: int = get_usage(answer).input_tokens
n_tokens = model.get_num_tokens_from_messages([HumanMessage("Hello")])
n_tokens = model.get_num_tokens_from_messages([("human", "Hello")])
llm = llama.QwenVL(api_key="sk-1", model="qwen3-vl-plus")
video_tokens: int | None = llama.get_usage(llm.complete("Hello")).video_tokens
"""
"""Lines of a user's program; none of them is an error."""

REJECTED = """
ChatQwenVL(api_key=1)
ChatQwenVL(temperature="high")
get_usage(answer).picture_tokens
llama.get_usage("Hello")
llm.chat([]).answer
(await model.ainvoke("Hello")).answer
llm.complete(1)
from langchain_qwen_vl import ChatQwen
from qwen_vl import Nothing
from qwen_vl_sandbox import Sandcastle
from llama_index.llms.qwen_vl import QwenLLM
"""
"""Lines that are an error each."""


@pytest.mark.slow
@pytest.mark.timeout(300)  # Without its cache, mypy reads all of both frameworks.
def test_programs_of_users_and_examples_of_documents_are_checked(tmp_path: Path) -> None:
    page = tmp_path / "my-page.md"
    page.write_text(f"```python{ACCEPTED}{REJECTED}```\n")
    first = page.read_text().splitlines().index("ChatQwenVL(api_key=1)") + 1
    wrong = {f"my-page.md:{first + index}" for index, line in enumerate(REJECTED.split("\n")[1:-1])}

    errors = find_type_errors({**name_documents(), "my-page.md": page})

    by_pyright = {error.partition(": ")[0] for error in errors if "  [report" in error}
    by_mypy = {error.partition(": ")[0] for error in errors if "  [report" not in error}
    assert by_pyright == by_mypy == wrong, "\n".join(errors)
