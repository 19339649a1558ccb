"""A request's body in pieces: images and videos become Base64 while it leaves.

Written out whole, a body of 5 MB of images is copied four times, which takes longer than all else
that is done for a request.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pybase64

from qwen_vl.content import DataUrl

_RAW_BYTES = 384 * 1024
"""Raw bytes of a piece. A whole number of threes, so that only the last piece is padded; sockets
take pieces of this size in few steps, and shorter ones cost more than they save."""
_BASE64_BYTES = _RAW_BYTES // 3 * 4


class Attachment:
    """Stands in a body's JSON for media that is written later.

    Args:
        url: The media.
        is_bare: Whether its Base64 alone is to be written.
    """

    __slots__ = ("is_bare", "url")

    def __init__(self, url: DataUrl, *, is_bare: bool = False) -> None:
        self.url = url
        self.is_bare = is_bare


class Body:
    """JSON in UTF-8, as often as it is sent.

    Args:
        json: Everything except the media: one text more than there are attachments.
        attachments: What stands between the texts.

    Example:
        >>> image = Attachment(DataUrl("image/gif", b"GIF89a", None, 6))
        >>> body = Body.write({"url": image})
        >>> bytes(body), len(body)
        (b'{"url":"data:image/gif;base64,R0lGODlh"}', 40)
    """

    def __init__(self, json: list[bytes], attachments: list[Attachment]) -> None:
        self._json = json
        self._attachments = attachments
        self._length = sum(map(len, json)) + sum(map(_count_chars, attachments))

    @classmethod
    def write(cls, value: Any) -> "Body":
        """Write a value, with an `Attachment` where media stands.

        Args:
            value: What JSON has forms for.

        Raises:
            orjson.JSONEncodeError: It holds something else, or text that is not valid Unicode.
        """
        attachments: list[Attachment] = []
        # Nobody who wrote the messages can have guessed it.
        mark = secrets.token_hex(16)

        def take_out(held: object) -> str:
            if not isinstance(held, Attachment):
                raise TypeError
            attachments.append(held)
            return mark

        text = orjson.dumps(value, default=take_out)
        return cls(text.split(mark.encode()) if attachments else [text], attachments)

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return self._json[0] if not self._attachments else b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        yield self._json[0]
        for attachment, text in zip(self._attachments, self._json[1:], strict=True):
            if not attachment.is_bare:
                yield attachment.url.prefix.encode()
            yield from _encode(attachment.url)
            yield text

    async def in_loop(self) -> AsyncIterator[bytes]:
        """Pass the same pieces to an event loop: each is a fraction of a millisecond's work."""
        for piece in self:
            yield piece


def _encode(url: DataUrl) -> Iterator[bytes]:
    if url.base64 is not None:
        text = memoryview(url.base64)
        for start in range(0, len(text), _BASE64_BYTES):
            yield bytes(text[start : start + _BASE64_BYTES])
        return
    data = memoryview(url.data or b"")
    for start in range(0, len(data), _RAW_BYTES):
        yield pybase64.b64encode(data[start : start + _RAW_BYTES])


def _count_chars(attachment: Attachment) -> int:
    url = attachment.url
    n_base64 = (url.n_bytes + 2) // 3 * 4 if url.base64 is None else len(url.base64)
    return n_base64 if attachment.is_bare else len(url.prefix) + n_base64
