"""The parts and turns that LlamaIndex's blocks and messages stand for, with all of their fields."""

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index.llms.qwen_vl import document_block, image_block
from llama_index.llms.qwen_vl.block_options import (
    FRAMES_TYPE,
    Options,
    join_pages,
    read_data_url,
    read_fragment,
    read_frames,
    read_page_options,
    read_parameters,
    write_fragment,
    write_page_options,
    write_parameters,
)
from llama_index.llms.qwen_vl.blocks import to_parts, to_tool_parts, with_part
from llama_index.llms.qwen_vl.citations import ContextPrompt
from llama_index.llms.qwen_vl.messages import to_turns
from qwen_vl.content import (
    Audio,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import ContentError, MediaFormatError, MediaOptionError, UnsupportedContentError
from qwen_vl.samples import CHELSEA

WHERE = "messages[0]"
PNG = CHELSEA.read_bytes()
PNG_TEXT = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.7\n%\xe2\xe3\n"
PDF_TEXT = base64.b64encode(PDF).decode()
WAV = b"RIFF\x00\x10\x00\x00WAVEfmt "
WAV_TEXT = base64.b64encode(WAV).decode()
CAT = Url("https://example.com/cat.png")
CLIP = Url("https://example.com/walk.mp4")
SONG = Url("https://example.com/song.mp3")
EPHEMERAL = {"type": "ephemeral"}


def frames_block(**options: Any) -> VideoBlock:
    data = orjson.dumps({"frames": [CAT.url, "data:image/png;base64,AAAA"], **options})
    return VideoBlock(video=data, video_mimetype=FRAMES_TYPE)


BOTH = Frames((CAT, Url("data:image/png;base64,AAAA")))
FILE = io.BytesIO(PDF)


@pytest.mark.parametrize(
    ("blocks", "parts"),
    [
        ([TextBlock(text="Hi"), TextBlock(text="")], [Text(text="Hi")]),
        ([ThinkingBlock(content="Hm.")], [Reasoning(text="Hm.")]),
        ([ThinkingBlock(content=None)], []),
        (
            [ThinkingBlock(content="", additional_information={"encrypted_content": "gA"})],
            [Reasoning(text="", encrypted_content="gA")],
        ),
        # OpenAI's own, which has a type.
        (
            [
                ThinkingBlock(
                    content="Hm.",
                    additional_information={"encrypted_content": "gA", "type": "reasoning"},
                )
            ],
            [Reasoning(text="Hm.")],
        ),
        (
            [ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": "ä"})],
            [ToolCall(id="a", name="look", arguments='{"at": "ä"}')],
        ),
        (
            [ToolCallBlock(tool_name="look", tool_kwargs='{"at"')],
            [ToolCall(id="", name="look", arguments='{"at"')],
        ),
        (
            [CitableBlock(title="T", source="s", content=[TextBlock(text="a")])],
            [Text(text="T (s):"), Text(text="a")],
        ),
        # Images: by URL, Base64, path or open file.
        ([ImageBlock(url=CAT.url)], [Image(source=CAT)]),
        ([ImageBlock(image=PNG)], [Image(source=Inline(PNG_TEXT.encode()))]),
        ([ImageBlock(image=PNG, url=CAT.url)], [Image(source=CAT)]),
        (
            [ImageBlock(path=CHELSEA)],
            [Image(source=LocalFile(CHELSEA, is_trusted=True))],
        ),
        (
            [ImageBlock(url=f"{CAT.url}#t=5&max_pixels=80000", detail="high")],
            [Image(source=Url(f"{CAT.url}#t=5"), max_pixels=80_000, detail="high")],
        ),
        (
            [ImageBlock(url=CAT.url, image_mimetype="image/png;min_pixels=70000;max_pixels=80000")],
            [Image(source=CAT, min_pixels=70_000, max_pixels=80_000)],
        ),
        # What stands nearer to the image counts.
        (
            [ImageBlock(url=f"{CAT.url}#max_pixels=1", image_mimetype="image/png;max_pixels=2")],
            [Image(source=CAT, max_pixels=1)],
        ),
        ([ImageBlock(url=f"{CAT.url}#pages=1,2")], [Image(source=CAT, pages="1,2")]),
        (
            [ImageBlock(url=f"data:application/pdf;pages=2;max_pixels=9;base64,{PDF_TEXT}")],
            [
                Document(
                    source=Url(f"data:application/pdf;base64,{PDF_TEXT}"), pages="2", max_pixels=9
                )
            ],
        ),
        (
            [
                ImageBlock.model_construct(
                    path=Path("a.PDF"), image_mimetype="application/pdf;pages=2;min_pixels=7"
                )
            ],
            [Document(source=LocalFile(Path("a.PDF"), is_trusted=True), pages="2", min_pixels=7)],
        ),
        # A URL that was taken for the media itself.
        ([ImageBlock(image=CAT.url.encode())], [Image(source=CAT)]),
        # Videos.
        (
            [VideoBlock(url=CLIP.url, fps=2)],
            [Video(source=CLIP, fps=2)],
        ),
        (
            [VideoBlock(url=f"{CLIP.url}#fps=0.5&max_frames=8&video_mode=frames", fps=2)],
            [Video(source=CLIP, fps=0.5, max_frames=8, video_mode="frames")],
        ),
        (
            [VideoBlock(url=CLIP.url, video_mimetype="video/mp4;start=1;end=2;total_pixels=9")],
            [Video(source=CLIP, start=1.0, end=2.0, total_pixels=9)],
        ),
        ([frames_block(fps=1)], [Video(source=BOTH, fps=1.0)]),
        ([frames_block(timestamps=[0, 2.5])], [Video(source=BOTH, timestamps=[0, 2.5])]),
        # Audio.
        ([AudioBlock(url=SONG.url, format="mp3")], [Audio(source=SONG, format="mp3")]),
        (
            [AudioBlock(audio=WAV, format="wav")],
            [Audio(source=Inline(WAV_TEXT.encode()), format="wav")],
        ),
        # Documents.
        (
            [
                DocumentBlock(
                    data=PDF_TEXT.encode(), title="A", document_mimetype="application/pdf;dpi=100"
                )
            ],
            [Document(source=Inline(PDF_TEXT), title="A", dpi=100.0)],
        ),
        (
            [DocumentBlock.model_construct(title=None, path="a.pdf")],
            [Document(source=LocalFile(Path("a.pdf"), is_trusted=False))],
        ),
        (
            [DocumentBlock.model_construct(title=None, path=Path("a.pdf"))],
            [Document(source=LocalFile(Path("a.pdf"), is_trusted=True))],
        ),
        (
            [DocumentBlock(url="https://example.com/a.pdf")],
            [Document(source=Url("https://example.com/a.pdf"))],
        ),
        # A URL that was taken for the document itself.
        (
            [DocumentBlock(data=b"https://example.com/a.pdf")],
            [Document(source=Url("https://example.com/a.pdf"))],
        ),
        # Cache points mark what stands before them.
        (
            [TextBlock(text="Hi"), CachePoint(cache_control=CacheControl(type="ephemeral"))],
            [Text(text="Hi", cache_control=EPHEMERAL)],
        ),
        (
            [
                ImageBlock(url=CAT.url),
                CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h")),
            ],
            [Image(source=CAT, cache_control={**EPHEMERAL, "ttl": "1h"})],
        ),
    ],
)
def test_parts(blocks: Any, parts: Any) -> None:
    found = to_parts(blocks, WHERE)
    assert list(found) == parts
    assert all(part.where.startswith(f"{WHERE}.blocks[") for part in found)


def test_open_files_stay_open_files() -> None:
    (part,) = to_parts([DocumentBlock.model_construct(data=FILE, title=None)], WHERE)
    assert part == Document(source=OpenFile(FILE))
    (image,) = to_parts([ImageBlock.model_construct(image=FILE)], WHERE)
    assert image == Image(source=OpenFile(FILE))


def test_prepared_part_is_taken_as_it_is() -> None:
    part = Image(source=CAT, max_pixels=9, where="elsewhere")
    (found,) = to_parts([with_part(ImageBlock(url="https://example.com/b.png"), part)], WHERE)
    assert (found, found.where) == (part, f"{WHERE}.blocks[0]")
    clip = Video(source=CLIP, fps=1)
    assert to_parts([with_part(VideoBlock(url=CLIP.url), clip)], WHERE) == (clip,)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (ImageBlock.model_construct(), "The PreparedImageBlock holds nothing."),
        (ImageBlock(url=f"{CAT.url}#fps=1"), "An ImageBlock carries a video's frames or options."),
        (
            ImageBlock(url=f"data:{FRAMES_TYPE};base64,eyJmcmFtZXMiOiBbXX0="),
            "An ImageBlock carries a video's frames or options.",
        ),
        (VideoBlock(url=f"{CLIP.url}#pages=1"), "A VideoBlock carries pages."),
        (VideoBlock(url=f"{CLIP.url}#fps=fast"), "fps is 'fast', which is not a number."),
        (
            ImageBlock(url=f"{CAT.url}#max_pixels=1.5"),
            "max_pixels is '1.5', which is not a whole number.",
        ),
        (
            VideoBlock(video=b"{}", video_mimetype=FRAMES_TYPE),
            f"The type is {FRAMES_TYPE}, but this is not a list of frames.",
        ),
        (
            CachePoint(cache_control=CacheControl(type="ephemeral")),
            "A CachePoint marks what stands",
        ),
        (
            ToolCallBlock(tool_name="look", tool_kwargs={"at": {1}}),
            "The arguments of a tool call are not JSON: ",
        ),
        (DocumentBlock.model_construct(title=None), "The DocumentBlock holds nothing."),
    ],
)
def test_errors(block: Any, words: str) -> None:
    with pytest.raises(ContentError) as caught:
        to_parts([TextBlock(text=""), block], WHERE)
    assert caught.value.problem.startswith(words.replace("Prepared", ""))
    assert caught.value.where == f"{WHERE}.blocks[1]"


