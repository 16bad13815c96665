"""Rows of a file with all their columns, in a form in which they can be written again unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Values by column; all columns have the same length. A column is a list, or an Arrow `ChunkedArray`.
Columns = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """Consecutive rows with the same columns.

    Attributes:
        columns: Their values.
        lines: One JSON object per row as the file has it; None for files of other formats.
    """

    columns: Columns
    lines: list[str] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), self.lines or ()))

    def slice(self, start: int, end: int) -> Block:
        """The rows from `start` to before `end`."""
        columns = {name: values[start:end] for name, values in self.columns.items()}
        return Block(columns, None if self.lines is None else self.lines[start:end])

    def joined(self, other: Block) -> Block | None:
        """The rows of both; None if their columns, their types or their formats differ."""
        if list(self.columns) != list(other.columns) or (self.lines is None) != (other.lines is None):
            return None
        if any(_kind(self.columns[name]) != _kind(other.columns[name]) for name in self.columns):
            return None
        columns = {name: _joined(values, other.columns[name]) for name, values in self.columns.items()}
        return Block(columns, None if self.lines is None else [*self.lines, *(other.lines or [])])


def arrow_block(batch: Any) -> Block:
    """The rows of an Arrow record batch."""
    import pyarrow as pa

    return Block({name: pa.chunked_array([batch[name]]) for name in batch.schema.names})


def is_arrow(values: Any) -> bool:
    """Whether a column is an Arrow array, not a list."""
    return not isinstance(values, list)


def values_in(columns: Columns) -> Iterator[list[Any]]:
    """Each column as a list of Python values, without a loss."""
    from understudy.data.arrow_values import exact_values

    for values in columns.values():
        yield exact_values(values) if is_arrow(values) else values


def _kind(values: Any) -> Any:
    return values.type if is_arrow(values) else list


def _joined(first: Any, second: Any) -> Any:
    if not is_arrow(first):
        return first + second
    import pyarrow as pa

    return pa.chunked_array([*first.chunks, *second.chunks], type=first.type)
