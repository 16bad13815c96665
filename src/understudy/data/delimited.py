"""Reads csv and tsv files: cells are strings, and no row is lost.

The separator is found by content. Files with tabs have quoted cells only where that is certain.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from understudy.data.decoding import Text, open_text
from understudy.data.quoting import has_quoted_cells, looks_like_rows, unquoted, warn_once
from understudy.data.tables import choose_columns
from understudy.errors import DataError

log = logging.getLogger(__name__)

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_EXCEL = re.compile(r"sep=(.)\r?\n")  # Excel's own first line
_SNIFFED_ROWS = 100
_LONGEST_CELL = 2**31 - 1
_QUOTE = "Quote each cell that contains quotation marks, and double the marks inside."

Rows = list[list[str]]


@dataclass(frozen=True)
class Dialect:
    """How a file separates cells and rows.

    Attributes:
        separator: Ends a cell.
        newline: Ends a row; a carriage return may stand before it.
        is_quoted: Whether cells in quotation marks may hold separators and newlines.
        has_preamble: Whether the first line names the separator.
    """

    separator: str
    newline: str
    is_quoted: bool = True
    has_preamble: bool = False

    def reader(self, lines: Iterator[str]) -> Any:
        found = (
            csv.reader(lines, delimiter=self.separator, strict=True)
            if self.is_quoted
            else csv.reader(lines, delimiter=self.separator, strict=True, quoting=csv.QUOTE_NONE)
        )
        if self.has_preamble:
            next(found)
        return found


def delimited_chunks(
    path: Path, columns: list[str] | None, size: int, default: str
) -> Iterator[dict[str, list[str | None]]]:
    """Yields a file's cells by column; an empty cell is None.

    Args:
        path: The file.
        columns: Names of the columns to read; None reads all that have a name.
        size: Rows per chunk, at most.
        default: The separator that the file's name promises.

    Raises:
        DataError: A row has more or fewer cells than the header, the marks of a quoted cell are wrong, or a column is
            missing or occurs twice.
    """
    csv.field_size_limit(_LONGEST_CELL)
    with open_text(path) as text:
        dialect = _dialect(text, path, default)
        with text.lines(dialect.newline) as lines:
            table = _Table(path, dialect, dialect.reader(lines))
            names = table.names()
            chosen = choose_columns(names if columns is None else columns, names, path)
            places = [names.index(name) for name in chosen]
            for rows in table.batches(size):
                yield {name: [row[at] or None for row in rows] for name, at in zip(chosen, places, strict=True)}


class _Table:
    """The rows of a file, checked."""

    def __init__(self, path: Path, dialect: Dialect, reader: Any) -> None:
        self._path = path
        self._dialect = dialect
        self._reader = reader
        self._width = 0
        self._named = 0

    def names(self) -> list[str]:
        """Reads the header: the names of the columns without unnamed ones at the end."""
        for _, rows in self._records(1):
            if not rows[0]:
                continue
            names = rows[0]
            self._width = len(names)
            while len(names) > 1 and not names[-1].strip():
                names = names[:-1]
            self._named = len(names)
            return names
        raise DataError(f"{self._path} has only empty lines: expected a header and rows. Write the file again.")

    def batches(self, size: int) -> Iterator[Rows]:
        """The rows after the header, without empty lines."""
        for start, rows in self._records(size):
            if set(map(len, rows)) != {self._width}:
                self._check_widths(start, rows)
                rows = [row for row in rows if row]
            if self._named < self._width:
                self._check_unnamed(start, rows)
            if rows:
                yield rows

    def _records(self, size: int) -> Iterator[tuple[int, Rows]]:
        """The number of lines before some records, and the records."""
        while True:
            start, rows = self._reader.line_num, Rows()
            try:
                rows.extend(islice(self._reader, size))
            except csv.Error as error:
                raise self._unreadable(start + sum(map(self._height, rows)) + 1, str(error)) from None
            if not rows:
                return
            if self._reader.line_num - start > len(rows) and self._dialect.is_quoted:
                self._check_heights(start, rows)
            if not self._dialect.is_quoted:
                rows = [[unquoted(cell) for cell in row] if '"' in "".join(row) else row for row in rows]
            yield start, rows

    def _height(self, row: list[str]) -> int:
        return 1 + sum(cell.count(self._dialect.newline) for cell in row)

    def _unreadable(self, line: int, error: str) -> DataError:
        where = f"{self._path} line {line}"
        if "new-line" in error:
            return DataError(
                f"{where} has a carriage return (\\r) or newline inside a cell without quotation marks. Quote the "
                "cell, or end all lines alike."
            )
        if "unexpected end" in error:
            return DataError(f"{where}: a quotation mark opens a cell that never ends. {_QUOTE}")
        return DataError(f"{where}: {error}. {_QUOTE}")

    def _check_widths(self, start: int, rows: Rows) -> None:
        line = start + 1
        for row in rows:
            end = line + self._height(row) - 1
            if row and len(row) != self._width:
                where = f"line {line}" if line == end else f"lines {line} to {end} are one row, which"
                cells = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
                remedy = "Quote texts that contain the separator, and keep empty cells."
                if len(row) > self._width and not any(row[self._width :]):
                    remedy = "The cells beyond are empty: remove the separators at the end."
                separator = _SEPARATORS.get(self._dialect.separator, repr(self._dialect.separator))
                raise DataError(
                    f"{self._path} {where} has {cells}, but the header has {self._width} (separator: {separator}). "
                    f"{remedy}"
                )
            line = end + 1

    def _check_unnamed(self, start: int, rows: Rows) -> None:
        line = start + 1
        for row in rows:
            found = next((at for at in range(self._named, self._width) if row[at].strip()), None)
            if found is not None:
                raise DataError(
                    f"{self._path} line {line} has {row[found][:40]!r} in column {found + 1}, which has no name in "
                    "the header. Name the column, or quote texts that contain the separator."
                )
            line += self._height(row)

    def _check_heights(self, start: int, rows: Rows) -> None:
        """Warns of rows of several lines that look like several rows."""
        separator, newline = self._dialect.separator, self._dialect.newline
        for at, row in enumerate(rows):
            text = separator.join(row)
            if newline in text and looks_like_rows(text, separator, newline, len(row)):
                line, height = start + 1 + sum(map(self._height, rows[:at])), self._height(row)
                warn_once(
                    f"{self._path} lines {line} to {line + height - 1} are read as one row, because a quotation mark "
                    f"opens on line {line}. They look like {height} rows. If the mark is part of the text, quote that "
                    "cell and double the mark."
                )


def _dialect(text: Text, path: Path, default: str) -> Dialect:
    if told := _EXCEL.match(text.head):
        return Dialect(told[1], "\n", has_preamble=True)
    separator = _separator(text, default)
    if separator != default:
        _inform(f"{path}: the separator is a {_SEPARATORS[separator]}")
    # Files of old Macs have carriage returns alone.
    outside = re.sub(r'"[^"]*"', "", text.head)
    newline = "\r" if "\r" in outside and "\n" not in outside else "\n"
    is_quoted = separator != "\t" or has_quoted_cells(path, newline)
    return Dialect(separator, newline, is_quoted)


def _separator(text: Text, default: str) -> str:
    """The separator that fits the first rows; `default` unless only another one does."""
    widths = {separator: _widths(text, separator) for separator in dict.fromkeys([default, *_SEPARATORS])}
    in_header = [separator for separator, each in widths.items() if each and each[0] > 1]
    fitting = [separator for separator in in_header if len(set(widths[separator])) == 1]
    if fitting:
        return default if default in fitting else max(fitting, key=lambda separator: widths[separator][0])
    return in_header[0] if len(in_header) == 1 else default


def _widths(text: Text, separator: str) -> list[int]:
    """The numbers of cells of the first rows if cells end with `separator`."""
    reader = csv.reader(io.StringIO(text.head, newline=""), delimiter=separator)
    rows = list(islice(reader, _SNIFFED_ROWS))
    if len(rows) < _SNIFFED_ROWS and not text.is_whole:
        rows = rows[:-1]  # the last one is cut off
    return [len(row) for row in rows if row]


@cache
def _inform(message: str) -> None:
    log.info("%s", message)
