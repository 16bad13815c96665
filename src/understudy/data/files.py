"""Reads csv, tsv, jsonl and parquet files, also compressed, in chunks of rows.

Nothing is guessed. Cells of csv and tsv are strings: "NA" is a text, and "01" is not a number. Every row has a cell for
each column, and only an empty cell is a missing value.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from understudy.data.blocks import Block, WrittenFloat, arrow_block
from understudy.data.decoding import COMPRESSIONS, not_utf8, opened, packing
from understudy.data.delimited import delimited_chunks
from understudy.data.jsonlines import jsonl_chunks, keys_of, no_rows, record_chunks
from understudy.data.tables import choose_columns
from understudy.errors import DataError

# Columns by name; all lists have the same length.
Chunk = dict[str, list[Any]]

CHUNK_ROWS = 8192
# What a file's rows are depends on the code that reads it. Results that are kept between versions name this number.
READING = 2
_READ_AHEAD = 1 << 16  # bytes per parquet column
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_SEPARATORS = {"csv": ",", "tsv": "\t"}
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
        DataError: The name has another suffix.
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
        DataError: A column is missing or occurs twice, or the content does not match the file's name.
    """
    kind = file_format(path)
    with _readable(path, kind):
        if kind == "parquet":
            yield from _parquet_chunks(path, columns)
        elif kind == "jsonl":
            yield from jsonl_chunks(path, columns, CHUNK_ROWS)
        else:
            yield from delimited_chunks(path, columns, CHUNK_ROWS, _SEPARATORS[kind])


def blocks(path: Path) -> Iterator[Block]:
    """Yields a file's rows with all their columns, at most `CHUNK_ROWS` at a time; unlike `chunks`, as they are stored.

    Raises:
        DataError: A column's name occurs twice, or the content does not match the file's name.
    """
    kind = file_format(path)
    with _readable(path, kind):
        if kind == "parquet":
            with _parquet(path) as file:
                names = choose_columns(file.schema_arrow.names, file.schema_arrow.names, path)
                yield from map(arrow_block, file.iter_batches(CHUNK_ROWS, columns=names))
        elif kind == "jsonl":
            keys: dict[str, None] = {}
            for records in record_chunks(path, CHUNK_ROWS, WrittenFloat):
                keys |= keys_of(records)
                columns = {key: [record.get(key) for _, _, record in records] for key in keys}
                yield Block(columns, [line for _, line, _ in records])
            if not keys:
                raise no_rows(path)
        else:
            yield from map(Block, delimited_chunks(path, None, CHUNK_ROWS, _SEPARATORS[kind]))


def parquet_schema(path: Path) -> Any:
    """The Arrow schema of a parquet file, which may be compressed; None for files of other formats."""
    if file_format(path) != "parquet":
        return None
    with _readable(path, "parquet"), _parquet(path) as file:
        return file.schema_arrow


def parquet_classes(path: Path, label: str) -> list[str] | None:
    """Class names that `datasets` stored in a parquet file for a column; None if there are none."""
    schema = parquet_schema(path)
    return None if schema is None else class_names(schema, label)


def class_names(schema: Any, label: str) -> list[str] | None:
    """Class names that `datasets` stored in an Arrow schema for a column; None if there are none."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]
        return list(feature["names"])
    except (KeyError, TypeError, ValueError):
        return None


def python_values(
    column: Any, source: str | Path, name: str, options: str = "--data.text and --data.label"
) -> list[Any]:
    """The values of an Arrow column of texts or labels.

    Raises:
        DataError: Python has no such values, such as nanoseconds or the year 10000.
    """
    try:
        return list(column.to_pylist())
    except (ArithmeticError, ImportError, ValueError):
        raise DataError(
            f"{source}: the column {name!r} has the type {column.type}; expected strings, or integers as labels. "
            f"Choose another column with {options}."
        ) from None


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turns everything that a reader raises about a file into a `DataError`."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty: expected {kind} with rows. Write the file again.")
        yield
    except UnicodeDecodeError as error:
        if kind != "parquet":
            raise not_utf8(path) from None
        raise DataError(f"{path} is not UTF-8 ({error.reason}). Write the file again with valid strings.") from None
    except _DAMAGED as error:
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{path} cannot be read as {kind}: {detail}. Check the file and its suffix.") from None


def _parquet_chunks(path: Path, columns: list[str] | None) -> Iterator[Chunk]:
    from understudy.data.arrow_values import exact_values

    with _parquet(path) as file:
        names = file.schema_arrow.names
        chosen = choose_columns(names if columns is None else columns, names, path)
        for batch in file.iter_batches(CHUNK_ROWS, columns=chosen):
            # An integer column with missing values stays integers and None.
            if columns is None:
                yield {name: exact_values(batch[name]) for name in chosen}
            else:
                yield {name: python_values(batch[name], path, name) for name in chosen}


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        source: Any = path
        if packing(path):  # parquet's footer is read first, so the file must be seekable
            source = io.BytesIO(stack.enter_context(opened(path)).read())
        # A row group may be the whole file, so it is read page by page.
        yield stack.enter_context(pq.ParquetFile(source, pre_buffer=False, buffer_size=_READ_AHEAD))
