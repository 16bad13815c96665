"""A teacher's probabilities that were made elsewhere: read in chunks, checked, and found by text id."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.files import Chunk, chunks
from understudy.data.findings import EXAMPLES, Finding, Row, counted, excerpt, listed
from understudy.data.sources import source_files
from understudy.data.tables import text_of
from understudy.data.tokens import text_ids
from understudy.errors import DataError
from understudy.storage.files import write_file

log = logging.getLogger(__name__)

ID = "id"
TOLERANCE = 1e-3
"""What rounding may do: to a row's sum, and to a text's probabilities from one of its rows to another."""

_TEXT_ID = re.compile(r"[0-9a-f]{32}")
_ROUNDING = 1e-9  # of the sum itself
_LONGEST = 40


@dataclass(frozen=True)
class Scores:
    """Probabilities by text id.

    Attributes:
        source: What the user named.
        ids: Text ids in ascending order, bytes of shape (texts,).
        probabilities: float32 of shape (texts, classes), whose rows sum to 1.
        findings: What is wrong with them, all of it errors; then some rows are not filled.
    """

    source: str
    ids: np.ndarray
    probabilities: np.ndarray
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> str:
        content = self.ids.tobytes() + self.probabilities.astype("<f4").tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def lookup(self, ids: np.ndarray) -> np.ndarray:
        """Probabilities for `ids` (bytes of shape (texts,)), float32 of shape (texts, classes).

        Raises:
            KeyError: an id is not there.
        """
        if not np.isin(ids, self.ids).all():
            raise KeyError(f"{self.source} was not read for some of these {len(ids)} texts")
        return self.probabilities[np.searchsorted(self.ids, ids)]

    def save(self, path: Path, classes: list[str]) -> None:
        """Writes a parquet file that `read_scores` reads: `id`, and `probability_<class>` for every class."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {ID: pa.array(self.ids.astype(str))}
        columns |= {_predicted(name): pa.array(self.probabilities[:, place]) for place, name in enumerate(classes)}
        write_file(path, lambda temporary: pq.write_table(pa.table(columns), temporary))


def read_scores(source: str, text: str, corpus: Corpus) -> Scores:
    """Reads the probabilities of all transfer and test texts; rows for other texts are passed over.

    A row belongs to the text with the id in its column `id` or, where there is no such column, to the text itself. A
    class has a column `probability_<class>`, as `understudy predict` writes it, or one that is called like the class.
    Rows whose sum is off by no more than `TOLERANCE` are divided by it. Of a text's rows the first counts; others may
    differ from it by as much.

    Args:
        source: A csv, tsv, jsonl or parquet file (compressed too), or a glob of them.
        text: Column of the text.
        corpus: The texts and the classes.

    Returns:
        What was read, with everything that is wrong with the rows as findings.

    Raises:
        DataError: there is no such file, it cannot be read, or a column is missing.
    """
    collected = _Collected(corpus)
    by_id = False
    try:
        for path in source_files(source):
            columns = _columns(path, text, corpus.classes)
            if columns is not None:
                by_id = by_id or columns.key == ID
                for chunk in chunks(path, [columns.key, *columns.classes]):
                    collected.add(chunk, columns, path)
    except DataError as error:
        raise DataError(f"teacher.scores: {error}") from None
    log.info(
        "scores: %s of %s read from %s; %s for texts of no split ignored",
        f"{int(collected.seen.sum()):,}",
        counted(len(collected.ids), "text"),
        source,
        counted(collected.ignored, "row"),
    )
    findings = (*collected.findings(source), *_missing(source, text if by_id else None, corpus, collected))
    return Scores(source, collected.ids, collected.probabilities, findings)


@dataclass(frozen=True)
class _Columns:
    """Which columns of a file count: the one that says which text a row is about, and one a class."""

    key: str
    classes: list[str]


def _columns(path: Path, text: str, classes: list[str]) -> _Columns | None:
    """A file's columns; None where it has no row.

    Raises:
        DataError: one is missing.
    """
    first = next(iter(chunks(path)), None)
    if first is None:
        return None
    present = ", ".join(first)
    if ID not in first and text not in first:
        raise DataError(
            f"{path} has neither a column '{ID}' nor a column '{text}'; its columns are: {present}. Expected text ids "
            "as in predictions.parquet, or the texts themselves. Add one of the columns, or name the text's with "
            "--data.text."
        )
    predicted = [_predicted(name) for name in classes]
    # Whichever names the file has more of are those that it means.
    names = max(predicted, classes, key=lambda names: sum(name in first for name in names))
    missing = [name for name in names if name not in first]
    if missing:
        raise DataError(
            f"{path} has no column {listed(missing)}; its columns are: {present}. Expected a column for every class, "
            f"called {listed(predicted)} (as `understudy predict` writes them) or {listed(classes)}. Add or rename "
            "them."
        )
    return _Columns(ID if ID in first else text, names)


