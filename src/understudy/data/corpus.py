"""From sources to splits: reads tables, numbers the labels, and separates validation and unlabelled texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from understudy.data.labels import NO_LABEL, number_labels
from understudy.data.near_duplicates import Shingler
from understudy.data.sources import read, stream
from understudy.data.splitting import choose_validation, stratified_share
from understudy.data.tables import Table
from understudy.data.tokens import text_ids
from understudy.data.unlabelled import Unlabelled, select_unlabelled
from understudy.data.words import text_key
from understudy.errors import DataError
from understudy.recipe.data import DataOptions
from understudy.storage.files import fingerprint


@dataclass(frozen=True)
class Split:
    """Labelled texts.

    Attributes:
        texts: The texts.
        ids: Text ids, bytes of shape (texts,).
        labels: Class numbers, int64 of shape (texts,).
        rows: The row of each text in its source, from 0, shape (texts,); None if it is the place of the text.
    """

    texts: list[str]
    ids: np.ndarray
    labels: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> str:
        content = self.ids.tobytes() + self.labels.astype("<i8").tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def select(self, rows: np.ndarray) -> Split:
        places = rows if self.rows is None else self.rows[rows]
        return Split([self.texts[row] for row in rows], self.ids[rows], self.labels[rows], places)


@dataclass(frozen=True)
class Corpus:
    """All texts of a run. The transfer texts are those that the student learns from, labelled or not."""

    classes: list[str]
    train: Split
    validation: Split
    test: Split
    unlabelled: Unlabelled | None = None

    @property
    def digest(self) -> str:
        splits = {name: getattr(self, name).digest for name in ("train", "validation", "test")}
        if self.unlabelled is not None:
            splits["unlabelled"] = self.unlabelled.digest
        return fingerprint(classes=self.classes, **splits)

    @property
    def rows(self) -> dict[str, Sequence[int]]:
        """The rows of each split in its source, from 0; validation texts set apart have rows of `train`."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: range(len(split)) if split.rows is None else split.rows.tolist() for name, split in splits.items()
        }

    @property
    def transfer_ids(self) -> np.ndarray:
        """Text ids of the training texts, then of the unlabelled texts, bytes of shape (texts,)."""
        return np.concatenate([self.train.ids, *([] if self.unlabelled is None else [self.unlabelled.ids])])

    @property
    def transfer_labels(self) -> np.ndarray:
        """Class numbers of the transfer texts, int64 of shape (texts,); `NO_LABEL` for the unlabelled texts."""
        labels = np.full(len(self.transfer_ids), NO_LABEL, dtype=np.int64)
        labels[: len(self.train)] = self.train.labels
        return labels

    def transfer_chunks(self) -> Iterator[list[str]]:
        """The transfer texts, one list at a time."""
        yield self.train.texts
        if self.unlabelled is not None:
            yield from self.unlabelled.chunks()

    @property
    def class_counts(self) -> list[int]:
        """Number of training texts per class."""
        counts: list[int] = np.bincount(self.train.labels, minlength=len(self.classes)).tolist()
        return counts


def read_tables(options: DataOptions) -> dict[str, Table]:
    """Reads every source that the recipe names, keyed by split."""
    sources = {"train": options.train, "test": options.test}
    if isinstance(options.validation, str):
        sources["validation"] = options.validation
    return {split: read(source, options.text, options.label) for split, source in sources.items()}


def build_corpus(
    tables: dict[str, Table],
    options: DataOptions,
    seed: int,
    teacher_labels: Sequence[str] | None = None,
    shingler: Shingler | None = None,
) -> Corpus:
    """Numbers the labels and separates the validation texts.

    Args:
        tables: The result of `read_tables`, in which the audit found no error.
        options: The recipe's data options.
        seed: Decides which training texts become validation texts.
        teacher_labels: Class names of a ready-made teacher. If the data has the same names, the teacher's order is
            used. If the data has integer labels without names, the teacher's names are used. `data.labels` overrides
            both.
        shingler: Finds nearly equal texts; given to the audit too, it reads each text once.

    Raises:
        DataError: The validation, training, labelled or unlabelled texts would be empty.
    """
    classes, labels = number_labels(tables, options.labels)
    if teacher_labels and options.labels is None:
        classes, labels = _as_the_teacher(tables, classes, labels, list(teacher_labels))
    splits = {name: Split(table.texts, text_ids(table.texts), labels[name]) for name, table in tables.items()}
    train, rest = _labelled(splits["train"], options, seed)
    if "validation" in splits:
        validation = splits["validation"]
    else:
        assert not isinstance(options.validation, str)
        share = options.validation if isinstance(options.validation, float) else options.validation / len(train)
        none = np.zeros(0, dtype=bool)
        chosen = choose_validation(train.texts, train.labels, share, seed, shingler) if share < 1 else none
        if not chosen.any():
            kept = "" if options.labelled is None else " with labels"
            raise DataError(
                f"data.validation = {options.validation}, but {options.train} has {len(train)} texts{kept}: "
                "expected at least one for validation and one of each class for training. Choose another share or "
                "number, or give a source."
            )
        train, validation = train.select(np.flatnonzero(~chosen)), train.select(np.flatnonzero(chosen))
    unlabelled = None
    if rest or options.unlabelled is not None:
        source = partial(_unlabelled_chunks, rest, options)
        # The test texts come first, so that the log counts every unlabelled text that is also a test text.
        others = {
            name: text_ids([text_key(text) for text in split.texts])
            for name, split in (("test", splits["test"]), ("validation", validation), ("train", train))
        }
        unlabelled = select_unlabelled(source, others, [*splits["test"].texts, *validation.texts])
    return Corpus(classes, train, validation, splits["test"], unlabelled)


def _labelled(train: Split, options: DataOptions, seed: int) -> tuple[Split, list[str]]:
    """The training texts that keep their labels, and those that lose them."""
    wanted = options.labelled
    if wanted is None:
        return train, []
    share = wanted if isinstance(wanted, float) else wanted / len(train)
    chosen = stratified_share(train.labels, share, seed) if share < 1 else np.zeros(len(train), dtype=bool)
    kept = train.select(np.flatnonzero(chosen))
    if share >= 1 or set(kept.labels.tolist()) != set(train.labels.tolist()):
        raise DataError(
            f"data.labelled = {wanted}, but {options.train} has {len(train)} texts: expected fewer than all of them, "
            "and at least one of each class. Choose another share or number, or leave it out."
        )
    return kept, [train.texts[row] for row in np.flatnonzero(~chosen)]


def _unlabelled_chunks(rest: list[str], options: DataOptions) -> Iterator[list[str]]:
    yield rest
    if options.unlabelled is not None:
        yield from stream(options.unlabelled, options.text)


def _as_the_teacher(
    tables: dict[str, Table], classes: list[str], labels: dict[str, np.ndarray], teacher: list[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The classes in the order of a ready-made teacher, with its names if the data has none."""
    if any(table.classes for table in tables.values()):  # the data's integers refer to its own names
        if set(teacher) != set(classes):
            return classes, labels
        numbers = np.array([teacher.index(name) for name in classes])
        return teacher, {split: numbers[values] for split, values in labels.items()}
    integers = classes == [str(index) for index in range(len(classes))]
    if set(teacher) == set(classes) or (integers and len(teacher) == len(classes)):
        return number_labels(tables, teacher)
    return classes, labels
