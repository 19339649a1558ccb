"""Answers that cite the nodes that they rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from llama_index.core.schema import BaseNode, NodeWithScore

from llama_index.llms.qwen_vl.chat_engines import ContextPrompt
from llama_index.llms.qwen_vl.nodes.items import read_unit
from llama_index.llms.qwen_vl.nodes.read import check_keys, complete_keys
from qwen_vl.retrieval import citations
from qwen_vl.retrieval.citations import CITATION_PROMPT, CitedText

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
