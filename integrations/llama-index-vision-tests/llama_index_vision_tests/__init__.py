"""A conformance suite for LlamaIndex LLMs that see images and videos.

Subclass `LLMUnitTests` and `VisionLLMTests` in a test file, say which LLM is meant, and run
pytest:

    class TestMyLLM(VisionLLMTests):
        llm_class = MyLLM
        llm_params = {"model": "my-model"}

Embedding models and rerankers have separate classes.
"""

import pytest

# Before the modules are imported: pytest explains failed asserts of these as of any test's.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "agents",
            "chat",
            "components",
            "embedding",
            "engines",
            "events",
            "failures",
            "media",
            "rerank",
            "structured",
            "suite",
            "thinking",
            "tools",
            "unit",
        )
    )
)

from llama_index_vision_tests.agents import LLMAgentTests  # noqa: E402 - see above.
from llama_index_vision_tests.chat import LLMChatTests  # noqa: E402
from llama_index_vision_tests.embedding import (  # noqa: E402
    EmbeddingSuite,
    EmbeddingUnitTests,
    VisionEmbeddingTests,
)
from llama_index_vision_tests.engines import LLMEngineTests  # noqa: E402
from llama_index_vision_tests.events import LLMEventTests  # noqa: E402
from llama_index_vision_tests.failures import LLMFailureTests  # noqa: E402
from llama_index_vision_tests.media import LLMMediaTests  # noqa: E402
from llama_index_vision_tests.rerank import (  # noqa: E402
    RerankSuite,
    RerankUnitTests,
    VisionRerankTests,
)
from llama_index_vision_tests.structured import LLMStructuredTests  # noqa: E402
from llama_index_vision_tests.suite import LLMSuite  # noqa: E402
from llama_index_vision_tests.thinking import LLMThinkingTests  # noqa: E402
from llama_index_vision_tests.tools import LLMToolTests  # noqa: E402
from llama_index_vision_tests.unit import LLMUnitTests  # noqa: E402

__all__ = [
    "EmbeddingSuite",
    "EmbeddingUnitTests",
    "LLMAgentTests",
    "LLMChatTests",
    "LLMEngineTests",
    "LLMEventTests",
    "LLMFailureTests",
    "LLMMediaTests",
    "LLMStructuredTests",
    "LLMSuite",
    "LLMThinkingTests",
    "LLMToolTests",
    "LLMUnitTests",
    "RerankSuite",
    "RerankUnitTests",
    "VisionEmbeddingTests",
    "VisionLLMTests",
    "VisionRerankTests",
]


class VisionLLMTests(
    LLMChatTests,
    LLMMediaTests,
    LLMThinkingTests,
    LLMFailureTests,
    LLMToolTests,
    LLMAgentTests,
    LLMStructuredTests,
    LLMEventTests,
    LLMEngineTests,
):
    """All tests that ask the LLM; `LLMUnitTests` are those that do not.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLM(VisionLLMTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     llm_params = {"is_chat_model": True}
        ...     supports_tool_images = False
        ...     returns_usage = False
    """
