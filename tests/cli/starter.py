"""Starts `qwen-vl` commands, each in a process of its own, as `python -m qwen_vl` does.

The libraries have been loaded before: that takes longer than most commands. What is this
project's own is not; each process imports it again, in its own environment.
"""

import gc
import json
import os
import runpy
import sys
from importlib import import_module

LIBRARIES = (
    *("PIL.Image", "anyio", "av", "filelock", "httpcore", "httpx", "openai", "orjson"),
    *("platformdirs", "pybase64", "pydantic", "rich.console", "rich.table"),
    *("starlette.applications", "typer", "uvicorn", "uvicorn.protocols.http.h11_impl"),
)


def main() -> None:
    """Start a command for each line of standard input, and print its exit code."""
    for name in LIBRARIES:
        import_module(name)
    # Without this, the end of each process would walk through, and so copy, all that it shares.
    gc.freeze()
    for line in sys.stdin:
        process = os.fork()
        if not process:
            _become(**json.loads(line))
            return
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer.


def _become(
    arguments: list[str], environment: dict[str, str], stdin: str, stdout: str, stderr: str
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in (
        (0, stdin, os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    media = [name for name in sys.modules if name.partition(".")[0] == "qwen_vl"]
    assert not media, f"{media} would not be imported again"
    sys.argv = ["qwen-vl", *arguments]
    runpy.run_module("qwen_vl", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
