"""Many clients of the streaming service, of which some disconnect.

Start [`streaming_service.py`](streaming_service.py), then:

```bash
python streaming_clients.py cat.png --clients 20 --disconnect 6
```
"""

import argparse
import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import httpx2


@dataclass(frozen=True)
class Answer:
    """What a client received."""

    text: str
    is_whole: bool
    error: str | None = None


async def ask(
    client: httpx2.AsyncClient, url: str, image: bytes, question: str, stop_after: int | None = None
) -> Answer:
    """Ask, and read the events; disconnect after some of them if `stop_after` is given."""
    pieces: list[str] = []
    event = ""
    form = {"question": question}
    async with client.stream("POST", url, data=form, files={"image": image}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name != "data":
                continue
            elif event == "error":
                return Answer("".join(pieces), is_whole=False, error=json.loads(value))
            elif event == "usage":
                return Answer("".join(pieces), is_whole=True)
            else:
                pieces.append(json.loads(value))
                if len(pieces) == stop_after:
                    # Leaving the block closes the connection.
                    break
    return Answer("".join(pieces), is_whole=False)


async def ask_with_many(url: str, image: bytes, n_clients: int, n_leaving: int) -> list[Answer]:
    """Ask with all clients at once; the last of them disconnect after two pieces."""
    async with httpx2.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                ask(
                    client,
                    url,
                    image,
                    f"What is in this image? I am client {number}.",
                    stop_after=2 if number >= n_clients - n_leaving else None,
                )
            )
            for number in range(n_clients)
        ]
    return [task.result() for task in tasks]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("--url", default="http://localhost:8000/ask")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--disconnect", type=int, default=6)
    options = parser.parse_args()
    image = options.image.read_bytes()
    answers = asyncio.run(ask_with_many(options.url, image, options.clients, options.disconnect))
    for answer in answers:
        print("whole " if answer.is_whole else "broken", answer.error or answer.text)


if __name__ == "__main__":
    main()
