"""Search in folders of PDF documents, images and videos, and answers that cite what was found."""

from qwen_vl.retrieval.answer import Answer, Answerer
from qwen_vl.retrieval.citations import (
    CITATION_PROMPT,
    Citation,
    CitedText,
    read_citations,
)
from qwen_vl.retrieval.drawing import CitedImage, draw_citations
from qwen_vl.retrieval.files import FrameOptions, Unit
from qwen_vl.retrieval.indexer import Indexer
from qwen_vl.retrieval.plan import IndexFailure, IndexReport
from qwen_vl.retrieval.search import Hit, Searcher
from qwen_vl.retrieval.store import IndexStore

__all__ = [
    "CITATION_PROMPT",
    "Answer",
    "Answerer",
    "Citation",
    "CitedImage",
    "CitedText",
    "FrameOptions",
    "Hit",
    "IndexFailure",
    "IndexReport",
    "IndexStore",
    "Indexer",
    "Searcher",
    "Unit",
    "draw_citations",
    "read_citations",
]
