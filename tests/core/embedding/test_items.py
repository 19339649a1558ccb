"""What can become a vector, and the parts that it is read as."""

from pathlib import Path
from typing import Any

import pytest

from qwen_vl.content import (
    Audio,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    Text,
    Url,
    Video,
)
from qwen_vl.embedding.items import Item, to_item, to_items
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA

pytestmark = pytest.mark.any_version

WHERE = "items[0]"
CAT = Url("https://example.com/cat.png")
CLIP = Url("https://example.com/walk.mp4?x=1")
PNG = CHELSEA.read_bytes()
MP4 = BIG_BUCK_BUNNY.read_bytes()
REPORT = LocalFile(Path("report.pdf"), is_trusted=True)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("A cat.", (Text(text="A cat."),)),
        # Media by the name of the file, or by what the bytes say.
        (Path("cat.png"), (Image(source=LocalFile(Path("cat.png"), is_trusted=True)),)),
        (Path("walk.mp4"), (Video(source=LocalFile(Path("walk.mp4"), is_trusted=True)),)),
        (PNG, (Image(source=Inline(PNG)),)),
        (MP4, (Video(source=Inline(MP4)),)),
        # Parts, and items of them.
        (Text(text="A"), (Text(text="A"),)),
        (Video(source=CLIP), (Video(source=CLIP),)),
        (Item(parts=(Text(text="A"), Image(source=CAT))), (Text(text="A"), Image(source=CAT))),
        (Document(source=REPORT, pages=[2]), (Document(source=REPORT, pages=[2]),)),
        (Document(source=REPORT, pages=" 2 "), (Document(source=REPORT, pages=" 2 "),)),
        # Mappings, as the service's own.
        ({"text": "A", "image": CAT.url}, (Text(text="A"), Image(source=CAT))),
        ({"video": CLIP.url}, (Video(source=CLIP),)),
        ({"multi_images": [CAT.url, PNG]}, (Image(source=CAT), Image(source=Inline(PNG)))),
        (
            {"text": "A", "image": Path("report.pdf"), "page": 2},
            (Document(source=REPORT, pages=[2]), Text(text="A")),
        ),
        # Several things together.
        (
            ["A", {"image": CAT.url}, {"text": "B"}],
            (Text(text="A"), Image(source=CAT), Text(text="B")),
        ),
        (
            ("A", Item(parts=(Text(text="B"), Text(text="C")))),
            (Text(text="A"), Text(text="B"), Text(text="C")),
        ),
    ],
)
def test_parts(value: object, parts: Any) -> None:
    assert to_item(value, WHERE).parts == parts


def test_places() -> None:
    assert [part.where for part in to_item(["A", {"text": "B"}], WHERE).parts] == [
        "items[0][0]",
        "items[0][1]",
    ]
    assert to_item(["A"], WHERE).parts[0].where == WHERE
    named = Item(parts=(Text(text="A"),), where="node 7")
    assert (to_item(named, WHERE).where, to_item(named, WHERE).parts[0].where) == (
        "node 7",
        "node 7",
    )
    assert [item.where for item in to_items(["A", "B"], name="documents")] == [
        "documents[0]",
        "documents[1]",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "The text is empty."),
        (" \n", "The text is empty."),
        ([], "It holds nothing."),
        (5, "int is not a text, image or video."),
        ({}, "dict is not a text, image or video."),
        ({"sound": "a"}, "dict is not a text, image or video."),
        (Audio(source=CAT), "Audio cannot become a vector."),
        (File(source=CAT), "File cannot become a vector."),
        (Video(source=Frames((CAT,))), "A list of frames is not taken as a video here."),
        (Document(source=REPORT), "Several pages cannot become one vector."),
        (Document(source=REPORT, pages="1-2"), "Several pages cannot become one vector."),
        (Document(source=REPORT, pages=[1, 2]), "Several pages cannot become one vector."),
        (Image(source=CAT, pages=[1, 2]), "Several pages cannot become one vector."),
        ({"text": 5}, "text is int, not str."),
        ({"image": 5}, "image is int, which is not media."),
        ({"multi_images": []}, "multi_images is not a list of images."),
        ({"multi_images": "a.png"}, "multi_images is not a list of images."),
        ({"image": CAT.url, "page": 0}, "page is 0."),
        ({"image": CAT.url, "page": True}, "page is True."),
        ({"image": CAT.url, "page": "1"}, "page is '1'."),
        ({"text": "A", "page": 1}, "page lacks an image beside it."),
    ],
)
def test_errors(value: object, words: str) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        to_item(value, WHERE)
    assert caught.value.problem == words
    assert caught.value.where.startswith(WHERE)


@pytest.mark.parametrize("values", ["A cat.", b"A cat.", {"text": "A cat."}])
def test_one_thing_is_no_list(values: Any) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        list(to_items(values, name="documents"))
    assert str(caught.value) == (
        f"documents is one {type(values).__name__}, not a list. Pass [documents]."
    )