def test_detail_of_a_video_is_not_sent() -> None:
    with pytest.warns(UserWarning, match=r"^messages\[0\]\.blocks\[0\]: .*'high' is not sent"):
        (part,) = to_parts([VideoBlock(url=CLIP.url, detail="high")], WHERE)
    assert part == Video(source=CLIP)


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (TextBlock(text="Hi"), Text(text="Hi")),
        (ImageBlock(url=CAT.url), Image(source=CAT)),
        (
            DocumentBlock(
                url="https://example.com/a.html", document_mimetype="text/html", title="A"
            ),
            File(source=Url("https://example.com/a.html"), media_type="text/html", title="A"),
        ),
        (
            DocumentBlock(
                url=f"data:application/pdf;base64,{PDF_TEXT}", document_mimetype="application/pdf"
            ),
            Document(source=Url(f"data:application/pdf;base64,{PDF_TEXT}")),
        ),
        (
            DocumentBlock(data=b"a,b", document_mimetype="text/csv"),
            File(source=Inline(base64.b64encode(b"a,b").decode()), media_type="text/csv"),
        ),
        (DocumentBlock(url="demo://a"), File(source=Url("demo://a"))),
        # What the bytes say counts.
        (
            DocumentBlock(data=PNG_TEXT.encode(), document_mimetype="application/pdf"),
            Image(source=Inline(PNG_TEXT)),
        ),
        (
            DocumentBlock(data=WAV_TEXT.encode(), document_mimetype="application/pdf"),
            Audio(source=Inline(WAV_TEXT), format="audio/wav"),
        ),
        (
            DocumentBlock(data=b"AAAA", document_mimetype="video/mp4"),
            Video(source=Inline("AAAA")),
        ),
        (
            DocumentBlock(data=b"AAAA", document_mimetype="image/tiff"),
            Document(source=Inline("AAAA")),
        ),
        (
            DocumentBlock.model_construct(
                path=Path("a.txt"), title=None, document_mimetype="text/plain"
            ),
            File(source=LocalFile(Path("a.txt"), is_trusted=True), media_type="text/plain"),
        ),
    ],
)
def test_parts_of_tools(block: Any, part: Any) -> None:
    assert to_tool_parts([block], WHERE) == (part,)


