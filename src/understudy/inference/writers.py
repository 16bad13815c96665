"""Writes rows chunk by chunk as csv, tsv, jsonl or parquet; `data.files` reads the same values back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from understudy.data.files import Chunk, file_format
from understudy.errors import DataError, MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

Put = Callable[[Chunk], object]


@contextmanager
def writer(path: Path, kind: str, columns: list[str], schema: pa.Schema | None = None) -> Iterator[Put]:
    """Yields a function that writes a chunk.

    Args:
        path: The file.
        kind: `csv`, `tsv`, `jsonl` or `parquet`.
        columns: All columns; where a chunk lacks one, its rows have no value there.
        schema: Their types, for parquet.
    """
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        assert schema is not None
        fields = list(schema)
        with pq.ParquetWriter(path, schema) as parquet:

            def put(chunk: Chunk) -> None:
                values = _values(chunk, [field.name for field in fields])
                arrays = [pa.array(column, type=field.type) for column, field in zip(values, fields, strict=True)]
                parquet.write_table(pa.table(arrays, schema=schema))

            yield put
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            yield lambda chunk: file.writelines(_json_lines(chunk))
        else:
            lines = csv.writer(_Lines(file), delimiter="\t" if kind == "tsv" else ",")
            lines.writerow(columns)
            yield lambda chunk: lines.writerows(zip(*_values(chunk, columns), strict=True))


class Types:
    """The types of columns, for a parquet file that is written before all rows are known.

    Raises:
        MissingExtra: from the constructor, without pyarrow.
    """

    def __init__(self) -> None:
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtra("pyarrow", "distill", "Writing parquet") from None
        self._schema = pa.schema([])

    @property
    def columns(self) -> list[str]:
        """Names of the columns seen so far."""
        return list(self._schema.names)

    def see_file(self, path: Path) -> bool:
        """Reads the types from a file that declares them; returns whether it does."""
        import pyarrow.parquet as pq

        declares = file_format(path) == "parquet" and path.suffix.lower() == ".parquet"
        if declares:
            self._add(pq.read_schema(path).remove_metadata(), path)
        return declares

    def see(self, chunk: Chunk, path: Path) -> None:
        """Infers the types from values.

        Raises:
            DataError: a column has values of several types that parquet cannot combine.
        """
        import pyarrow as pa

        try:
            self._add(pa.schema([(name, pa.array(values).type) for name, values in chunk.items()]), path)
        except pa.ArrowException as error:
            raise _several_types(path, error) from None

    def schema(self, columns: list[str], answers: dict[str, str]) -> pa.Schema:
        """The whole schema.

        Args:
            columns: The columns of the input.
            answers: Names and types of the added columns.
        """
        import pyarrow as pa

        known = {field.name: field.type for field in self._schema}
        # A column without values is written as text.
        own = [known.get(name, pa.null()) for name in columns]
        types = [pa.string() if pa.types.is_null(kind) else kind for kind in own]
        return pa.schema([*zip(columns, types, strict=True), *answers.items()])

    def _add(self, schema: pa.Schema, path: Path) -> None:
        import pyarrow as pa

        try:
            self._schema = pa.unify_schemas([self._schema, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise _several_types(path, error) from None


def _several_types(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} has values of several types in one column, which parquet cannot hold: {error}. Write .jsonl instead."
    )


def _values(chunk: Chunk, columns: list[str]) -> list[list[Any]]:
    rows = len(next(iter(chunk.values())))
    return [chunk.get(name, [None] * rows) for name in columns]


class _Lines:
    """Ends rows with a newline alone.

    csv.writer itself ends rows with both characters, so that it quotes cells that contain either.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def _json_lines(chunk: Chunk) -> Iterator[str]:
    for values in zip(*chunk.values(), strict=True):
        row = _finite(dict(zip(chunk, values, strict=True)))
        # Values that JSON lacks, such as dates, are written as text.
        yield json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON lacks, with None."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
