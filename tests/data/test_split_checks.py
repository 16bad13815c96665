"""What the audit says of the splits as a run uses them."""

from __future__ import annotations

import random

from understudy.data.audit import Audit, audit
from understudy.data.corpus import build_corpus
from understudy.data.tables import Table
from understudy.recipe.data import DataOptions

OPTIONS = DataOptions(train="train.csv", test="test.csv", validation=0.1)


def prose(seed: int) -> str:
    return " ".join(random.Random(seed).choices([f"word{number}" for number in range(300)], k=40))


def table(texts: list[str], labels: list[str] | None = None) -> Table:
    return Table("data.csv", texts, labels or [["neg", "pos"][row % 2] for row in range(len(texts))])


def examine(train: Table, test: Table) -> Audit:
    tables = {"train": train, "test": test}
    return audit(tables, None, build_corpus(tables, OPTIONS, seed=0).rows)


TRAIN = [prose(seed) for seed in range(600)]
TEST = [prose(seed) for seed in range(1000, 1500)]


def test_sound_splits() -> None:
    found = examine(table(TRAIN), table(TEST))
    assert {finding.code for finding in found.findings} == {"balance"}
    assert found.test_in_train == 0


def test_copies_that_the_split_has_mended_are_no_leak() -> None:
    found = examine(table([*TRAIN, *TRAIN]), table(TEST))
    assert not found.warnings
    assert {(row.split, row.row > 600) for finding in found.of("duplicates") for row in finding.rows} >= {
        ("train", True),
        ("validation", True),
    }


def test_copies_that_cannot_be_kept_apart() -> None:
    found = examine(table(["a good film", "a bad film"] * 300), table(TEST))
    (leak,) = found.of("leaked_texts")
    assert leak.count == 2
    assert "validation also found in train" in leak.message
    assert {row.split for row in leak.rows} == {"train", "validation"}


def test_a_test_set_that_is_the_training_set() -> None:
    found = examine(table(TRAIN), table(TRAIN))
    assert found.test_in_train == 1
    assert found.of("test_is_train")[0].count == 600
    half = examine(table(TRAIN), table([*TEST[:400], *TRAIN[:200]]))
    assert half.test_in_train == 200 / 600
    assert not half.of("test_is_train")


def test_a_test_set_of_one_class() -> None:
    found = examine(table(TRAIN), table(TEST, ["pos"] * len(TEST)))
    assert found.of("one_class_test")[0].count == 500
    assert not found.of("missing_classes")


def test_classes_that_a_split_lacks() -> None:
    three = table(TRAIN, ["a", "b", "c"] * 200)
    (missing,) = examine(three, table(TEST, ["a", "b"] * 250)).of("missing_classes")
    assert "test: no text of 1 class that train has ('c')" in missing.message


def test_few_validation_texts() -> None:
    assert examine(table(TRAIN[:400]), table(TEST)).of("tiny_validation")[0].count == 40


def test_texts_that_share_no_words() -> None:
    found = examine(table([f"id{number}" for number in range(600)]), table(TEST))
    assert found.of("few_features")[0].count == 540
