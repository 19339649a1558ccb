"""Base64 and data URLs, in every spelling."""

import base64
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_vl.content import DataUrl, Image, Inline, LocalFile, OpenFile, Source, Turn, Url
from qwen_vl.errors import MediaFormatError
from qwen_vl.media import prepare_media
from qwen_vl.media.data_url import decode_base64, decode_data_url
from qwen_vl.request.types import Request
from qwen_vl.samples import ROCKET

DATA = ROCKET.read_bytes()
TEXT = base64.b64encode(DATA).decode()
ADDRESS = f"data:image/jpeg;base64,{TEXT}"


def _url(source: Source) -> str:
    image = Image(source=source, where="messages[0].content[1]")
    request = Request(model="qwen3-vl-plus", turns=(Turn(role="user", parts=(image,)),))
    part: Any = prepare_media(request).turns[0].parts[0]
    assert isinstance(part.source, Url | DataUrl)
    return part.source.url


SPELLINGS: dict[str, Callable[[], Source]] = {
    "path": lambda: LocalFile(ROCKET, is_trusted=True),
    "bytes": lambda: Inline(DATA),
    "base64 text": lambda: Inline(TEXT),
    "base64 bytes": lambda: Inline(TEXT.encode()),
    "lines of 76": lambda: Inline(base64.encodebytes(DATA)),
    "windows lines": lambda: Inline(base64.encodebytes(DATA).decode().replace("\n", "\r\n")),
    "url-safe": lambda: Inline(base64.urlsafe_b64encode(DATA)),
    "url-safe text": lambda: Inline(base64.urlsafe_b64encode(DATA).decode()),
    "no padding": lambda: Inline(TEXT.rstrip("=")),
    "data address": lambda: Url(ADDRESS),
    "data URL as base64": lambda: Inline(ADDRESS),
    "data URL as bytes": lambda: Inline(ADDRESS.encode()),
    "no media type": lambda: Url(f"data:;base64,{TEXT}"),
    "wrong media type": lambda: Url(f"data:image/png;base64,{TEXT}"),
    "unknown media type": lambda: Url(f"data:image/jpg;name=cat.jpg;base64,{TEXT}"),
    "charset": lambda: Url(f"DATA:text/plain;charset=utf-8;BASE64,{TEXT}"),
    "percent-encoded base64": lambda: Url(f"data:;base64,{quote(TEXT, safe='')}"),
    "percent-encoded bytes": lambda: Url(f"data:image/jpeg,{quote(DATA)}"),
    "newline behind": lambda: Url(f"{ADDRESS}\n"),
    "file object": lambda: OpenFile(io.BytesIO(DATA)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_same_picture_gives_the_same_address(spelling: str) -> None:
    assert _url(SPELLINGS[spelling]()) == ADDRESS


def test_base64_that_is_right_is_not_written_again() -> None:
    base64_bytes = base64.b64encode(DATA)
    turn = Turn(role="user", parts=(Image(source=Inline(base64_bytes)),))
    (part,) = prepare_media(Request(model="qwen3-vl-plus", turns=(turn,))).turns[0].parts
    assert isinstance(part, Image)
    assert isinstance(part.source, DataUrl)
    assert part.source.base64 is base64_bytes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TEXT[:1000] + "*" + TEXT[1000:], "'*' at index 1000"),
        (TEXT[:50] + "é" + TEXT[50:], "'é' at index 50"),
        (TEXT[:52] + "=" + TEXT[52:], "'=' at index 52"),
        (TEXT[:1001], "1001 characters are not a whole number of bytes"),
        (TEXT[:40] + "....", "'.' at index 40"),
    ],
)
@pytest.mark.parametrize("wrap", [Inline, lambda text: Url(f"data:image/jpeg;base64,{text}")])
def test_wrong_base64_names_the_first_bad_character(
    wrap: Callable[[str], Source], text: str, found: str
) -> None:
    with pytest.raises(MediaFormatError, match="Wrong Base64") as caught:
        _url(wrap(text))
    assert found in str(caught.value)
    assert caught.value.where == "messages[0].content[1]"
    assert caught.value.remedy
    assert len(str(caught.value)) < 300


def test_wrong_base64_as_bytes_is_not_taken_for_raw_bytes() -> None:
    data = (TEXT[:2000] + "*" + TEXT[2000:]).encode()
    with pytest.raises(MediaFormatError, match="at index 2000"):
        _url(Inline(data))


def test_words_given_as_base64_are_said_to_be_read_as_such() -> None:
    with pytest.raises(MediaFormatError, match="read as Base64"):
        _url(Inline("photograph"))


def test_words_given_as_bytes_look_like_text() -> None:
    with pytest.raises(MediaFormatError, match="looks like text"):
        _url(Inline(b"hello world this is not an image"))


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:"])
def test_data_address_without_comma_is_refused(url: str) -> None:
    with pytest.raises(MediaFormatError, match="comma"):
        _url(Url(url))


@pytest.mark.parametrize("source", [Inline(""), Inline(b""), Url("data:,"), Url("data:;base64,")])
def test_nothing_at_all_is_refused(source: Source) -> None:
    with pytest.raises(MediaFormatError, match="0 bytes"):
        _url(source)


@given(
    st.binary(min_size=1, max_size=300),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "\n", "\r\n", " ", "\t"]),
    st.integers(1, 80),
)
def test_decode_base64_undoes_every_spelling(
    data: bytes, url_safe: bool, padded: bool, gap: str, width: int
) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    text = gap.join(text[at : at + width] for at in range(0, len(text), width))
    media = decode_base64(text, "")
    assert media.data == data
    assert media.base64 == base64.b64encode(data)


@given(st.text(max_size=200))
def test_decode_base64_of_any_text_gives_bytes_or_a_format_error(text: str) -> None:
    try:
        media = decode_base64(text, "")
    except MediaFormatError:
        return
    assert media.base64 is not None
    assert base64.b64decode(media.base64) == media.data


@given(st.text(max_size=80), st.binary(max_size=80))
def test_decode_data_url_undoes_percent_encoding(name: str, data: bytes) -> None:
    url = f"data:image/png;name={quote(name, safe='')},{quote(data, safe='')}"
    assert decode_data_url(url, "").data == data