@pytest.mark.parametrize(
    ("block", "kind", "words"),
    [
        (ThinkingBlock(content="Hm."), "content", "A tool's result cannot hold a reasoning."),
        (
            ToolCallBlock(tool_name="f", tool_kwargs={}),
            "content",
            "A tool's result cannot hold a tool call.",
        ),
        (ImageBlock(url=f"{CAT.url}#fps=1"), "image", "An ImageBlock carries a video's frames"),
        (VideoBlock(url=f"{CLIP.url}#pages=1"), "video", "A VideoBlock carries pages."),
    ],
)
def test_content_that_no_tool_can_return(block: Any, kind: str, words: str) -> None:
    (found,) = to_tool_parts([block], WHERE)
    assert isinstance(found, Unsupported)
    assert (found.kind, found.where) == (kind, f"{WHERE}.blocks[0]")
    assert found.error.problem.startswith(words)


def test_citation_of_a_tool_is_text_and_its_content() -> None:
    block = CitableBlock(title="T", source="s", content=[DocumentBlock(url="https://e.org/a")])
    first, second = to_tool_parts([block], WHERE)
    assert first == Text(text="T (s):")
    assert isinstance(second, File)
    assert second.where == f"{WHERE}.blocks[0].blocks[0]"


def text(words: str) -> tuple[Text, ...]:
    return (Text(text=words),)


