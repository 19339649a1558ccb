"""Sources of media: what becomes of them outside of a message."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.content import (
    Frames,
    Inline,
    LocalFile,
    LocalFileUrl,
    OpenFile,
    Pixels,
    Source,
    Url,
    to_source,
    to_value,
)

FILE = io.BytesIO(b"abc")
IMAGE = Image.new("RGB", (1, 1))
URL = "https://example.com/1.png"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (Url(URL), URL),
        (Inline(b"abc"), b"abc"),
        (LocalFile(Path("cat.png"), is_trusted=True), Path("cat.png")),
        (LocalFile(Path("cat.png"), is_trusted=False), "cat.png"),
        (OpenFile(FILE), FILE),
        (Pixels(IMAGE), IMAGE),
        (Frames((Url(URL), Inline(b"abc"))), [URL, b"abc"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_source_becomes_the_value_that_it_was_made_of(source: Source, value: object) -> None:
    assert to_value(source) == value
    assert type(to_value(source)) is type(value)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda url: pickle.loads(pickle.dumps(url))]
)
def test_copies_of_a_file_url_keep_its_path(copied: Callable[[object], object]) -> None:
    url = LocalFileUrl.of(Path("/images/a cat.png"), version="7")
    again = copied(url)

    assert isinstance(again, LocalFileUrl)
    assert again == url == f"file:///a%20cat.png#7&path={again.rpartition('=')[2]}"
    assert again.path == Path("/images/a cat.png")
    assert to_source(again) == LocalFile(Path("/images/a cat.png"), is_trusted=True)
