"""`python -m qwen_vl_sandbox --port 8000`."""

import argparse
from collections.abc import Sequence
from typing import get_args

from qwen_vl_sandbox import serve
from qwen_vl_sandbox.specs.servers import ServerName


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the sandbox until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m qwen_vl_sandbox",
        description="A local endpoint that speaks the Qwen VL protocol and says what it received.",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--lenient", action="store_true", help="refuse only what is documented as refused"
    )
    parser.add_argument(
        "--server",
        choices=get_args(ServerName),
        default="dashscope",
        help="the server to imitate; the service itself if not given",
    )
    options = parser.parse_args(arguments)
    strict = not options.lenient
    serve(options.port, options.host, strict=strict, server=options.server)


if __name__ == "__main__":
    main()
