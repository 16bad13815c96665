"""In-memory data as a source: data frames, Arrow tables, `datasets.Dataset`, and plain Python lists and mappings.

Polars and other libraries need no code here: their data comes through the Arrow PyCapsule interface.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.data.arrow_values import exact_values
from understudy.data.files import CHUNK_ROWS, class_names, python_values
from understudy.data.tables import Table, choose_columns, text_of, unlabelled_as_none
from understudy.errors import DataError
from understudy.storage.files import write_file

if TYPE_CHECKING:
    import pyarrow as pa

_EXPECTED = (
    "Pass a pandas or Polars data frame, a pyarrow Table or a datasets.Dataset. Columns "
    "({'text': [...], 'label': [...]}), a list of rows ([{'text': ..., 'label': ...}]) and a pair (texts, labels) "
    "work, too."
)
_OPTIONS = "text= and label="
_STREAM = "__arrow_c_stream__"
_HUGGINGFACE = b"huggingface"  # the schema metadata in which `datasets` keeps class names
_DIGEST_BYTES = 8


def is_data(value: object) -> bool:
    """Whether a value holds data itself, unlike a name, a path or a recipe."""
    return (
        isinstance(value, Mapping | list | tuple) or hasattr(value, _STREAM) or _is_frame(value) or _is_dataset(value)
    )


def as_arrow(data: Any) -> pa.Table:
    """Converts in-memory data to an Arrow table.

    Strings become `large_string` and dictionary columns (pandas and Polars categories) plain ones, so that equal data
    gives equal tables. The class names of a `datasets.Dataset` are kept. A pair gives the columns `text` and `label`.

    Args:
        data: A pandas or Polars data frame, a pyarrow Table, a `datasets.Dataset`, or any object with
            `__arrow_c_stream__`. Plain Python data is a mapping of columns to lists, a list of rows, or a pair
            `(texts, labels)`. An object that can be read only once, such as a `RecordBatchReader`, is used up.

    Raises:
        TypeError: The data, a column or a row has an unsupported type.
        DataError: Columns differ in length, or a column mixes types.
    """
    import pyarrow as pa

    try:
        return _plain(_table(data))
    except UnicodeEncodeError:
        raise DataError(
            f"The {_kind(data)} holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character. "
            "Create the text again with valid Unicode."
        ) from None
    except pa.ArrowException as error:
        raise DataError(
            f"The {_kind(data)} cannot be converted to an Arrow table: {_reason(error)}. Use one type per column."
        ) from None


def as_table(data: Any, text: str = "text", label: str | None = "label") -> Table:
    """Reads in-memory data, with the same rules for missing values and labels as files.

    Args:
        data: As in `as_arrow`.
        text: Name of the text column.
        label: Name of the label column; None reads texts only.

    Raises:
        TypeError: As `as_arrow`.
        DataError: As `as_arrow`; a column is missing, or the texts are neither strings nor numbers.
    """
    import pyarrow as pa

    table, source = as_arrow(data), f"{_kind(data)} in memory"
    choose_columns([text] if label is None else [text, label], table.column_names, source, _OPTIONS)
    kind = table.schema.field(text).type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not (pa.types.is_large_string(kind) or is_number or pa.types.is_null(kind)):
        raise DataError(
            f"{source}: the column {text!r} has the type {kind}; expected strings. Choose another column with text=."
        )
    texts = [text_of(value, source, row) for row, value in enumerate(table[text].to_pylist(), start=1)]
    if label is None:
        return Table(source, texts)
    classes = class_names(table.schema, label)
    return Table(
        source, texts, unlabelled_as_none(python_values(table[label], source, label, _OPTIONS), classes), classes
    )


def write_source(data: Any, folder: Path, name: str) -> Path:
    """Writes in-memory data as a parquet file, which `sources.read` reads as `as_table` reads the data.

    The name holds a digest of the columns' names, types and values: the same data gives the same name. A file of that
    name that is already there is kept.

    Args:
        data: As in `as_arrow`.
        folder: Where the file goes.
        name: The name begins with it, such as `train`.

    Returns:
        The path, `<folder>/<name>-<digest>.parquet`.

    Raises:
        TypeError: As `as_arrow`.
        DataError: As `as_arrow`; or parquet cannot hold a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = as_arrow(data)
    path = folder / f"{name}-{_digest(table)}.parquet"
    if not path.exists():
        try:
            write_file(path, lambda temporary: pq.write_table(table, temporary))
        except pa.ArrowException as error:
            raise DataError(
                f"The {_kind(data)} cannot be written as parquet: {_reason(error)}. Leave that column out."
            ) from None
    return path


