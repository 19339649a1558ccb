"""`python -m benchmarks.ray_data`: the stage for Ray Data beside Ray's own stage for HTTP.

Both ask about the same images with two workers, within the same limit of requests a minute, at an
endpoint that answers after 0.2 seconds. What counts are ratios: the highest rate in any 10 seconds
to the limit, and one duration to the other. Each is run again with an image that is broken.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LATENCY_SECONDS = 0.2
WINDOW_SECONDS = 10.0
BROKEN = b"This is not an image."
N_WORKERS = 2
BATCH_SIZE = 32
PATH = "/compatible-mode/v1/chat/completions"
PROMPT = "Which color is it?"
MODEL = "qwen3-vl-plus"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Server:
    """Answers after a while, and counts."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.n_running = self.most_running = 0

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        body = await request.body()
        self.times.append(time.monotonic())
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        try:
            await asyncio.sleep(LATENCY_SECONDS)
        finally:
            self.n_running -= 1
        if base64.b64encode(BROKEN) in body:
            error = {"code": "invalid_parameter_error", "message": "The image format is illegal."}
            return JSONResponse({"error": error}, 400)
        message = {"role": "assistant", "content": "Red."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 80, "completion_tokens": 2, "total_tokens": 82}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL}
        return JSONResponse({**answer, "choices": [choice], "usage": usage})

    def count_most(self) -> int:
        """Return how many requests came at most in a window."""
        times = sorted(self.times)
        ends = [bisect_left(times, begin + WINDOW_SECONDS) for begin in times]
        return max((end - at for at, end in enumerate(ends)), default=0)


