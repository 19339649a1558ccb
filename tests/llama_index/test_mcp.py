"""Tools of a real MCP server, whose images, files and links reach the model."""

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.types import ToolOutput
from llama_index.core.workflow import Context
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from mcp import Client
from mcp.server import MCPServer
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from llama_index.llms.qwen_vl import QwenVL, keep_mcp_media
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]

CHELSEA_BASE64 = base64.b64encode(CHELSEA.read_bytes()).decode()
IMAGE = ImageContent(type="image", data=CHELSEA_BASE64, mime_type="image/png")


def resource(**fields: Any) -> EmbeddedResource:
    kind = TextResourceContents if "text" in fields else BlobResourceContents
    return EmbeddedResource(type="resource", resource=kind(**fields))


def link(uri: str, name: str, mime_type: str | None = None) -> ResourceLink:
    return ResourceLink(type="resource_link", uri=uri, name=name, mime_type=mime_type)


def blob(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


async def call(result: Any) -> ToolOutput:
    """Call a tool of an MCP server that returns a result, the way an agent does."""
    server = MCPServer("eye")

    @server.tool()
    def look() -> CallToolResult:
        """Look."""
        return result if isinstance(result, CallToolResult) else CallToolResult(content=result)

    async with Client(server) as client:
        [tool] = keep_mcp_media(await McpToolSpec(client).to_tool_list_async())
        output = await tool.acall()
    assert isinstance(output, ToolOutput)
    return output


@pytest.mark.parametrize("streaming", [False, True])
async def test_agent_sees_what_an_mcp_server_returns(
    streaming: bool, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    server = MCPServer("browser")

    @server.tool()
    def screenshot(page: int) -> list[TextContent | ImageContent]:
        """Take a screenshot."""
        return [TextContent(type="text", text=f"Page {page}."), IMAGE]

    asked = ToolCall("screenshot", {"page": 3}, id="a")
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(asked,)))
    async with Client(server) as client:
        tools = keep_mcp_media(await McpToolSpec(client).to_tool_list_async())
        agent = FunctionAgent(tools=tools, llm=make_llm(), streaming=streaming)
        answer = await agent.run(user_msg="What is on page 3?")

    assert "PNG 451x300" in str(answer)
    first, second = (request.json for request in qwen_vl_sandbox.requests)
    [sent] = first["tools"]
    assert (sent["function"]["name"], sent["function"]["description"]) == (
        "screenshot",
        "Take a screenshot.",
    )
    assert sent["function"]["parameters"]["properties"]["page"]["type"] == "integer"
    _, _, result, media = second["messages"]
    assert result["content"].startswith("Page 3.\n")
    assert CHELSEA_BASE64[:40] not in result["content"]
    url = {"url": f"data:image/png;base64,{CHELSEA_BASE64}"}
    assert media["content"] == [
        {"type": "text", "text": "From tool call a:"},
        {"type": "image_url", "image_url": url},
    ]