def _predicted(name: str) -> str:
    """What `understudy predict` calls the column of a class."""
    return f"probability_{name}"


@dataclass
class _Problem:
    """Rows that have something wrong with them: how many, the first few, and the first in words."""

    count: int = 0
    rows: list[Row] = field(default_factory=list)
    first: str = ""

    def note(self, row: Row, words: str) -> None:
        self.count += 1
        self.first = self.first or f"{words} in row {row.row}"
        if len(self.rows) < EXAMPLES:
            self.rows.append(row)


class _Collected:
    """What has been read so far.

    Attributes:
        ids: Of the texts that need a row, ascending, bytes of shape (texts,).
        probabilities: float32 of shape (texts, classes); NaN where there is no usable row.
        seen: Which texts have a row, usable or not; shape (texts,).
        ignored: Rows for texts of no split.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.ids = np.unique(np.concatenate([corpus.transfer_ids, corpus.test.ids]))
        self.probabilities = np.full((len(self.ids), len(corpus.classes)), np.nan, dtype=np.float32)
        self.seen = np.zeros(len(self.ids), dtype=bool)
        self.ignored = 0
        self._row = np.zeros(len(self.ids), dtype=np.int64)  # the row that was taken, from 1
        self._rows = 0
        self._conflicting = np.zeros(len(self.ids), dtype=bool)
        self._not_needed = corpus.validation.ids
        self._no_id, self._out_of_range, self._sum, self._conflict = (_Problem() for _ in range(4))

    def add(self, chunk: Chunk, columns: _Columns, path: Path) -> None:
        """Takes rows over, or notes what is wrong with them."""
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
        """Takes the rows of texts that need one.

        Args:
            keys: Their texts or ids.
            place: Where their ids stand in `ids`, shape (rows,).
            rows: Their numbers in the source, shape (rows,).
            cells: Their values by column, one column a class.
        """
        self.seen[place] = True
        values = np.stack([_numbers(column) for column in cells.values()], axis=1)
        sums = values.sum(axis=1)
        wrong = ~((values >= 0) & (values <= 1 + TOLERANCE))  # NaN is neither
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
        """What is wrong with the rows."""
        problems = (
            (
                "scores_without_text_id",
                self._no_id,
                f"{{}} with something else than a text id in the column '{ID}', such as {{}}: expected 32 hexadecimal "
                "digits, the text's BLAKE2b digest, as in predictions.parquet. Without that column the rows are found "
                "by their texts.",
            ),
            (
                "scores_out_of_range",
                self._out_of_range,
                "{} with something else than probabilities, such as {}: expected numbers from 0 to 1. Mend them, or "
                "score these texts again.",
            ),
            (
                "scores_not_normalised",
                self._sum,
                f"{{}} whose probabilities do not sum to 1, such as {{}}: expected 1, give or take {TOLERANCE:g} for "
                "rounding. Give one column a class and more digits, or divide each row by its sum.",
            ),
            (
                "conflicting_scores",
                self._conflict,
                f"{{}} that repeat a text with other probabilities, such as {{}}: expected one row a text, or the same "
                f"probabilities to within {TOLERANCE:g}. Keep one of the rows.",
            ),
        )
        for code, problem, message in problems:
            if problem.count:
                of = f"teacher.scores ({source}): {counted(problem.count, 'row')} of {self._rows:,}"
                yield Finding("error", code, message.format(of, problem.first), tuple(problem.rows), problem.count)


def _missing(source: str, text: str | None, corpus: Corpus, collected: _Collected) -> Iterator[Finding]:
    """Texts that have no row; `text` is the column that would name them where ids did, else None."""
    splits: dict[str, tuple[np.ndarray, Iterable[Iterable[str]]]] = {"train": (corpus.train.ids, [corpus.train.texts])}
    if corpus.unlabelled is not None:
        splits["unlabelled"] = corpus.unlabelled.ids, corpus.unlabelled.chunks()
    splits["test"] = corpus.test.ids, [corpus.test.texts]
    for split, (ids, texts) in splits.items():
        missing = ~collected.seen[np.searchsorted(collected.ids, ids)]
        count = int(missing.sum())
        if not count:
            continue
        each = (one for part in texts for one in part)
        first = islice((excerpt(one) for one, lacks in zip(each, missing, strict=False) if lacks), EXAMPLES)
        message = (
            f"{split}: {count:,} of {counted(len(ids), 'text')} without a row in teacher.scores ({source}): expected "
            "one for every text of train, unlabelled and test. The first: "
            f"{', '.join(map(repr, first))}. Score them as well, or drop them from {split}."
        )
        if text is not None and not collected.seen.any():
            message += (
                f" The rows are found by their column '{ID}', the BLAKE2b digest of the exact text; without it they "
                f"are found by their column '{text}'."
            )
        yield Finding("error", "missing_scores", message, count=count)


def _numbers(values: list[Any]) -> np.ndarray:
    """The values as float64; NaN where one is no number."""
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
