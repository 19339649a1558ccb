"""The part that each shape of a block stands for: all of its fields, whichever name they have."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from langchain_qwen_vl.blocks import kind_of, sniff_base64, to_part, to_tool_part
from qwen_vl.content import (
    Audio,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    Pixels,
    Reasoning,
    Text,
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import CHELSEA

WHERE = "messages[0].content[0]"
PNG = CHELSEA.read_bytes()
PNG_TEXT = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.7\n%\xe2\xe3\n"
PDF_TEXT = base64.b64encode(PDF).decode()
MP3 = b"ID3\x04\x00" + bytes(20)
MP3_TEXT = base64.b64encode(MP3).decode()
CAT = Url("https://example.com/cat.png")
CLIP = Url("https://example.com/walk.mp4")
SONG = Url("https://example.com/song.mp3")
PIXELS = PillowImage.new("RGB", (32, 32))
EPHEMERAL = {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("Hello", Text(text="Hello")),
        ({"type": "text", "text": ""}, Text(text="")),
        (
            {"type": "text", "text": "Hello", "cache_control": EPHEMERAL},
            Text(text="Hello", cache_control=EPHEMERAL),
        ),
        ({"text": "Hello"}, Text(text="Hello")),
        ({"type": "text-plain", "text": "Hello"}, Text(text="Hello")),
        ({"type": "refusal", "refusal": "No."}, Text(text="No.")),
        ({"type": "refusal", "refusal": None}, Text(text="")),
        ({"type": "non_standard", "value": {"type": "text", "text": "a"}}, Text(text="a")),
        ({"type": "reasoning", "reasoning": "Hm."}, Reasoning(text="Hm.")),
        ({"type": "thinking", "thinking": "Hm."}, Reasoning(text="Hm.")),
        (
            {
                "type": "reasoning",
                "summary": [{"text": "One."}, "x", {"text": None}, {"text": "Two."}],
            },
            Reasoning(text="One.\n\n\n\nTwo."),
        ),
        ({"type": "reasoning", "content": [{"text": "One."}]}, Reasoning(text="One.")),
        (
            {"type": "reasoning", "reasoning": "", "extras": {"encrypted_content": "gA"}},
            Reasoning(text="", encrypted_content="gA"),
        ),
        ({"type": "reasoning", "reasoning": "Hm.", "extras": 5}, Reasoning(text="Hm.")),
        # Where an image is.
        ({"type": "image_url", "image_url": {"url": CAT.url}}, Image(source=CAT)),
        ({"type": "image_url", "image_url": CAT.url}, Image(source=CAT)),
        ({"type": "input_image", "image_url": CAT.url}, Image(source=CAT)),
        ({"image": CAT.url}, Image(source=CAT)),
        ({"type": "image", "url": CAT.url}, Image(source=CAT)),
        (
            {"type": "image", "path": Path("cat.png")},
            Image(source=LocalFile(Path("cat.png"), is_trusted=True)),
        ),
        ({"type": "image", "url": "", "base64": "QUJD"}, Image(source=Inline("QUJD"))),
        ({"type": "image", "base64": "https"}, Image(source=Inline("https"))),
        ({"type": "image", "source_type": "base64", "data": "QUJD"}, Image(source=Inline("QUJD"))),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
            },
            Image(source=Inline("QUJD")),
        ),
        ({"type": "image", "source": {"type": "url", "url": CAT.url}}, Image(source=CAT)),
        ({"type": "image", "image": PNG}, Image(source=Inline(PNG))),
        ({"type": "image", "image": {"bytes": PNG, "path": None}}, Image(source=Inline(PNG))),
        ({"type": "image", "image": PIXELS}, Image(source=Pixels(PIXELS))),
        # Options of an image: beside it, within it, in `extras` or `metadata`.
        (
            {"type": "image", "url": CAT.url, "min_pixels": 70_000, "max_pixels": 80_000},
            Image(source=CAT, min_pixels=70_000, max_pixels=80_000),
        ),
        (
            {"type": "image_url", "image_url": {"url": CAT.url, "detail": "high", "pages": "1-2"}},
            Image(source=CAT, detail="high", pages="1-2"),
        ),
        (
            {"type": "image", "url": CAT.url, "extras": {"max_pixels": 80_000, "title": "Cat"}},
            Image(source=CAT, max_pixels=80_000, title="Cat"),
        ),
        (
            {"type": "image", "url": CAT.url, "extras": {"metadata": {"max_pixels": 80_000}}},
            Image(source=CAT, max_pixels=80_000),
        ),
        (
            {"type": "image", "url": CAT.url, "metadata": {"filename": "cat.png"}},
            Image(source=CAT, title="cat.png"),
        ),
        (
            {"type": "image", "url": CAT.url, "title": "Cat", "filename": "cat.png"},
            Image(source=CAT, title="Cat"),
        ),
        (
            {"type": "image", "url": CAT.url, "extras": {"cache_control": EPHEMERAL}},
            Image(source=CAT, cache_control=EPHEMERAL),
        ),
        # Videos, and lists of frames.
        (
            {"type": "video_url", "video_url": {"url": CLIP.url}, "fps": 1},
            Video(source=CLIP, fps=1),
        ),
        ({"video": CLIP.url, "max_frames": 8}, Video(source=CLIP, max_frames=8)),
        (
            {"type": "video", "url": CLIP.url, "start": 1, "end": 2, "video_mode": "frames"},
            Video(source=CLIP, start=1, end=2, video_mode="frames"),
        ),
        (
            {"type": "video", "url": CLIP.url, "total_pixels": 9, "min_pixels": 7, "max_pixels": 8},
            Video(source=CLIP, total_pixels=9, min_pixels=7, max_pixels=8),
        ),
        (
            {"type": "video", "video": [CAT.url, {"type": "image", "url": CAT.url}], "fps": 2},
            Video(source=Frames((CAT, CAT)), fps=2),
        ),
        (
            {"type": "video", "frames": (CAT.url, PNG), "timestamps": [0, 1.5]},
            Video(source=Frames((CAT, Inline(PNG))), timestamps=[0, 1.5]),
        ),
        # Audio.
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            Audio(source=Inline("QUJD"), format="wav"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": SONG.url, "format": "mp3"}},
            Audio(source=SONG, format="mp3"),
        ),
        ({"type": "audio", "base64": SONG.url}, Audio(source=SONG)),
        ({"type": "audio", "audio": SONG.url}, Audio(source=SONG)),
        (
            {"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"},
            Audio(source=Inline("QUJD"), format="audio/wav"),
        ),
        (
            {"type": "audio", "base64": "QUJD", "format": "mp3", "mime_type": "audio/wav"},
            Audio(source=Inline("QUJD"), format="mp3"),
        ),
        ({"type": "audio", "data": "", "url": SONG.url}, Audio(source=SONG)),
        # Files, by their type: what the bytes say counts before what is stated.
        ({"type": "file", "url": CAT.url, "mime_type": "image/png"}, Image(source=CAT)),
        ({"type": "media", "file_uri": CLIP.url, "mime_type": "video/mp4"}, Video(source=CLIP)),
        (
            {
                "type": "document",
                "source": {"type": "url", "url": CAT.url, "media_type": "image/png"},
            },
            Image(source=CAT),
        ),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG_TEXT}"}},
            Image(source=Url(f"data:application/pdf;base64,{PNG_TEXT}")),
        ),
        (
            {"type": "file", "base64": PDF_TEXT, "filename": "a.pdf", "pages": [1], "dpi": 100},
            Document(source=Inline(PDF_TEXT), title="a.pdf", pages=[1], dpi=100),
        ),
        (
            {"type": "file", "file": {"bytes": PDF, "path": "a.pdf"}, "max_pixels": 80_000},
            Document(source=Inline(PDF), max_pixels=80_000),
        ),
        ({"type": "file", "file": PDF}, Document(source=Inline(PDF))),
        ({"type": "file", "file": PDF_TEXT}, Document(source=Inline(PDF_TEXT))),
        ({"type": "file", "path": CHELSEA}, Image(source=LocalFile(CHELSEA, is_trusted=True))),
        ({"type": "file", "file": PIXELS}, Image(source=Pixels(PIXELS))),
        (
            {"type": "file", "url": SONG.url, "mime_type": "audio/mpeg"},
            Audio(source=SONG, format="audio/mpeg"),
        ),
    ],
)
def test_parts(block: Any, part: Any) -> None:
    found = to_part(block, WHERE)
    assert found == part
    assert found.where == WHERE


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (5, "A content block is a dict or a string, not int."),
        ({"type": "table"}, "Content of type 'table' is not supported by Qwen VL."),
        ({"type": 5}, "Content of type 5 is not supported by Qwen VL."),
        ({}, "Content of type None is not supported by Qwen VL."),
        ({"type": "text", "text": 5}, "The text block holds no text."),
        ({"type": "text-plain", "base64": "QUJD"}, "A text document is taken by its `text` alone."),
        ({"type": "image"}, "The image block holds no image."),
        ({"type": "image", "image": ""}, "The image block holds no image."),
        ({"type": "image", "image": 5}, "The image cannot be of type int."),
        ({"type": "audio"}, "The audio block holds no audio."),
        (
            {"type": "image", "file_id": "f"},
            "The image is given by file_id, but the service stores",
        ),
        (
            {"type": "video", "source": {"type": "file", "file_id": "f"}},
            "The video is given by file_id, but the service stores",
        ),
        ({"type": "image", "source_type": "id", "id": "f"}, "The image is given by file_id"),
        (
            {"type": "file", "file": {"file_id": "f"}, "mime_type": "image/png"},
            "The file is given by file_id",
        ),
        (
            {"type": "file", "url": "https://example.com/a.csv", "mime_type": "text/csv"},
            "A file of type text/csv is not supported by Qwen VL.",
        ),
        (
            {"type": "file", "url": "https://example.com/a"},
            "A file without a mime_type is not supported by Qwen VL.",
        ),
        (
            {"type": "video", "video": [CAT.url, {"type": "video", "url": CLIP.url}]},
            "A frame that is not an image.",
        ),
        ({"type": "video", "video": [CAT.url, 5]}, "The frame cannot be of type int."),
    ],
)
def test_errors(block: Any, words: str) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        to_part(block, WHERE)
    assert caught.value.problem.startswith(words)
    place = f"{WHERE}.video[1]" if "frame" in words else WHERE
    assert caught.value.where == place


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ("Hello", Text(text="Hello")),
        ({"type": "image", "url": CAT.url}, Image(source=CAT)),
        ({"type": "text-plain", "text": "Hello"}, Text(text="Hello")),
        (
            {"type": "text-plain", "base64": "SGk=", "mime_type": "text/csv", "title": "a.csv"},
            File(source=Inline("SGk="), media_type="text/csv", title="a.csv"),
        ),
        # Files are text, media, links, or anything.
        (
            {"type": "file", "text": "Hi.", "mime_type": "text/plain", "filename": "a.txt"},
            File(source=Inline(b"Hi."), media_type="text/plain", title="a.txt"),
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "Hi."}, "title": "A"},
            File(source=Inline(b"Hi."), title="A"),
        ),
        ({"type": "file", "url": CAT.url, "mime_type": "image/png"}, Image(source=CAT)),
        (
            {"type": "file", "url": "https://example.com/a.pdf", "mime_type": "application/pdf"},
            File(source=Url("https://example.com/a.pdf"), media_type="application/pdf"),
        ),
        ({"type": "file", "url": "demo://a"}, File(source=Url("demo://a"))),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{MP3_TEXT}"}},
            Audio(source=Url(f"data:application/pdf;base64,{MP3_TEXT}")),
        ),
        (
            {"type": "file", "base64": "SGk=", "mime_type": "application/pdf", "name": "a"},
            File(source=Inline("SGk="), title="a"),
        ),
        (
            {"type": "file", "base64": PDF_TEXT, "mime_type": "application/pdf"},
            Document(source=Inline(PDF_TEXT)),
        ),
        (
            {"type": "file", "base64": MP3_TEXT, "mime_type": "audio/mpeg"},
            Audio(source=Inline(MP3_TEXT), format="audio/mpeg"),
        ),
        # MCP's links and embedded resources.
        (
            {"type": "resource_link", "uri": CAT.url, "mimeType": "image/png", "name": "A"},
            Image(source=CAT),
        ),
        (
            {"type": "resource_link", "uri": "demo://a", "mimeType": "image/png", "name": "A"},
            File(source=Url("demo://a"), media_type="image/png", title="A"),
        ),
        ({"type": "resource_link", "url": SONG.url}, File(source=SONG)),
        (
            {"type": "resource", "resource": {"uri": "demo://a", "text": "Hi."}},
            File(source=Inline(b"Hi."), media_type="text/plain", title="demo://a"),
        ),
        (
            {"type": "resource", "resource": {"text": "a,b", "mimeType": "text/csv"}},
            File(source=Inline(b"a,b"), media_type="text/csv"),
        ),
        (
            {"type": "resource", "resource": {"uri": "demo://a", "blob": PNG_TEXT}},
            Image(source=Inline(PNG_TEXT), title="demo://a"),
        ),
        (
            {
                "type": "resource",
                "resource": {"uri": "demo://a", "blob": "SGk=", "mimeType": "a/b"},
            },
            File(source=Inline("SGk="), media_type="a/b", title="demo://a"),
        ),
        # Values of programs, and Anthropic's search results.
        ({"type": "json", "json": {"ä": 1}}, Text(text='{"ä": 1}')),
        ({"type": "json", "data": [1]}, Text(text="[1]")),
        ({"type": "json", "value": None}, Text(text="null")),
        (
            {"type": "search_result", "title": "T", "source": "s", "content": [{"text": "a"}, "b"]},
            Text(text="T s:\na\nb"),
        ),
        ({"type": "search_result", "source": "s", "content": "a"}, Text(text="s:\na")),
        ({"type": "search_result", "title": "T", "content": None}, Text(text="T:")),
    ],
)
def test_parts_of_tools(block: Any, part: Any) -> None:
    found = to_tool_part(block, WHERE)
    assert found == part
    assert found.where == WHERE


@pytest.mark.parametrize(
    ("block", "kind", "words"),
    [
        ({"type": "image"}, "image", "The image block holds no image."),
        ({"type": "video_url"}, "video", "The video block holds no video."),
        ({"type": "input_audio"}, "audio", "The audio block holds no audio."),
        ({"type": "resource"}, "file", "The file block holds no file."),
        ({"type": "table"}, "content", "Content of type 'table' is not supported by Qwen VL."),
        (5, "content", "A content block is a dict or a string, not int."),
        (
            {"type": "reasoning", "reasoning": "Hm."},
            "content",
            "A tool's result cannot hold a reasoning.",
        ),
        ({"type": "json", "json": {1, 2}}, "content", "It is not JSON: "),
    ],
)
def test_content_that_no_tool_can_return(block: Any, kind: str, words: str) -> None:
    found = to_tool_part(block, WHERE)
    assert isinstance(found, Unsupported)
    assert (found.kind, found.where) == (kind, WHERE)
    assert found.error.problem.startswith(words)


def test_kind_is_stated_or_that_of_a_key() -> None:
    assert kind_of({"type": "", "image": "a", "text": "b"}) == "image"
    assert kind_of({"text": "b", "video_url": "c"}) == "text"
    assert kind_of({"fps": 2}) is None


def test_what_is_not_sent_is_named() -> None:
    block = {"type": "image", "url": CAT.url, "fps": 2, "extras": {"zoom": 1, "detail": "low"}}
    with pytest.warns(UserWarning, match="is not something") as warned:
        to_part(block, WHERE)
    assert [str(each.message).split(" is ")[0] for each in warned] == [
        f"{WHERE}: 'fps'",
        f"{WHERE}: 'zoom'",
    ]


def test_type_of_base64_is_that_of_its_beginning() -> None:
    assert sniff_base64(PNG_TEXT) == "image/png"
    assert sniff_base64("QUJD") is None
    assert sniff_base64("=") is None
    # A PDF may begin anywhere within 1,024 bytes.
    late = bytes(1_016) + b"%PDF-1.7"
    assert sniff_base64(base64.b64encode(late).decode()) == "application/pdf"


def test_open_files_are_sniffed_and_stay_where_they_are() -> None:
    file = io.BytesIO(PDF)
    file.seek(3)
    part = to_part({"type": "file", "file": file}, WHERE)
    assert isinstance(part, Document)
    assert file.tell() == 3
