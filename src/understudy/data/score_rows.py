"""Rows of given probabilities: matched with the texts, checked and collected, chunk by chunk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.files import Chunk
from understudy.data.findings import EXAMPLES, Finding, Row, counted, excerpt
from understudy.data.tables import text_of
from understudy.data.tokens import text_ids

ID = "id"
TOLERANCE = 1e-3
"""Rounding error that is accepted in a row's sum, and between the probabilities of two rows of one text."""

_TEXT_ID = re.compile(r"[0-9a-f]{32}")
_ROUNDING = 1e-9  # of the computed sum itself
_LONGEST = 40


@dataclass(frozen=True)
class ScoreColumns:
    """The columns of a file that are read.

    Attributes:
        key: Identifies the text of a row: `ID`, or the text column.
        classes: One column per class, in the order of the classes.
    """

    key: str
    classes: list[str]


@dataclass
class _Problem:
    """Rows with one kind of problem: their number, the first few, and a description of the first."""

    count: int = 0
    rows: list[Row] = field(default_factory=list)
    first: str = ""

    def note(self, row: Row, words: str) -> None:
        self.count += 1
        self.first = self.first or f"{words} in row {row.row}"
        if len(self.rows) < EXAMPLES:
            self.rows.append(row)


class ScoreRows:
    """The rows that have been read so far.

    Attributes:
        ids: Ids of the texts that need a row, ascending, bytes of shape (texts,).
        probabilities: float32 of shape (texts, classes); NaN for texts without a usable row.
        seen: Which texts have a row, usable or not; shape (texts,).
        ignored: Number of rows for texts of no split.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.ids = np.unique(np.concatenate([corpus.transfer_ids, corpus.test.ids]))
        self.probabilities = np.full((len(self.ids), len(corpus.classes)), np.nan, dtype=np.float32)
        self.seen = np.zeros(len(self.ids), dtype=bool)
        self.ignored = 0
        self._row = np.zeros(len(self.ids), dtype=np.int64)  # number of the row that counts, from 1; 0 for none
        self._rows = 0
        self._conflicting = np.zeros(len(self.ids), dtype=bool)
        self._not_needed = corpus.validation.ids
        self._no_id, self._out_of_range, self._sum, self._conflict = (_Problem() for _ in range(4))

    def add(self, chunk: Chunk, columns: ScoreColumns, path: Path) -> None:
        """Collects the rows of a chunk, and notes their problems."""
        keys = chunk[columns.key]
        if columns.key == ID:
            keys = [str(key) for key in keys]
            ids = self._checked_ids(keys)
        else:
            keys = [text_of(key, path, self._rows + place) for place, key in enumerate(keys, start=1)]
            ids = text_ids(keys)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        needed = self.ids[place] == ids
        self.ignored += int((~needed & ~np.isin(ids, self._not_needed) & (ids != b"")).sum())
        taken = np.flatnonzero(needed)
        cells = {name: [chunk[name][row] for row in taken] for name in columns.classes}
        self._take([keys[row] for row in taken], place[taken], taken + self._rows + 1, cells)
        self._rows += len(keys)

    def _checked_ids(self, keys: list[str]) -> np.ndarray:
        fits = [_TEXT_ID.fullmatch(key) is not None for key in keys]
        for row, (key, fit) in enumerate(zip(keys, fits, strict=True), start=self._rows + 1):
            if not fit:
                self._no_id.note(Row("scores", row, excerpt(key)), repr(key[:_LONGEST]))
        return np.array([key if fit else "" for key, fit in zip(keys, fits, strict=True)], dtype="S32")

    def _take(self, keys: Sequence[str], place: np.ndarray, rows: np.ndarray, cells: Chunk) -> None:
        """Collects the rows of texts that need one.

        Args:
            keys: The texts or their ids.
            place: Indices of the texts in `ids`, shape (rows,).
            rows: Numbers of the rows in the source, shape (rows,).
            cells: Values by column, one column per class.
        """
        self.seen[place] = True
        values = np.stack([_numbers(column) for column in cells.values()], axis=1)
        sums = values.sum(axis=1)
        wrong = ~((values >= 0) & (values <= 1 + TOLERANCE))  # comparisons with NaN are false
        unusable = wrong.any(axis=1)
        uneven = ~unusable & (np.abs(sums - 1) > TOLERANCE + _ROUNDING)

        def row(at: Any) -> Row:
            return Row("scores", int(rows[at]), excerpt(keys[at]))

        for at in np.flatnonzero(unusable).tolist():
            name = list(cells)[int(wrong[at].argmax())]
            self._out_of_range.note(row(at), f"{_shown(cells[name][at])} as '{name}'")
        for at in np.flatnonzero(uneven).tolist():
            self._sum.note(row(at), f"a sum of {sums[at]:.6g}")
        usable = np.flatnonzero(~unusable & ~uneven)
        place, found = place[usable], values[usable] / sums[usable, None]
        _, first = np.unique(place, return_index=True)
        first = first[self._row[place[first]] == 0]
        self.probabilities[place[first]] = found[first]
        self._row[place[first]] = rows[usable[first]]
        differs = np.abs(self.probabilities[place] - found).max(axis=1, initial=0) > TOLERANCE
        for at in np.flatnonzero(differs).tolist():
            if not self._conflicting[place[at]]:
                self._conflicting[place[at]] = True
                self._conflict.note(row(usable[at]), f"other probabilities than in row {self._row[place[at]]}")

    def findings(self, source: str) -> Iterator[Finding]:
        """The problems of the rows."""
        problems = (
            (
                "scores_without_text_id",
                self._no_id,
                f"{{}} without a text id in the column '{ID}', such as {{}}: expected 32 hexadecimal digits, the "
                "text's BLAKE2b digest, as in predictions.parquet. Without that column, rows are found by their texts.",
            ),
            (
                "scores_out_of_range",
                self._out_of_range,
                "{} with values that are not probabilities, such as {}: expected numbers from 0 to 1. Correct them, "
                "or score these texts again.",
            ),
            (
                "scores_not_normalised",
                self._sum,
                "{} whose probabilities do not sum to 1, such as {}: expected 1, with a rounding error of at most "
                f"{TOLERANCE:g}. Give one column per class and more digits, or divide each row by its sum.",
            ),
            (
                "conflicting_scores",
                self._conflict,
                "{} that repeat a text with other probabilities, such as {}: expected one row per text, or the same "
                f"probabilities within {TOLERANCE:g}. Keep one of the rows.",
            ),
        )
        for code, problem, message in problems:
            if problem.count:
                of = f"teacher.scores ({source}): {counted(problem.count, 'row')} of {self._rows:,}"
                yield Finding("error", code, message.format(of, problem.first), tuple(problem.rows), problem.count)


def _numbers(values: list[Any]) -> np.ndarray:
    """The values as float64; NaN for a value that is not a number."""
    if set(map(type, values)) <= {float, int, str}:
        try:
            return np.array(values, dtype=np.float64)
        except (ValueError, OverflowError):
            pass
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return np.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:_LONGEST]
