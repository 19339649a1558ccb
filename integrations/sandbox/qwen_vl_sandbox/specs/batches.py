"""What is documented of the two ways to be answered later, at half the price.

Batch Chat holds the connection of an ordinary call (Batch-Chat page, 2026-10); Batch File takes a
file of requests (Batch-File page, 2026).
"""

from typing import Literal

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.specs.models import MIB, model_spec

BatchKind = Literal["chat", "file"]

CHAT_URL = "/v1/chat/completions"
EMBEDDING_URL = "/v1/embeddings"
TEST_URL = "/v1/chat/ds-test"
TEST_MODEL = "batch-test-model"

MAX_FILE_BYTES = 500 * MIB
MAX_LINES = 50_000
MAX_LINE_BYTES = 6 * MIB
MAX_TEST_BYTES = MIB
MAX_TEST_LINES = 100
MAX_TEST_JOBS = 2
MAX_PARALLEL_JOBS = 1_000
MAX_CONTEXT = 262_144
"""Tokens of a request by either way, whatever the model takes otherwise."""

CALLS: dict[str, tuple[int, float]] = {
    "file_upload": (3, 1.0),
    "file": (10, 1.0),
    "batch_create": (1_000, 60.0),
    "batch_retrieve": (1_000, 60.0),
    "batch_list": (100, 60.0),
    "batch_cancel": (1_000, 60.0),
}
"""Calls per so many seconds, of an account (OpenAI-File and Batch-File pages)."""

BATCH_CHAT = frozenset(
    {
        *("qwen3.8-max", "qwen3.8-flash", "qwen3.7-max", "qwen3.7-plus", "qwen3.7-flash"),
        *("qwen3.6-plus", "qwen3.6-flash", "qwen3.5-plus", "qwen3.5-flash", "qwen3.5-omni-plus"),
        *("qwen3-vl-plus", "qwen-plus", "qwen-flash"),
        # unsure: the page's copies in several languages contradict each other.
        "qwen4-max",
    }
)
"""Models of Batch Chat."""

# unsure: a digest names qwen3.8-max too, and copies of a page contradict each other on qwen4-max.
BATCH_FILE = frozenset(
    {
        *("qwen3.7-plus", "qwen3.6-plus", "qwen3.6-flash", "qwen3.5-plus", "qwen3.5-flash"),
        *("qwen3-vl-plus", "qwen3-vl-flash", "qwen-vl-ocr", "qwen-vl-ocr-latest"),
    }
)
"""Models of Batch File that take images."""


def check_batch(kind: BatchKind, model: str, *, stream: bool, strict: bool) -> None:
    """Check what a way to be answered later asks of a request.

    Raises:
        ApiError: It does not have the model, or a stream is asked for.
    """
    name = "Batch Chat" if kind == "chat" else "Batch File"
    if model not in (BATCH_CHAT if kind == "chat" else BATCH_FILE):
        # unsure: the wording; no page prints it.
        reject(f"The model {model} does not support {name}.", code="model_not_supported")
    if stream and strict:
        # unsure: the pages show no stream, and say that the answer comes whole.
        reject(f"{name} does not support streams. Set stream to false.")


def is_thinking(model: str, enable_thinking: object) -> bool:
    """Return the thinking mode of a request, of which a file may have one.

    Example:
        >>> is_thinking("qwen3.7-plus", None), is_thinking("qwen3-vl-plus", None)
        (True, False)
    """
    if isinstance(enable_thinking, bool):
        return enable_thinking
    return model_spec(model).thinking in {"always", "default_on"}
