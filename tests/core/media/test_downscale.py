"""Images that are larger than the model looks at: as large as it does when they leave."""

import base64
import functools
import io
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image as PillowImage
from PIL import ImageDraw
from PIL.TiffImagePlugin import IFDRational

from qwen_vl.client import QwenVLClient
from qwen_vl.content import Frames, Image, Inline, LocalFile, Pixels, Source, Text, Turn, Url, Video
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media import prepare_media
from qwen_vl.media.downscale import (
    AreaLimit,
    FrameResize,
    ImageResize,
    ProcessorResize,
    find_resize,
)
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import COFFEE
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import get_model_spec, is_service_model
from qwen_vl.specs.servers import get_server_spec
from qwen_vl.specs.vision import count_image_tokens, resize_frame, resize_image
from qwen_vl_sandbox import Sandbox

PLUS = get_model_spec("qwen3-vl-plus")
ORIENTATION = 0x0112


def photograph(size: tuple[int, int] = (4000, 3000)) -> PillowImage.Image:
    return _photograph(size).copy()


@functools.cache
def _photograph(size: tuple[int, int]) -> PillowImage.Image:
    with PillowImage.open(COFFEE) as opened:
        smooth = opened.convert("RGB").resize(size, PillowImage.Resampling.BICUBIC)
    # Grain, as every camera has it, and no flat image compresses like.
    grain = PillowImage.effect_noise((512, 512), 40).resize(size).convert("RGB")
    return PillowImage.blend(smooth, grain, 0.1)


def written(image: PillowImage.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def big() -> PillowImage.Image:
    return photograph()


@pytest.fixture(scope="module")
def jpeg(big: PillowImage.Image) -> bytes:
    return written(big, "JPEG", quality=95)


def sent(source: Source | Frames, *, model: str = "qwen3-vl-plus", **options: Any) -> list[bytes]:
    """Prepare an image, or a list of frames, and give the files that would leave."""
    options_given = {
        name: options.pop(name) for name in ("max_pixels", "total_pixels") if name in options
    }
    parameters = options.pop("parameters", {})
    kind: Any = Video if isinstance(source, Frames) else Image
    turn = Turn(
        role="user", parts=(kind(source=source, where="messages[0].content[0]", **options_given),)
    )
    policy = MediaPolicy(**options)
    request = Request(model=model, turns=(turn,), policy=policy, parameters=parameters)
    part: Any = prepare_media(request).turns[0].parts[0]
    sources = part.source.frames if isinstance(part.source, Frames) else [part.source]
    return [base64.b64decode(found.url.partition(",")[2]) for found in sources]


def opened(data: bytes) -> PillowImage.Image:
    image = PillowImage.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (1856, 1376)),
        ({"max_pixels": 655_360}, (928, 672)),
        ({"parameters": {"vl_high_resolution_images": True}}, None),
        ({"model": "qwen2.5-vl-72b-instruct"}, (1148, 840)),
        ({"model": "qwen-vl-ocr"}, (3328, 2496)),
        ({"downscale_images": False}, None),
        ({"model": "Qwen/Qwen3-VL-8B-Instruct"}, None),
        ({"model": "Qwen/Qwen3-VL-8B-Instruct", "downscale_images": True}, (1856, 1376)),
        ({"model": "my-own-model"}, None),
    ],
    ids=str,
)
def test_size_is_what_the_model_looks_at(
    options: dict[str, Any], size: tuple[int, int] | None, jpeg: bytes
) -> None:
    (data,) = sent(Inline(jpeg), **options)
    if size is None:
        assert data == jpeg
        return
    image = opened(data)
    assert (image.format, image.size) == ("JPEG", size)
    spec = get_model_spec(options.get("model", "qwen3-vl-plus"))
    limits = {"max_pixels": options.get("max_pixels")}
    assert resize_image(*size, spec, **limits) == resize_image(4000, 3000, spec, **limits) == size


def test_shrunk_picture_has_a_fraction_of_the_bytes(jpeg: bytes) -> None:
    (data,) = sent(Inline(jpeg))
    assert len(data) < len(jpeg) / 4


