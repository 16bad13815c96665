"""Reads csv, tsv, jsonl and parquet files, also compressed, in chunks of rows.

Nothing is guessed. Files are UTF-8. Cells of csv and tsv are strings: "NA" is a text, and "01" is not a number. Every
row has a cell for each column, and only an empty cell is a missing value.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import shlex
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from understudy.data.tables import choose_columns
from understudy.errors import DataError, MissingExtra

# Columns by name; all lists have the same length.
Chunk = dict[str, list[Any]]

CHUNK_ROWS = 8192
_READ_AHEAD = 1 << 16  # bytes per parquet column
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_LONGEST_CELL = 2**31 - 1
# Errors that the readers below raise for damaged or mislabelled files; Arrow's errors derive from them.
_DAMAGED = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


def file_format(path: Path) -> str:
    """`csv`, `tsv`, `jsonl` or `parquet`, from the file's name without a compression suffix.

    Raises:
        DataError: the name has another suffix.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    known = FORMATS.get(suffixes[-1] if suffixes else "")
    if known is None:
        raise DataError(
            f"{path}: expected a file that ends in {', '.join(sorted(FORMATS))}, optionally followed by "
            f"{', '.join(COMPRESSIONS)}. Convert or rename it."
        )
    return known


def chunks(path: Path, columns: list[str] | None = None) -> Iterator[Chunk]:
    """Yields a file's rows in order, at most `CHUNK_ROWS` at a time.

    Args:
        path: The file.
        columns: Names of the columns to read; None reads all.

    Raises:
        DataError: a column is missing or occurs twice, or the content does not match the file's name.
    """
    kind = file_format(path)
    readers = {"csv": _csv_chunks, "tsv": _csv_chunks, "jsonl": _jsonl_chunks, "parquet": _parquet_chunks}
    with _readable(path, kind):
        yield from readers[kind](path, columns)


def parquet_classes(path: Path, label: str) -> list[str] | None:
    """Class names that `datasets` stored in a parquet file for a column; None if there are none."""
    kind = file_format(path)
    if kind != "parquet":
        return None
    with _readable(path, kind), _parquet(path) as file:
        return class_names(file.schema_arrow, label)


def class_names(schema: Any, label: str) -> list[str] | None:
    """Class names that `datasets` stored in an Arrow schema for a column; None if there are none."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]
        return list(feature["names"])
    except (KeyError, TypeError, ValueError):
        return None


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turns everything that a reader raises about a file into a `DataError`."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty: expected {kind} with rows. Write the file again.")
        yield
    except UnicodeDecodeError as error:
        remedy = (
            "Write the file again with valid strings."
            if kind == "parquet"
            else f"{'Unpack it, and convert' if path.suffix.lower() in COMPRESSIONS else 'Convert'} it, for example "
            f"with: iconv -f latin1 -t utf-8 {shlex.quote(path.name)} > {shlex.quote(f'utf8-{path.name}')}"
        )
        raise DataError(f"{path} is not UTF-8 (byte {error.start} of a block: {error.reason}). {remedy}") from None
    except _DAMAGED as error:
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{path} cannot be read as {kind}: {detail}. Check the file and its suffix.") from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file and decompresses it."""
    suffix = path.suffix.lower()
    packings: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with ExitStack() as stack:
        if suffix in packings:
            yield stack.enter_context(packings[suffix](path))
        elif suffix == ".zst":
            pyarrow = _pyarrow(path)
            yield stack.enter_context(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))
        elif suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            # macOS adds a folder with metadata.
            members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX/" not in name]
            if len(members) != 1:
                raise DataError(f"{path} holds {len(members)} files: expected one. Unpack it and give a glob instead.")
            yield stack.enter_context(archive.open(members[0]))
        else:
            yield stack.enter_context(path.open("rb"))


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    # utf-8-sig drops a byte order mark, and newline="" keeps line ends inside quotes as they are.
    with _opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        yield text


