"""Items made ready to be sent: images loaded, checked and downscaled, videos checked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qwen_vl.content import Document, Image, Text, Url, Video, is_remote
from qwen_vl.embedding.items import Item, ItemPart
from qwen_vl.errors import MediaFormatError, MediaTooLargeError, UnsupportedContentError, warn
from qwen_vl.media.limits import check_part
from qwen_vl.media.page_jobs import open_page
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.prepare import prepare_page, prepare_single
from qwen_vl.media.video.file import open_file
from qwen_vl.request.build import build_media_policy
from qwen_vl.request.types import Request
from qwen_vl.settings import EndpointSettings
from qwen_vl.tokens.text import estimate_text_tokens

_Image = TypeVar("_Image", Image, Document, Image | Document)

# The open embedding and rerank models are built on Qwen3-VL, whose processor they have.
_CHAT_MODEL = "qwen3-vl-plus"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """What one part of an item may be.

    Args:
        max_pixels: Pixels beyond which an image is downscaled.
        max_image_bytes: Maximum number of bytes of an image.
        max_video_bytes: Maximum number of bytes of a local video, which is put into the temporary
            storage; `None` where videos are taken by URL only.
        max_text_tokens: Tokens beyond which a text is not read to its end; `None` where the server
            says so itself.
    """

    max_pixels: int
    max_image_bytes: int
    max_video_bytes: int | None
    max_text_tokens: int | None


def make_request(model: str, settings: EndpointSettings, limits: MediaLimits) -> Request:
    """Create a request without content, which says how media is prepared and sent.

    Args:
        model: Id of the model.
        settings: How the endpoint is reached, and which files may be read.
        limits: What one part may be.
    """
    policy = build_media_policy(settings)
    policy = replace(
        policy,
        # Larger ones cost the time to send them, and the model sees no more of them.
        downscale_images=policy.downscale_images is not False,
        max_inline_bytes=min(policy.max_inline_bytes, limits.max_image_bytes),
    )
    seconds = settings.queue_seconds
    return Request(
        model=model,
        turns=(),
        headers={} if seconds is None else {"X-DashScope-Wait-Timeout": str(seconds)},
        base_model=_CHAT_MODEL,
        server=settings.server,
        policy=policy,
        deadline=settings.deadline,
        queue_seconds=seconds or 0,
    )


def prepare_item(item: Item, request: Request, limits: MediaLimits) -> Item:
    """Prepare the images of an item, and check its other parts.

    Args:
        item: Any item.
        request: From `make_request`.
        limits: What one part may be.

    Raises:
        MediaError: An image or video cannot be sent.
        UnsupportedContentError: A video is not by URL, and is not to be uploaded.
    """
    parts = tuple(_prepare(part, request, limits) for part in item.parts)
    return replace(item, parts=parts)


def _prepare(part: ItemPart, request: Request, limits: MediaLimits) -> ItemPart:
    match part:
        case Text():
            _warn_if_long(part, request.model, limits.max_text_tokens)
            return part
        case Image() if part.pages is not None:
            page = Document(
                source=part.source, pages=part.pages, max_pixels=part.max_pixels, where=part.where
            )
            return _prepare_page(page, request, limits)
        case Image():
            with _pages_named():
                return prepare_single(_with_limit(part, limits), request)
        case Document():
            return _prepare_page(part, request, limits)
        case Video():
            return _check_video(part, request, limits)


@contextmanager
def _pages_named() -> Iterator[None]:
    """Explain in errors how a single page of a PDF is passed."""
    try:
        yield
    except MediaFormatError as error:
        if error.value == PDF_TYPE:
            error.remedy = 'Pass each page as an item: {"image": "report.pdf", "page": 1}.'
        raise


def _prepare_page(page: Document, request: Request, limits: MediaLimits) -> Image:
    held = open_page(page, request.policy)
    return replace(prepare_page(_with_limit(held, limits), request), where=page.where)


def _with_limit(part: _Image, limits: MediaLimits) -> _Image:
    most = min(part.max_pixels or limits.max_pixels, limits.max_pixels)
    return replace(part, max_pixels=most)


def _warn_if_long(part: Text, model: str, max_tokens: int | None) -> None:
    n_tokens = 0 if max_tokens is None else estimate_text_tokens(part.text)
    if max_tokens is not None and n_tokens > max_tokens:
        warn(
            f"{part.where}: The text has about {n_tokens:,} tokens; {model} reads {max_tokens:,}, "
            "and the service cuts the rest off. Divide it."
        )


def _check_video(part: Video, request: Request, limits: MediaLimits) -> Video:
    source: Any = part.source
    if isinstance(source, Url) and is_remote(source.url):
        check_part(part, request.known_model, request.server)
        return part
    limit = limits.max_video_bytes
    mode = part.video_mode or request.policy.video_mode
    if mode != "upload" or limit is None:
        by_upload = ', or set video_mode="upload", which puts it into the temporary storage'
        raise UnsupportedContentError(
            "A video is taken by URL only.",
            where=part.where,
            remedy=(
                "Put it where the server can fetch it and give its https:// URL"
                f"{by_upload if limit is not None else ''}."
            ),
        )
    with open_file(source, request.policy, part.where) as file:
        n_bytes = file.seek(0, os.SEEK_END)
    if n_bytes > limit:
        raise MediaTooLargeError(
            f"The video has {n_bytes:,} bytes; {request.model} takes {limit:,}.",
            where=part.where,
            value=n_bytes,
            limit=limit,
            remedy="Cut it, or encode it at a lower bit rate.",
        )
    return replace(part, video_mode="upload")
