"""Batch File: a file of requests that is answered within a day or two, at half the price.

Limits and models are those of the Batch-File page (2026-10).
"""

import re

from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server

BATCH_FILE_MODELS = frozenset(
    {
        "qwen3.7-plus",
        *("qwen3.6-plus", "qwen3.6-flash"),
        *("qwen3.5-plus", "qwen3.5-flash"),
        *("qwen3-vl-plus", "qwen3-vl-flash"),
        *("qwen-vl-ocr", "qwen-vl-ocr-latest"),
    }
)
"""Models with images that it has."""

TEST_MODEL = "batch-test-model"
"""Answers each line with the same text, for nothing."""

CHAT_URL = "/v1/chat/completions"
TEST_URL = "/v1/chat/ds-test"

MAX_LINES = 50_000
MAX_FILE_BYTES = 500_000_000
MAX_LINE_BYTES = 6_000_000
MAX_TEST_LINES = 100
MAX_TEST_BYTES = 1_000_000

DEFAULT_WINDOW = "24h"
_HOURS_PER_DAY = 24
_MIN_HOURS, _MAX_HOURS = 24, 336
_WINDOW = re.compile(r"(\d{1,4})([hd])", re.ASCII)
# A digest says that the file page has it, and no copy of the page that was read does.
_UNSURE_MODELS = re.compile(r"qwen3\.8-max|qwen4-max")


def check_batch_file(model: str, *, protocol: Protocol, server: Server) -> None:
    """Check that a file of requests to a model can be answered.

    Args:
        model: Model id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked; vLLM reads the same files, of any model.

    Raises:
        ConfigurationError: It is not the OpenAI-compatible protocol, or the model is not among
            those of the page.

    Example:
        >>> check_batch_file("qwen3-vl-flash", protocol="openai", server="dashscope")
    """
    if protocol != DEFAULT_PROTOCOL:
        raise ConfigurationError(
            f"Batch files are of the OpenAI-compatible protocol, and protocol={protocol!r} is set. "
            "Leave it out."
        )
    if server != DEFAULT_SERVER:
        return
    if _UNSURE_MODELS.fullmatch(model):
        warn(
            f"Pages of the service contradict each other about {model} in batch files. It is "
            "written; try one line before thousands."
        )
    elif model not in BATCH_FILE_MODELS and model != TEST_MODEL:
        raise ConfigurationError(
            f"Batch files cannot ask {model!r}. They can ask "
            f"{', '.join(sorted(BATCH_FILE_MODELS))}."
        )


def check_window(window: str) -> str:
    """Return the time within which a job is to be done, if the service takes it.

    Args:
        window: A whole number of hours, `24h` to `336h`, or of days, `1d` to `14d`.

    Raises:
        ConfigurationError: It is something else.

    Example:
        >>> check_window("2d")
        '2d'
    """
    match = _WINDOW.fullmatch(window)
    hours = int(match[1]) * (_HOURS_PER_DAY if match[2] == "d" else 1) if match else 0
    if not _MIN_HOURS <= hours <= _MAX_HOURS:
        raise ConfigurationError(
            f"window {window!r} must be from 24h to 336h: a whole number of hours or days, such "
            'as "24h" or "2d".'
        )
    return window


def find_line_url(model: str) -> str:
    """Return which path of the service a line asks.

    Args:
        model: Model id.

    Example:
        >>> find_line_url("qwen3-vl-plus")
        '/v1/chat/completions'
    """
    return TEST_URL if model == TEST_MODEL else CHAT_URL


def find_file_limits(model: str) -> tuple[int, int]:
    """Return the maximum number of lines of a file, and of its bytes.

    Args:
        model: Model id.

    Example:
        >>> find_file_limits("qwen3-vl-plus")
        (50000, 500000000)
    """
    is_test = model == TEST_MODEL
    return (MAX_TEST_LINES, MAX_TEST_BYTES) if is_test else (MAX_LINES, MAX_FILE_BYTES)
