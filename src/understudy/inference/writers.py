"""Writes rows chunk by chunk as csv, tsv, jsonl or parquet; `data.files` reads the same values back."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from understudy.data.blocks import Block, Columns, WrittenFloat, is_arrow, values_in
from understudy.data.files import Chunk, parquet_schema
from understudy.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_NOT_CELLS = (dict, list, tuple, bytes, WrittenFloat)
_LARGEST_EXACT = 2**53  # of the integers that are exact as floating-point numbers

Put = Callable[[Block, Chunk], object]


@contextmanager
def writer(path: Path, kind: str, columns: list[str], schema: pa.Schema | None = None) -> Iterator[Put]:
    """Yields a function that writes rows and the columns to add to them.

    Parquet files get the rows' Arrow columns, and jsonl files the objects of jsonl files, without a conversion.

    Args:
        path: The file.
        kind: `csv`, `tsv`, `jsonl` or `parquet`.
        columns: All columns; where a block lacks one, its rows have no value there.
        schema: Their types, for parquet.
    """
    if kind == "parquet":
        import pyarrow.parquet as pq

        assert schema is not None
        with pq.ParquetWriter(path, schema) as parquet:
            yield lambda block, added: parquet.write_table(_arrow_table(block.columns | added, schema, path))
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            yield lambda block, added: file.writelines(_json_lines(block, added))
        else:
            lines = csv.writer(_Lines(file), delimiter="\t" if kind == "tsv" else ",")
            lines.writerow(columns)
            yield lambda block, added: lines.writerows(_cells(block.columns | added, columns))


class Types:
    """The types of columns, for a parquet file that is written before all rows are known."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._schema = pa.schema([])
        self._files = 0  # that declare types
        self._declared: set[str] = set()
        self._largest: dict[str, int] = {}  # sizes of integers whose type was inferred

    @property
    def columns(self) -> list[str]:
        """Names of the columns seen so far."""
        return list(self._schema.names)

    def see_file(self, path: Path) -> bool:
        """Reads the types from a file that declares them; returns whether it does."""
        schema = parquet_schema(path)
        if schema is None:
            return False
        self._files += 1
        self._declared |= set(schema.names)
        self._add(schema.remove_metadata(), path)
        return True

    def see(self, chunk: Chunk, path: Path) -> None:
        """Infers the types from values.

        Raises:
            DataError: A column has values of several types that parquet cannot combine.
        """
        import pyarrow as pa

        kinds = {}
        for name, values in chunk.items():
            try:
                array = pa.array(values)
            except (pa.ArrowException, OverflowError) as error:
                raise _unfit(path, f"the column {name!r}: {error}") from None
            kinds[name] = array.type
            if pa.types.is_integer(array.type):
                self._largest[name] = max(self._largest.get(name, 0), *_extremes(array))
            elif any(isinstance(value, WrittenFloat) and math.isinf(value) for value in values):
                raise _unfit(path, f"the column {name!r} has a number that is too large")
        self._add(pa.schema(kinds.items()), path)

    def schema(self, columns: list[str], answers: dict[str, str]) -> pa.Schema:
        """The whole schema.

        Args:
            columns: The columns of the input.
            answers: Names and types of the added columns.
        """
        import pyarrow as pa

        known = {field.name: field for field in self._schema}
        fields = [self._field(name, known.get(name)) for name in columns]
        return pa.schema([*fields, *(pa.field(name, kind) for name, kind in answers.items())])

    def _field(self, name: str, known: pa.Field | None) -> pa.Field:
        import pyarrow as pa

        if known is None or (pa.types.is_null(known.type) and name not in self._declared):
            return pa.field(name, pa.string())  # a column without values is written as text
        if pa.types.is_floating(known.type) and self._largest.get(name, 0) > _LARGEST_EXACT:
            raise DataError(
                f"The column {name!r} has fractions and integers over 2^53, which a parquet column cannot hold "
                "together without rounding. Write .jsonl instead."
            )
        return known if self._files < 2 else known.with_nullable(True)

    def _add(self, schema: pa.Schema, path: Path) -> None:
        import pyarrow as pa

        try:
            self._schema = pa.unify_schemas([self._schema, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise _unfit(path, str(error)) from None


def _unfit(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} has values of several types in one column, or values that parquet cannot hold: {reason}. "
        "Write .jsonl instead."
    )


def _extremes(array: pa.Array) -> tuple[int, int]:
    """The sizes of the smallest and of the largest integer; 0 for none."""
    import pyarrow.compute as pc

    found = pc.min_max(array).as_py()
    return abs(found["min"] or 0), abs(found["max"] or 0)


def _arrow_table(columns: Columns, schema: pa.Schema, path: Path) -> pa.Table:
    import pyarrow as pa

    rows = len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        try:
            if values is None:
                arrays.append(pa.nulls(rows, field.type))
            elif not is_arrow(values):
                arrays.append(pa.array(values, type=field.type))
            else:
                arrays.append(values if values.type == field.type else values.cast(field.type))
        except pa.ArrowException as error:
            raise _unfit(path, f"the column {field.name!r}: {error}") from None
    return pa.table(arrays, schema=schema)


def _cells(columns: Columns, names: list[str]) -> Iterator[tuple[Any, ...]]:
    rows = len(next(iter(columns.values())))
    values = dict(zip(columns, values_in(columns), strict=True))
    for name, column in values.items():
        if any(isinstance(value, _NOT_CELLS) for value in column):
            values[name] = [_cell(value) for value in column]
    return zip(*(values.get(name, [None] * rows) for name in names), strict=True)


def _cell(value: Any) -> Any:
    """Lists and mappings as JSON, bytes in base64, and other values as they are."""
    if isinstance(value, bytes):
        return _as_json(value)
    if isinstance(value, WrittenFloat):
        return value.text
    return _json(value) if isinstance(value, dict | list | tuple) else value


class _Lines:
    """Ends rows with a newline alone.

    csv.writer itself ends rows with both characters, so that it quotes cells that contain either.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def _json_lines(block: Block, added: Chunk) -> Iterator[str]:
    if block.lines is not None:
        for line, *values in zip(block.lines, *added.values(), strict=True):
            own = line[:-1].rstrip()
            answers = _json(dict(zip(added, values, strict=True)))
            yield f"{own}{'' if own == '{' else ', '}{answers[1:]}\n"
        return
    columns = block.columns | added
    for row in zip(*values_in(columns), strict=True):
        yield _json(dict(zip(columns, row, strict=True))) + "\n"


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=_as_json)


def _as_json(value: Any) -> str:
    """Values that JSON lacks: bytes in base64, others, such as decimals, as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON lacks, with None."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
