"""Chat engines that show the model the images and videos of retrieved nodes.

LlamaIndex's own put only the text of nodes into the system message, and drop their media. These
take everything else from them: retrieval, memory, streaming, sources.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Self

from llama_index.core import Settings
from llama_index.core.base.llms.types import (
    ChatMessage,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import LLM
from llama_index.core.memory import Memory
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.response_synthesizers import CompactAndRefine

from llama_index.llms.qwen_vl.base import QwenVL
from llama_index.llms.qwen_vl.citations import ContextPrompt
from llama_index.llms.qwen_vl.nodes.postprocessor import QwenMediaPostprocessor
from qwen_vl.errors import ConfigurationError

_CONTEXT_NAMES = ("{context_str}", "{context_msg}")


class _ShowsMedia:
    """What both engines have in common."""

    _llm: LLM
    _node_postprocessors: list[BaseNodePostprocessor]
    callback_manager: CallbackManager

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._node_postprocessors = _with_media(
            self._node_postprocessors, self._llm, self.callback_manager
        )
        # A template without a place for the context raises now, and not at the first question.
        self._get_response_synthesizer([])

    @classmethod
    def from_defaults(cls, *args: Any, **kwargs: Any) -> Self:
        """Create an engine.

        Its memory, where none is given, holds up to half of what the model reads: the rest is left
        for the context.

        Args:
            *args: As of LlamaIndex's own engine: the retriever is the first.
            **kwargs: `llm`, `memory`, `system_prompt`, `node_postprocessors` and so on.
        """
        create: Any = super().from_defaults  # type: ignore[misc]  # Of the engine behind this class.
        arguments = inspect.signature(create).bind(*args, **kwargs).arguments
        arguments |= arguments.pop("kwargs", {})
        if arguments.get("memory") is None:
            metadata = (arguments.get("llm") or Settings.llm).metadata
            arguments["memory"] = Memory.from_defaults(
                # An empty list would open the memory's database here and now.
                chat_history=arguments.get("chat_history") or None,
                token_limit=(metadata.context_window - metadata.num_output) // 2,
            )
        made: Self = create(**arguments)
        return made

    def _get_response_synthesizer(
        self, chat_history: list[ChatMessage], streaming: bool = False
    ) -> CompactAndRefine:
        raise NotImplementedError


class QwenVLContextChatEngine(_ShowsMedia, ContextChatEngine):
    """A `ContextChatEngine` whose retrieved images and videos reach the model.

    Each question is answered from what the retriever finds for it: texts, images and videos stand
    in their order in the last message, in place of the template's `{context_str}`. The memory holds
    the questions and answers, without the media of earlier turns. `source_nodes` are the nodes that
    were shown.

    A `QwenMediaPostprocessor` is put behind the other postprocessors if there is none. With
    `max_tokens`, it bounds what is shown for one question.

    Args:
        retriever: As of `ContextChatEngine`, like all other arguments.
        llm: A `QwenVL`.

    Raises:
        ConfigurationError: A template lacks the place for the context.

    Example:
        >>> from llama_index.core.memory import ChatMemoryBuffer
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.embeddings.qwen_vl import QwenVLEmbedding, QwenVLVectorStoreIndex
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> nodes = [TextNode(text="Our cat.", metadata={"image_path": str(CHELSEA)})]
        >>> with Sandbox() as sandbox:
        ...     settings = {
        ...         "api_base": sandbox.base_url,
        ...         "api_key": "sk-sandbox",
        ...         "media_roots": [CHELSEA.parent],
        ...     }
        ...     index = QwenVLVectorStoreIndex(nodes, embed_model=QwenVLEmbedding(**settings))
        ...     engine = QwenVLContextChatEngine.from_defaults(
        ...         index.as_retriever(),
        ...         llm=QwenVL(**settings),
        ...         memory=ChatMemoryBuffer(token_limit=9000),
        ...     )
        ...     response = engine.chat("Which animal do we have?")
        >>> response.source_nodes[0].text, len(engine.chat_history)
        ('Our cat.', 2)
        >>> "an image" in str(response)
        True
    """

    def _get_response_synthesizer(
        self, chat_history: list[ChatMessage], streaming: bool = False
    ) -> CompactAndRefine:
        return make_synthesizer(
            self._llm,
            [*self._prefix_messages, *chat_history],
            self._context_template,
            self._context_refine_template,
            callback_manager=self.callback_manager,
            streaming=streaming,
        )


class QwenVLCondensePlusContextChatEngine(_ShowsMedia, CondensePlusContextChatEngine):
    """A `CondensePlusContextChatEngine` whose retrieved images and videos reach the model.

    The model first rewrites a follow-up as a standalone question, for which nodes are retrieved.
    For everything else, see `QwenVLContextChatEngine`.

    Args:
        retriever: As of `CondensePlusContextChatEngine`, like all other arguments.
        llm: A `QwenVL`.

    Raises:
        ConfigurationError: A template lacks the place for the context.

    Example:
        >>> from llama_index.core.memory import ChatMemoryBuffer
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.embeddings.qwen_vl import QwenVLEmbedding, QwenVLVectorStoreIndex
        >>> from qwen_vl_sandbox import Sandbox
        >>> nodes = [TextNode(text="Our cat.", metadata={"image_url": "https://example.com/a.png"})]
        >>> with Sandbox() as sandbox:
        ...     settings = {"api_base": sandbox.base_url, "api_key": "sk-sandbox"}
        ...     index = QwenVLVectorStoreIndex(nodes, embed_model=QwenVLEmbedding(**settings))
        ...     engine = QwenVLCondensePlusContextChatEngine.from_defaults(
        ...         index.as_retriever(),
        ...         llm=QwenVL(**settings),
        ...         memory=ChatMemoryBuffer(token_limit=9000),
        ...     )
        ...     response = engine.chat("Which animal do we have?")
        >>> "https://example.com/a.png" in str(response)
        True
    """

    def _get_response_synthesizer(
        self, chat_history: list[ChatMessage], streaming: bool = False
    ) -> CompactAndRefine:
        role, text = self._llm.metadata.system_role, self._system_prompt
        system = [ChatMessage(role=role, content=text)] if text else []
        return make_synthesizer(
            self._llm,
            [*system, *chat_history],
            self._context_prompt_template,
            self._context_refine_prompt_template,
            callback_manager=self.callback_manager,
            streaming=streaming,
        )


def make_synthesizer(
    llm: LLM,
    messages: Sequence[ChatMessage],
    template: BasePromptTemplate,
    refine_template: BasePromptTemplate,
    *,
    callback_manager: CallbackManager,
    streaming: bool,
) -> CompactAndRefine:
    """Create what answers a question from nodes, in the course of a conversation.

    Args:
        llm: The model.
        messages: What was said before.
        template: Has `{context_str}`.
        refine_template: Has `{context_msg}` and `{existing_answer}`, for nodes beyond what fits
            into one request.
        callback_manager: Of the engine.
        streaming: Whether answers are streamed.

    Raises:
        ConfigurationError: A template lacks the place for the context.
    """
    return CompactAndRefine(
        llm=llm,
        callback_manager=callback_manager,
        chat_content_qa_template=ContextPrompt(messages, *_divide(template)),
        chat_content_refine_template=ContextPrompt(messages, *_divide(refine_template)),
        streaming=streaming,
        multimodal=True,
    )


def _divide(template: BasePromptTemplate) -> tuple[str, str]:
    text = template.template if isinstance(template, PromptTemplate) else ""
    for name in _CONTEXT_NAMES:
        before, found, after = text.partition(name)
        if found:
            return before, after
    raise ConfigurationError(
        "A context template has neither {context_str} nor {context_msg}, where retrieved nodes "
        "stand. Pass text or a PromptTemplate that has one of them."
    )


def _with_media(
    postprocessors: Sequence[BaseNodePostprocessor], llm: LLM, callback_manager: CallbackManager
) -> list[BaseNodePostprocessor]:
    if any(isinstance(each, QwenMediaPostprocessor) for each in postprocessors):
        return list(postprocessors)
    roots = [str(root) for root in llm.media_roots or ()] if isinstance(llm, QwenVL) else []
    added = QwenMediaPostprocessor(
        model=llm.metadata.model_name, media_roots=roots or None, callback_manager=callback_manager
    )
    return [*postprocessors, added]
