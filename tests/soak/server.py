"""A server that answers with what it was asked, and misbehaves in one request of ten."""

import asyncio
import json
import sys
from random import Random

_BODIES = {
    "error": b'{"error": {"code": "x", "message": "no"}}',
    "empty": b"",
    "odd": b'{"choices": [{"message": 7}]}',
}
_FAULTS = ("close", "status", "half", "garbage", "html", "slow", "reset", "error", "empty", "odd")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    random = Random(id(writer))  # noqa: S311 - not secret
    try:
        while await answer(reader, writer, random):
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, random: Random
) -> bool:
    """Answer one request, and return whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0])
    body = json.loads(await reader.readexactly(length))
    stream = bool(body.get("stream"))
    good = write_answer(f"You said: {body['messages'][-1]['content']}", stream=stream)
    await asyncio.sleep(random.random() * 0.02)
    if random.random() >= 0.1:
        writer.write(response("200 OK", good, stream=stream))
        return True
    fault = random.choice(_FAULTS)
    if fault == "reset":
        writer.transport.abort()
    elif fault == "garbage":
        writer.write(b"\x16\x03\x01 not HTTP\r\n\r\n")
    elif fault == "half":
        whole = response("200 OK", good, stream=stream)
        writer.write(whole[: len(whole) - len(good) // 2])
    elif fault == "slow":
        await asyncio.sleep(0.3)
        writer.write(response("200 OK", good, stream=stream))
    elif fault in _BODIES:
        writer.write(response("200 OK", write_event(_BODIES[fault], stream=stream), stream=stream))
    elif fault == "html":
        writer.write(response("502 Bad Gateway", b"<html>nginx</html>", stream=False))
    elif fault == "status":
        status = random.choice(("429 Too Many Requests", "500 Oops", "503 Busy", "400 No"))
        writer.write(response(status, _BODIES["error"], stream=False))
    return fault in {"slow", "html", "status", *_BODIES}


def response(status: str, body: bytes, *, stream: bool) -> bytes:
    """Write a whole response."""
    kind = "text/event-stream" if stream else "application/json"
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def write_event(body: bytes, *, stream: bool) -> bytes:
    """Write a body, as an event of a stream if it is one."""
    return b"data: " + body + b"\n\n" if stream and body else body


def write_answer(text: str, *, stream: bool) -> bytes:
    """Write a good answer."""
    if not stream:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        return json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}).encode()
    deltas: list[dict[str, object]] = [
        {"index": 0, "delta": {"content": sign}, "finish_reason": None} for sign in text
    ]
    deltas.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [json.dumps({"choices": [delta]}).encode() for delta in deltas]
    return b"".join(write_event(event, stream=True) for event in (*events, b"[DONE]"))


async def main() -> None:
    """Listen, and print the port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