@contextmanager
def serve() -> Iterator[tuple[Server, str]]:
    """Run a server in a thread."""
    server = Server()
    made = Starlette(routes=[Route(PATH, server.answer, methods=["POST"])])
    running = uvicorn.Server(uvicorn.Config(made, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield server, f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


@app.command()
def run(
    rows: Annotated[int, typer.Option(help="Number of images.")] = 2_000,
    rpm: Annotated[int, typer.Option(help="Requests a minute.")] = 3_000,
) -> None:
    """Run both, and print what came of it."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as created:
        for contender in ("stage", "http"):
            for broken in (False, True):
                count = rows if not broken else min(rows, 200)
                folder = Path(created, f"{contender}-{broken}")
                _make_images(folder, count, broken=broken)
                with serve() as (server, url):
                    made = _run_program(contender, folder, url, count, rpm)
                title = f"{contender}, {'a broken image' if broken else f'{count:,} rows'}"
                if "error" in made:
                    typer.echo(
                        f"{title}: ended after {len(server.times)} requests: {made['error']}"
                    )
                    continue
                share = server.count_most() / (rpm * WINDOW_SECONDS / 60)
                span = max(server.times) - min(server.times)
                if not broken:
                    seconds[contender] = span
                typer.echo(
                    f"{title}: {made['n_rows']} rows, {len(server.times)} requests in {span:.1f} s "
                    f"({made['seconds']:.1f} s with Ray's start of the workers), at most "
                    f"{server.most_running} at once, at most {share:.1%} of the limit in any "
                    f"{WINDOW_SECONDS:.0f} s; of the broken one: {made['broken']}"
                )
    if len(seconds) > 1:
        typer.echo(f"http / stage: {seconds['http'] / seconds['stage']:.2f} times as long")


def _make_images(folder: Path, count: int, *, broken: bool) -> None:
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (32, 32), (number % 256, number // 256, 9)).save(path)
    if broken:
        (folder / f"{count // 2}.png").write_bytes(BROKEN)


def _run_program(contender: str, folder: Path, url: str, count: int, rpm: int) -> dict[str, Any]:
    environment = {
        **os.environ,
        "DASHSCOPE_API_KEY": "sk-any",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    command = [sys.executable, "-m", "benchmarks.ray_data", "ask", contender, str(folder), url]
    done = subprocess.run(
        [*command, str(count), str(rpm)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "Error" in line]
        return {"error": (lines or [done.stderr])[-1][:300]}
    made: dict[str, Any] = json.loads((folder / "made.json").read_text())
    return made


@app.command()
def ask(contender: str, folder: Path, url: str, count: int, rpm: int) -> None:
    """Ask with one of both; `run` starts it."""
    import ray  # noqa: PLC0415 - it takes long.
    import ray.data  # noqa: PLC0415 - likewise.

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = 600
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as temporary:
        ray.init(num_cpus=3, include_dashboard=False, _temp_dir=temporary)
        rows = [{"image": str(folder / f"{number}.png")} for number in range(count)]
        dataset = ray.data.from_items(rows, override_num_blocks=max(2, count // 100))
        begun = time.monotonic()
        make = _ask_by_stage if contender == "stage" else _ask_by_http
        found = make(dataset, folder, url, rpm)
        broken = [row["shown"] for row in found if row["failed"]]
        written = {
            "n_rows": len(found),
            "seconds": time.monotonic() - begun,
            "broken": broken or "none",
        }
        (folder / "made.json").write_text(json.dumps(written))
        ray.shutdown()


def _ask_by_stage(dataset: Any, folder: Path, url: str, rpm: int) -> list[dict[str, Any]]:
    from ray.data import ActorPoolStrategy  # noqa: PLC0415 - it takes long.

    from qwen_vl import QwenVLSettings  # noqa: PLC0415 - beside what needs it.
    from qwen_vl.bulk import Job  # noqa: PLC0415 - likewise.
    from qwen_vl.ray import QwenVLStage, SharedBudget  # noqa: PLC0415 - likewise.

    settings = QwenVLSettings(
        model=MODEL, base_url=url + PATH.removesuffix("/chat/completions"), media_roots=[folder]
    )
    asked = dataset.map_batches(
        QwenVLStage,
        fn_constructor_kwargs={
            "job": Job(settings=settings, prompt=PROMPT),
            "store": folder / "store",
            "budget": SharedBudget(rpm=rpm, warm_up=0),
        },
        batch_format="pyarrow",
        batch_size=BATCH_SIZE,
        num_cpus=0.5,
        compute=ActorPoolStrategy(size=N_WORKERS, max_concurrent_calls_per_actor=4),
    )
    return [
        {"failed": bool(row["error_code"]), "shown": f"error_code={row['error_code']}"}
        for row in asked.take_all()
    ]


def _ask_by_http(dataset: Any, folder: Path, url: str, rpm: int) -> list[dict[str, Any]]:
    from ray.data.llm import (  # noqa: PLC0415 - it takes long.
        HttpRequestProcessorConfig,
        build_processor,
    )

    def preprocess(row: dict[str, Any]) -> dict[str, Any]:
        data = base64.b64encode(Path(row["image"]).read_bytes()).decode()
        parts = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
            {"type": "text", "text": PROMPT},
        ]
        return {"payload": {"model": MODEL, "messages": [{"role": "user", "content": parts}]}}

    def postprocess(row: dict[str, Any]) -> dict[str, Any]:
        # Arrow gives each row the fields of all others.
        held = {name: value for name, value in row["http_response"].items() if value is not None}
        return {"failed": "choices" not in held, "shown": f"an answer: {json.dumps(held)}"}

    config = HttpRequestProcessorConfig(
        url=url + PATH,
        headers={"Authorization": "Bearer sk-any"},
        qps=rpm // 60 // N_WORKERS,
        max_retries=4,
        batch_size=BATCH_SIZE,
        concurrency=N_WORKERS,
    )
    made = build_processor(config, preprocess=preprocess, postprocess=postprocess)
    found: list[dict[str, Any]] = made(dataset).take_all()
    return found


if __name__ == "__main__":
    app()
