"""A teacher's probabilities that were computed elsewhere: read in chunks, checked, and found by text id."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.files import chunks
from understudy.data.findings import EXAMPLES, Finding, counted, enumerated, excerpt
from understudy.data.labels import match_integers
from understudy.data.score_rows import ID, ScoreColumns, ScoreRows
from understudy.data.sources import source_files
from understudy.errors import DataError
from understudy.storage.files import write_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """Probabilities by text id.

    Attributes:
        source: The name that the user gave.
        ids: Text ids in ascending order, bytes of shape (texts,).
        probabilities: float32 of shape (texts, classes), whose rows sum to 1.
        findings: Problems with the rows, all of them errors; if there are any, some rows are NaN.
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
            KeyError: An id is missing.
        """
        if not np.isin(ids, self.ids).all():
            raise KeyError(f"{self.source} has no probabilities for some of these {len(ids)} texts")
        return np.asarray(self.probabilities[np.searchsorted(self.ids, ids)])

    def save(self, path: Path, classes: list[str]) -> None:
        """Writes a parquet file that `read_scores` reads: `id`, and `probability_<class>` for every class."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {ID: pa.array(self.ids.astype(str))}
        columns |= {_predicted(name): pa.array(self.probabilities[:, place]) for place, name in enumerate(classes)}
        write_file(path, lambda temporary: pq.write_table(pa.table(columns), temporary))


def read_scores(source: str, text: str, corpus: Corpus) -> Scores:
    """Reads the probabilities of all transfer and test texts; rows for other texts are ignored.

    A row belongs to the text whose id is in its column `id` or, without that column, to its text itself. Each class
    has a column `probability_<class>`, as `understudy predict` writes it, or one named like the class. Columns with the
    numbers of the classes work, too (see `match_integers`). A row whose sum differs from 1 by at most `TOLERANCE` is
    normalised. If a text has several rows, the first one counts, and the others may differ from it by at most
    `TOLERANCE`.

    Args:
        source: A csv, tsv, jsonl or parquet file, also compressed, or a glob of them.
        text: Name of the text column.
        corpus: The texts and the classes.

    Returns:
        The probabilities, with all problems of the rows as findings.

    Raises:
        DataError: A file does not exist, cannot be read, or lacks a column, or only some of its columns' numbers are
            class names.
    """
    rows = ScoreRows(corpus)
    by_id = False
    try:
        for path in source_files(source):
            columns = _columns(path, text, corpus.classes)
            if columns is not None:
                by_id = by_id or columns.key == ID
                for chunk in chunks(path, [columns.key, *columns.classes]):
                    rows.add(chunk, columns, path)
    except DataError as error:
        raise DataError(f"teacher.scores: {error}") from None
    log.info(
        "scores: %s of %s read from %s; %s for texts of no split ignored",
        f"{int(rows.seen.sum()):,}",
        counted(len(rows.ids), "text"),
        source,
        counted(rows.ignored, "row"),
    )
    findings = (*rows.findings(source), *_missing(source, text if by_id else None, corpus, rows))
    return Scores(source, rows.ids, rows.probabilities, findings)


def _columns(path: Path, text: str, classes: list[str]) -> ScoreColumns | None:
    """The columns to read from a file; None if it has no rows.

    Raises:
        DataError: A column is missing.
    """
    first = next(iter(chunks(path)), None)
    if first is None:
        return None
    present = ", ".join(first)
    if ID not in first and text not in first:
        raise DataError(
            f"{path} has neither a column '{ID}' nor a column '{text}'; its columns are: {present}. Expected text ids "
            "as in predictions.parquet, or the texts themselves. Add one of the columns, or choose the text column "
            "with --data.text."
        )
    predicted = [_predicted(name) for name in classes]
    # The file uses the naming of which it has more columns.
    names = max(predicted, classes, key=lambda names: sum(name in first for name in names))
    if not any(name in first for name in names):
        names = _numbered(path, list(first), classes) or names
    missing = [name for name in names if name not in first]
    if missing:
        raise DataError(
            f"{path} has no column {enumerated(missing)}; its columns are: {present}. Expected one column per class, "
            f"named {enumerated(predicted)} (as `understudy predict` writes them) or {enumerated(classes)}. Add or "
            "rename them."
        )
    return ScoreColumns(ID if ID in first else text, names)


def _numbered(path: Path, columns: list[str], classes: list[str]) -> list[str] | None:
    """One column per class, in their order, if the columns have numbers as names; None if they have not.

    Raises:
        DataError: Only some numbers are class names.
    """
    for prefix in (_predicted("LABEL_"), _predicted(""), ""):
        numbers = {
            int(match[1]): column
            for column in columns
            if (match := re.fullmatch(rf"{prefix}(-?[0-9]{{1,18}})(\.0)?", column, re.ASCII))
        }
        if len(numbers) == len(classes):
            found = {place: numbers[number] for number, place in match_integers(numbers, classes).items()}
            if len(found) == len(classes):
                named = [found[place] for place in range(len(classes))]
                log.warning(
                    "teacher.scores: the columns %s of %s are read as %s. Check that the order is right.",
                    *(", ".join(named), path, ", ".join(classes)),
                )
                return named
    return None


def _predicted(name: str) -> str:
    """The column that `understudy predict` writes for a class."""
    return f"probability_{name}"


def _missing(source: str, text: str | None, corpus: Corpus, rows: ScoreRows) -> Iterator[Finding]:
    """Texts that have no row; `text` is the text column if the rows are found by id, else None."""
    splits: dict[str, tuple[np.ndarray, Iterable[Iterable[str]]]] = {"train": (corpus.train.ids, [corpus.train.texts])}
    if corpus.unlabelled is not None:
        splits["unlabelled"] = corpus.unlabelled.ids, corpus.unlabelled.chunks()
    splits["test"] = corpus.test.ids, [corpus.test.texts]
    for split, (ids, texts) in splits.items():
        missing = ~rows.seen[np.searchsorted(rows.ids, ids)]
        count = int(missing.sum())
        if not count:
            continue
        each = (one for part in texts for one in part)
        first = islice((excerpt(one) for one, lacks in zip(each, missing, strict=False) if lacks), EXAMPLES)
        message = (
            f"{split}: {count:,} of {counted(len(ids), 'text')} without a row in teacher.scores ({source}): expected "
            "one for every text of train, unlabelled and test. The first: "
            f"{', '.join(map(repr, first))}. Score these texts as well, or remove them from {split}."
        )
        if text is not None and not rows.seen.any():
            message += (
                f" Rows are found by the column '{ID}', the BLAKE2b digest of the exact text. Without that column they "
                f"are found by the column '{text}'."
            )
        yield Finding("error", "missing_scores", message, count=count)
