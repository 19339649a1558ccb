"""`python -m soak.bulk rate|kills|batches`: figures of `qwen-vl map` and of batch files.

All ask the sandbox, which enforces the limits of rate, and counts.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from qwen_vl.batches import BatchJob
from qwen_vl.content import Text, Turn
from qwen_vl.request.build import build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

_LATENCY = 0.05
_WARM_UP = 30.0
_CONCURRENCY = 64
_FLUSH_ROWS = 100
_FOREVER = 1_000_000
_ENVIRONMENT = {**os.environ, "DASHSCOPE_API_KEY": "sk-sandbox"}
# What differs between two runs that do the same.
_OWN_FIELDS = {"request_id", "seconds", "n_attempts"}


def make_images(folder: Path, count: int) -> Path:
    """Write small images, all different."""
    folder.mkdir()
    for number in range(count):
        color = (number % 256, number // 256 % 256, 9)
        Image.new("RGB", (64, 64), color).save(folder / f"{number:06}.png")
    return folder


def start_map(images: Path, output: Path, url: str, *options: str) -> "subprocess.Popen[bytes]":
    """Start the command, as a user does."""
    command = [
        *(sys.executable, "-m", "qwen_vl", "map", str(images), "-o", str(output), "--json"),
        *("--prompt", "What color is this?", "--base-url", url, *options),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=_ENVIRONMENT)


def measure_rate(n_rows: int, rpm: int) -> None:
    """Print the rate, refusals, memory and CPU of a run, and the CPU of a bare loop."""
    with tempfile.TemporaryDirectory() as held, Sandbox(rpm=rpm) as sandbox:
        folder = Path(held)
        sandbox.fail(latency=_LATENCY, times=_FOREVER)
        images = make_images(folder / "images", n_rows)
        sizes: dict[str, float] = {}
        for count in (n_rows // 10, n_rows):
            begun = _children()
            process = start_map(
                *(images, folder / f"{count}.jsonl", sandbox.base_url),
                *("--limit", str(count), "--rpm", str(rpm), "--concurrency", str(_CONCURRENCY)),
            )
            started = time.monotonic()
            peak = _watch(process)
            seconds = time.monotonic() - started
            report = json.loads(process.communicate()[0])
            cpu = _children() - begun
            # The warm-up's half second is what an even rise brings less.
            ideal = 60 * count / rpm + _WARM_UP / 2
            sizes[str(count)] = peak
            print(
                f"{count:,} rows: {report['n_answered']:,} answered, {report['n_refused']} refused"
                f" in {report['seconds']:.1f} s ({seconds:.1f} s with start and output); at the"
                f" limit {ideal:.1f} s, {ideal / report['seconds']:.1%}; peak {peak / 1024:.0f} MB;"
                f" CPU {1000 * cpu / count:.2f} ms a row"
            )
        few, many = sizes.values()
        print(f"memory: {many / few - 1:+.1%} from {n_rows // 10:,} to {n_rows:,} rows")
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as held:
        sandbox.fail(latency=_LATENCY, times=_FOREVER)
        images = make_images(Path(held) / "images", 2_000)
        for name, command in (
            ("bare httpx2 loop", ["-m", "soak.bulk", "bare", sandbox.base_url, str(images)]),
            ("qwen-vl map", None),
        ):
            begun = _children()
            if command is None:
                options = ("--concurrency", str(_CONCURRENCY))
                start_map(images, Path(held) / "o.jsonl", sandbox.base_url, *options).communicate()
            else:
                subprocess.run([sys.executable, *command], check=True)
            print(f"{name}: CPU {(_children() - begun) / 2:.2f} ms a row, without a limit of rate")


def _watch(process: "subprocess.Popen[bytes]") -> float:
    """Return the peak of a process's memory in KiB."""
    peak = 0.0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        try:
            lines = status.read_text().splitlines()
        except OSError:
            break
        peak = next((float(line.split()[1]) for line in lines if line.startswith("VmHWM")), peak)
        time.sleep(0.2)
    return peak


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def ask_bare(url: str, images: Mapping[str, bytes]) -> None:
    """Send the same requests with nothing but the HTTP library."""
    room = asyncio.Semaphore(_CONCURRENCY)
    headers = {"authorization": "Bearer sk-sandbox"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as client:

        async def ask(held: bytes) -> None:
            async with room:
                data = b64encode(held).decode()
                image = {"url": f"data:image/png;base64,{data}"}
                content = [
                    {"type": "image_url", "image_url": image},
                    {"type": "text", "text": "What color is this?"},
                ]
                body = {
                    "model": "qwen3-vl-plus",
                    "messages": [{"role": "user", "content": content}],
                }
                answer = await client.post(f"{url}/chat/completions", json=body)
                answer.raise_for_status()
                json.loads(answer.content)

        await asyncio.gather(*map(ask, images.values()))


def measure_kills(n_rows: int, n_kills: int, seed: int) -> None:
    """Kill a run at random moments, and compare what comes of it with a run without kills."""
    dice = random.Random(seed)  # noqa: S311 - not secret
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        images = make_images(folder / "images", n_rows)
        with Sandbox() as sandbox:
            sandbox.fail(latency=_LATENCY, times=_FOREVER)
            start_map(images, folder / "whole.jsonl", sandbox.base_url).communicate()
        with Sandbox() as sandbox:
            sandbox.fail(latency=_LATENCY, times=_FOREVER)
            counted = 0
            for _ in range(n_kills):
                process = start_map(images, folder / "killed.jsonl", sandbox.base_url)
                before = sandbox.n_requests
                while sandbox.n_requests == before and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(dice.random() * 0.6)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                counted += 1
            start_map(images, folder / "killed.jsonl", sandbox.base_url).communicate()
            n_requests = sandbox.n_requests
        whole, killed = (_read(folder / f"{name}.jsonl") for name in ("whole", "killed"))
        window = counted * (_CONCURRENCY + _FLUSH_ROWS)
        print(
            f"{counted} kills: {len(killed):,} lines, equal to a run without kills: "
            f"{whole == killed}; {n_requests:,} requests for {n_rows:,} rows, "
            f"{n_requests - n_rows} more (in flight and not flushed: up to {window:,})"
        )


def _read(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in _OWN_FIELDS} for line in lines]


_FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "failed lines in the output": {"failed_lines": 100, "status": 400, "in_output": True},
    "failed lines in the error file": {"failed_lines": 100, "status": 500},
    "expired": {"expires_after": 1_000},
    "expired, silent": {"expires_after": 1_000, "lists_unfinished": False},
    "validation failed": {"validation_code": "invalid_request"},
}


def measure_batches(n_lines: int, n_shards: int) -> None:
    """Answer lines by files under each fault: submitted by one process, finished by another."""
    calls = ("answer to create lost", "answer to upload lost", "429 on list")
    for name in (*_FAULTS, *calls):
        with tempfile.TemporaryDirectory() as held, Sandbox(batch_seconds=0.5) as sandbox:
            if name in _FAULTS:
                sandbox.fail_batch(**_FAULTS[name])
            elif "create" in name:
                sandbox.fail(endpoint="batches", cut_after_chunks=0)
            elif "upload" in name:
                sandbox.fail(endpoint="files", cut_after_chunks=0)
            else:
                sandbox.fail(endpoint="batches", cut_after_chunks=0)
                sandbox.fail(endpoint="batch_list", status=429, times=2)
            folder = Path(held) / "job"
            settings = _settings(sandbox.base_url)
            requests = (
                (
                    f"row-{n}",
                    build_request(settings, [Turn(role="user", parts=(Text(text=f"{n}"),))]),
                )
                for n in range(n_lines)
            )
            max_lines = -(-n_lines // n_shards)
            with BatchJob.prepare(requests, folder, settings, max_lines=max_lines) as job:
                before = job.estimate_cost(output_tokens=30)
            for step in ("submit", "finish"):
                command = [sys.executable, "-m", "soak.bulk", step, sandbox.base_url, str(folder)]
                subprocess.run(command, check=True, env=_ENVIRONMENT)
            with BatchJob(folder, settings) as job:
                keys = Counter(result.key for result in job.results() if result.reply)
                after = job.cost()
                n_retried = sum(
                    shard.number >= n_shards for shard in job.status(update=False).shards
                )
            per_file = Counter(batch.input_file_id for batch in sandbox.batches)
            print(
                f"{name}: {len(keys):,} keys, answered at most {max(keys.values())} time; "
                f"{len(sandbox.batches)} jobs ({n_retried} of retries), at most "
                f"{max(per_file.values())} of a file; {before.amount:.4f} {before.currency} before,"
                f" {after.amount:.4f} after"
            )


def _settings(url: str) -> QwenVLSettings:
    return QwenVLSettings(base_url=url, api_key="sk-sandbox", region="cn-beijing")


def run_step(step: str, url: str, folder: Path) -> None:
    """Do a step of a batch job, in a process of its own."""
    with BatchJob(folder, _settings(url)) as job:
        job.submit()
        while step == "finish":
            job.wait(poll=0.1)
            job.collect()
            if not job.retry():
                break
            job.submit()


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["rate", "kills", "batches", "bare", "submit", "finish"])
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rpm", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    match options.step:
        case "rate":
            measure_rate(options.rows, options.rpm)
        case "kills":
            measure_kills(min(options.rows, 2_000), 10, options.seed)
        case "batches":
            measure_batches(min(options.rows, 5_000), 3)
        case "bare":
            url, images = options.arguments
            held = {path.name: path.read_bytes() for path in Path(images).iterdir()}
            asyncio.run(ask_bare(url, held))
        case step:
            url, folder = options.arguments
            run_step(step, url, Path(folder))


if __name__ == "__main__":
    main()
