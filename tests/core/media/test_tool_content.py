"""Content from tools that cannot be sent, as `prepare_media` and the counters treat it."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from qwen_vl.content import (
    DataUrl,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Replacement,
    Text,
    ToolPart,
    ToolResult,
    Turn,
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import (
    ContentError,
    MediaFormatError,
    RequestTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.media import needs_io, prepare_media
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl.wire.openai import encode_request

FILM = BIG_BUCK_BUNNY.read_bytes()
CAT = LocalFile(CHELSEA, is_trusted=True)
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)


def _request(*parts: ToolPart, model: str = "qwen3-vl-plus", **policy: Any) -> Request:
    result = ToolResult(tool_call_id="a", parts=parts)
    options = {name: policy.pop(name) for name in ("server",) if name in policy}
    return Request(
        model=model,
        turns=(Turn(role="tool", parts=(result,)),),
        policy=MediaPolicy(**policy),
        **options,
    )


def _parts(request: Request) -> tuple[ToolPart, ...]:
    (result,) = request.turns[0].parts
    assert isinstance(result, ToolResult)
    return result.parts


def _prepared(*parts: ToolPart, **settings: Any) -> tuple[list[Any], tuple[Replacement, ...]]:
    request = prepare_media(_request(*parts, **settings))
    return list(_parts(request)), request.replaced


BROKEN: dict[str, tuple[ToolPart, dict[str, Any], str]] = {
    "video that PyAV cannot read": (
        Video(source=Inline(FILM[:64] + bytes(2_000))),
        {},
        "The video cannot be shown: The video is damaged or incomplete: ",
    ),
    "video that is to be cut": (
        Video(source=Inline(FILM[:64] + bytes(2_000)), video_mode="frames"),
        {},
        "The video cannot be shown: The video is damaged or incomplete: ",
    ),
    "span behind the end": (
        Video(source=Inline(FILM), start=60.0),
        {},
        "The video cannot be shown: ",
    ),
    "video for a model without videos": (
        Video(source=Url("https://example.com/a.mp4")),
        {"model": "qwen-vl-ocr"},
        "The video cannot be shown: The model 'qwen-vl-ocr' takes no videos.",
    ),
    "PDF that cannot be read": (
        Document(source=Inline(b"%PDF-1.7\n"), pages="x"),
        {},
        "The PDF document cannot be shown: The PDF cannot be read",
    ),
    "HEIC frame that must be a JPEG": (
        Video(source=Frames((Inline(HEIC),) * 4)),
        {"server": "vllm"},
        "image/heic cannot be shown: The service does not list image/heic",
    ),
    "AVIF that is none": (
        Image(source=Inline(b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1" + bytes(100))),
        {},
        "image/avif cannot be shown: ",
    ),
    "pixels of a decoded image as a file": (
        File(source=Pixels(PillowImage.new("L", (20, 20))), media_type="text/csv"),
        {},
        "text/csv cannot be shown: It looks like a decoded image",
    ),
    "empty file": (
        File(source=Inline(b""), media_type="text/csv"),
        {},
        "text/csv cannot be shown: There is nothing in it: 0 bytes.",
    ),
    "unknown encoding": (
        File(source=Inline(b"a,b"), media_type="text/csv; charset=klingon"),
        {},
        "text/csv cannot be shown: It is not text in KLINGON.",
    ),
    "unsupported": (
        Unsupported(error=UnsupportedContentError("No place for it."), kind="hologram"),
        {},
        "The hologram cannot be shown: No place for it.",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_note_stands_at_the_place_of_the_part(name: str) -> None:
    part, settings, note = BROKEN[name]
    before, after = Text(text="Before."), Text(text="After.")

    (first, replaced, last), listed = _prepared(before, part, after, **settings)

    assert (first, last) == (before, after)
    assert isinstance(replaced, Text)
    assert replaced.text.startswith(note)
    assert [each.reason for each in listed] == [replaced.text]


@pytest.mark.parametrize("name", [name for name in BROKEN if "JPEG" not in name])
def test_counting_counts_what_is_sent(name: str) -> None:
    part, settings, _ = BROKEN[name]
    request = _request(part, **settings)
    (sent,), _ = _prepared(part, **settings)

    counted = count_tokens(request.turns, request.model, policy=request.policy)

    noted = Turn(role="tool", parts=(ToolResult(tool_call_id="a", parts=(sent,)),))
    assert counted == count_tokens([noted], request.model)


@pytest.mark.parametrize("name", BROKEN)
def test_error_is_raised_if_the_policy_says_so(name: str) -> None:
    part, settings, _ = BROKEN[name]
    with pytest.raises(ContentError):
        _prepared(part, tool_media_errors="raise", **settings)


@pytest.mark.filterwarnings("ignore:.* cannot be measured")
def test_good_content_counts_and_is_sent_as_before() -> None:
    parts: list[ToolPart] = [
        Image(source=CAT),
        Image(source=Url("https://example.com/a.png")),
        Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="frames"),
        Video(source=Frames((CAT,) * 4)),
    ]
    sent, listed = _prepared(*parts)
    assert listed == ()
    assert not any(isinstance(part, Text) for part in sent)
    alone = sum(count_tokens(part, "qwen3-vl-plus") for part in parts)  # type: ignore[arg-type]
    turns = _request(*parts).turns
    bare = _request().turns
    extra = count_tokens(turns, "qwen3-vl-plus") - count_tokens(bare, "qwen3-vl-plus")
    # The labels of the message that brings the media.
    assert extra == alone + 45


def test_video_that_no_request_could_hold_becomes_a_note() -> None:
    film = Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="frames")

    (note,), listed = _prepared(film, max_total_inline_bytes=2_000)

    assert isinstance(note, Text)
    assert "do not go into" in listed[0].reason


def test_video_that_other_content_leaves_no_room_for_raises() -> None:
    film = Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="frames")
    with pytest.raises(RequestTooLargeError):
        _prepared(Image(source=CAT), film, max_total_inline_bytes=CHELSEA.stat().st_size + 2_000)


def test_too_many_images_of_a_history_raise() -> None:
    with pytest.raises(RequestTooLargeError, match="251 inline images"):
        _prepared(*[Image(source=Inline(b"x"))] * 251)


def test_file_is_read_only_where_the_policy_lets_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b")
    (tmp_path / "open").mkdir()
    roots = (tmp_path / "open",)
    for is_trusted, media_roots in ((False, None), (False, roots), (True, roots)):
        for name in ("a.csv", "lost.csv"):
            source = LocalFile(tmp_path / name, is_trusted=is_trusted)
            (note,), _ = _prepared(File(source=source), media_roots=media_roots)
            assert note.text == "The file cannot be shown."

    source = LocalFile(tmp_path / "a.csv", is_trusted=False)
    assert _prepared(File(source=source), media_roots=(tmp_path,))[0] == [Text(text="File:\na,b")]


def test_open_file_is_read_and_left_where_it_was() -> None:
    file = io.BytesIO(b"a,b")
    file.seek(1)
    assert _prepared(File(source=OpenFile(file), title="a.csv"))[0] == [
        Text(text="File a.csv:\na,b")
    ]
    assert file.tell() == 1


def test_link_needs_no_io_and_a_file_does() -> None:
    assert not needs_io(_request(File(source=Url("https://example.com/a.html"))))
    assert needs_io(_request(File(source=Inline(b"a,b"))))


def test_error_that_was_kept_says_what_it_said() -> None:
    kept = Unsupported(error=MediaFormatError("Broken.", where="messages[2].content[0]"))
    with pytest.raises(MediaFormatError, match=r"messages\[2\]\.content\[0\]: Broken"):
        _prepared(kept, tool_media_errors="raise")


def test_request_of_which_nothing_was_replaced_stays_itself() -> None:
    request = _request(Text(text="Fine."))
    assert prepare_media(request) is request


@pytest.mark.parametrize(
    "part", [BROKEN["unsupported"][0], File(source=Inline(b"x")), Document(source=Inline(b"x"))]
)
def test_tool_content_that_was_not_prepared_is_never_dropped(part: ToolPart) -> None:
    with pytest.raises(TypeError, match="not made ready"):
        encode_request(_request(part))


def test_prepared_media_is_taken_again() -> None:
    (image,), _ = _prepared(Image(source=CAT))
    assert isinstance(image.source, DataUrl)
    assert _prepared(image) == ([image], ())
