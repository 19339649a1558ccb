"""Rows from a folder, a pattern, or a file of JSON lines or CSV."""

import csv
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from qwen_vl.bulk.row import MediaSource, Row
from qwen_vl.content import LocalFile, Url, is_url
from qwen_vl.errors import ConfigurationError, extra_required
from qwen_vl.retrieval.files import find_files

MEDIA_COLUMNS = ("image", "images", "video", "audio", "document", "file", "path", "url")
"""Columns that name media, where no other is chosen."""

_MAX_LINE = 64 * 2**20


def read_rows(source: str | Path, *, media_column: str | None = None) -> Iterator[Row]:
    """Read the rows of an input, one by one.

    Args:
        source: A folder, whose images, videos and documents are a row each; a pattern such as
            `photos/*.jpg`; a `.jsonl` or `.csv` file, whose columns the prompt may use; a
            `.parquet` file (`pip install "qwen-vl[parquet]"`).
        media_column: Column that names the media of a row: a path, relative to the file's folder,
            a URL, or a list of them. By default the first of `MEDIA_COLUMNS` that there is.

    Raises:
        ConfigurationError: The input does not exist, or a line of it cannot be read.
        MissingExtraError: pyarrow is not installed.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> [row.name for row in read_rows(CHELSEA)]
        ['chelsea.png']
    """
    path = Path(source).expanduser()
    readers = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".csv": _read_csv}
    readers[".parquet"] = _read_parquet
    reader = readers.get(path.suffix.lower())
    if reader is not None and path.is_file():
        folder = path.resolve().parent
        for number, columns in enumerate(reader(path)):
            yield _to_row(number, columns, media_column, folder, path.name)
        return
    for number, (file, name) in enumerate(_find_files(path, str(source))):
        yield Row(
            number=number,
            media=(LocalFile(file, is_trusted=True),),
            columns={"path": str(file), "name": file.name},
            name=name,
        )


def _find_files(path: Path, source: str) -> Iterator[tuple[Path, str]]:
    if path.is_dir():
        files, _ = find_files(path)
        yield from ((file, str(file.relative_to(path))) for file in files)
    elif path.is_file():
        yield path, path.name
    elif any(sign in source for sign in "*?["):
        # The part before the first sign is a folder.
        parts = path.parts
        first = next(n for n, part in enumerate(parts) if any(sign in part for sign in "*?["))
        folder = Path(*parts[:first])
        found = sorted(file for file in folder.glob(str(Path(*parts[first:]))) if file.is_file())
        if not found:
            raise ConfigurationError(f"No file matches {source!r}.")
        yield from ((file, str(file)) for file in found)
    else:
        raise ConfigurationError(
            f"{source!r} does not exist. Pass a folder, a pattern, or a .jsonl, .csv or .parquet "
            "file."
        )


def _to_row(
    number: int,
    columns: Mapping[str, Any],
    media_column: str | None,
    folder: Path,
    source: str,
) -> Row:
    where = f"{source}, row {number + 1}"
    if media_column is None:
        name = next((name for name in MEDIA_COLUMNS if columns.get(name)), None)
    elif media_column not in columns:
        known = ", ".join(columns) or "none"
        raise ConfigurationError(f"{where} lacks a column {media_column!r}. Its columns: {known}.")
    else:
        name = media_column
    held = columns[name] if name is not None else []
    values = held if isinstance(held, list) else [held]
    media = tuple(to_media_source(value, folder, where) for value in values if value)
    return Row(number=number, media=media, columns=columns, name=where)


def to_media_source(value: Any, folder: Path, where: str) -> MediaSource:
    """Return the source that a value of a table names.

    Args:
        value: A path, or a URL.
        folder: What a relative path is relative to.
        where: The row, for messages.

    Raises:
        ConfigurationError: It is neither.

    Example:
        >>> to_media_source("https://example.com/a.png", Path(), "row 1")
        Url(url='https://example.com/a.png')
    """
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{where}: {type(value).__name__} is not a path or URL. Write it as text."
        )
    if is_url(value):
        return Url(value)
    # What a file names is not what the program names: it is read inside `media_roots` alone.
    return LocalFile(folder / value, is_trusted=False)


def _read_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigurationError(
                    f"{path.name}, line {number}, is not JSON: {error}."
                ) from error
            if not isinstance(value, dict):
                raise ConfigurationError(
                    f"{path.name}, line {number}, is {type(value).__name__}, not an object."
                )
            yield value


def _read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            for row in reader:
                if "" in row:
                    raise ConfigurationError(
                        f"{path.name}, line {reader.line_num}, has more values than columns."
                    )
                yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read as CSV: {error}.") from error


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    with extra_required("A Parquet file", extra="parquet"):
        parquet: Any = import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            yield from batch.to_pylist()
