"""`python -m qwen_vl`, and what the command `qwen-vl` starts."""

import sys


def main() -> None:
    """Run the command line, or say how to install it.

    Its libraries are an extra: a server that only asks questions does not need them.
    """
    try:
        from qwen_vl.cli.app import app  # noqa: PLC0415 - what it imports may be missing.
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.exit('The command line needs: pip install "qwen-vl[cli]"')
    # The same name for `python -m qwen_vl`, which completion and `--help` show.
    app(prog_name="qwen-vl")


if __name__ == "__main__":
    main()
