from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from understudy.data.audit import Audit, Finding, audit, truncation
from understudy.data.tables import Table
from understudy.errors import DataError

WORDS = [f"word{number}" for number in range(5000)]


def prose(seed: int, words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


TRAIN = [prose(seed) for seed in range(40)]
TEST = [prose(seed) for seed in range(1000, 1040)]


def table(split: str, texts: list[str], labels: list[Any] | None = None) -> Table:
    alternating = [["neg", "pos"][row % 2] for row in range(len(texts))]
    return Table(f"{split}.csv", texts, alternating if labels is None else labels)


def examine(train: list[str] = TRAIN, test: list[str] = TEST, **others: list[str]) -> Audit:
    splits = {"test": test, "train": train, **others}
    return audit({split: table(split, texts) for split, texts in splits.items()})


def of(result: Audit, code: str) -> list[Finding]:
    return [finding for finding in result.findings if finding.code == code]


def only(result: Audit, code: str) -> Finding:
    (finding,) = of(result, code)
    return finding


def places(finding: Finding) -> list[tuple[str, int]]:
    return [(row.split, row.row) for row in finding.rows]


def test_sound_data() -> None:
    result = examine(test=[prose(seed) for seed in range(1000, 1500)])
    assert [finding.code for finding in result.findings] == ["balance", "balance"]
    result.raise_errors()


def test_errors_then_warnings_then_notes() -> None:
    result = audit({"train": table("train", TRAIN), "test": table("test", TEST, [*["neg"] * 39, None])})
    assert [finding.code for finding in result.findings] == ["missing_labels", "tiny_test", "balance", "balance"]
    with pytest.raises(DataError, match=r"(?s)missing_labels.*test row 40: word"):
        result.raise_errors()


def test_given_names_reach_the_label_checks() -> None:
    result = audit({"train": table("train", TRAIN), "test": table("test", TEST)}, ["neg", "x"])
    assert [finding.code for finding in result.errors] == ["unknown_label", "unknown_label"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_empty_set(split: str) -> None:
    splits = {"train": TRAIN, "validation": [prose(5000)], "test": TEST, split: []}
    result = audit({name: table(name, texts) for name, texts in splits.items()})
    finding = only(result, "empty_set")
    assert (finding.level, finding.count) == ("error", 0)
    assert f"{split} ({split}.csv) has no rows" in finding.message
    assert len(result.errors) == 1


def test_every_empty_set_is_named() -> None:
    assert len(of(examine(train=[], test=[]), "empty_set")) == 2


@pytest.mark.parametrize(("size", "points"), [(1, "98.0"), (100, "9.8"), (499, "4.4")])
def test_tiny_test(size: int, points: str) -> None:
    finding = only(examine(test=[prose(seed) for seed in range(1000, 1000 + size)]), "tiny_test")
    assert (finding.level, finding.count) == ("warning", size)
    assert f"±{points} points" in finding.message
    assert "fewer than 500" in finding.message


@pytest.mark.parametrize("size", [0, 500])
def test_no_tiny_test(size: int) -> None:
    assert of(examine(test=[prose(seed) for seed in range(1000, 1000 + size)]), "tiny_test") == []


def test_empty_texts() -> None:
    finding = only(examine(test=["", *TEST, " \n\t"]), "empty_texts")
    assert (finding.level, finding.count, places(finding)) == ("warning", 2, [("test", 1), ("test", 42)])
    assert "test: 2 texts of 42 empty" in finding.message


def test_empty_texts_are_no_duplicates_leaks_or_conflicts() -> None:
    result = examine(train=["", "", *TRAIN], test=["", "", *TEST])
    assert {finding.code for finding in result.findings} == {"empty_texts", "tiny_test", "balance"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The same text.", "The same text."),
        ("The same  text. ", "\nThe same\ttext."),
        ("caf\u00e9 noir", "cafe\u0301 noir"),
    ],
)
def test_leaked_texts(one: str, other: str) -> None:
    result = examine(train=[*TRAIN, one], test=[other, *TEST, other])
    finding = only(result, "leaked_texts")
    assert (finding.level, finding.count, places(finding)) == ("warning", 1, [("test", 1), ("train", 41)])
    assert "1 of 41 distinct texts in test also found in train" in finding.message
    assert "remove these texts from train" in finding.message
    assert of(result, "near_leaked_texts") == []


def test_leaked_texts_counts_distinct_texts_and_shows_two_pairs() -> None:
    finding = only(examine(train=[*TRAIN, *TEST[:4], *TEST[:4]], test=TEST), "leaked_texts")
    assert finding.count == 4
    assert places(finding) == [("test", 1), ("train", 41), ("test", 2), ("train", 42)]


@pytest.mark.parametrize(
    ("earlier", "later", "words"),
    [
        ("train", "validation", "validation scores will be inflated; remove these texts from train"),
        ("train", "test", "test scores will be inflated; remove these texts from train"),
        ("validation", "test", "test scores will be inflated; remove these texts from validation"),
    ],
)
def test_leaks_between_any_two_splits(earlier: str, later: str, words: str) -> None:
    splits = {"train": list(TRAIN), "validation": [prose(seed) for seed in range(2000, 2040)], "test": list(TEST)}
    splits[later][7] = splits[earlier][3]
    finding = only(examine(**splits), "leaked_texts")
    assert places(finding) == [(later, 8), (earlier, 4)]
    assert f"in {later} also found in {earlier}" in finding.message
    assert words in finding.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TRAIN[0], TRAIN[0] + " Indeed."),
        (TRAIN[0], TRAIN[0].upper()),
        ("Loved it!", "loved it"),
        ("one two three four", "One, two, three, four."),
    ],
)
def test_near_leaked_texts(one: str, other: str) -> None:
    result = examine(train=[*TRAIN[1:], one], test=[*TEST, other, other])
    finding = only(result, "near_leaked_texts")
    assert (finding.level, finding.count, places(finding)) == ("warning", 1, [("test", 41), ("train", 40)])
    assert "1 of 41 distinct texts in test nearly identical to one in train" in finding.message
    assert "0.7" in finding.message
    assert of(result, "leaked_texts") == []


