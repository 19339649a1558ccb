"""Blocks of nodes: they give the engines a URL, where LlamaIndex's own give a download.

An engine with `multimodal=True` asks each block for `inline_url()`, to put it into the prompt, and
for `aestimate_tokens()`, to see what fits. LlamaIndex's own blocks fetch what lies behind a
URL for either, several times for one question, and lose `fps` and pixel limits on the way.
"""

import asyncio
from dataclasses import replace
from typing import Any, TypeAlias

import pybase64
from llama_index.core.base.llms.types import AudioBlock, BaseContentBlock, ImageBlock, VideoBlock
from llama_index.core.bridge.pydantic import PrivateAttr

from llama_index.llms.qwen_vl.blocks import to_parts
from llama_index.llms.qwen_vl.nodes.read import Media
from qwen_vl.content import Audio, Document, Frames, Image, LocalFile, Source, Url, Video
from qwen_vl.errors import MediaAccessError, MediaNotFoundError
from qwen_vl.media.data_url import decode_data_url
from qwen_vl.media.measure import measure_pages
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.tokens.audio import count_audio
from qwen_vl.tokens.conversation import ASSUMED_VIDEO_SECONDS, TokenCounter

_Part: TypeAlias = Image | Video | Audio | Document

# A file that may not be read here counts like media given by URL.
_UNSEEN = Url("https://example.com/unseen")


class _NodeBlock(BaseContentBlock):
    """What all kinds have in common."""

    _part: _Part = PrivateAttr()
    _model: str = PrivateAttr()
    _policy: MediaPolicy = PrivateAttr()
    _tokens: int | None = PrivateAttr(default=None)

    def describe(self, part: _Part, model: str, policy: MediaPolicy) -> None:
        """Set what is counted.

        Args:
            part: The same image or video.
            model: Whose tokens are counted.
            policy: Which files may be opened to count them.
        """
        self._part, self._model, self._policy = part, model, policy

    async def aestimate_tokens(
        self,
        *_args: Any,
        **_kwargs: Any,
    ) -> int:
        """Count the tokens that the model makes of it, by the service's own rules.

        Raises:
            MediaError: It cannot be read, or is not an image or a video.
        """
        if self._tokens is None:
            await asyncio.to_thread(self.count_tokens)
        return self.count_tokens()

    def count_tokens(self) -> int:
        """Count the tokens; see `aestimate_tokens`."""
        if self._tokens is None:
            self._tokens = self._count()
        return self._tokens

    def _count(self) -> int:
        try:
            return _measure(self._part, self._model, self._policy)
        except (MediaAccessError, MediaNotFoundError):
            # The LLM has its own roots, and raises if they do not hold the file.
            return _measure(_hide(self._part), self._model, MediaPolicy())


def _measure(part: _Part, model: str, policy: MediaPolicy) -> int:
    # An estimate for budgets: no warning for each node whose size is unknown.
    if isinstance(part, Audio):
        request = Request(model=model, turns=(), policy=policy)
        return count_audio(part, request, ASSUMED_VIDEO_SECONDS).tokens
    counter = TokenCounter(model=model, parameters={}, policy=policy)
    if isinstance(part, Document):
        pages = measure_pages(part, policy)
        if not isinstance(pages, Image):
            return sum(
                counter.measure_page(part, page).tokens + counter.count_text(page.label)
                for page in pages
            )
        part = pages
    return counter.measure(part).tokens


class NodeImage(_NodeBlock, ImageBlock):
    """An image of a node."""

    def inline_url(self) -> str:
        """Return its URL; a `data:` URL of what the block holds, where it has none."""
        return _encode(self, self.image, self.image_mimetype, "image/png", self._part.where)


class NodeVideo(_NodeBlock, VideoBlock):
    """A video of a node."""

    def inline_url(self) -> str:
        """Return its URL; a `data:` URL of what the block holds, where it has none."""
        return _encode(self, self.video, self.video_mimetype, "video/mp4", self._part.where)


