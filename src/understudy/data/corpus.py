"""From sources to splits: reads tables, numbers the labels, and separates validation and unlabelled texts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from understudy.data.columns import find_columns
from understudy.data.findings import counted
from understudy.data.labels import NO_LABEL, number_labels
from understudy.data.near_duplicates import Shingler
from understudy.data.sources import read, split_sources, stream
from understudy.data.splitting import FEWEST, choose_test, choose_validation, stratified_share, test_size
from understudy.data.tables import Table
from understudy.data.tokens import text_ids
from understudy.data.unlabelled import Unlabelled, select_unlabelled
from understudy.data.words import text_key
from understudy.errors import DataError
from understudy.recipe.base import AUTO
from understudy.recipe.data import DataOptions
from understudy.storage.files import fingerprint

log = logging.getLogger(__name__)

_VALIDATION_SHARE, _LARGEST_SHARE = 0.1, 0.2
_FEWEST_VALIDATION, _MOST_VALIDATION = 100, 2000


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


def with_columns(options: DataOptions) -> DataOptions:
    """The options with the splits of a source that is named without one, and with its columns.

    `data.test` stays `auto` if the source has no split `test`.

    Raises:
        DataError: The source cannot be read, lacks training texts, or has several columns that can be meant.
        HubUnreachable: The Hub dataset is not in the local cache, and the Hub does not answer.
    """
    splits = split_sources(options.train)
    if splits:
        train = splits.get("train") or (next(iter(splits.values())) if len(splits) == 1 else None)
        if train is None:
            raise DataError(
                f"{options.train} has the splits {', '.join(splits)}; expected one called train. Name one: "
                f"{next(iter(splits.values()))}, for example."
            )
        found = {"train": train}
        for name in ("test", "validation"):
            if name in splits and getattr(options, name) == DataOptions.model_fields[name].default:
                found[name] = splits[name]
        log.info("%s: %s", options.train, ", ".join(f"{name} is {source}" for name, source in found.items()))
        options = options.model_copy(update=found)
    text, label = find_columns(options.train, options.text, options.label)
    return options.model_copy(update={"text": text, "label": label})


def read_tables(options: DataOptions) -> dict[str, Table]:
    """Reads every source that the recipe names, keyed by split; a test set that is to be set apart is in `train`."""
    options = with_columns(options)
    sources = {"train": options.train}
    if not options.sets_test_apart:
        sources["test"] = options.test_source
    if isinstance(options.validation, str) and options.validation != AUTO:
        sources["validation"] = options.validation
    return {split: read(source, options.text, options.label) for split, source in sources.items()}


def validation_size(texts: int) -> int:
    """How many of the labelled texts `auto` sets apart for validation.

    A tenth of them; at least 100, at most 2,000, and never more than a fifth.
    """
    wanted = min(max(round(texts * _VALIDATION_SHARE), _FEWEST_VALIDATION), _MOST_VALIDATION)
    return min(wanted, max(1, int(texts * _LARGEST_SHARE)))


def build_corpus(
    tables: dict[str, Table],
    options: DataOptions,
    seed: int,
    teacher_labels: Sequence[str] | None = None,
    shingler: Shingler | None = None,
) -> Corpus:
    """Numbers the labels, and separates the test texts if they have no source, and the validation texts.

    Args:
        tables: The result of `read_tables`, in which the audit found no error.
        options: The recipe's data options.
        seed: Decides which training texts become test texts and validation texts.
        teacher_labels: Class names of a ready-made teacher. If the data has the same names, the teacher's order is
            used. If the data has integer labels without names, the teacher's names are used. `data.labels` overrides
            both.
        shingler: Finds nearly equal texts; given to the audit too, it reads each text once.

    Raises:
        DataError: The test, validation, training, labelled or unlabelled texts would be empty.
    """
    classes, labels = number_labels(tables, options.labels)
    if teacher_labels and options.labels is None:
        classes, labels = _as_the_teacher(tables, classes, labels, list(teacher_labels))
    splits = {name: Split(table.texts, text_ids(table.texts), labels[name]) for name, table in tables.items()}
    train, test = _test_apart(splits, options, seed, shingler)
    train, rest = _labelled(train, options, seed)
    if "validation" in splits:
        validation = splits["validation"]
    else:
        share = _validation_share(options, len(train))
        none = np.zeros(0, dtype=bool)
        chosen = choose_validation(train.texts, train.labels, share, seed, shingler) if share < 1 else none
        if not chosen.any():
            kept = " besides the test set" if options.sets_test_apart else ""
            kept += "" if options.labelled is None else " with labels"
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
            for name, split in (("test", test), ("validation", validation), ("train", train))
        }
        unlabelled = select_unlabelled(source, others, [*test.texts, *validation.texts])
    return Corpus(classes, train, validation, test, unlabelled)


def _test_apart(
    splits: dict[str, Split], options: DataOptions, seed: int, shingler: Shingler | None
) -> tuple[Split, Split]:
    """The training texts, with the validation texts still among them, and the test texts."""
    train = splits["train"]
    if "test" in splits:
        return train, splits["test"]
    chosen = np.zeros(len(train), dtype=bool)
    share = test_share(options, train.labels)
    if share < 1:
        chosen = choose_test(train.texts, train.labels, share, seed, shingler)
    if not chosen.any():
        raise DataError(
            f"data.test = {options.test}, but {options.train} has {counted(len(train), 'text')}: expected at least one "
            "for the test and one of each class for training. Choose another share or number, or give a source."
        )
    return train.select(np.flatnonzero(~chosen)), train.select(np.flatnonzero(chosen))


def test_share(options: DataOptions, labels: Sequence[Any] | np.ndarray) -> float:
    """The share of the training texts that becomes the test set.

    Args:
        options: Has no source of test texts.
        labels: The labels of all training texts, numbered or not.

    Raises:
        DataError: `data.test` is `auto`, and there are too few texts.
    """
    if isinstance(options.test, float):
        return options.test
    if isinstance(options.test, int):
        return options.test / max(1, len(labels))
    if len(labels) < FEWEST:
        raise DataError(
            f"{options.train} has {counted(len(labels), 'text')}, too few texts to set a test set apart (expected "
            f"{FEWEST} or more). Give labelled test texts with --data.test."
        )
    return test_size(labels) / len(labels)


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


def _validation_share(options: DataOptions, texts: int) -> float:
    """The share of the labelled texts that becomes validation texts."""
    if isinstance(options.validation, float):
        return options.validation
    return (options.validation if isinstance(options.validation, int) else validation_size(texts)) / texts


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