@pytest.mark.parametrize(("one", "other"), [("loved it", "hated it"), (":)", ":("), (TRAIN[0], prose(0)[:200])])
def test_texts_that_are_not_nearly_the_same(one: str, other: str) -> None:
    assert of(examine(train=[*TRAIN[1:], one], test=[*TEST, other]), "near_leaked_texts") == []


def test_a_text_both_copied_and_altered_is_counted_once() -> None:
    result = examine(train=[*TRAIN, TEST[0], TEST[0] + " again"])
    assert only(result, "leaked_texts").count == 1
    assert of(result, "near_leaked_texts") == []


def test_duplicates() -> None:
    result = examine(train=[*TRAIN, TRAIN[4], TRAIN[4], TRAIN[9]])
    finding = only(result, "duplicates")
    assert (finding.level, finding.count) == ("note", 2)
    assert places(finding) == [("train", 5), ("train", 41), ("train", 42), ("train", 10), ("train", 43)]
    assert finding.message.startswith("train: 2 texts more than once, which adds 3 redundant rows")


def test_conflicting_labels_within_a_split() -> None:
    finding = only(examine(train=[*TRAIN, TRAIN[1], TRAIN[0]]), "conflicting_labels")
    assert (finding.level, finding.count) == ("warning", 2)
    assert places(finding) == [("train", 1), ("train", 42), ("train", 2), ("train", 41)]
    assert "'neg' in train row 1 and 'pos' in train row 42" in finding.message


def test_conflicting_labels_across_splits() -> None:
    finding = only(examine(test=[*TEST, TRAIN[1]]), "conflicting_labels")
    assert (finding.count, places(finding)) == (1, [("train", 2), ("test", 41)])
    assert "'pos' in train row 2 and 'neg' in test row 41" in finding.message


@pytest.mark.parametrize(
    ("train_labels", "test_labels"),
    [(["1", "0"] * 20, [1]), ([1.0, 0.0] * 20, ["1"]), (["a", "b"] * 20, [None]), ([0.5, 0.25] * 20, [0.75])],
)
def test_labels_that_do_not_conflict(train_labels: list[Any], test_labels: list[Any]) -> None:
    result = audit({"train": table("train", TRAIN, train_labels), "test": table("test", TRAIN[:1], test_labels)})
    assert of(result, "conflicting_labels") == []
    assert only(result, "leaked_texts").count == 1


def test_truncation() -> None:
    finding = truncation("train", np.array([10, 100, 150, 240]), 100)
    assert (finding.level, finding.code, finding.count, finding.rows) == ("note", "truncated_texts", 2, ())
    # Of 500 tokens, 50 and 140 are lost.
    assert finding.message.startswith("train: 2 texts of 4 (50.0%) cut after 100 tokens")
    assert "drops 38.0% of all tokens. The longest text has 240" in finding.message


@pytest.mark.parametrize("lengths", [[], [5, 100]])
def test_nothing_truncated(lengths: list[int]) -> None:
    finding = truncation("test", np.array(lengths, dtype=np.int64), 100)
    assert (finding.level, finding.code, finding.count) == ("note", "truncated_texts", 0)
    assert finding.message == "test: no text is longer than 100 tokens."


def test_a_test_set_that_is_set_apart_is_looked_at_as_it_will_be() -> None:
    texts = [f"text number {row} of many others" for row in range(10)]
    table = Table("t.csv", [*texts, "one of these", "one of these"], ["a"] * 6 + ["b"] * 6)
    found = audit({"train": table}, None, {"train": [0, 1, 2, 6, 7, 8, 10], "validation": [3, 9], "test": [4, 5, 11]})
    balance = [finding.message for finding in found.of("balance")]
    assert balance[0].startswith("train: 9 texts, 2 distinct labels: 'b' 5")
    assert balance[1].startswith("test: 3 texts, 2 distinct labels: 'a' 2 (66.7%), 'b' 1")
    assert found.of("tiny_test")[0].count == 3
    (leak,) = found.of("leaked_texts")
    assert [(row.split, row.row) for row in leak.rows] == [("test", 12), ("train", 11)]
