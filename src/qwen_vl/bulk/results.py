"""The results of a run as a file: a line for each row, in the order of the input."""

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.row import Row
from qwen_vl.errors import ConfigurationError, extra_required

SUFFIXES = (".jsonl", ".parquet")
_BATCH_ROWS = 1_000


def find_results(rows: Iterable[Row], ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Find the result of each row: its columns, the answer or error, and what it cost.

    Args:
        rows: Those that were asked about.
        ledger: Where the outcomes are.
    """
    for row in rows:
        outcome = ledger.find_row(row.number)
        found = {"error_code": "not_asked"} if outcome is None else outcome.to_dict()
        yield {**row.columns, **found}


def write_results(path: Path, results: Iterable[dict[str, Any]]) -> int:
    """Write results to a file, and return their number.

    The file is written under another name first, so that it is always whole.

    Args:
        path: A `.jsonl` or `.parquet` file.
        results: From `find_results`.

    Raises:
        ConfigurationError: It cannot be written, or is of another kind.
        MissingExtraError: pyarrow is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"{path.name!r} must be a .jsonl or .parquet file.")
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_jsonl
    written = path.with_name(f".{path.name}.tmp")
    try:
        count = write(written, results)
        written.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be written: {error.strerror or error}. What was answered is in "
            "the ledger."
        ) from error
    finally:
        written.unlink(missing_ok=True)
    return count


def _write_jsonl(path: Path, results: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def _write_parquet(path: Path, results: Iterable[dict[str, Any]]) -> int:
    with extra_required("A Parquet file", extra="parquet"):
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    # Answers by a schema are objects, of which each may have other fields: they are JSON text.
    rows = [
        {
            name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            for name, value in result.items()
        }
        for result in results
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    table = arrow.table({name: [row.get(name) for row in rows] for name in names})
    parquet.write_table(table, path)
    return len(rows)