@pytest.mark.parametrize(
    ("item", "block"),
    [
        (TextContent(type="text", text="Hi."), TextBlock(text="Hi.")),
        (IMAGE, ImageBlock(image=CHELSEA_BASE64.encode(), image_mimetype="image/png")),
        (
            AudioContent(type="audio", data="UklGRg==", mime_type="audio/wav"),
            AudioBlock(audio=b"UklGRg==", format="wav"),
        ),
        (
            link("https://example.com/a.png", "a", "image/png"),
            ImageBlock(url="https://example.com/a.png", image_mimetype="image/png"),
        ),
        (
            link("https://example.com/a.mp4", "a", "video/mp4"),
            VideoBlock(url="https://example.com/a.mp4", video_mimetype="video/mp4"),
        ),
        (
            link("screen://1", "Screen 1", "image/png"),
            DocumentBlock(url="screen://1", document_mimetype="image/png", title="Screen 1"),
        ),
        (
            link("https://example.com/a.html", "A page"),
            DocumentBlock(url="https://example.com/a.html", title="A page"),
        ),
        (
            link("http://", "no host", "image/png"),
            DocumentBlock(url="http://", document_mimetype="image/png", title="no host"),
        ),
        (
            resource(uri="file:///a.csv", text="a,b", mime_type="text/csv"),
            DocumentBlock(data=b"YSxi", document_mimetype="text/csv", title="file:///a.csv"),
        ),
        (
            resource(uri="file:///a", text="a,b"),
            DocumentBlock(data=b"YSxi", document_mimetype="text/plain", title="file:///a"),
        ),
        (
            resource(uri="shot://1", blob=blob(COFFEE), mime_type="image/png"),
            ImageBlock(image=blob(COFFEE).encode(), image_mimetype="image/png"),
        ),
        (
            resource(uri="film://1", blob=blob(BIG_BUCK_BUNNY), mime_type="video/mp4"),
            VideoBlock(video=blob(BIG_BUCK_BUNNY).encode(), video_mimetype="video/mp4"),
        ),
        (
            resource(uri="sound://1", blob="UklGRg==", mime_type="audio/wav"),
            AudioBlock(audio=b"UklGRg==", format="wav"),
        ),
        (
            resource(uri="file:///a.pdf", blob="JVBERi0=", mime_type="application/pdf"),
            DocumentBlock(
                data=b"JVBERi0=", document_mimetype="application/pdf", title="file:///a.pdf"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_each_kind_of_content_is_a_block(item: Any, block: Any) -> None:
    output = await call([item])

    assert output.blocks == [block]
    assert output.tool_name == "look"
    assert not output.is_error


async def test_content_of_an_unknown_kind_is_text() -> None:
    async def look() -> dict[str, Any]:
        return {"content": [{"type": "smell", "data": "roses"}], "isError": False}

    [tool] = keep_mcp_media([FunctionTool.from_defaults(async_fn=look)])
    output = await tool.acall()

    assert output.blocks == [TextBlock(text="{'type': 'smell', 'data': 'roses'}")]


async def test_structured_content_without_text_is_json() -> None:
    output = await call(CallToolResult(content=[], structured_content={"größe": [1, 2]}))

    assert output.content == '{"größe": [1, 2]}'


async def test_error_of_the_server_is_an_error() -> None:
    text = TextContent(type="text", text="No such page.")
    output = await call(CallToolResult(content=[text, IMAGE], is_error=True))

    assert output.is_error
    assert [block.block_type for block in output.blocks] == ["text", "image"]


async def test_resources_keep_their_images(make_llm: MakeLlm) -> None:
    server = MCPServer("files")

    @server.resource("shot://1", mime_type="image/png")
    def shot() -> bytes:
        return CHELSEA.read_bytes()

    async with Client(server) as client:
        spec = McpToolSpec(client, include_resources=True)
        [tool] = keep_mcp_media(await spec.to_tool_list_async())
        output = await tool.acall()

    [block] = output.blocks
    assert isinstance(block, ImageBlock)
    assert block.image == CHELSEA_BASE64.encode()


async def test_names_of_the_protocol_are_read_too() -> None:
    # Older versions of `mcp`, and clients that return dicts.
    result = {
        "content": [{"type": "image", "data": CHELSEA_BASE64, "mimeType": "image/png"}],
        "isError": True,
    }

    async def look() -> dict[str, Any]:
        return result

    [tool] = keep_mcp_media([FunctionTool.from_defaults(async_fn=look)])
    output = await tool.acall()

    assert output.is_error
    assert output.blocks == [ImageBlock(image=CHELSEA_BASE64.encode(), image_mimetype="image/png")]


@pytest.mark.parametrize("value", ["text", 3, {"content": "a page"}, {"content": [1]}, None])
def test_other_results_stay_as_they_are(value: Any) -> None:
    def look() -> Any:
        return value

    plain = FunctionTool.from_defaults(look)
    [tool] = keep_mcp_media([plain])

    assert tool.call() == plain.call()
    assert tool.metadata is plain.metadata


def test_tool_that_takes_the_context_is_returned_as_it_is() -> None:
    async def look(ctx: Context) -> str:
        return "text"

    tool = FunctionTool.from_defaults(async_fn=look)

    assert keep_mcp_media([tool]) == [tool]


@pytest.mark.slow
async def test_server_in_another_process(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    script = f"""
from mcp.server import MCPServer
from mcp.server.mcpserver import Image

server = MCPServer("browser")


@server.tool()
def screenshot() -> Image:
    return Image(path={str(CHELSEA)!r})


server.run("stdio")
"""
    asked = ToolCall("screenshot", {}, id="a")
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(asked,)))
    client = BasicMCPClient(sys.executable, args=["-c", script])
    tools = keep_mcp_media(await McpToolSpec(client).to_tool_list_async())
    answer = await FunctionAgent(tools=tools, llm=make_llm()).run(user_msg="Look.")

    assert "PNG 451x300" in str(answer)
