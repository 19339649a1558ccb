"""Pages as images at their full size, for crops and drawings."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qwen_vl.content import DataUrl, Document, Image, Inline, to_value
from qwen_vl.errors import MediaFormatError
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.page_jobs import PageJob, find_page_jobs
from qwen_vl.media.pdf.document import render_pages
from qwen_vl.media.tiff import TIFF_HEADS, list_pages
from qwen_vl.request.types import MediaPolicy

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOrigin:
    """Where a page can be found again.

    Args:
        source: What the program gave: a path, or the file itself.
        page: Number of the page, from 1 on.
        dpi: Dots per inch at which a PDF is rendered.
        policy: Which files may be read.
    """

    source: object = field(repr=False)
    page: int
    dpi: float | None
    policy: MediaPolicy = field(repr=False)

    def open(self, size: tuple[int, int] | None) -> "PillowImage":
        """Decode the page, upright and in RGB.

        Args:
            size: Width and height that boxes refer to.

        Raises:
            MediaError: It cannot be read, or is of another size: another file.
            MissingExtraError: A PDF is to be rendered, and pypdfium2 is not installed.
        """
        image = _decode(self._find_job(), self.policy)
        if size is not None and image.size != size:
            raise MediaFormatError(
                f"The page has {image.width} x {image.height} pixels, and the boxes are of one "
                f"with {size[0]} x {size[1]}.",
                where="source",
                value=image.size,
                limit=size,
                remedy="Pass the file that was parsed, and the same dpi.",
            )
        return image

    def _find_job(self) -> PageJob:
        pages: Sequence[int] = [self.page]
        return next(find_page_jobs([self.source], self.policy, pages=pages, dpi=self.dpi))


def _decode(job: PageJob, policy: MediaPolicy) -> "PillowImage":
    from qwen_vl.grounding.drawing.opened import open_upright  # noqa: PLC0415 - with Pillow

    held: Any = job.held
    if isinstance(held, Document):
        (*_, held) = render_pages(held, policy)
        if isinstance(held.source, DataUrl):
            return open_upright(read_data_url(held.source), policy, held.where)
    image: Image = held
    source = image.source
    if (
        isinstance(source, Inline)
        and isinstance(source.data, bytes)
        and (source.data[:4] in TIFF_HEADS)
    ):
        from PIL import Image as Pillow  # noqa: PLC0415 - slow to import

        with Pillow.open(io.BytesIO(source.data)) as opened:
            opened.seek(list_pages(opened, image.where)[job.page - 1])
            return open_upright(opened.copy(), policy, image.where)
    return open_upright(to_value(replace(image, where="source").source), policy, "source")
