"""A streaming service for many clients, with FastAPI.

Clients upload an image with a question, and the answer comes as server-sent events. When a client
disconnects, its request to the model is closed too.

```bash
pip install fastapi python-multipart uvicorn langchain-qwen-vl "qwen-vl[sandbox]"
uvicorn streaming_service:app
curl -N -F image=@cat.png -F question="What is this?" http://localhost:8000/ask
```

Events are `text`, for each piece of the answer, and at the end `usage` or `error`. Without
`DASHSCOPE_API_KEY`, the [sandbox](../sandbox.md) answers.
[`streaming_clients.py`](streaming_clients.py) asks with many clients at once, of which some
disconnect. [Web apps](../web-apps.md) has a shorter one, and other frameworks.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Annotated, cast

from fastapi import Depends, FastAPI, Form, HTTPException, Request, UploadFile
from fastapi.sse import EventSourceResponse, ServerSentEvent
from langchain_core.messages import AIMessageChunk, HumanMessage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl import QwenVLError

MAX_IMAGE_BYTES = 10_000_000


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Create one model for all clients: it keeps the connections to the endpoint."""
    with ExitStack() as stack:
        if "DASHSCOPE_API_KEY" in os.environ:
            app.state.model = ChatQwenVL(media_roots=[])
        else:
            from qwen_vl_sandbox import Sandbox

            sandbox = stack.enter_context(Sandbox())
            app.state.model = ChatQwenVL(
                base_url=sandbox.base_url, api_key="sk-sandbox", media_roots=[]
            )
        yield


app = FastAPI(lifespan=lifespan)


async def start_answer(
    request: Request, image: UploadFile, question: Annotated[str, Form(max_length=2_000)]
) -> AsyncGenerator[AsyncIterator[AIMessageChunk]]:
    """Yield the chunks of an answer; close the request to the model after the response."""
    if image.size is None or image.size > MAX_IMAGE_BYTES:
        raise HTTPException(413, f"The image must have at most {MAX_IMAGE_BYTES:,} bytes.")
    # Bytes, never a path: with `media_roots=[]`, no file of this machine is read either.
    message = HumanMessage([{"type": "image", "image": await image.read()}, question])
    model: ChatQwenVL = request.app.state.model
    # LangChain's annotation lacks `aclose`, which its generator has.
    stream = cast("AsyncGenerator[AIMessageChunk]", model.astream([message]))
    async with aclosing(stream) as chunks:
        yield chunks


@app.post("/ask", response_class=EventSourceResponse)
async def ask(
    chunks: Annotated[AsyncIterator[AIMessageChunk], Depends(start_answer)],
) -> AsyncIterator[ServerSentEvent]:
    """Stream the answer."""
    try:
        async for chunk in chunks:
            if chunk.text:
                yield ServerSentEvent(event="text", data=chunk.text)
            if chunk.usage_metadata:
                yield ServerSentEvent(event="usage", data=chunk.usage_metadata)
    except QwenVLError as error:
        # The status is sent already: what goes wrong from here on is an event.
        yield ServerSentEvent(event="error", data=str(error))
