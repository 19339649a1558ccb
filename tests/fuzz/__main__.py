"""`python -m fuzz --minutes 10 [TARGET…]`: runs each target for so long, and shows findings."""

import argparse
import faulthandler
import itertools
import sys
import time

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fuzz.targets import TARGETS, quietly

_EXAMPLES_OF_A_ROUND = 500
# A single input that takes longer is shown with the place where it hangs, and ends the run.
_HANG_SECONDS = 60


def fuzz(name: str, seconds: float) -> tuple[int, BaseException | None]:
    """Run a target, and return the number of inputs and what one of them has raised."""
    target, n_inputs = TARGETS[name], 0
    read = quietly(target.run)

    def count(drawn: object) -> None:
        nonlocal n_inputs
        n_inputs += 1
        faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        read(drawn)
        faulthandler.cancel_dump_traceback_later()

    ends = time.monotonic() + seconds
    for number in itertools.count(time.time_ns() % 2**32):
        if time.monotonic() >= ends:
            return n_inputs, None
        run = settings(
            max_examples=_EXAMPLES_OF_A_ROUND,
            deadline=None,
            database=DirectoryBasedExampleDatabase(".hypothesis/fuzz"),
            suppress_health_check=list(HealthCheck),
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            verbosity=Verbosity.quiet,
        )(seed(number)(given(target.inputs())(count)))
        try:
            run()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return n_inputs, error
    raise AssertionError


def main() -> None:
    """Run the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each target, 1 by default")
    options = parser.parse_args()
    n_found = 0
    for name in options.targets or TARGETS:
        n_inputs, error = fuzz(name, options.minutes * 60)
        found = "nothing found" if error is None else f"FOUND {type(error).__name__}: {error}"
        sys.stdout.write(f"{name}: {n_inputs:,} inputs, {found}\n")
        if error is not None:
            n_found += 1
            for note in getattr(error, "__notes__", ()):
                sys.stdout.write(f"    {note}\n")
            import traceback  # noqa: PLC0415 - only here

            traceback.print_exception(error, limit=-6, file=sys.stdout)
        sys.stdout.flush()
    sys.exit(n_found > 0)


if __name__ == "__main__":
    main()