def test_picture_beyond_the_inline_limit_fits_when_shrunk(jpeg: bytes) -> None:
    limit = len(jpeg) // 2
    assert sent(Inline(jpeg), max_inline_bytes=limit)
    with pytest.raises(MediaTooLargeError, match="inline, at most"):
        sent(Inline(jpeg), max_inline_bytes=limit, downscale_images=False)
    with pytest.raises(MediaTooLargeError, match=r"inline, at most 1,000 \(0\.0 MiB\)"):
        sent(Inline(jpeg), max_inline_bytes=1_000)
    with pytest.raises(MediaTooLargeError, match=r"at most 104,858 \(0\.1 MiB\)"):
        sent(Inline(jpeg), max_inline_bytes=104_858, downscale_images=False)


@pytest.mark.parametrize("size", [(1856, 1376), (1900, 1400), (2048, 1536)])
def test_picture_a_little_larger_goes_out_as_it_is(size: tuple[int, int]) -> None:
    data = written(photograph(size), "JPEG")
    assert sent(Inline(data)) == [data]


def test_small_picture_is_not_enlarged() -> None:
    data = written(photograph((40, 30)), "JPEG")
    assert sent(Inline(data)) == [data]


def test_colors_stay(big: PillowImage.Image, jpeg: bytes) -> None:
    (data,) = sent(Inline(jpeg))
    small = opened(data).resize((8, 6), PillowImage.Resampling.BOX)
    truth = big.resize((8, 6), PillowImage.Resampling.BOX)
    pairs = zip(small.tobytes(), truth.tobytes(), strict=True)
    assert max(abs(one - other) for one, other in pairs) <= 6


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_applied_and_other_notes_are_left_out(
    orientation: int, big: PillowImage.Image
) -> None:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "Camera of mine"
    exif.get_ifd(0x8825)[2] = (IFDRational(52), IFDRational(30), IFDRational(0))
    (data,) = sent(Inline(written(big, "JPEG", exif=exif)))
    kept = opened(data).getexif()
    assert not dict(kept)
    assert (opened(data).width < opened(data).height) is (orientation in {6, 8})
    assert b"Camera of mine" not in data


def drawing(mode: str = "RGB", size: tuple[int, int] = (4000, 3000)) -> PillowImage.Image:
    image = PillowImage.new(mode, size, "white")
    pen = ImageDraw.Draw(image)
    for row in range(40):
        pen.text(
            (100, 70 * row),
            "The quick brown fox jumps over the lazy dog. " * 3,
            "black",
            font_size=48,
        )
    return image


def test_text_stays_lossless() -> None:
    data = written(drawing(), "PNG")
    (smaller,) = sent(Inline(data), max_pixels=655_360)
    image = opened(smaller)
    assert (image.format, image.size) == ("PNG", (928, 672))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["PNG", "TIFF", pytest.param("WEBP", marks=pytest.mark.slow), "BMP"]
)
def test_photograph_in_a_lossless_format_becomes_a_jpeg(kind: str) -> None:
    quick = {"WEBP": {"lossless": True, "method": 0, "quality": 0}, "PNG": {"compress_level": 1}}
    data = written(photograph((2800, 2100)), kind, **quick.get(kind, {}))
    (smaller,) = sent(Inline(data))
    assert opened(smaller).format == "JPEG"
    # A PNG that took its time would be an eighth shorter.
    assert len(smaller) < len(data) / 5


@pytest.mark.slow
def test_what_is_transparent_is_put_on_white(big: PillowImage.Image) -> None:
    see_through = big.convert("RGBA")
    see_through.putalpha(PillowImage.linear_gradient("L").resize(big.size))
    (smaller,) = sent(Inline(written(see_through, "PNG", compress_level=1)))
    image = opened(smaller)
    assert (image.mode, image.size) == ("RGB", (1856, 1376))
    red, green, blue = image.getpixel((900, 2))  # type: ignore[misc]  # RGB has three channels.
    assert min(red, green, blue) > 250


def test_what_is_transparent_in_a_palette_is_put_on_white() -> None:
    image = PillowImage.new("P", (2800, 2100))
    image.putpalette([255, 0, 0, 0], "RGBA")
    (smaller,) = sent(Pixels(image))
    shown = opened(smaller)
    assert shown.width < image.width
    assert shown.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
