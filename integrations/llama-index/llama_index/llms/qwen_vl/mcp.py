"""Results of MCP tools, with the images, videos and files that LlamaIndex turns into text."""

import base64
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.types import AsyncBaseTool, BaseTool, ToolMetadata, ToolOutput
from pydantic import ValidationError

from qwen_vl.content import is_remote


def keep_mcp_media(tools: Sequence[BaseTool]) -> list[BaseTool]:
    """Return tools whose MCP results reach the model with their images.

    `McpToolSpec` turns the result of an MCP server into text, so that the model reads the Base64
    of a screenshot as words. The tools that are returned call the same servers, and give each item
    of a result as the content block that LlamaIndex has for it: text, images, audio, videos, files
    and links. An error of the server sets `is_error`.

    Args:
        tools: What `McpToolSpec.to_tool_list_async()` returned. Other tools may be among them:
            a result that is not MCP's stays as it is, and so does a tool that takes the context of
            a workflow.

    Returns:
        As many tools, in the same order, with the same names and schemas.

    Example:
        >>> import asyncio
        >>> from llama_index.tools.mcp import McpToolSpec
        >>> from mcp import Client
        >>> from mcp.server import MCPServer
        >>> from mcp.types import ImageContent
        >>> server = MCPServer("browser")
        >>> @server.tool()
        ... def screenshot() -> ImageContent:
        ...     return ImageContent(type="image", data="iVBORw0KGgo=", mime_type="image/png")
        >>> async def run():
        ...     async with Client(server) as client:
        ...         [tool] = keep_mcp_media(await McpToolSpec(client).to_tool_list_async())
        ...         return await tool.acall()
        >>> asyncio.run(run()).blocks[0].block_type
        'image'
    """
    return [_wrap(tool) for tool in tools]


class _McpTool(AsyncBaseTool):
    """A tool that gives MCP's results as content blocks."""

    def __init__(self, tool: AsyncBaseTool) -> None:
        self._tool = tool

    @property
    def metadata(self) -> ToolMetadata:
        return self._tool.metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return _with_media(self._tool.call(*args, **kwargs))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        return _with_media(await self._tool.acall(*args, **kwargs))


def _wrap(tool: BaseTool) -> BaseTool:
    # Workflows pass the context to a FunctionTool only.
    needs_context = isinstance(tool, FunctionTool) and tool.requires_context
    if needs_context or not isinstance(tool, AsyncBaseTool):
        return tool
    return _McpTool(tool)


def _with_media(output: ToolOutput) -> ToolOutput:
    blocks = _to_blocks(output.raw_output)
    if blocks is None:
        return output
    is_error = output.is_error or bool(_get(output.raw_output, "is_error", "isError"))
    return output.model_copy(update={"blocks": blocks, "is_error": is_error})


def _to_blocks(result: object) -> list[ContentBlock] | None:
    """Read what `call_tool` or `read_resource` returned; None if it is neither's."""
    resources = _get(result, "contents")
    if _is_sequence_of(resources, "uri"):
        return [_to_resource_block(resource) for resource in resources]
    items = _get(result, "content")
    if not _is_sequence_of(items, "type"):
        return None
    return [*map(_to_block, items)] or [*_structured_blocks(result)]


def _is_sequence_of(items: object, name: str) -> bool:
    return isinstance(items, list) and all(_get(item, name) is not None for item in items)


def _structured_blocks(result: object) -> Iterator[TextBlock]:
    structured = _get(result, "structured_content", "structuredContent")
    text = "" if structured is None else json.dumps(structured, ensure_ascii=False)
    yield TextBlock(text=text)


def _to_block(item: object) -> ContentBlock:
    media_type = str(_get(item, "mime_type", "mimeType") or "")
    data = str(_get(item, "data") or "").encode()
    match _get(item, "type"):
        case "text":
            return TextBlock(text=str(_get(item, "text") or ""))
        case "image":
            return ImageBlock(image=data, image_mimetype=media_type or None)
        case "audio":
            return AudioBlock(audio=data, format=media_type.partition("/")[2] or None)
        case "resource_link":
            return _to_link_block(item, media_type)
        case "resource":
            return _to_resource_block(_get(item, "resource"))
    return TextBlock(text=str(item))


def _to_link_block(item: object, media_type: str) -> ContentBlock:
    url = str(_get(item, "uri"))
    # Other schemes, such as `screen://1`, mean something only to the MCP server. What pydantic
    # rejects as a URL is passed on as text.
    if is_remote(url):
        with contextlib.suppress(ValidationError):
            match media_type.partition("/")[0]:
                case "image":
                    return ImageBlock(url=url, image_mimetype=media_type)
                case "video":
                    return VideoBlock(url=url, video_mimetype=media_type)
    name = str(_get(item, "title") or _get(item, "name") or "")
    return DocumentBlock(url=url, document_mimetype=media_type or None, title=name or None)


def _to_resource_block(resource: object) -> ContentBlock:
    media_type = str(_get(resource, "mime_type", "mimeType") or "")
    title = str(_get(resource, "uri") or "") or None
    text, blob = _get(resource, "text"), str(_get(resource, "blob") or "").encode()
    if text is not None:
        data = base64.b64encode(str(text).encode("utf-8", "backslashreplace"))
        stated = media_type or "text/plain"
        return DocumentBlock(data=data, document_mimetype=stated, title=title)
    match media_type.partition("/")[0]:
        case "image" if media_type != "image/tiff":
            return ImageBlock(image=blob, image_mimetype=media_type)
        case "video":
            return VideoBlock(video=blob, video_mimetype=media_type)
        case "audio":
            return AudioBlock(audio=blob, format=media_type.partition("/")[2])
    return DocumentBlock(data=blob, document_mimetype=media_type or None, title=title)


def _get(item: object, *names: str) -> Any:
    """Read a field, which newer versions of `mcp` name otherwise than the protocol does."""
    for name in names:
        value = item.get(name) if isinstance(item, dict) else getattr(item, name, None)
        if value is not None:
            return value
    return None
