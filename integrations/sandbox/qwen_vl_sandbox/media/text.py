"""The text of the images that a request brought, where the sandbox reads."""

from dataclasses import replace

from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport
from qwen_vl_sandbox.ocr.engine import HOW_TO_INSTALL, is_installed, read_lines


def read_images(report: MediaReport) -> MediaReport:
    """Read the text of all images; where that is not possible, note why. Takes seconds."""
    return replace(report, sights=tuple(map(_read, report.sights)))


def _read(seen: InspectedMedia) -> InspectedMedia:
    if seen.content is None:
        return seen
    if not is_installed():
        return replace(seen, unread=HOW_TO_INSTALL)
    try:
        return replace(seen, lines=read_lines(seen.content.data))
    except OSError:
        # HEIC, of which only the header is read.
        return replace(seen, unread="Text in this format is not read")