def test_other_modes(mode: str) -> None:
    image = photograph((2800, 2100)).convert(mode)
    kind = "JPEG" if mode in {"L", "CMYK"} else "PNG"
    (smaller,) = sent(Inline(written(image, kind)))
    assert opened(smaller).size == (1856, 1376)
    assert opened(smaller).mode in {"L", "RGB"}


def test_picture_that_would_have_more_bytes_goes_out_as_it_is() -> None:
    data = written(photograph((2800, 2100)).convert("1"), "PNG")
    assert sent(Inline(data)) == [data]


def test_photograph_of_a_phone_that_holds_two() -> None:
    images = [photograph((2800, 2100)), photograph((640, 480))]
    data = written(images[0], "MPO", save_all=True, append_images=images[1:])
    (smaller,) = sent(Inline(data))
    assert opened(smaller).size == (1856, 1376)


def test_longer_files_than_usual_may_be_read_where_they_may_be_inlined(
    jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen_vl.media.part.MAX_FILE_BYTES", 1_000)
    assert sent(Inline(jpeg), max_inline_bytes=len(jpeg))
    with pytest.raises(MediaTooLargeError):
        sent(Inline(jpeg), max_inline_bytes=len(jpeg) - 1)


def test_decoded_picture_is_shrunk(big: PillowImage.Image) -> None:
    (data,) = sent(Pixels(big), max_pixels=655_360)
    assert opened(data).size == (928, 672)
    assert big.size == (4000, 3000)


def test_frames_are_as_large_as_the_model_looks_at_them() -> None:
    frame = written(photograph((1920, 1080)), "JPEG")
    sizes = {opened(data).size for data in sent(Frames((Inline(frame),) * 8))}
    assert sizes == {resize_frame(1920, 1080, 8, PLUS)}


def test_frames_with_a_limit() -> None:
    frame = written(photograph((1920, 1080)), "JPEG")
    total = 8 * 100_352
    sizes = {opened(data).size for data in sent(Frames((Inline(frame),) * 8), total_pixels=total)}
    assert sizes == {resize_frame(1920, 1080, 8, PLUS, total_pixels=total)}


def test_damaged_picture_says_so(jpeg: bytes) -> None:
    broken = bytearray(written(photograph((2800, 2100)), "PNG", compress_level=1))
    broken[len(broken) // 2 : len(broken) // 2 + 400] = bytes(400)
    with pytest.raises(
        MediaFormatError, match=r"content\[0\].*cannot be decoded.*downscale_images"
    ):
        sent(Inline(bytes(broken)))


def test_bomb_is_refused() -> None:
    image = PillowImage.new("1", (20_000, 10_000))
    with pytest.raises(MediaTooLargeError, match="too large to be decoded"):
        sent(Inline(written(image, "PNG")))


def test_address_is_not_touched() -> None:
    turn = Turn(role="user", parts=(Image(source=Url("https://example.com/big.jpg")),))
    request = Request(model="qwen3-vl-plus", turns=(turn,))
    assert prepare_media(request) is request


def test_setting_is_an_instance_s(jpeg: bytes) -> None:
    settings = QwenVLSettings(api_key="sk-1", downscale_images=False)
    turn = Turn(role="user", parts=(Image(source=Inline(jpeg)), Text(text="?")))
    assert build_request(settings, [turn]).policy.downscale_images is False
    assert build_request(QwenVLSettings(api_key="sk-1"), [turn]).policy.downscale_images is None


def test_service_counts_the_same_tokens(jpeg: bytes, qwen_vl_sandbox: Sandbox) -> None:
    counts = set()
    for shrinks in (False, True):
        settings = QwenVLSettings(
            api_key="sk-sandbox", base_url=qwen_vl_sandbox.base_url, downscale_images=shrinks
        )
        turn = Turn(role="user", parts=(Image(source=Inline(jpeg)), Text(text="?")))
        reply = QwenVLClient(build_connection(settings)).ask(build_request(settings, [turn]))
        assert reply.usage is not None
        counts.add(reply.usage.image_tokens)
    assert counts == {count_image_tokens(4000, 3000, PLUS)}


def test_memory_stays_below_the_decoded_picture(jpeg: bytes, tmp_path: Any) -> None:
    """A JPEG is decoded at half its size: 12 megapixels would be 36 MB."""
    path = tmp_path / "big.jpg"
    path.write_bytes(jpeg)
    code = f"""
import resource
from pathlib import Path
from PIL import Image
Image.init()
from qwen_vl.content import Image, LocalFile, Turn
from qwen_vl.media import prepare_media
from qwen_vl.request.types import Request
def grown(path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    turn = Turn(role="user", parts=(Image(source=LocalFile(Path(path), is_trusted=True)),))
    prepare_media(Request(model="qwen3-vl-plus", turns=(turn,)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
grown({str(COFFEE)!r})
print(grown({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 48_000


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen3.8-flash", "qwen-vl-max-latest"])
def test_service_s_models_are_known(model: str) -> None:
    assert is_service_model(model)


def test_file(tmp_path: Any, jpeg: bytes) -> None:
    path = tmp_path / "big.jpg"
    path.write_bytes(jpeg)
    (data,) = sent(LocalFile(path, is_trusted=True))
    assert opened(data).size == (1856, 1376)


def test_what_the_server_enlarges_again_stays() -> None:
    # Qwen3-VL processes 65,536 pixels or more: 16 x 4,096.
    limit = AreaLimit(family="qwen3_vl", max_pixels=10_000)
    assert limit(16, 4_096) == (16, 4_096)
    assert limit(100, 100) == (100, 100)
    width, height = limit(17, 4_096)
    assert (width, height) != (17, 4_096)
    assert (width % 32, height % 32) == (0, 0)


URL = Url("https://example.com/photo.jpg")
HOSTED = "qwen3-vl-plus"
OPEN = "Qwen/Qwen3-VL-8B-Instruct"


@pytest.mark.parametrize(
    ("server", "model", "wanted", "kind"),
    [
        # The hosted service's own models, unless the program says no.
        ("dashscope", HOSTED, None, ImageResize),
        ("dashscope", HOSTED, True, ImageResize),
        ("dashscope", HOSTED, False, None),
        ("dashscope", OPEN, None, None),
        ("dashscope", OPEN, True, ImageResize),
        # A gateway has the hosted models behind it as a rule.
        ("openai_compatible", HOSTED, None, ImageResize),
        ("openai_compatible", HOSTED, False, None),
        # A server of one's own downscales itself, unless the program wants to save bytes.
        ("vllm", OPEN, None, None),
        ("vllm", OPEN, True, ProcessorResize),
        ("vllm", OPEN, False, None),
        ("ollama", OPEN, None, None),
        ("ollama", OPEN, True, ProcessorResize),
        ("ollama", OPEN, False, None),
    ],
)
def test_who_downscales_an_image(server: Any, model: str, wanted: Any, kind: Any) -> None:
    policy = MediaPolicy(downscale_images=wanted)
    request = Request(model=model, turns=(), server=server, policy=policy)
    found = find_resize(Image(source=URL), request)
    assert type(found) is (kind or type(None))
    video = find_resize(Video(source=Frames((URL, URL))), request)
    frames = FrameResize if kind is ImageResize and server == "dashscope" else kind
    if server != "openai_compatible":
        assert type(video) is (frames or type(None))


def test_limit_of_a_server_that_knows_none_is_applied_here() -> None:
    def find(max_pixels: int | None, *, wanted: bool | None = None) -> Any:
        policy = MediaPolicy(downscale_images=wanted)
        request = Request(model=OPEN, turns=(), server="ollama", policy=policy)
        return find_resize(Image(source=URL, max_pixels=max_pixels), request)

    area = get_server_spec("ollama").image_area("qwen3_vl")
    limit = AreaLimit(family="qwen3_vl", max_pixels=80_000, area=area)
    assert find(80_000) == find(80_000, wanted=True) == limit
    assert find(80_000, wanted=False) is None
    assert find(None) is None
    assert find(None, wanted=True) == ProcessorResize(
        family="qwen3_vl", min_pixels=area[0], max_pixels=area[1]
    )
