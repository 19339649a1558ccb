"""References to media in metadata: read, or refused by name."""

from pathlib import Path
from typing import Any

import pytest

from qwen_vl.content import Frames, Image, LocalFile, Url, Video
from qwen_vl.errors import ContentError, MediaFormatError, MediaOptionError, UnsupportedContentError
from qwen_vl.media.metadata import DEFAULT_KEYS, read_media

URL = "https://example.com/a.png"
DATA = "data:image/png;base64,iVBORw0KGgo="


def local(path: str) -> LocalFile:
    return LocalFile(Path(path), is_trusted=False)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ()),
        ({"source": "report.pdf", "page": 2}, ()),
        ({"image_path": "", "image_url": None, "video_frames": []}, ()),
        ({"image_url": URL}, (Image(source=Url(URL)),)),
        ({"image_url": DATA, "page": 1}, (Image(source=Url(DATA)),)),
        ({"image_path": "cat.png", "page": 4}, (Image(source=local("cat.png")),)),
        # It could be Base64.
        ({"image_path": "cats/AAAA"}, (Image(source=local("cats/AAAA")),)),
        (
            {"image_path": "/a/report.pdf", "page": 3.0, "fps": "any", "max_pixels": 9},
            (Image(source=local("/a/report.pdf"), pages=(3,), max_pixels=9),),
        ),
        ({"image_path": "scan.TIF", "page": 1}, (Image(source=local("scan.TIF"), pages=(1,)),)),
        (
            {"image_path": "noextension", "page": 2},
            (Image(source=local("noextension"), pages=(2,)),),
        ),
        ({"image_url": "file:///a/b.png"}, (Image(source=local("/a/b.png")),)),
        (
            {"video_url": "https://example.com/a.mp4", "fps": 0.5, "total_pixels": 10},
            (Video(source=Url("https://example.com/a.mp4"), fps=0.5, total_pixels=10),),
        ),
        (
            {"image_url": URL, "video_path": "a.mp4"},
            (Image(source=Url(URL)), Video(source=local("a.mp4"))),
        ),
        (
            {"video_frames": '["1.png", "https://example.com/2.png"]'},
            (Video(source=Frames((local("1.png"), Url("https://example.com/2.png")))),),
        ),
    ],
)
def test_media_of_metadata(metadata: dict[str, Any], expected: tuple[object, ...]) -> None:
    assert read_media(metadata, where="documents[0]") == expected


def test_keys_and_pages_of_other_loaders() -> None:
    keys = {**DEFAULT_KEYS, "image_path": "source"}
    metadata = {"source": "report.pdf", "page": 0}

    (page,) = read_media(metadata, where="documents[0]", keys=keys, first_page=0)

    assert page == Image(source=local("report.pdf"), pages=(1,))


@pytest.mark.parametrize(
    ("metadata", "kind", "problem"),
    [
        (
            {"image_path": URL},
            MediaFormatError,
            r"documents\[0\]: metadata\['image_path'\].*no path",
        ),
        ({"image_url": "cat.png"}, MediaFormatError, "is not a URL that the service takes"),
        ({"image_url": "ftp://example.com/a.png"}, MediaFormatError, "is not a URL"),
        ({"image_path": 3}, MediaFormatError, "3 must be text"),
        ({"image_path": False}, MediaFormatError, "False must be text"),
        ({"video_frames": "not JSON"}, MediaFormatError, "must be a list"),
        ({"video_frames": [1]}, MediaFormatError, "1 is not a frame"),
        (
            {"image_path": "a", "image_url": URL},
            UnsupportedContentError,
            "'image_url' and 'image_path'",
        ),
        ({"image_path": "a.pdf", "page": "iv"}, MediaOptionError, "'iv' is not a whole number"),
        ({"image_path": "a.pdf", "page": 0}, MediaOptionError, "a page number from 1 on"),
        ({"image_path": "a.pdf", "page": True}, MediaOptionError, "True is not a whole"),
        ({"image_path": "a.pdf", "page": 1.5}, MediaOptionError, "1.5 is not a whole"),
        ({"video_path": "a.mp4", "fps": "2"}, MediaOptionError, r"metadata\['fps'\]: '2' is not"),
        ({"image_path": "a.png", "max_pixels": float("nan")}, MediaOptionError, "nan is not"),
    ],
)
def test_wrong_metadata_is_named(
    metadata: dict[str, Any], kind: type[ContentError], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        read_media(metadata, where="documents[0]")
