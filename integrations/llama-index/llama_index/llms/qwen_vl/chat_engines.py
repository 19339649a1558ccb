"""Chat engines that show the model the images and videos of retrieved nodes.

LlamaIndex's own put only the text of nodes into the system message, and drop their media. These
take everything else from them: retrieval, memory, streaming, sources.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Self

from llama_index.core import Settings
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ContentBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import LLM
from llama_index.core.memory import Memory
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.prompts.utils import format_string
from llama_index.core.response_synthesizers import CompactAndRefine

from llama_index.llms.qwen_vl.base import QwenVL
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


class ContextPrompt(BasePromptTemplate):
    """A conversation whose last message has the blocks of retrieved nodes, and the question.

    Args:
        messages: What was said before.
        before: What stands before the nodes.
        after: What stands after them; `{existing_answer}` in it is replaced.

    Example:
        >>> prompt = ContextPrompt([], "Read this:", "Now answer.")
        >>> context = ChatMessage("A note.")
        >>> (message,) = prompt.format_messages(context_messages=[context], query_str="Why?")
        >>> [block.text for block in message.blocks]
        ['Read this:', 'A note.', 'Now answer.', 'Why?']
    """

    messages: list[ChatMessage]
    before: str
    after: str

    def __init__(self, messages: Sequence[ChatMessage], before: str, after: str) -> None:
        values: dict[str, Any] = {
            "messages": list(messages),
            "before": before,
            "after": after,
            "metadata": {},
            "template_vars": ["context_messages", "query_str", "existing_answer"],
            "kwargs": {},
            "output_parser": None,
        }
        super().__init__(**values)

    def partial_format(self, **kwargs: Any) -> "ContextPrompt":
        """Return a prompt of which some variables are filled in."""
        return self.model_copy(update={"kwargs": {**self.kwargs, **kwargs}})

    def format(self, llm: BaseLLM | None = None, **kwargs: Any) -> str:
        """Return the prompt as text."""
        return messages_to_prompt(self.format_messages(llm, **kwargs))

    def format_messages(self, llm: BaseLLM | None = None, **kwargs: Any) -> list[ChatMessage]:
        """Return the conversation."""
        del llm
        values: dict[str, Any] = {**self.kwargs, **kwargs}
        shown = [block for message in values["context_messages"] or () for block in message.blocks]
        answer = str(values.get("existing_answer", ""))
        blocks: list[ContentBlock] = [
            _to_text(self.before, answer),
            *shown,
            _to_text(self.after, answer),
            TextBlock(text=str(values["query_str"])),
        ]
        kept = [block for block in blocks if not isinstance(block, TextBlock) or block.text]
        return [*self.messages, ChatMessage(role=MessageRole.USER, blocks=kept)]

    def get_template(self, llm: BaseLLM | None = None) -> str:
        """Return the text around the nodes."""
        del llm
        return f"{self.before}{_CONTEXT_NAMES[0]}{self.after}"


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


def _to_text(template: str, answer: str) -> TextBlock:
    return TextBlock(text=format_string(template, existing_answer=answer).strip())


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
