"""`QwenMediaPostprocessor`: images and videos of retrieved nodes, as they were stored."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import AudioBlock, BaseContentBlock, TextBlock
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from llama_index.llms.qwen_vl.nodes.blocks import NodeBlock, to_node_block
from llama_index.llms.qwen_vl.nodes.items import read_unit
from llama_index.llms.qwen_vl.nodes.read import (
    check_keys,
    complete_keys,
    find_silent_keys,
    read_media,
    read_node_audio,
)
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.citations import name_source
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.tokens.text import estimate_text_tokens


class QwenMediaPostprocessor(BaseNodePostprocessor):
    """Hands the images and videos of retrieved nodes to `QwenVL` as they were stored.

    Query engines with `multimodal=True` download all media themselves and send it as Base64:
    `oss:` URLs fail there, and `fps` and pixel limits are lost. Behind this postprocessor the
    engine gets nodes that answer with their URLs: nothing is downloaded, `https:`, `http:`,
    `oss:` and data URLs, frames, `fps` and pixel limits arrive as they were stored, and
    the engine packs by the tokens that the model really makes of them. Text, scores, ids, metadata
    and relationships stay, and so do the nodes that were retrieved; nodes without images and
    videos pass as they are.

    Media is found in `ImageNode`, `ImageDocument`, and the `image_resource` and `video_resource` of
    `Node` and `Document`; where those hold none, in the metadata: `image_url` or `image_path`;
    `video_url`, `video_path` or `video_frames`, a list of URLs and paths. `fps`, `min_pixels`,
    `max_pixels` and `total_pixels` stand beside them, and `page`, from 1 on, beside a PDF or TIFF
    file. The language model does not see these keys as text, `page` apart.

    What a store holds may come from anywhere, so `QwenVL` reads paths, where they stand in a
    node, only inside its own `media_roots`. Nothing is read here, except to count tokens.

    Args:
        model: Whose tokens are counted: the model of the engine's `QwenVL`. What lies behind a
            URL counts as the largest image that the model processes, a video as a minute.
        keys: Other metadata keys than these: `{"image_path": "file_path"}`.
        media_roots: Folders whose files may be opened to count their tokens: those of the engine's
            `QwenVL`. Other files count like media given by URL.
        max_tokens: Maximum number of tokens of the text and media of all nodes together. Nodes
            that do not fit into what is left are left out, in their order; the first is kept
            always. By default, engines divide what does not fit over several requests.
        numbers_sources: Whether each node begins with its number and name, such as
            `Source [1]: report.pdf, page 3`, so that the model can cite it; see `read_citations`.

    Raises:
        ConfigurationError: `keys` names something that is not read.

    Example:
        >>> node = TextNode(
        ...     text="A walk in the park",
        ...     metadata={"video_url": "https://example.com/walk.mp4", "fps": 0.5},
        ... )
        >>> (found,) = QwenMediaPostprocessor().postprocess_nodes([NodeWithScore(node=node)])
        >>> [block.block_type for block in found.node.get_content_blocks()]
        ['text', 'video']
        >>> found.node.get_content_blocks()[1].inline_url()
        'https://example.com/walk.mp4#fps=0.5'
    """

    model: str = Field(default=DEFAULT_MODEL, description="Model whose tokens are counted.")
    keys: dict[str, str] = Field(
        default_factory=dict, description="Metadata keys that differ from their names here."
    )

    media_roots: list[str] | None = Field(
        default=None, description="Folders whose files may be opened to count their tokens."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="Maximum number of tokens of all nodes together."
    )
    numbers_sources: bool = Field(
        default=False, description="Whether each node begins with its number and name."
    )

    @field_validator("media_roots", mode="before")
    @classmethod
    def _to_texts(cls, roots: Sequence[str | Path] | None) -> Any:
        return [str(root) for root in roots] if isinstance(roots, list | tuple) else roots

    @field_validator("keys")
    @classmethod
    def _refuse_unknown_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        check_keys(keys)
        return keys

    @classmethod
    def class_name(cls) -> str:
        """Name the class in what is stored of it."""
        return "QwenMediaPostprocessor"

    def _postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,  # noqa: ARG002 - of the interface.
    ) -> list[NodeWithScore]:
        keys = complete_keys(self.keys)
        chosen: list[NodeWithScore] = []
        total = 0
        for scored in nodes:
            shown = self._with_media(scored, keys, len(chosen) + 1)
            if self.max_tokens is not None:
                tokens = _count_tokens(shown.node)
                if chosen and total + tokens > self.max_tokens:
                    continue
                total += tokens
            chosen.append(shown)
        return chosen

    def _with_media(
        self, scored: NodeWithScore, keys: Mapping[str, str], number: int
    ) -> NodeWithScore:
        node = scored.node
        where = f"node {node.node_id!r}"
        audio = read_node_audio(node)
        media = (*read_media(node, keys), *([audio] if audio else []))
        if not media and not self.numbers_sources:
            return scored
        roots = self.media_roots
        policy = MediaPolicy(media_roots=None if roots is None else tuple(map(Path, roots)))
        blocks = tuple(to_node_block(block, self.model, where, policy) for block in media)
        label = ""
        if self.numbers_sources:
            # Engines join texts that follow one another by a space.
            label = ("\n" if number > 1 else "") + name_source(number, read_unit(node, keys))
        silent = find_silent_keys(keys) if media else ()
        return NodeWithScore(node=attach(node, blocks, silent, label), score=scored.score)


def _count_tokens(node: BaseNode) -> int:
    media = node.attached_blocks if isinstance(node, _MediaNode) else ()
    label = node.label if isinstance(node, _MediaNode) else ""
    text = "\n".join(filter(None, [label, node.get_content(metadata_mode=MetadataMode.LLM)]))
    return estimate_text_tokens(text) + sum(block.count_tokens() for block in media)


def attach(
    node: BaseNode, blocks: tuple[NodeBlock, ...], hidden: tuple[str, ...], label: str = ""
) -> BaseNode:
    """Copy a node, with blocks in place of its images and videos.

    Args:
        node: A node; it stays as it is.
        blocks: What the copy gives to engines.
        hidden: Metadata keys that the language model must not see as text.
        label: A text that stands before the node's own; none if empty.
    """
    made: Any = _class_with_media(type(node)).model_construct(
        node.model_fields_set,
        **{
            **node.__dict__,
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *hidden],
        },
    )
    made.attach(node, blocks, hidden, label)
    return made  # type: ignore[no-any-return]


class _MediaNode:
    """What is put before a node's own class."""

    _attached: tuple[BaseNode, tuple[NodeBlock, ...], tuple[str, ...], str]

    def attach(self, *attached: Any) -> None:
        """Keep what `attach` was called with."""
        self._attached = attached

    @property
    def attached_blocks(self) -> tuple[NodeBlock, ...]:
        """The images, videos and audio files."""
        return self._attached[1]

    @property
    def label(self) -> str:
        """The text that stands before the node's own."""
        return self._attached[3]

    def get_content_blocks(
        self, metadata_mode: MetadataMode = MetadataMode.NONE
    ) -> list[BaseContentBlock]:
        """Return the text, and what was attached."""
        _, blocks, _, label = self._attached
        node: Any = self
        if isinstance(node, Node):
            # Its own method makes blocks of the rest: text, and audio that is not a local file.
            attached = {"image_resource": None, "video_resource": None}
            if any(isinstance(block, AudioBlock) for block in blocks):
                attached["audio_resource"] = None
            bare = node.model_copy(update=attached)
            words = Node.get_content_blocks(bare, metadata_mode)
        else:
            words = TextNode.get_content_blocks(node, metadata_mode)
        kept = [block for block in words if not isinstance(block, TextBlock) or block.text]
        return _with_label(label, [*kept, *blocks])

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is made while the program runs, and pickle finds none by its name.
        return attach, self._attached


def _with_label(label: str, blocks: list[BaseContentBlock]) -> list[BaseContentBlock]:
    match blocks:
        case _ if not label:
            return blocks
        case [TextBlock() as first, *others]:
            return [TextBlock(text=f"{label}\n{first.text}"), *others]
    return [TextBlock(text=label), *blocks]


@cache
def _class_with_media(kind: Any) -> Any:
    """Create a subclass of `kind`: engines check for `TextNode`, stores for class names."""
    names = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "_attached": PrivateAttr(),
    }
    return type(kind)(kind.__name__, (_MediaNode, kind), names)