class NodeAudio(_NodeBlock, AudioBlock):
    """An audio file of a node, by its `file:` URL."""

    def inline_url(self) -> str:
        """Return its URL."""
        return _encode(self, self.audio, self.format, "audio/wav", self._part.where)


NodeBlock = NodeImage | NodeVideo | NodeAudio


def to_node_block(
    block: Media | AudioBlock, model: str, where: str, policy: MediaPolicy | None = None
) -> NodeBlock:
    """Create a block that engines take without a download.

    Args:
        block: An image, video or audio file.
        model: Whose tokens are counted.
        where: The node, for errors.
        policy: Which files may be opened to count their tokens; the default policy if `None`.

    Raises:
        MediaError: The block holds nothing.

    Example:
        >>> block = ImageBlock(url="https://example.com/cat.png#max_pixels=655360")
        >>> made = to_node_block(block, "qwen3-vl-plus", "node 'a'")
        >>> made.inline_url(), made.estimate_tokens()
        ('https://example.com/cat.png#max_pixels=655360', 642)
    """
    # Validating a block again would decode and encode all that it holds.
    made: NodeBlock = _kind_of(block).model_construct(**{**block.__dict__, **_carry(block)})
    made.describe(_to_part(block, where), model, policy or MediaPolicy())
    return made


def _kind_of(block: Media | AudioBlock) -> type[NodeBlock]:
    match block:
        case ImageBlock():
            return NodeImage
        case VideoBlock():
            return NodeVideo
    return NodeAudio


def _carry(block: Media | AudioBlock) -> dict[str, Any]:
    """Return a block whose URL also stands for the media itself.

    `CitationQueryEngine` makes new blocks from the fields of these, which would fetch media
    given by URL. `QwenVL` reads it.
    """
    if block.url is None or str(block.url)[:5].lower() == "data:":
        return {}
    held = pybase64.b64encode(str(block.url).encode())
    if isinstance(block, ImageBlock):
        return {"image": held, "image_mimetype": "image/png"}
    if isinstance(block, AudioBlock):
        return {"audio": held}
    return {"video": held, "video_mimetype": "video/mp4"}


def _to_part(block: Media | AudioBlock, where: str) -> _Part:
    (part,) = to_parts([block], where)
    # Of a block that holds an image, video or audio, nothing else is made.
    media: Any = part
    return replace(media, where=where)  # type: ignore[no-any-return]


def _hide(part: _Part) -> _Part:
    """Put what lies behind a URL in place of files that may not be opened here."""
    if isinstance(part, Document):
        return Image(source=_UNSEEN, max_pixels=part.max_pixels, where=part.where)
    if isinstance(part, Video) and isinstance(part.source, Frames):
        return replace(part, source=Frames(tuple(map(_unseen, part.source.frames))))
    media: Any = part
    return replace(media, source=_unseen(media.source))  # type: ignore[no-any-return]


def _unseen(source: Source) -> Source:
    return _UNSEEN if isinstance(source, LocalFile) else source


def _encode(
    block: Media | AudioBlock, held: Any, media_type: str | None, fallback: str, where: str
) -> str:
    """Encode a block as one URL, with its options in it."""
    if block.url is not None:
        url = str(block.url)
        if url[:5].lower() != "data:":
            # The prompt's template takes no URL without a host.
            return url.replace("file:///", "file://localhost/", 1)
        # Nor data that is not Base64.
        text = pybase64.b64encode(decode_data_url(url, where).data).decode()
        return f"data:{_with_kind(url[5 : url.find(',')], fallback)};base64,{text}"
    return f"data:{_with_kind(media_type or '', fallback)};base64,{held.decode()}"


def _with_kind(media_type: str, fallback: str) -> str:
    """Keep a type that the prompt's template takes; in the end the bytes decide."""
    kind, separator, options = media_type.partition(";")
    is_taken = kind.startswith(fallback[: fallback.find("/") + 1])
    return f"{kind if is_taken else fallback}{separator}{options}"
