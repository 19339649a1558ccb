"""What a model is asked about retrieved nodes, and the nodes that its answers cite."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, MessageRole, TextBlock
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.prompts.utils import format_string
from llama_index.core.schema import BaseNode, NodeWithScore

from llama_index.llms.qwen_vl.nodes.items import read_unit
from llama_index.llms.qwen_vl.nodes.read import check_keys, complete_keys
from qwen_vl.retrieval import citations
from qwen_vl.retrieval.citations import CITATION_PROMPT, CitedText


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
        return f"{self.before}{{context_str}}{self.after}"


CITATION_TEMPLATE = ContextPrompt([], CITATION_PROMPT, "Question:")
"""Asks for citations that `read_citations` reads: the `chat_content_qa_template` of query engines
with `multimodal=True`, behind `QwenMediaPostprocessor(numbers_sources=True)`."""


def read_citations(
    answer: object,
    nodes: Sequence[BaseNode | NodeWithScore],
    *,
    media_roots: Sequence[str | Path],
    keys: Mapping[str, str] | None = None,
) -> CitedText:
    """Read the citations of an answer, and find the quoted words on the pages of PDF files.

    Args:
        answer: The response of an engine with `CITATION_TEMPLATE`, or its text.
        nodes: `response.source_nodes`, or what else the model was shown as `[1]`, `[2]`.
        media_roots: Folders that cited files may be in. Other files are not read.
        keys: Metadata keys that differ from their names.

    Raises:
        MediaAccessError: A file that is cited is outside of `media_roots`.
        MediaError: A PDF that is quoted cannot be read, or a metadata value is wrong.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> node = TextNode(text="All day it rained.", metadata={"source": "diary.txt"})
        >>> cited = read_citations('It rained [1: "All day"].', [node], media_roots=[])
        >>> cited.text, cited.citations[0].unit.name, cited.citations[0].quote
        ('It rained [1].', 'diary.txt', 'All day')
    """
    names = dict(keys or {})
    check_keys(names)
    complete = complete_keys(names)
    held = [each.node if isinstance(each, NodeWithScore) else each for each in nodes]
    units = [read_unit(node, complete) for node in held]
    return citations.read_citations(str(answer), units, media_roots=media_roots)


def _to_text(template: str, answer: str) -> TextBlock:
    return TextBlock(text=format_string(template, existing_answer=answer).strip())
