"""A nightly batch over a folder.

One question about each image of a folder, at half the price, and the answers in a CSV file:

```bash
pip install "qwen-vl[cli,openai,sandbox]"
python nightly_batch.py photos answers.csv
```

Run it from cron each night: only new and changed images are asked about, and what failed is asked
once more. A run that was killed goes on where it ended, nothing is submitted twice, and a run that
starts while another one waits ends at once:

```text
0 1 * * *  cd /srv/album && python nightly_batch.py photos answers.csv >> nightly.log 2>&1
```

The exit code is 0 if all images have answers, 1 if some do not, and 2 if the run failed. To try it
without an API key, start `qwen-vl sandbox` in another terminal, and set the two variables that it
prints; `--poll 1` waits less. See also [Batch files](../batch.md).
"""

import argparse
import csv
import sys
from decimal import Decimal
from pathlib import Path

from filelock import FileLock, Timeout

from qwen_vl import QwenVLError, QwenVLSettings
from qwen_vl.batches import BatchRunner
from qwen_vl.bulk import Job, Ledger, Report, read_rows

PROMPT = "Describe this image in one sentence."
MAX_OUTPUT_TOKENS = 200
COLUMNS = ("path", "answer", "error_message", "input_tokens", "output_tokens")


def run(folder: Path, ledger: Ledger, poll: float, max_cost: Decimal | None) -> list[Report]:
    """Ask about all images without an answer; once more about those that failed."""
    parameters = {"max_tokens": MAX_OUTPUT_TOKENS}
    job = Job(settings=QwenVLSettings(), prompt=PROMPT, parameters=parameters)
    reports = []
    for _ in range(2):
        runner = BatchRunner(
            job,
            ledger,
            retry_failed=True,
            max_cost=max_cost,
            output_tokens=MAX_OUTPUT_TOKENS,
            poll=poll,
        )
        reports.append(runner.run(read_rows(folder)))
        if not reports[-1].n_failed:
            break
    return reports


def write_table(folder: Path, ledger: Ledger, path: Path) -> int:
    """Write a line for each image, and return how many lack an answer."""
    n_missing = 0
    # Under another name first, so that readers see a whole file.
    written = path.with_suffix(".tmp")
    with written.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        for row in read_rows(folder):
            outcome = ledger.find_row(row.number)
            n_missing += outcome is None or not outcome.is_answer
            values = outcome.to_dict() if outcome else {}
            table.writerow({"path": row.name, **values})
    written.replace(path)
    return n_missing


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="images, videos and documents")
    parser.add_argument("output", type=Path, help="a .csv file; the state is beside it")
    parser.add_argument("--max-cost", type=Decimal, help="submit nothing that costs more")
    parser.add_argument("--poll", type=float, default=60, help="seconds until the first status")
    options = parser.parse_args()
    state = options.output.with_suffix(".ledger")
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / "run.lock", timeout=0), Ledger(state) as ledger:
            reports = run(options.folder, ledger, options.poll, options.max_cost)
            n_missing = write_table(options.folder, ledger, options.output)
    except Timeout:
        print("Another run is under way.")
        return 0
    except QwenVLError as error:
        print(error, file=sys.stderr)
        return 2
    n_answered = sum(report.n_answered for report in reports)
    print(f"{n_answered} new answers; {n_missing} of {reports[0].n_rows} files lack one")
    return 1 if n_missing else 0


if __name__ == "__main__":
    sys.exit(main())
