"""The sandbox in the foreground, for a terminal."""

import contextlib
import sys
import threading

from qwen_vl.sandbox.server import HOST, Sandbox


def serve(port: int = 8000, host: str = HOST, *, strict: bool = True) -> None:
    """Run the sandbox until Ctrl-C.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        strict: As for `Sandbox`.

    Raises:
        OSError: The port is taken.
    """
    with contextlib.suppress(KeyboardInterrupt), Sandbox(port, host=host, strict=strict) as sandbox:
        sys.stdout.write(f"The qwen-vl sandbox listens at {sandbox.base_url} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        threading.Event().wait()