CALL = {"id": "a", "function": {"name": "look", "arguments": '{"at": 1}'}}
OWN_CALL = ToolCall(id="a", name="look", arguments='{"at": 1}')


def said(*parts: Any, **fields: Any) -> Turn:
    return Turn(role="assistant", parts=parts, **fields)


@pytest.mark.parametrize(
    ("message", "turns"),
    [
        (ChatMessage("Hi"), [Turn(role="user", parts=text("Hi"))]),
        (
            ChatMessage("Hi", additional_kwargs={"name": "ann"}),
            [Turn(role="user", parts=text("Hi"), name="ann")],
        ),
        (ChatMessage(role="developer", content="Hi"), [Turn(role="system", parts=text("Hi"))]),
        (ChatMessage(role="system", content=""), []),
        (ChatMessage(""), [Turn(role="user", parts=text(""))]),
        (ChatMessage(role="chatbot", content="Hi"), [said(Text(text="Hi"))]),
        (
            ChatMessage(
                role="model", content="Hi", additional_kwargs={"partial": True, "name": "bob"}
            ),
            [said(Text(text="Hi"), name="bob", is_partial=True)],
        ),
        # Encrypted reasoning, which may stand beside the blocks, once.
        (
            ChatMessage(
                role="assistant", content="Hi", additional_kwargs={"encrypted_content": "gA"}
            ),
            [said(Reasoning(text="", encrypted_content="gA"), Text(text="Hi"))],
        ),
        (
            ChatMessage(
                role="assistant",
                blocks=[
                    ThinkingBlock(content="", additional_information={"encrypted_content": "gA"})
                ],
                additional_kwargs={"encrypted_content": "gA"},
            ),
            [said(Reasoning(text="", encrypted_content="gA"))],
        ),
        (
            ChatMessage(
                role="assistant",
                blocks=[ThinkingBlock(content="Hm.")],
                additional_kwargs={"encrypted_content": "gA"},
            ),
            [said(Reasoning(text="", encrypted_content="gA"), Reasoning(text="Hm."))],
        ),
        # Calls beside the blocks, where none is in them.
        (
            ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": [CALL]}),
            [said(OWN_CALL)],
        ),
        (
            ChatMessage(
                role="assistant",
                blocks=[ToolCallBlock(tool_call_id="b", tool_name="f", tool_kwargs={})],
                additional_kwargs={"tool_calls": [CALL]},
            ),
            [said(ToolCall(id="b", name="f", arguments="{}"))],
        ),
        (
            ChatMessage(
                role="assistant",
                content=None,
                additional_kwargs={
                    "tool_calls": [
                        SimpleNamespace(
                            id="a", function=SimpleNamespace(name="look", arguments={"at": 1})
                        ),
                        {"function": {"name": "look"}},
                        {"id": "c", "function": {"name": "look", "arguments": [1]}},
                    ]
                },
            ),
            [
                said(
                    OWN_CALL,
                    ToolCall(id="", name="look", arguments=""),
                    ToolCall(id="c", name="look", arguments="[1]"),
                )
            ],
        ),
        (
            ChatMessage(role="function", content="Hi", additional_kwargs={"tool_call_id": "a"}),
            [Turn(role="tool", parts=(ToolResult(tool_call_id="a", parts=text("Hi")),))],
        ),
    ],
)
def test_turns(message: ChatMessage, turns: list[Turn]) -> None:
    assert list(to_turns([message])) == turns