def _table(data: Any) -> pa.Table:
    import pyarrow as pa

    if _is_dataset(data):
        # Reading through the format keeps the order of a selected or shuffled dataset; the schema alone may lack names.
        return data.with_format("arrow")[:].replace_schema_metadata(data.features.arrow_schema.metadata)
    if _is_frame(data):
        return pa.Table.from_pandas(data, preserve_index=False)
    if hasattr(data, _STREAM):
        try:
            return pa.table(data)
        except pa.ArrowInvalid:  # the stream of a single column
            raise TypeError(f"Got {_kind(data)}, a single column. {_EXPECTED}") from None
    if isinstance(data, Mapping):
        return _from_columns(data)
    if isinstance(data, tuple) and len(data) == 2:
        return _from_columns({"text": data[0], "label": data[1]})
    if isinstance(data, list):
        return _from_rows(data)
    given = f"a tuple of {len(data)}" if isinstance(data, tuple) else _kind(data)
    raise TypeError(f"Got {given} as data. {_EXPECTED}")


def _from_columns(columns: Mapping[Any, Any]) -> pa.Table:
    import pyarrow as pa

    splits = [str(name) for name, values in columns.items() if _is_dataset(values)]
    if splits:
        raise TypeError(
            f"Got several splits ({', '.join(splits)}): expected one. Pass data[{splits[0]!r}], for example."
        )
    found = {_name(name): _column(name, values) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{name!r} has {length:,}" for name, length in lengths.items())
        raise DataError(f"The columns have different lengths ({described} values): expected one value per row in each.")
    return pa.table(found)


def _from_rows(rows: Sequence[Any]) -> pa.Table:
    if not rows:
        raise DataError("The list has no rows: expected at least one, such as {'text': ..., 'label': ...}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise TypeError(
                f"Row {number} of the list has the type {_kind(row)}: expected a mapping such as "
                "{'text': ..., 'label': ...}. Pass a list of texts as {'text': [...]}."
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return _from_columns({name: [row.get(name) for row in rows] for name in names})


def _column(name: str, values: Any) -> Any:
    """One column as an Arrow array; NaN, `None` and `pandas.NA` are missing values."""
    import pyarrow as pa

    if hasattr(values, _STREAM):
        return pa.chunked_array(values)
    is_list = isinstance(values, Iterable) and hasattr(values, "__len__")
    if not is_list or isinstance(values, str | bytes | Mapping | Set):
        raise TypeError(f"The column {name!r} has the type {_kind(values)}: expected a list with one value per row.")
    try:
        return pa.array(list(values), from_pandas=True)
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(
            f"The column {name!r} mixes types, or holds values that Arrow cannot store: {_reason(error)}. "
            "Use one type, such as strings."
        ) from None


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"A column has the name {name!r} ({_kind(name)}): expected a string.")
    return name


def _plain(table: pa.Table) -> pa.Table:
    """The table with one type for all strings, without dictionaries, and with the metadata of `datasets` only."""
    import pyarrow as pa

    def plain(kind: pa.DataType) -> pa.DataType:
        return pa.large_string() if pa.types.is_string(kind) or pa.types.is_string_view(kind) else kind

    columns = []
    for column in table.columns:
        kind = column.type
        if pa.types.is_dictionary(kind):
            # In two steps, because Arrow cannot decode a dictionary of string views, as Polars has them.
            column = column.cast(pa.dictionary(kind.index_type, plain(kind.value_type)))
            kind = kind.value_type
        columns.append(column.cast(plain(kind)))
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key == _HUGGINGFACE}
    return pa.table(columns, names=table.column_names, metadata=kept)


def _digest(table: pa.Table) -> str:
    import pyarrow as pa

    digest = hashlib.blake2b((table.schema.metadata or {}).get(_HUGGINGFACE, b""), digest_size=_DIGEST_BYTES)
    digest.update(json.dumps([[field.name, str(field.type)] for field in table.schema]).encode())
    for column in table.columns:
        # Converting nanoseconds to Python objects would need pandas.
        if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
            column = column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())
        for start in range(0, len(column), CHUNK_ROWS):
            values = _values(column.slice(start, CHUNK_ROWS))
            digest.update(json.dumps(values, default=repr).encode())
    return digest.hexdigest()


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ArithmeticError, ImportError, ValueError):  # Python has no such times
        return exact_values(column)


def _is_frame(value: object) -> bool:
    return _is_a(value, "pandas", "DataFrame")


def _is_dataset(value: object) -> bool:
    return _is_a(value, "datasets", "Dataset")


def _is_a(value: object, library: str, name: str) -> bool:
    """Whether a value is of a library's class; a library that nobody imported has no values."""
    found = getattr(sys.modules.get(library), name, None)
    return found is not None and isinstance(value, found)


def _kind(value: object) -> str:
    """A value's type in words, such as `pandas DataFrame`."""
    library, name = type(value).__module__.partition(".")[0], type(value).__name__
    return name if library == "builtins" else f"{library} {name}"


def _reason(error: BaseException) -> str:
    return "; ".join(str(part).strip().partition("\n")[0].rstrip(".") for part in error.args)
