"""The streaming service of docs/examples, over HTTP: many clients, of which some disconnect."""

import asyncio
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from connection_pools import find_pools
from document_examples import ROOT
from qwen_vl.request.build import build_connection
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

FOLDER = ROOT / "docs/examples"
IMAGE = CHELSEA.read_bytes()


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if is_true():
            return
        time.sleep(0.01)
    pytest.fail("it does not become true")


class Service:
    """The service, run by uvicorn in a thread."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_level="warning"))
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self.server.started)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/ask"

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve()

        asyncio.run(serve())

    def find_tasks(self) -> set[str]:
        """Return the names of what runs in the service's loop."""
        assert self.loop
        return {repr(task.get_coro()) for task in asyncio.all_tasks(self.loop)}

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join()


@pytest.fixture
def service(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-sandbox")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", qwen_vl_sandbox.base_url)
    running = Service(import_module("streaming_service").app)
    yield running
    running.stop()


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("streaming_clients")


def find_busy_connections(service: Service) -> list[Any]:
    """Return the connections to the endpoint that are in use."""
    model = service.app.state.model
    loops = model._clients.asynchronous(build_connection(model))._loops.get()
    pools = [pool for held in loops.values() for pool in find_pools(held.pool.transport)]
    assert pools
    return [one for pool in pools for one in pool.connections if not one.is_idle()]


def read_log(log: io.StringIO) -> list[int]:
    """Return the milliseconds of each request to the endpoint that has ended."""
    return [int(figure) for figure in re.findall(r"\((\d+) ms\)", log.getvalue())]


@pytest.mark.slow
async def test_others_get_whole_answers(
    service: Service, clients: Any, qwen_vl_sandbox: Sandbox
) -> None:
    (first,) = await clients.ask_with_many(service.url, IMAGE, 1, 0)
    tasks = service.find_tasks()
    log = io.StringIO()
    qwen_vl_sandbox.clear()
    qwen_vl_sandbox.log_requests(log)
    # An answer takes a second at least, and is far from its end where some disconnect.
    qwen_vl_sandbox.fail(chunk_delay=0.1, times=20)

    answers = await clients.ask_with_many(service.url, IMAGE, 20, 6)
    await asyncio.to_thread(wait_until, lambda: len(read_log(log)) == 20)
    await asyncio.to_thread(wait_until, lambda: not find_busy_connections(service))
    await asyncio.to_thread(wait_until, lambda: service.find_tasks() <= tasks)

    assert first.is_whole
    for number, answer in enumerate(answers[:14]):
        assert answer.is_whole
        assert answer.text.startswith("I am the qwen-vl sandbox, not a model. I received an image")
        assert answer.text.endswith(f'I am client {number}.".')
    for answer in answers[14:]:
        assert not answer.is_whole
        assert answer.error is None
        assert len(answer.text) < len(answers[0].text) / 2
    assert len(qwen_vl_sandbox.requests) == 20
    # What is cut off ends before what is whole.
    *cut, shortest = sorted(read_log(log))[:7]
    assert max(cut) < shortest * 0.75


@pytest.mark.usefixtures("clients")
async def test_requests_of_clients_that_disconnect_are_closed(
    service: Service, qwen_vl_sandbox: Sandbox
) -> None:
    log = io.StringIO()
    qwen_vl_sandbox.log_requests(log)
    # They disconnect while the service waits for the model.
    qwen_vl_sandbox.fail(chunk_delay=60, times=6)
    async with httpx2.AsyncClient() as client:
        for number in range(6):
            form = {"question": f"What is this? {number}"}
            async with client.stream("POST", service.url, data=form, files={"image": IMAGE}):
                await asyncio.to_thread(wait_until, lambda n=number: qwen_vl_sandbox.n_requests > n)

    await asyncio.to_thread(wait_until, lambda: len(read_log(log)) == 6)
    await asyncio.to_thread(wait_until, lambda: not find_busy_connections(service))
    assert max(read_log(log)) < 60_000


async def test_error_of_the_endpoint_is_an_event(
    service: Service, clients: Any, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=400, message="Not today.")
    async with httpx2.AsyncClient() as client:
        refused = await clients.ask(client, service.url, IMAGE, "What is this?")
        broken = await clients.ask(client, service.url, b"no image", "What is this?")

    assert "Not today." in refused.error
    assert "image" in broken.error
    assert (refused.text, refused.is_whole) == ("", False)


def test_images_that_are_too_large_are_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("streaming_service"), "MAX_IMAGE_BYTES", 1_000)
    form = {"question": "What is this?"}
    response = httpx2.post(service.url, data=form, files={"image": IMAGE})

    assert response.status_code == 413
    assert response.json() == {"detail": "The image must have at most 1,000 bytes."}


@pytest.mark.slow
def test_both_run_as_their_text_says(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "DASHSCOPE" not in name}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve = [sys.executable, "-m", "uvicorn", "streaming_service:app", "--port", port]
    with subprocess.Popen(serve, cwd=FOLDER, env=environment) as server:
        try:
            wait_until(lambda: is_open(int(port)))
            ask = [sys.executable, str(FOLDER / "streaming_clients.py"), str(CHELSEA)]
            url = f"http://127.0.0.1:{port}/ask"
            options = ["--url", url, "--clients", "4", "--disconnect", "1"]
            done = subprocess.run(
                [*ask, *options], env=environment, check=True, capture_output=True, text=True
            )
        finally:
            server.terminate()

    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["whole", "whole", "whole", "broken"]
    assert "qwen-vl sandbox" in lines[0]


def is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