def test_media_is_the_users() -> None:
    system = ChatMessage(role="system", blocks=[TextBlock(text="Hi"), ImageBlock(url=CAT.url)])
    with pytest.warns(UserWarning, match=r"^messages\[0\]: .*in a user message after it"):
        assert to_turns([system]) == (
            Turn(role="system", parts=text("Hi")),
            Turn(role="user", parts=(Image(source=CAT),)),
        )
    answer = ChatMessage(role="assistant", blocks=[TextBlock(text="Hi"), AudioBlock(url=SONG.url)])
    with pytest.warns(UserWarning, match=r"^messages\[0\]\.blocks\[1\]: .*this one is not sent"):
        assert to_turns([answer]) == (said(Text(text="Hi")),)


@pytest.mark.parametrize(
    ("message", "where", "words"),
    [
        ("Hi", "messages[0]", "A str is not a message."),
        (ChatMessage(blocks=[]), "messages[0]", "The message is empty."),
        (
            ChatMessage(role="tool", content="Hi"),
            "messages[0]",
            "A tool's message does not say which",
        ),
        (
            ChatMessage(role="assistant", additional_kwargs={"function_call": {"name": "f"}}),
            "messages[0].additional_kwargs",
            "A function_call, which OpenAI's API has given up",
        ),
        (
            ChatMessage(role="assistant", additional_kwargs={"tool_calls": [CALL, {"id": "b"}]}),
            "messages[0].additional_kwargs['tool_calls'][1]",
            "A tool call without the name of its function.",
        ),
    ],
)
def test_errors_of_messages(message: Any, where: str, words: str) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        to_turns([message])
    assert (caught.value.where, caught.value.problem[: len(words)]) == (where, words)


OPTIONS = Options(fps=0.5, max_pixels=655_360, pages="1,2")


