"""No framework at all."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pybase64

from benchmarks.contenders import API_KEY, MODEL, Contender, media_type_of


class OpenAIContender(Contender):
    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client = openai.OpenAI(api_key=API_KEY, base_url=base_url)
        self._async_client: openai.AsyncOpenAI | None = None

    def user(self, *parts: Any) -> Any:
        return {"role": "user", "content": list(parts)}

    def assistant(self, text: str) -> Any:
        return {"role": "assistant", "content": text}

    def text(self, text: str) -> Any:
        return {"type": "text", "text": text}

    def picture_at(self, url: str) -> Any:
        return {"type": "image_url", "image_url": {"url": url}}

    def image(self, data: bytes, media_type: str = "image/png") -> Any:
        url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        return self.picture_at(url)

    def picture_file(self, path: Path) -> Any:
        return self.image(path.read_bytes(), media_type_of(path))

    def ask(self, messages: list[Any]) -> object:
        return self._client.chat.completions.create(model=MODEL, messages=messages)

    def stream(self, messages: list[Any]) -> int:
        chunks = self._client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return sum(1 for _ in chunks)

    async def ask_many(self, conversations: Sequence[list[Any]]) -> object:
        if self._async_client is None:
            self._async_client = openai.AsyncOpenAI(api_key=API_KEY, base_url=self._base_url)
        create = self._async_client.chat.completions.create
        return await asyncio.gather(*(create(model=MODEL, messages=c) for c in conversations))


class HttpxContender(OpenAIContender):
    """As few steps as there can be, each by the fastest library."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self._url = f"{base_url}/chat/completions"
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
        self._http = httpx.Client(limits=limits, timeout=600)
        self._async_http = httpx.AsyncClient(limits=limits, timeout=600)

    def image(self, data: bytes, media_type: str = "image/png") -> Any:
        return self.picture_at(f"data:{media_type};base64,{pybase64.b64encode_as_string(data)}")

    def _encode(self, messages: list[Any]) -> dict[str, Any]:
        body = orjson.dumps({"model": MODEL, "messages": messages})
        return {"content": body, "headers": {"authorization": f"Bearer {API_KEY}"}}

    def ask(self, messages: list[Any]) -> object:
        return orjson.loads(self._http.post(self._url, **self._encode(messages)).content)

    def stream(self, messages: list[Any]) -> int:
        with self._http.stream("POST", self._url, **self._encode(messages)) as response:
            lines = b"".join(response.iter_bytes()).split(b"\n\n")
        return sum(1 for line in lines if line[6:7] == b"{" and orjson.loads(line[6:]))

    async def ask_many(self, conversations: Sequence[list[Any]]) -> object:
        asked = (self._async_http.post(self._url, **self._encode(c)) for c in conversations)
        return [orjson.loads(answer.content) for answer in await asyncio.gather(*asked)]
