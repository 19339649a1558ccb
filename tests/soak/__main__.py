"""`python -m soak [--requests 20000]`: counts wrong answers and raw errors, and what piles up.

64 requests are in flight, whole and streamed, through both frameworks; one of ten is cancelled.
"""

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path
from random import Random

from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import QwenVLError

_IN_FLIGHT = 64
_CANCELLED = 0.1
_TOLERANCE = 0.05


def measure() -> dict[str, int]:
    """Return what this process holds: memory in KiB, file descriptors, threads."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "KiB": resident // 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - counted only
        "threads": threading.active_count(),
    }


class Soak:
    """Asks, and counts.

    Args:
        base_url: Of the server.
    """

    def __init__(self, base_url: str) -> None:
        options = {"base_url": base_url, "api_key": "sk-1", "max_retries": 1, "timeout": 20}
        self._chat = ChatQwenVL(**options)
        self._llm = QwenVL(**options)
        self._random = Random(7)  # noqa: S311 - not secret
        self.counts: Counter[str] = Counter()

    async def ask(self, number: int) -> str:
        """Ask in one of four ways, and return the answer."""
        text = f"number {number}"
        match number % 4:
            case 0:
                return (await self._chat.ainvoke([HumanMessage(text)])).text
            case 1:
                pieces = self._chat.astream([HumanMessage(text)])
                return "".join([piece.text async for piece in pieces])
            case 2:
                return str((await self._llm.achat([ChatMessage(text)])).message.content)
            case _:
                stream = await self._llm.astream_chat([ChatMessage(text)])
                return "".join([piece.delta or "" async for piece in stream])

    async def run(self, numbers: "asyncio.Queue[int]") -> None:
        """Ask for numbers until there are none."""
        while not numbers.empty():
            number = numbers.get_nowait()
            asking = asyncio.create_task(self.ask(number))
            if self._random.random() < _CANCELLED:
                await asyncio.sleep(self._random.random() * 0.02)
                asking.cancel()
            try:
                answer = await asking
            except asyncio.CancelledError:
                self.counts["cancelled"] += 1
            except QwenVLError as error:
                self.counts["errors of ours"] += 1
                self.counts[f"  {type(error).__name__}"] += 1
            except Exception as error:  # noqa: BLE001 - counted
                self.counts[f"RAW {type(error).__name__}"] += 1
            else:
                is_right = answer == f"You said: number {number}"
                self.counts["answers" if is_right else "WRONG"] += 1
                if not is_right:
                    self.counts[f"  wrong: {answer[:60]!r}"] += 1

    async def fill_pools(self) -> None:
        """Have as many connections open as there are requests in flight."""
        for _ in range(4):
            asking = (self.ask(number) for number in range(_IN_FLIGHT))
            await asyncio.gather(*asking, return_exceptions=True)


async def soak(base_url: str, n_requests: int) -> Counter[str]:
    """Ask so many times, and print what the process holds after a quarter and at the end."""
    soaked, done = Soak(base_url), 0
    held = []
    for upto in (n_requests // 4, n_requests):
        numbers: asyncio.Queue[int] = asyncio.Queue()
        for number in range(done, upto):
            numbers.put_nowait(number)
        await asyncio.gather(*(soaked.run(numbers) for _ in range(_IN_FLIGHT)))
        # Which connections are open depends on the faults of the last requests.
        await soaked.fill_pools()
        done = upto
        held.append(measure())
        sys.stdout.write(f"after {done:,}: {held[-1]}\n")
        sys.stdout.flush()
    for name, first in held[0].items():
        if abs(held[1][name] - first) > max(first * _TOLERANCE, 1):
            soaked.counts[f"GROWN {name}"] += 1
    return soaked.counts


def main() -> None:
    """Start the server, ask, and fail for wrong answers, raw errors and growth."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    options = parser.parse_args()
    # Answers that are odd are warned of.
    warnings.simplefilter("ignore")
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/compatible-mode/v1"
        try:
            counts = asyncio.run(soak(url, options.requests))
        finally:
            server.kill()
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"{name}: {count:,}\n")
    sys.exit(any(name.isupper() or name.split()[0] in {"RAW", "GROWN"} for name in counts))


if __name__ == "__main__":
    main()
