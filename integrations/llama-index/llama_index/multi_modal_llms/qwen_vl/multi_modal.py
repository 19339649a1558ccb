"""`QwenVLMultiModal`: `QwenVL` by the interface that LlamaIndex has given up.

A class of `MultiModalLLM` alone raises at every call since llama-index-core 0.14.17; one that is
an LLM as well works.
"""

from collections.abc import AsyncGenerator, Generator
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.multi_modal_llms import MultiModalLLM, MultiModalLLMMetadata

from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl.nodes.read import ImageDocuments
from llama_index.llms.qwen_vl.responses import (
    aconvert_each,
    convert_each,
    to_completion_response,
)
from qwen_vl.specs.models import get_model_spec


class QwenVLMultiModalMetadata(LLMMetadata, MultiModalLLMMetadata):
    """What both interfaces want to know."""


class QwenVLMultiModal(QwenVL, MultiModalLLM):
    """Qwen VL with images as the second argument of `complete`, as in `MultiModalLLM`.

    New code needs `QwenVL` alone: chat engines, query engines and evaluators that have a parameter
    `multi_modal_llm` take it.

    Args:
        model: Model id.
        **kwargs: Those of `QwenVL`.

    Example:
        >>> from llama_index.core.schema import ImageDocument
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVLMultiModal(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     answer = llm.complete("What is this?", [ImageDocument(image_path=str(CHELSEA))])
        >>> answer.additional_kwargs["image_tokens"]
        128
    """

    # MultiModalLLM wraps these four in its callbacks by itself: decorators would count them twice.

    def complete(  # type: ignore[override]  # The two interfaces disagree.
        self,
        prompt: str,
        image_documents: ImageDocuments | bool | None = None,
        formatted: bool | ImageDocuments = False,
        **kwargs: Any,
    ) -> CompletionResponse:
        """Answer a text, and images with it; see `QwenVL.complete`.

        Args:
            prompt: The text.
            image_documents: Images and videos; may change places with `formatted`.
            formatted: Whether `completion_to_prompt` has been applied to the text.
            **kwargs: Options of this call.
        """
        messages = self._to_messages(prompt, *_order(formatted, image_documents))
        return to_completion_response(self._chat(messages, **kwargs))

    def stream_complete(  # type: ignore[override]  # The two interfaces disagree.
        self,
        prompt: str,
        image_documents: ImageDocuments | bool | None = None,
        formatted: bool | ImageDocuments = False,
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        """Answer a text in pieces; see `complete`."""
        messages = self._to_messages(prompt, *_order(formatted, image_documents))
        return convert_each(self._stream_chat(messages, **kwargs), to_completion_response)

    async def acomplete(  # type: ignore[override]  # The two interfaces disagree.
        self,
        prompt: str,
        image_documents: ImageDocuments | bool | None = None,
        formatted: bool | ImageDocuments = False,
        **kwargs: Any,
    ) -> CompletionResponse:
        """Answer a text; see `complete`."""
        messages = self._to_messages(prompt, *_order(formatted, image_documents))
        return to_completion_response(await self._achat(messages, **kwargs))

    async def astream_complete(  # type: ignore[override]  # The two interfaces disagree.
        self,
        prompt: str,
        image_documents: ImageDocuments | bool | None = None,
        formatted: bool | ImageDocuments = False,
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Answer a text in pieces; see `complete`."""
        messages = self._to_messages(prompt, *_order(formatted, image_documents))
        return aconvert_each(self._astream_chat(messages, **kwargs), to_completion_response)

    @property
    def metadata(self) -> QwenVLMultiModalMetadata:
        """What the model can do, how many tokens it takes and gives, and how many images."""
        return QwenVLMultiModalMetadata(
            **super().metadata.model_dump(), num_input_files=get_model_spec(self.model).max_images
        )


def _order(
    formatted: bool | ImageDocuments, image_documents: ImageDocuments | bool | None
) -> tuple[Any, Any]:
    # LLM has `formatted` in second place, MultiModalLLM the images.
    is_swapped = isinstance(image_documents, bool) or not isinstance(formatted, bool)
    if not is_swapped:
        return formatted, image_documents
    return image_documents or False, formatted or None