def test_options_stand_in_urls_and_types() -> None:
    url = write_fragment(CLIP.url, OPTIONS)
    assert url == f"{CLIP.url}#fps=0.5&max_pixels=655360&pages=1%2C2"
    assert read_fragment(url, WHERE) == (CLIP.url, OPTIONS)
    assert write_fragment(CLIP.url, Options()) == CLIP.url
    assert write_fragment(f"{CLIP.url}#t=5", Options(fps=2.0)) == f"{CLIP.url}#t=5&fps=2.0"
    assert read_fragment(f"{CLIP.url}#t=5&fps=2.0", WHERE) == (f"{CLIP.url}#t=5", Options(fps=2.0))
    # A path is no URL, and data has no fragment.
    assert read_fragment("walk.mp4#fps=1", WHERE) == ("walk.mp4#fps=1", Options())
    assert read_fragment("data:,a#fps=1", WHERE) == ("data:,a#fps=1", Options())

    stated = write_parameters("video/mp4", OPTIONS)
    assert stated == "video/mp4;fps=0.5;max_pixels=655360;pages=1%2C2"
    assert read_parameters(f"{stated};codecs=avc1", WHERE) == ("video/mp4;codecs=avc1", OPTIONS)
    assert read_parameters(None, WHERE) == (None, Options())
    assert write_parameters("video/mp4", Options()) == "video/mp4"

    data_url = f"data:{stated};base64,AAAA"
    assert read_data_url(data_url, WHERE) == ("data:video/mp4;base64,AAAA", OPTIONS)
    for plain in ("data:video/mp4;base64,AAAA", "data:video/mp4;fps=1", "data:,;fps=1"):
        assert read_data_url(plain, WHERE) == (plain, Options())


def test_options_of_pages() -> None:
    assert (join_pages(None), join_pages("1-2"), join_pages([1, 7])) == (None, "1-2", "1,7")
    written = write_page_options("application/pdf", [1, 7], 100.0, 5, 6)
    assert written == "application/pdf;pages=1,7;dpi=100.0;min_pixels=5;max_pixels=6"
    assert read_page_options(f"{written};x=1", WHERE) == {
        "pages": "1,7",
        "dpi": 100.0,
        "min_pixels": 5,
        "max_pixels": 6,
    }
    assert write_page_options("application/pdf", None, None) == "application/pdf"
    assert read_page_options(None, WHERE) == {}
    with pytest.raises(MediaOptionError) as caught:
        read_page_options("application/pdf;dpi=high", WHERE)
    assert str(caught.value) == (
        "messages[0]: dpi is 'high', which is not a number. Write dpi=150.0."
    )


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"frames": "a"}', b'{"frames": ["a", 1]}'])
def test_other_json_is_no_list_of_frames(data: bytes) -> None:
    with pytest.raises(MediaFormatError, match="not a list of frames"):
        read_frames(data, WHERE)
    assert read_frames(b'{"frames": [], "max_frames": 8}', WHERE) == ([], Options(max_frames=8))


def test_blocks_keep_the_type_of_a_data_url() -> None:
    block = image_block("data:image/x-own;base64,QUJD", max_pixels=80_000)
    assert (block.image, block.image_mimetype) == (b"QUJD", "image/x-own;max_pixels=80000")
    assert image_block("data:image/x-own;base64,QUJD").image_mimetype == "image/x-own"
    assert str(image_block("data:image/svg+xml,%3Csvg%3E").url) == "data:image/svg+xml,%3Csvg%3E"


def test_documents_have_the_name_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(PDF)
    block = document_block(path, pages=[1, 2], dpi=100)
    assert (block.path, block.title) == (path, "report.pdf")
    assert block.document_mimetype == "application/pdf;pages=1,2;dpi=100"
    assert document_block(path, title="A").title == "A"
    assert document_block(PDF).data == PDF_TEXT.encode()


def test_values_that_are_no_media() -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        image_block(5)
    assert caught.value.problem == "An image cannot be made of a value of type int."
    with pytest.raises(UnsupportedContentError) as caught:
        document_block("./" + "x" * 39)
    assert caught.value.problem == f"A document cannot be made of the text './{'x' * 38}'."


def test_prompt_of_citations_has_its_text_around_the_nodes() -> None:
    prompt = ContextPrompt([ChatMessage("Hi")], "Before ", " after")
    assert prompt.get_template() == "Before {context_str} after"
