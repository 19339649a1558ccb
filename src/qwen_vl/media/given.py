"""What a caller gives for a picture or a video, where it must be one."""

from qwen_vl.content import Source, to_source
from qwen_vl.errors import MediaFormatError


def require_source(value: object, where: str) -> Source:
    """Tell where a picture or video comes from; see `qwen_vl.content.to_source`.

    Args:
        value: An address, a path, bytes, an open file or a decoded picture.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is none of these.
    """
    source = to_source(value)
    if source is None:
        raise MediaFormatError(
            f"A {type(value).__name__} is neither picture nor video.",
            where=where,
            value=type(value).__name__,
            remedy="Pass a path, bytes, an open file, a decoded picture or an address.",
        )
    return source
