"""`python -m qwen_vl.sandbox --port 8000`."""

import argparse
from collections.abc import Sequence

from qwen_vl.sandbox import serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the sandbox until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m qwen_vl.sandbox",
        description="A local endpoint that speaks the Qwen VL protocol and says what it received.",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--lenient", action="store_true", help="refuse only what is documented as refused"
    )
    options = parser.parse_args(arguments)
    serve(options.port, options.host, strict=not options.lenient)


if __name__ == "__main__":
    main()
