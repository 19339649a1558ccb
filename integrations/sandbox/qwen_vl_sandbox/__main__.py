"""`python -m qwen_vl_sandbox --port 8000`."""

import argparse
import sys
from collections.abc import Sequence

_MAX_PORT = 65_535


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run the sandbox until Ctrl-C."""
    try:
        from qwen_vl_sandbox import serve  # noqa: PLC0415 - what it imports may be missing.
        from qwen_vl_sandbox.specs.servers import SERVERS  # noqa: PLC0415 - as above.
    except ImportError as error:
        sys.exit(f"Error: {error}")
    parser = argparse.ArgumentParser(
        prog="python -m qwen_vl_sandbox",
        description="A local endpoint that speaks the Qwen VL protocol and says what it received.",
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to listen on, 8000 by default; 0: a free one"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="host name or IPv4 address to listen on"
    )
    parser.add_argument(
        "--lenient", action="store_true", help="reject only what is documented as rejected"
    )
    parser.add_argument(
        "--server",
        choices=("dashscope", *SERVERS),
        default="dashscope",
        help="server to imitate, the hosted service by default",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that requests may be sent to, beside localhost; can be given several times",
    )
    parser.add_argument(
        "--ocr", action="store_true", help="read the text in images; needs the extra sandbox-ocr"
    )
    options = parser.parse_args(arguments)
    try:
        serve(
            options.port,
            options.host,
            strict=not options.lenient,
            server=options.server,
            allowed_hosts=options.allow_host,
            reads=options.ocr,
        )
    except ImportError as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: {error.strerror or error}")


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {_MAX_PORT}")
    return port


if __name__ == "__main__":
    main()
