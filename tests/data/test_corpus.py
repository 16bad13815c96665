from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.data.corpus import Corpus, Split, build_corpus, read_tables
from understudy.data.tables import Table
from understudy.data.tokens import text_ids
from understudy.errors import DataError
from understudy.recipe.data import DataOptions


def options(**changes: Any) -> DataOptions:
    return DataOptions(**({"train": "train.csv", "test": "test.csv", "validation": 0.1} | changes))


def tables(labels: list[Any], classes: list[str] | None = None) -> dict[str, Table]:
    """The same labels in train and test; every text is another."""
    return {
        split: Table(f"{split}.csv", [f"{split} {row}" for row in range(len(labels))], list(labels), classes)
        for split in ("train", "test")
    }


def by_text(split: Split, classes: list[str]) -> dict[str, str]:
    return {text: classes[label] for text, label in zip(split.texts, split.labels, strict=True)}


# The validation texts


def test_a_share() -> None:
    corpus = build_corpus(tables(["a", "b"] * 50), options(validation=0.1), seed=0)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (90, 10, 100)
    assert np.bincount(corpus.validation.labels).tolist() == [5, 5]
    assert corpus.class_counts == [45, 45]


def test_a_number() -> None:
    corpus = build_corpus(tables(["a", "b"] * 50), options(validation=7), seed=0)
    assert (len(corpus.train), len(corpus.validation)) == (93, 7)


def test_automatic_validation_is_no_more_than_a_fifth() -> None:
    corpus = build_corpus(tables(["a", "b"] * 50), options(validation="auto"), seed=0)
    assert (len(corpus.train), len(corpus.validation)) == (80, 20)


def test_a_source(tmp_path: Path) -> None:
    for name, rows in (("train", "a,x\nb,y\n"), ("test", "c,x\n"), ("validation", "d,y\ne,x\n")):
        (tmp_path / f"{name}.csv").write_text(f"review,stars\n{rows}")
    named = options(
        train=f"{tmp_path}/train.csv",
        test=f"{tmp_path}/test.csv",
        validation=f"{tmp_path}/validation.csv",
        text="review",
        label="stars",
    )
    found = read_tables(named)
    assert list(found) == ["train", "test", "validation"]
    corpus = build_corpus(found, named, seed=0)
    assert (corpus.train.texts, corpus.validation.texts, corpus.test.texts) == (["a", "b"], ["d", "e"], ["c"])
    assert corpus.validation.labels.tolist() == [1, 0]


