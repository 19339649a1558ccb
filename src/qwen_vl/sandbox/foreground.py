"""The sandbox in the foreground, for a terminal."""

import contextlib
import sys
import threading

from qwen_vl.sandbox.dialects import DialectName
from qwen_vl.sandbox.server import HOST, Sandbox


def serve(
    port: int = 8000,
    host: str = HOST,
    *,
    strict: bool = True,
    dialect: DialectName = "dashscope",
) -> None:
    """Run the sandbox until Ctrl-C.

    Args:
        port: Port to listen on; 0 takes a free one.
        host: Address to listen on.
        strict: As for `Sandbox`.
        dialect: Likewise.

    Raises:
        OSError: The port is taken.
    """
    made = Sandbox(port, host=host, strict=strict, dialect=dialect)
    with contextlib.suppress(KeyboardInterrupt), made as sandbox:
        sys.stdout.write(f"The qwen-vl sandbox listens at {sandbox.base_url} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        threading.Event().wait()
