"""Packing: no request above a limit, each item exactly once."""

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from qwen_vl.content import DataUrl, Image, Text, Url, Video
from qwen_vl.embedding.items import Item, to_items
from qwen_vl.embedding.packing import PackLimits, measure_item, pack_items
from qwen_vl.embedding.preparing import MediaLimits, make_request, prepare_item
from qwen_vl.errors import (
    MediaAccessError,
    MediaTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.embedding import EMBEDDING_MODELS, get_embedding_spec

MAX_BYTES = 1_000
LIMITS = MediaLimits(
    max_pixels=1_310_720, max_image_bytes=10**7, max_video_bytes=5 * 10**7, max_text_tokens=32_000
)


def _image(n_bytes: int) -> Image:
    return Image(source=DataUrl("image/png", b"", None, n_bytes))


_texts = st.text("ab", min_size=1, max_size=300).map(lambda text: Text(text=text))
_images = st.integers(1, MAX_BYTES).map(_image)
_videos = st.just(Video(source=Url("https://example.com/a.mp4")))
_parts = st.one_of(_texts, _images, _videos)
_items = st.lists(st.lists(_parts, min_size=1, max_size=7).map(tuple), max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    items=_items, model=st.sampled_from(sorted(EMBEDDING_MODELS)), max_elements=st.integers(1, 25)
)
def test_no_request_is_above_a_limit_and_each_item_is_sent_once(
    items: list[tuple[Text | Image | Video, ...]], model: str, max_elements: int
) -> None:
    spec = get_embedding_spec(model)
    limits = PackLimits(spec=spec, max_elements=max_elements, max_bytes=MAX_BYTES)
    fitting = []
    for parts in items:
        item = Item(parts=parts)
        try:
            list(pack_items([item], limits))
        except (MediaTooLargeError, UnsupportedContentError):
            continue
        fitting.append(item)
    packs = list(pack_items(fitting, limits))

    assert sorted(at for pack in packs for at in pack.positions) == list(range(len(fitting)))
    for pack in packs:
        assert [fitting[at] for at in pack.positions] == list(pack.items)
        parts = [part for item in pack.items for part in item.parts]
        n_images = sum(isinstance(part, Image) for part in parts)
        n_videos = sum(isinstance(part, Video) for part in parts)
        assert sum(measure_item(item, limits).elements for item in pack.items) <= min(
            20, max_elements
        )
        assert n_images <= (spec.max_images or n_images)
        assert n_videos <= (spec.max_videos or n_videos)
        assert sum(measure_item(item, limits).n_bytes for item in pack.items) <= MAX_BYTES
        if spec.fusion in {"flag", "always"}:
            # All contents of such a request become one vector.
            fuses = spec.fusion == "always" or len(pack.items[0].parts) > 1
            assert pack.is_fused is fuses
            assert not fuses or len(pack.items) == 1
            assert fuses or all(len(item.parts) == 1 for item in pack.items)


def test_requests_are_filled() -> None:
    """5 images or 20 elements a request (Multimodal-embedding page, 2026-11)."""
    limits = PackLimits(spec=get_embedding_spec(""), max_elements=20, max_bytes=10**6)

    assert [len(pack.items) for pack in pack_items(to_items(["a"] * 45), limits)] == [20, 20, 5]
    images = [Item(parts=(_image(10),))] * 12
    assert [len(pack.items) for pack in pack_items(images, limits)] == [5, 5, 2]


@pytest.mark.parametrize(
    ("model", "value", "problem"),
    [
        ("multimodal-embedding-v1", ["a", "b"], r"items\[0\]: .*no vectors of several parts"),
        ("qwen2.5-vl-embedding", ["a", "b"], r"items\[0\]: .*2 texts; one request takes 1"),
        (
            "qwen3-vl-embedding",
            {"multi_images": ["https://example.com/a.png"] * 6},
            r"items\[0\]: .*6 images; one request takes 5",
        ),
        (
            "tongyi-embedding-vision-plus-2026-03-06",
            ["a", "b"],
            r"items\[0\]: .*fuses one text, one video and several images",
        ),
    ],
)
def test_what_cannot_be_fused_raises(model: str, value: object, problem: str) -> None:
    limits = PackLimits(spec=get_embedding_spec(model), max_elements=20, max_bytes=MAX_BYTES)

    with pytest.raises((MediaTooLargeError, UnsupportedContentError), match=problem):
        list(pack_items(to_items([value]), limits))


def test_values_of_each_kind_become_items(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    square = PillowImage.new("RGB", (32, 32))
    square.save(buffer, "PNG")
    values = [
        "https://example.com/a.png",
        CHELSEA,
        BIG_BUCK_BUNNY,
        buffer.getvalue(),
        BIG_BUCK_BUNNY.read_bytes(),
        square,
        {"image": "https://example.com/a.png"},
        {"video": "https://example.com/a.mp4"},
        ("a cat", CHELSEA),
    ]

    kinds = [[type(part).__name__ for part in item.parts] for item in to_items(values)]

    assert kinds == [
        ["Text"],
        ["Image"],
        ["Video"],
        ["Image"],
        ["Video"],
        ["Image"],
        ["Image"],
        ["Video"],
        ["Text", "Image"],
    ]


@pytest.mark.parametrize("value", ["", " ", [], {}, None, 3, {"sound": "a"}, {"text": 3}])
def test_what_is_nothing_raises_and_names_the_item(value: object) -> None:
    with pytest.raises(UnsupportedContentError, match=r"items\[1\]"):
        list(to_items(["a", value]))


def test_images_are_downscaled_and_files_are_guarded(tmp_path: Path) -> None:
    request = make_request("qwen3-vl-embedding", QwenVLSettings(), LIMITS)
    large = PillowImage.new("RGB", (3000, 2000), "red")
    large.save(tmp_path / "large.png")

    prepared = prepare_item(next(to_items([tmp_path / "large.png"])), request, LIMITS)

    source = prepared.parts[0]
    assert isinstance(source, Image)
    assert isinstance(source.source, DataUrl)
    assert source.source.original_size == (3000, 2000)
    width, height = source.source.size or (0, 0)
    assert 1_200_000 < width * height <= 1_310_720
    # A path in text is read only inside `media_roots`.
    with pytest.raises(MediaAccessError, match=r"items\[0\]"):
        prepare_item(next(to_items([{"image": str(CHELSEA)}])), request, LIMITS)


def test_local_videos_are_uploaded_or_refused() -> None:
    request = make_request("qwen3-vl-embedding", QwenVLSettings(), LIMITS)
    [item] = to_items([BIG_BUCK_BUNNY])

    with pytest.raises(UnsupportedContentError, match=r'items\[0\]: .*video_mode="upload"'):
        prepare_item(item, request, LIMITS)
    upload = make_request("qwen3-vl-embedding", QwenVLSettings(video_mode="upload"), LIMITS)
    video = prepare_item(item, upload, LIMITS).parts[0]
    assert isinstance(video, Video)
    assert video.video_mode == "upload"
    small = MediaLimits(
        max_pixels=10**6, max_image_bytes=10**6, max_video_bytes=99, max_text_tokens=1
    )
    with pytest.raises(MediaTooLargeError, match=r"items\[0\]: The video has"):
        prepare_item(item, upload, small)


def test_long_texts_warn() -> None:
    request = make_request("qwen3-vl-embedding", QwenVLSettings(), LIMITS)
    [item] = to_items(["ten words " * 40_000])

    with pytest.warns(UserWarning, match=r"items\[0\]: The text has about .* tokens"):
        prepare_item(item, request, LIMITS)


def test_limits_must_be_met_by_one_item() -> None:
    limits = PackLimits(spec=get_embedding_spec(""), max_elements=20, max_bytes=10)

    with pytest.raises(MediaTooLargeError, match=r"items\[1\]: The item has 11 bytes"):
        list(pack_items(to_items(["a", "b" * 11]), limits))