def test_without_a_source_only_two_are_read(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\na,x\n")
    named = options(train=f"{tmp_path}/train.csv", test=f"{tmp_path}/test.csv", validation=5)
    assert list(read_tables(named)) == ["train", "test"]


def test_nothing_is_lost_and_nothing_is_in_both() -> None:
    given = tables(["a", "b", "b"] * 20)
    corpus = build_corpus(given, options(validation=0.3), seed=0)
    train, validation = (by_text(split, corpus.classes) for split in (corpus.train, corpus.validation))
    assert not train.keys() & validation.keys()
    assert train | validation == dict(zip(given["train"].texts, given["train"].labels or [], strict=True))
    assert corpus.train.texts == sorted(corpus.train.texts, key=given["train"].texts.index)  # in their order


def test_ids_go_with_their_texts() -> None:
    corpus = build_corpus(tables(["a", "b"] * 20), options(validation=0.3), seed=0)
    for split in (corpus.train, corpus.validation, corpus.test):
        assert (split.ids == text_ids(split.texts)).all()
        assert split.labels.dtype == np.int64


def test_the_seed_decides_the_split() -> None:
    given = tables(["a", "b"] * 50)
    first, same, other = (build_corpus(given, options(validation=0.2), seed) for seed in (0, 0, 1))
    assert first.digest == same.digest
    assert first.validation.texts != other.validation.texts
    assert first.digest != other.digest


@pytest.mark.parametrize("validation", [100, 101, 5000, 0.001])
def test_a_validation_set_that_cannot_be(validation: float | int) -> None:
    with pytest.raises(DataError, match=rf"data.validation = {validation}, but train.csv has 100 texts"):
        build_corpus(tables(["a", "b"] * 50), options(validation=validation), seed=0)


# Test texts that are set apart


def alone(labels: list[Any]) -> dict[str, Table]:
    return {"train": tables(labels)["train"]}


@pytest.mark.parametrize(("test", "size"), [("auto", 40), (30, 30), (0.1, 20)])
def test_test_texts_are_set_apart(test: Any, size: int) -> None:
    given = alone(["a", "b"] * 100)
    corpus = build_corpus(given, options(test=test), seed=0)
    assert len(corpus.test) == size and np.bincount(corpus.test.labels).tolist() == [size // 2] * 2
    assert len(corpus.validation) == round(0.1 * (200 - size))
    parts = [corpus.train, corpus.validation, corpus.test]
    assert sorted(row for split in parts for row in (split.rows if split.rows is not None else [])) == list(range(200))
    for split in parts:
        assert split.texts == [given["train"].texts[row] for row in (split.rows if split.rows is not None else [])]
    again, other = (build_corpus(alone(["a", "b"] * 100), options(test=test), seed) for seed in (0, 1))
    assert again.digest == corpus.digest != other.digest


def test_a_test_set_that_cannot_be() -> None:
    with pytest.raises(DataError, match=r"train\.csv has 6 texts, too few texts to set a test set apart.*--data\.test"):
        build_corpus(alone(["a", "b"] * 3), options(test="auto"), seed=0)
    with pytest.raises(DataError, match=r"data\.test = 200, but train\.csv has 200 texts: expected at least one"):
        build_corpus(alone(["a", "b"] * 100), options(test=200), seed=0)


# Class names and their order


def test_strings_are_sorted() -> None:
    assert build_corpus(tables(["b", "a"] * 5), options(), seed=0).classes == ["a", "b"]


def test_the_teachers_order_for_strings() -> None:
    given = tables(["neg", "pos", "pos", "neg"] * 5)
    corpus = build_corpus(given, options(), seed=0, teacher_labels=["pos", "neg"])
    assert corpus.classes == ["pos", "neg"]
    assert corpus.test.labels.tolist() == [1, 0, 0, 1] * 5


def test_the_teachers_order_for_classes_that_the_data_names() -> None:
    """Class 0 is "neg" by the data and "pos" by the teacher: names meet, not numbers."""
    given = tables([0, 1, 1, 0] * 5, classes=["neg", "pos"])
    corpus = build_corpus(given, options(), seed=0, teacher_labels=["pos", "neg"])
    assert corpus.classes == ["pos", "neg"]
    assert corpus.test.labels.tolist() == [1, 0, 0, 1] * 5
    assert corpus.test.labels.dtype == np.int64


def test_the_teachers_names_for_bare_integers() -> None:
    corpus = build_corpus(tables([1, 0, 0, 1] * 5), options(), seed=0, teacher_labels=["pos", "neg"])
    assert corpus.classes == ["pos", "neg"]
    assert corpus.test.labels.tolist() == [1, 0, 0, 1] * 5


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["a", "b"], None, ["a", "b"]),  # other names
        ([1, 2], None, ["1", "2"]),  # not counted from 0
        ([0, 1, 2], None, ["0", "1", "2"]),  # another number
        ([0, 1], ["bad", "good"], ["bad", "good"]),  # names of its own
    ],
)
def test_a_teacher_that_does_not_fit_changes_nothing(
    labels: list[Any], classes: list[str] | None, expected: list[str]
) -> None:
    given = tables(labels * 6, classes)
    alone = build_corpus(given, options(), seed=0)
    corpus = build_corpus(given, options(), seed=0, teacher_labels=["pos", "neg"])
    assert corpus.classes == expected
    assert corpus.digest == alone.digest


def test_names_that_the_user_gave_beat_the_teachers() -> None:
    named = options(labels=["neg", "pos"])
    corpus = build_corpus(tables(["pos", "neg"] * 5), named, seed=0, teacher_labels=["pos", "neg"])
    assert corpus.classes == ["neg", "pos"]
    assert corpus.test.labels.tolist() == [1, 0] * 5


# Digests


def split_of(texts: list[str], labels: list[int]) -> Split:
    return Split(texts, text_ids(texts), np.array(labels, dtype=np.int64))


def test_a_splits_digest_depends_on_texts_labels_and_order_only() -> None:
    base = split_of(["a", "b", "c"], [0, 1, 0])
    assert base.digest == split_of(["a", "b", "c"], [0, 1, 0]).digest
    narrow = Split(base.texts, base.ids, base.labels.astype(np.int32))
    assert base.digest == narrow.digest
    others = [
        split_of(["a", "b", "C"], [0, 1, 0]),
        split_of(["a", "b", "c"], [0, 1, 1]),
        split_of(["c", "b", "a"], [0, 1, 0]),
        split_of(["a", "b"], [0, 1]),
        split_of(["ab", "", "c"], [0, 1, 0]),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


def test_a_corpus_digest_depends_on_every_part() -> None:
    one, two, three = split_of(["a"], [0]), split_of(["b"], [1]), split_of(["c"], [0])
    corpora = [
        Corpus(["x", "y"], one, two, three),
        Corpus(["y", "x"], one, two, three),
        Corpus(["x", "y"], two, one, three),
        Corpus(["x", "y"], one, three, two),
        Corpus(["x", "y"], one, two, two),
    ]
    assert len({corpus.digest for corpus in corpora}) == len(corpora)


def test_select_keeps_rows_together() -> None:
    chosen = split_of(["a", "b", "c"], [0, 1, 2]).select(np.array([2, 0]))
    assert (chosen.texts, chosen.labels.tolist()) == (["c", "a"], [2, 0])
    assert (chosen.ids == text_ids(["c", "a"])).all()
    assert len(chosen) == 2
