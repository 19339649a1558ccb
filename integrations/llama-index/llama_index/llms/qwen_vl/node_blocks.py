"""Blocks of nodes: they give the engines an address, where LlamaIndex's own give a download.

An engine with `multimodal=True` asks each block for `inline_url()`, to put it into the prompt, and
for `aestimate_tokens()`, to see what fits. LlamaIndex's own blocks fetch what lies behind an
address for either, several times for one question, and lose `fps` and pixel limits on the way.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pybase64
from llama_index.core.base.llms.types import BaseContentBlock, ImageBlock, VideoBlock
from llama_index.core.bridge.pydantic import PrivateAttr

from llama_index.llms.qwen_vl.blocks import to_parts
from llama_index.llms.qwen_vl.node_media import Media
from qwen_vl.content import Frames, Image, LocalFile, Source, Url, Video
from qwen_vl.counting import count_tokens
from qwen_vl.errors import MediaAccessError
from qwen_vl.media.base64_text import decode_data_url

# A file that may not be read here counts like what lies behind an address.
_UNSEEN = Url("https://example.com/unseen")


class _NodeBlock(BaseContentBlock):
    """What both kinds have in common."""

    _part: Image | Video = PrivateAttr()
    _model: str = PrivateAttr()
    _tokens: int | None = PrivateAttr(default=None)

    def describe(self, part: Image | Video, model: str) -> None:
        """Set what is counted.

        Args:
            part: The same picture or video.
            model: Whose tokens are counted.
        """
        self._part, self._model = part, model

    async def aestimate_tokens(
        self,
        *_args: Any,
        **_kwargs: Any,
    ) -> int:
        """Count the tokens that the model makes of it, by the service's own rules.

        Raises:
            MediaError: It cannot be read, or is no picture or video.
        """
        if self._tokens is None:
            self._tokens = await asyncio.to_thread(count_tokens, self._part, self._model)
        return self._tokens


class NodeImage(_NodeBlock, ImageBlock):
    """A picture of a node."""

    def inline_url(self) -> str:
        """Give its address; a `data:` one of what the block holds or its trusted path names.

        Raises:
            MediaError: The file cannot be read.
        """
        return _spell(self, self.image, self.image_mimetype, "image/png", self._part.where)


class NodeVideo(_NodeBlock, VideoBlock):
    """A video of a node."""

    def inline_url(self) -> str:
        """Give its address; a `data:` one of what the block holds or its trusted path names.

        Raises:
            MediaError: The file cannot be read.
        """
        return _spell(self, self.video, self.video_mimetype, "video/mp4", self._part.where)


NodeBlock = NodeImage | NodeVideo


def to_node_block(block: Media, model: str, where: str) -> NodeBlock:
    """Make a block that engines take without a download.

    Args:
        block: A picture or video.
        model: Whose tokens are counted.
        where: The node, for errors.

    Raises:
        MediaError: The block holds nothing.

    Example:
        >>> block = ImageBlock(url="https://example.com/cat.png#max_pixels=655360")
        >>> made = to_node_block(block, "qwen3-vl-plus", "node 'a'")
        >>> made.inline_url(), made.estimate_tokens()
        ('https://example.com/cat.png#max_pixels=655360', 642)
    """
    kind = NodeImage if isinstance(block, ImageBlock) else NodeVideo
    # Validating a block anew would decode and encode all that it holds.
    made: NodeBlock = kind.model_construct(**{**block.__dict__, **_carry(block)})
    made.describe(_to_part(block, where), model)
    return made


def _carry(block: Media) -> dict[str, Any]:
    """Give an address as the media itself too.

    `CitationQueryEngine` makes blocks of its own from the fields of these, which would fetch what
    lies behind an address. `QwenVL` reads it.
    """
    if block.url is None or str(block.url)[:5].lower() == "data:":
        return {}
    held = pybase64.b64encode(str(block.url).encode())
    if isinstance(block, ImageBlock):
        return {"image": held, "image_mimetype": "image/png"}
    return {"video": held, "video_mimetype": "video/mp4"}


def _to_part(block: Media, where: str) -> Image | Video:
    (part,) = to_parts([block], where)
    if isinstance(part, Image):
        return replace(part, source=_visible(part.source), where=where)
    if isinstance(part, Video) and isinstance(part.source, Frames):
        frames = tuple(map(_visible, part.source.frames))
        return replace(part, source=Frames(frames), where=where)
    # Of a block that holds a picture or video, nothing else is made.
    video: Any = part
    return replace(video, source=_visible(video.source), where=where)  # type: ignore[no-any-return]


def _visible(source: Source) -> Source:
    is_hidden = isinstance(source, LocalFile) and not source.is_trusted
    return _UNSEEN if is_hidden else source


def _spell(block: Media, held: Any, media_type: str | None, fallback: str, where: str) -> str:
    """Spell a block as one address, with its options in it."""
    if block.url is not None:
        address = str(block.url)
        if address[:5].lower() != "data:":
            # The prompt's template takes no address without a host.
            return address.replace("file:///", "file://localhost/", 1)
        # Nor data that is not Base64.
        text = pybase64.b64encode(decode_data_url(address, where).data).decode()
        return f"data:{_with_kind(address[5 : address.find(',')], fallback)};base64,{text}"
    if block.path is not None:
        try:
            held = pybase64.b64encode(block.path.read_bytes())
        except OSError as error:
            raise MediaAccessError(
                f"The file {block.path} cannot be read: {error.strerror}.",
                where=where,
                value=str(block.path),
                remedy="Give a file that is there when the question is asked.",
            ) from error
    return f"data:{_with_kind(media_type or '', fallback)};base64,{held.decode()}"


def _with_kind(media_type: str, fallback: str) -> str:
    """Keep a type that the prompt's template takes; which it is, the bytes tell in the end."""
    kind, separator, options = media_type.partition(";")
    is_taken = kind.startswith(fallback[: fallback.find("/") + 1])
    return f"{kind if is_taken else fallback}{separator}{options}"
