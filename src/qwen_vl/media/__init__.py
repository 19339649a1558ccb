"""Media: files read, types sniffed, limits checked.

The only room that opens files. It knows nothing of HTTP, JSON or frameworks.
"""

from qwen_vl.media.head import sniff_open_file
from qwen_vl.media.image import ImageHeader, read_image_header
from qwen_vl.media.inline import read_whole, to_json_safe, to_text
from qwen_vl.media.pdf.document import reads_pdf
from qwen_vl.media.prepare import needs_io, prepare_media, wants_upload
from qwen_vl.media.sniff import sniff

__all__ = [
    "ImageHeader",
    "needs_io",
    "prepare_media",
    "read_image_header",
    "read_whole",
    "reads_pdf",
    "sniff",
    "sniff_open_file",
    "to_json_safe",
    "to_text",
    "wants_upload",
]