def _csv_chunks(path: Path, columns: list[str] | None) -> Iterator[Chunk]:
    csv.field_size_limit(_LONGEST_CELL)
    with _text(path) as file:
        lines = csv.reader(file, delimiter="\t" if file_format(path) == "tsv" else ",", strict=True)
        try:
            present = next((row for row in lines if row), None)
            if present is None:
                raise DataError(f"{path} has only empty lines: expected a header and rows. Write the file again.")
            chosen = _chosen(columns, present, path)
            places = [present.index(name) for name in chosen]
            rows: list[list[str]] = []
            for row in lines:
                if not row:  # an empty line
                    continue
                if len(row) != len(present):
                    raise DataError(
                        f"{path} line {lines.line_num} has {_counted(len(row), 'cell')}, but the header has "
                        f"{len(present)}. Quote texts that contain the separator, and keep empty cells."
                    )
                rows.append(row)
                if len(rows) == CHUNK_ROWS:
                    yield _by_column(chosen, places, rows)
                    rows = []
            if rows:
                yield _by_column(chosen, places, rows)
        except csv.Error as error:
            raise DataError(
                f"{path} line {lines.line_num}: {error}. Quote each cell that contains quotation marks, and double "
                "the marks inside."
            ) from None


def _by_column(names: list[str], places: list[int], rows: list[list[str]]) -> Chunk:
    return {name: [row[place] or None for row in rows] for name, place in zip(names, places, strict=True)}


def _jsonl_chunks(path: Path, columns: list[str] | None) -> Iterator[Chunk]:
    present: dict[str, None] = {}
    records: list[dict[str, Any]] = []
    is_first = True
    with _text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            records.append(_record(line, path, number))
            if is_first:
                present |= dict.fromkeys(records[-1])
            elif columns is None and not present.keys() >= records[-1].keys():
                new = next(key for key in records[-1] if key not in present)
                raise DataError(
                    f"{path} line {number} has the key '{new}', which none of the first {CHUNK_ROWS} rows has. "
                    "Add it to the first row, for example as null."
                )
            if len(records) == CHUNK_ROWS:
                yield _by_key(records, _chosen(columns, list(present), path))
                records, is_first = [], False
        if not present:
            raise DataError(f"{path} has no rows: expected one JSON object per line. Write the file again.")
        if records:
            yield _by_key(records, _chosen(columns, list(present), path))


def _record(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"got {type(record).__name__}")
        if "\\ud" in line.lower():  # an escape that may be half of a surrogate pair
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{path} line {number} holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character. "
            "Write the text again with valid Unicode."
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} line {number}: expected one JSON object per line ({error}). Fix that line.") from None
    return record


def _by_key(records: list[dict[str, Any]], names: list[str]) -> Chunk:
    return {name: [record.get(name) for record in records] for name in names}


def _parquet_chunks(path: Path, columns: list[str] | None) -> Iterator[Chunk]:
    with _parquet(path) as file:
        chosen = _chosen(columns, file.schema_arrow.names, path)
        for batch in file.iter_batches(CHUNK_ROWS, columns=chosen):
            # Python values: an integer column with missing values stays integers and None.
            yield {name: batch[name].to_pylist() for name in chosen}


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    _pyarrow(path)
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        source: Any = path
        if path.suffix.lower() in COMPRESSIONS:  # parquet's footer is read first, so the file must be seekable
            source = io.BytesIO(stack.enter_context(_opened(path)).read())
        # A row group may be the whole file, so it is read page by page.
        yield stack.enter_context(pq.ParquetFile(source, pre_buffer=False, buffer_size=_READ_AHEAD))


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "distill", f"Reading {path}") from None
    return pyarrow


def _chosen(columns: list[str] | None, present: list[str], path: Path) -> list[str]:
    return choose_columns(present if columns is None else columns, present, path)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
