"""The first asynchronous call of a process, which tells what ran in the loop's own thread."""

import asyncio
import importlib.metadata
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LOOP = threading.get_ident()
# Whose modules are loaded for the sake of ours; the frameworks load their own when they like.
OURS = (
    "qwen_vl",
    "langchain_qwen_vl",
    "llama_index.llms.qwen_vl",
    "httpx",
    "httpcore",
    "anyio",
    "openai",
)
seen: dict[str, int] = {}


def watch(owner: Any, name: str, shown: str) -> None:
    """Note the thread in which a function is called."""
    function: Callable[..., Any] = getattr(owner, name)

    def noted(*args: Any, **options: Any) -> Any:
        seen.setdefault(shown, threading.get_ident())
        return function(*args, **options)

    setattr(owner, name, noted)


def note_import(event: str, args: tuple[Any, ...]) -> None:
    """Note the thread in which a module is loaded."""
    if event == "import" and args[0].startswith(OURS) and args[0] not in sys.modules:
        seen.setdefault(args[0], threading.get_ident())


async def ask(framework: str, stream: str, url: str) -> None:
    """Ask once."""
    if framework == "langchain":
        chat = ChatQwenVL(base_url=url, api_key="sk-1")
        if stream == "stream":
            assert [chunk async for chunk in chat.astream("Hello")]
        elif stream == "error":
            with suppress(ModelError):
                # Nobody answers there: the certificates are read before that is found out.
                url = "https://127.0.0.1:9/v1"
                await ChatQwenVL(base_url=url, api_key="sk-1", max_retries=0).ainvoke("Hello")
            assert "openai" in seen
        else:
            assert (await chat.ainvoke("Hello")).text
        return
    llm = QwenVL(base_url=url, api_key="sk-1")
    if stream == "stream":
        assert [part async for part in await llm.astream_complete("Hello")]
    else:
        assert (await llm.acomplete("Hello")).text


if __name__ == "__main__":
    if sys.argv[1] == "langchain":
        from langchain_core.exceptions import ModelError

        from langchain_qwen_vl import ChatQwenVL
    else:
        from llama_index.llms.qwen_vl import QwenVL
    watch(ssl, "create_default_context", "tls-context")
    watch(ssl.SSLContext, "load_verify_locations", "tls-context")
    watch(importlib.metadata, "version", "version")
    sys.addaudithook(note_import)
    asyncio.run(ask(*sys.argv[1:]))
    in_loop = [name for name, thread in seen.items() if thread == LOOP]
    print("in-the-loop", *in_loop)  # noqa: T201 - read by the test.
    print("elsewhere", *(seen.keys() - in_loop))  # noqa: T201 - read by the test.
