"""Quotation marks in tab-separated files, which are often written without a rule for them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from understudy.data.decoding import open_text

_PROPER = re.compile(r'"(?:[^"]|"")*"')


def unquoted(cell: str) -> str:
    """The content of a cell in quotation marks whose inner marks are doubled; any other cell as it is."""
    return cell[1:-1].replace('""', '"') if _PROPER.fullmatch(cell) else cell


def looks_like_rows(row: list[str], separator: str, newline: str) -> bool:
    """Whether each line of a row with a multi-line cell has as many separators as a whole row."""
    lines = separator.join(row).split(newline)
    return len(row) > 1 and len(lines) > 1 and all(line.count(separator) == len(row) - 1 for line in lines)


def has_quoted_cells(path: Path, newline: str) -> bool:
    """Whether cells of a tab-separated file that begin with a quotation mark may hold tabs and newlines.

    They may if some line alone is no whole row. If every line is one, a mark is taken as text, unless the file is valid
    with quoted cells of several lines and nothing speaks against that.

    Args:
        path: The file.
        newline: Ends a line.
    """
    with open_text(path) as text, text.lines(newline) as lines:
        found = _Marks(lines)
    if not found.odd:
        return not found.regular
    if not found.regular:
        return True
    return not found.inside and _spans_are_cells(path, newline, found.width)


class _Marks:
    """What the lines of a file say about its quotation marks.

    Attributes:
        width: Cells of the first line.
        regular: Whether all lines have as many.
        odd: Whether a line has an odd number of marks, so that a quoted cell would not end in it.
        inside: Whether a mark that is not doubled stands inside a cell, which no program writes that quotes cells.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.width, self.regular, self.odd, self.inside = 0, True, False, False
        for line in lines:
            row = line.rstrip("\r\n")
            if not row:
                continue
            self.width = self.width or row.count("\t") + 1
            self.regular = self.regular and row.count("\t") + 1 == self.width
            if '"' in row:
                self.odd = self.odd or row.count('"') % 2 == 1
                self.inside = self.inside or any('"' in cell.replace('""', "")[1:-1] for cell in row.split("\t"))


def _spans_are_cells(path: Path, newline: str, width: int) -> bool:
    """Whether a file is valid with quoted cells, none of which covers lines that look like whole rows."""
    with open_text(path) as text, text.lines(newline) as lines:
        try:
            for row in csv.reader(lines, delimiter="\t", strict=True):
                inner = "\t".join(row).split(newline)[1:-1]
                if width > 1 and inner and looks_like_rows(row, "\t", newline) and all(map(str.strip, inner)):
                    return False
        except csv.Error:
            return False
    return True
