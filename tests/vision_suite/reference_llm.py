"""A small LLM of LlamaIndex that does all that the conformance suite asks for, without a service.

It looks at the images, names their colors, repeats what it was told, calls the tools that a
question names, and fills their arguments from the question. Copied beside the suites that
`test_suite_finds_faults.py` writes.
"""

import base64
import http.client
import io
import json
import re
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool
from PIL import Image
from pydantic import ConfigDict, Field

USAGE_PER_PICTURE = 100


class ReferenceError_(RuntimeError):  # noqa: N801, N818 - Python has a ReferenceError.
    """What it cannot do."""


@dataclass
class Reply:
    """What a service would answer."""

    text: str = ""
    thoughts: str = ""
    calls: list[ToolCallBlock] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)


class ReferenceLLM(FunctionCallingLLM):
    """Every method that a fault may stand in is one of its own."""

    model_config = ConfigDict(extra="forbid")

    model: str = "reference-1"
    api_key: str = Field(default="", exclude=True, repr=False)
    thinks: bool = False
    fails: bool = False
    breaks: bool = False

    @classmethod
    def class_name(cls) -> str:
        return "reference_llm"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name=self.model,
            context_window=100_000,
            num_output=1_000,
            is_chat_model=True,
            is_function_calling_model=True,
        )

    # What stands for the service.

    def reply(self, messages: Sequence[ChatMessage], **options: Any) -> Reply:
        if self.fails:
            raise ReferenceError_("The service is not there.")
        messages = self.with_system_prompt(messages)
        seen = [self.see(b) for m in messages for b in self.blocks_of(m) if is_media(b)]
        text = " ".join(m.content or "" for m in messages if m.role == "user")
        last = next((m.content or "" for m in reversed(messages) if m.role == "user"), "")
        calls = self.choose_calls(messages, last, seen, **options)
        answer = ""
        if not calls:
            reported = [m.content or "" for m in messages if m.role == "tool"]
            answer = f"I see {', '.join(seen) or 'nothing'}. I heard '{last}', {reported}."
        words = sum(len((m.content or "").split()) + 1 for m in messages)
        usage = {
            "prompt_tokens": words + USAGE_PER_PICTURE * len(seen),
            "completion_tokens": len(answer.split()) + 10 * len(calls),
        }
        thoughts = f"Let me think about {len(text)} characters." if self.thinks else ""
        return Reply(answer, thoughts, calls, usage)

    def with_system_prompt(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        system = ChatMessage(role=MessageRole.SYSTEM, content=self.system_prompt)
        is_missing = self.system_prompt and system not in messages
        return [system, *messages] if is_missing else list(messages)

    def blocks_of(self, message: ChatMessage) -> list[Any]:
        return list(message.blocks)

    def see(self, block: Any) -> str:
        is_video = isinstance(block, VideoBlock)
        held = block.video if is_video else block.image
        if isinstance(held, io.IOBase):
            held.seek(0)
            data = held.read()
        elif held is not None:
            data = base64.b64decode(held)
        elif block.path is not None:
            data = Path(block.path).read_bytes()
        elif block.url is not None:
            data = self.load(str(block.url))
        else:
            raise ReferenceError_("The block is empty.")
        return name_color(first_frame(data) if is_video else image(data))

    def load(self, url: str) -> bytes:
        if url.startswith("data:"):
            return base64.b64decode(url.partition(",")[2])
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.netloc)
        try:
            connection.request("GET", address.path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def choose_calls(
        self, messages: Sequence[ChatMessage], text: str, seen: list[str], **options: Any
    ) -> list[ToolCallBlock]:
        tools: Sequence[BaseTool] = options.get("tools") or ()
        named = [tool for tool in tools if re.search(rf"\b{tool.metadata.name}\b", text)]
        if options.get("tool_required"):
            named = named or list(tools)[:1]
        elif messages[-1].role == MessageRole.TOOL:
            named = []
        return [
            ToolCallBlock(
                tool_call_id=f"call_{number}",
                tool_name=str(tool.metadata.name),
                tool_kwargs=fill(tool.metadata.get_parameters_dict(), text, seen),
            )
            for number, tool in enumerate(named)
        ]

    # What LlamaIndex sees of it.

    def to_response(self, reply: Reply) -> ChatResponse:
        thoughts = [ThinkingBlock(content=reply.thoughts)] if reply.thoughts else []
        texts = [TextBlock(text=reply.text)] if reply.text else []
        message = ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=[*thoughts, *texts, *reply.calls],
            additional_kwargs=self.kwargs_of(reply),
        )
        return ChatResponse(message=message, raw={"usage": reply.usage})

    def kwargs_of(self, reply: Reply) -> dict[str, Any]:
        return {"tool_calls": [c.model_dump() for c in reply.calls]} if reply.calls else {}

    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        if reply.thoughts:
            chunk = self.to_response(Reply(thoughts=reply.thoughts))
            chunk.delta, chunk.additional_kwargs = "", {"thinking_delta": reply.thoughts}
            yield chunk
        so_far = ""
        for piece in re.findall(r"\S+\s*", reply.text):
            so_far += piece
            chunk = self.to_response(Reply(so_far, reply.thoughts))
            chunk.delta = piece
            yield chunk
            if self.breaks:
                raise ReferenceError_("The connection is lost.")
        yield self.last_chunk(reply)

    def last_chunk(self, reply: Reply) -> ChatResponse:
        chunk = self.to_response(reply)
        chunk.delta = ""
        return chunk

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self.to_response(self.reply(messages, **kwargs))

    @llm_chat_callback()
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        return self.chunks(self.reply(messages, **kwargs))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self.to_response(self.reply(messages, **kwargs))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        async def chunks() -> AsyncGenerator[ChatResponse, None]:
            for chunk in self.chunks(self.reply(messages, **kwargs)):
                yield chunk

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return to_completion(self.to_response(self.reply([asked(prompt)])))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **_: Any
    ) -> Generator[CompletionResponse, None, None]:
        return (to_completion(chunk) for chunk in self.chunks(self.reply([asked(prompt)])))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return to_completion(self.to_response(self.reply([asked(prompt)])))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **_: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        async def chunks() -> AsyncGenerator[CompletionResponse, None]:
            for chunk in self.chunks(self.reply([asked(prompt)])):
                yield to_completion(chunk)

        return chunks()

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        last = [asked(user_msg) if isinstance(user_msg, str) else user_msg] if user_msg else []
        messages = [*(chat_history or []), *last]
        return {"messages": messages, "tools": tools, "tool_required": tool_required}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **_: Any,
    ) -> ChatResponse:
        blocks = response.message.blocks
        calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
        if not allow_parallel_tool_calls:
            response.message.blocks = [block for block in blocks if block not in calls[1:]]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if error_on_no_tool_call and not calls:
            raise ReferenceError_("There is no tool call.")
        return [
            ToolSelection(
                tool_id=str(call.tool_call_id),
                tool_name=call.tool_name,
                tool_kwargs=dict(call.tool_kwargs),
            )
            for call in calls
        ]


def is_media(block: Any) -> bool:
    return isinstance(block, ImageBlock | VideoBlock)


def asked(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text)


def to_completion(answer: ChatResponse) -> CompletionResponse:
    return CompletionResponse(text=answer.message.content or "", delta=answer.delta, raw=answer.raw)


def image(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except OSError as error:
        raise ReferenceError_("This is not an image.") from error


def first_frame(data: bytes) -> Image.Image:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_image()


def name_color(image: Image.Image) -> str:
    red, green, blue = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return max((red, "red"), (green, "green"), (blue, "blue"))[1]


def fill(schema: dict[str, Any], text: str, seen: list[str]) -> dict[str, Any]:
    """Fill the parameters of a tool from a text, or with what the schema allows."""
    filled = {}
    for name in schema.get("required", ()):
        kind = schema["properties"][name]
        found = re.search(rf"\b{name}=('[^']*'|\d+)", text)
        if found:
            filled[name] = json.loads(found[1].replace("'", '"'))
        elif "enum" in kind:
            filled[name] = next((color for color in seen if color in kind["enum"]), None)
            filled[name] = filled[name] or kind["enum"][0]
        else:
            filled[name] = {"integer": 0, "array": [], "string": ""}[kind["type"]]
    return filled
