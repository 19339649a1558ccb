"""The blocks that the images and videos of nodes become, with the options of their metadata."""

import base64
from typing import Any

import pytest
from llama_index.core.base.llms.types import ImageBlock, VideoBlock
from llama_index.core.schema import ImageNode, MediaResource, Node, TextNode

from llama_index.llms.qwen_vl.nodes.read import (
    METADATA_KEYS,
    complete_keys,
    find_silent_keys,
    read_media,
)
from qwen_vl.errors import MediaFormatError, MediaOptionError
from qwen_vl.samples import CHELSEA

KEYS = complete_keys({})
CAT = "https://example.com/cat.png"
CLIP = "https://example.com/walk.mp4"
PNG = CHELSEA.read_bytes()
PNG_TEXT = base64.b64encode(PNG).decode()


def urls(node: Any) -> list[str]:
    return [str(block.url) for block in read_media(node, KEYS)]


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (TextNode(text="a"), []),
        (TextNode(metadata={"image_url": CAT}), [CAT]),
        (TextNode(metadata={"image_url": CAT, "max_pixels": 80_000}), [f"{CAT}#max_pixels=80000"]),
        (
            TextNode(metadata={"image_url": CAT, "video_url": CLIP, "fps": 0.5}),
            [CAT, f"{CLIP}#fps=0.5"],
        ),
        (ImageNode(image_url=CAT), [CAT]),
        (ImageNode(image_url=CAT, metadata={"max_pixels": 80_000}), [f"{CAT}#max_pixels=80000"]),
        # The node's own image counts before that of its metadata.
        (ImageNode(image_url=CAT, metadata={"image_url": "https://example.com/b.png"}), [CAT]),
        (
            Node(video_resource=MediaResource(url=CLIP), metadata={"fps": 2}),
            [f"{CLIP}#fps=2"],
        ),
    ],
)
def test_media_by_url(node: Any, found: list[str]) -> None:
    assert urls(node) == found


def test_options_of_bytes_stand_in_the_type() -> None:
    node = ImageNode(image=PNG_TEXT, metadata={"max_pixels": 80_000})
    (block,) = read_media(node, KEYS)
    assert isinstance(block, ImageBlock)
    assert block.image == PNG_TEXT.encode()
    assert block.image_mimetype == "image/png;max_pixels=80000"
    (plain,) = read_media(ImageNode(image=PNG_TEXT), KEYS)
    assert isinstance(plain, ImageBlock)
    assert ";" not in (plain.image_mimetype or "")


def test_kinds_of_blocks() -> None:
    image, video = read_media(TextNode(metadata={"image_url": CAT, "video_url": CLIP}), KEYS)
    assert (type(image), type(video)) == (ImageBlock, VideoBlock)


def test_keys_may_have_other_names() -> None:
    keys = complete_keys({"image_url": "picture"})
    assert set(keys) == set(METADATA_KEYS)
    (block,) = read_media(TextNode(metadata={"picture": CAT, "image_url": "no"}), keys)
    assert str(block.url) == CAT
    assert "picture" in find_silent_keys(keys)
    assert "page" not in find_silent_keys(keys)


def test_errors_name_the_node() -> None:
    node = TextNode(id_="n-1", metadata={"image_url": CAT, "max_pixels": "many"})
    with pytest.raises(MediaOptionError) as wrong:
        read_media(node, KEYS)
    assert wrong.value.where == "node 'n-1': metadata['max_pixels']"
    with pytest.raises(MediaFormatError) as empty:
        read_media(ImageNode(id_="n-2"), KEYS)
    assert str(empty.value).startswith("node 'n-2': Its image is empty.")
