from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from understudy.data.labels import (
    NO_LABEL,
    kind,
    looks_fractional,
    match_integers,
    normalise,
    normalise_splits,
    number_labels,
)
from understudy.data.tables import Table
from understudy.errors import DataError


def test_a_missing_label_is_the_one_that_pytorch_ignores() -> None:
    assert NO_LABEL == -100


def table(labels: list[Any] | None, classes: list[str] | None = None) -> Table:
    return Table("some.csv", [f"text {row}" for row in range(len(labels or []))], labels, classes)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (np.float32("nan"), "missing"),
        ("", "missing"),
        (" \t", "missing"),
        ("nan", "string"),
        ("0", "string"),
        (0, "integer"),
        (True, "integer"),
        (np.int64(3), "integer"),
        (1.0, "integer"),
        (np.float32(2), "integer"),
        (0.5, "fraction"),
        (float("inf"), "fraction"),
        (["a"], "unsupported"),
        ({"a": 1}, "unsupported"),
        (b"a", "unsupported"),
        (Decimal(1), "unsupported"),
        (datetime.date(2024, 1, 1), "unsupported"),
    ],
)
def test_kind(label: Any, expected: str) -> None:
    assert kind(label) == expected


@pytest.mark.parametrize(
    ("string", "expected"),
    [(string, True) for string in ("0.5", "-1.25", " .5 ", "5e-1")]
    + [(string, False) for string in ("1.0", "3", "1e2", "v1.5", "nan", "inf", "1_0.5", "1.2.3")],
)
def test_looks_fractional(string: str, expected: bool) -> None:
    assert looks_fractional(string) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["b", "a"], ["b", "a"]),
        ([1, 0], [1, 0]),
        ([1.0, 0.0], [1, 0]),
        ([True, False], [1, 0]),
        (["1", "0"], [1, 0]),
        (["1.0", " 2", "-1"], [1, 2, -1]),
        (["1", 0], [1, 0]),
        (["1", "x"], ["1", "x"]),
        (["1", "x", 2], ["1", "x", 2]),
        (["01", "1"], ["01", "1"]),
        (["1234567890123456789"], ["1234567890123456789"]),
        (["a", None, "", float("nan")], ["a", None, None, None]),
        (["a ", "a"], ["a ", "a"]),
        ([], []),
    ],
)
def test_normalise(labels: list[Any], expected: list[Any]) -> None:
    result = normalise(labels)
    assert result == expected
    assert [type(label) for label in result] == [type(label) for label in expected]


def test_normalise_keeps_strings_that_are_names() -> None:
    assert normalise(["1", "2"], classes=["1", "2", "3"]) == ["1", "2"]


@pytest.mark.parametrize("names", [["True", "False"], ["false", "true"], ["FALSE", "other", "TRUE"]])
def test_booleans_are_names_where_classes_are_called_like_them(names: list[str]) -> None:
    found = normalise([True, False, None], names)
    assert [str(label).lower() for label in found] == ["true", "false", "none"]
    assert set(found) - {None} <= set(names)


def test_booleans_of_which_one_is_a_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"class names \('True'\), and others are not \('False'\)"):
        normalise([True, False], ["True", "No"])


def test_normalise_makes_integers_of_strings_that_are_not_names() -> None:
    assert normalise(["0", "1"], classes=["neg", "pos"]) == [0, 1]


@pytest.mark.parametrize(("label", "words"), [(0.5, r"0\.5 \(float\)"), (["a"], r"\['a'\] \(list\)")])
def test_normalise_refuses_what_is_no_label(label: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        normalise(["a", label])


def test_strings_that_are_all_the_names_stay_strings() -> None:
    assert normalise(["1", "2"], ["2", "1"]) == ["1", "2"]


def test_a_number_behind_a_sources_names_stays_a_number() -> None:
    assert normalise_splits({"train": table([0, 1, 2, -1], ["a", "b"])}) == {"train": ["a", "b", 2, -1]}


def test_splits_are_normalised_together() -> None:
    labels = normalise_splits({"train": table(["a", "1"]), "test": table(["1"])})
    assert labels == {"train": ["a", "1"], "test": ["1"]}


def test_a_table_without_labels_has_missing_ones() -> None:
    assert normalise_splits({"train": Table("x", ["one", "two"])}) == {"train": [None, None]}


@pytest.mark.parametrize(
    ("labels", "own", "given", "names", "numbers"),
    [
        (["b", "a", "b"], None, None, ["a", "b"], [1, 0, 1]),
        (["b", "B"], None, None, ["B", "b"], [1, 0]),
        ([10, 9], None, None, ["9", "10"], [1, 0]),
        (["10", "9"], None, None, ["9", "10"], [1, 0]),
        ([1, -1], None, None, ["-1", "1"], [1, 0]),
        ([1, 0], ["neg", "pos"], None, ["neg", "pos"], [1, 0]),
        ([2, 0], ["x", "y", "z"], None, ["x", "y", "z"], [2, 0]),
        ([1, 0], None, ["neg", "pos"], ["neg", "pos"], [1, 0]),
        ([1, 0], ["0", "1"], ["neg", "pos"], ["neg", "pos"], [1, 0]),
        (["a", "b"], None, ["b", "a", "c"], ["b", "a", "c"], [1, 0]),
        (["1", "2"], None, ["2", "1"], ["2", "1"], [1, 0]),
        (["1", "0"], None, ["neg", "pos"], ["neg", "pos"], [1, 0]),
        # Integers that are class names
        ([1, 2], None, ["1", "2"], ["1", "2"], [0, 1]),
        ([1], None, ["1", "2"], ["1", "2"], [0]),
        ([0, 1], None, ["1", "0"], ["1", "0"], [1, 0]),
        ([-1, 1], None, ["1", "-1"], ["1", "-1"], [1, 0]),
        ([1.0, 2.0], None, ["1", "2"], ["1", "2"], [0, 1]),
        (["1.0", "2.0"], None, ["2", "1"], ["2", "1"], [1, 0]),
        ([1.0, 2.0], None, ["1.0", "2.0"], ["1.0", "2.0"], [0, 1]),
        ([np.int64(2), np.int8(1)], None, ["1", "2"], ["1", "2"], [1, 0]),
        ([True, False], None, ["1", "0"], ["1", "0"], [0, 1]),
        ([True, False], None, ["True", "False"], ["True", "False"], [0, 1]),
        ([True, False], None, ["no", "yes"], ["no", "yes"], [1, 0]),
        # A source that names its integers
        ([0, 1], ["1", "2"], None, ["1", "2"], [0, 1]),
        ([0, 1], ["1", "2"], ["2", "1"], ["2", "1"], [1, 0]),
        ([0, 1], ["neg", "pos"], ["pos", "neg"], ["pos", "neg"], [1, 0]),
        ([0, 2], ["neg", "mid", "pos"], ["pos", "neg"], ["pos", "neg"], [1, 0]),
    ],
)
def test_number_labels(
    labels: list[Any], own: list[str] | None, given: list[str] | None, names: list[str], numbers: list[int]
) -> None:
    found, numbered = number_labels({"train": table(labels, own)}, given)
    assert found == names
    assert numbered["train"].dtype == np.int64
    assert numbered["train"].tolist() == numbers


def test_splits_share_their_numbers() -> None:
    names, numbered = number_labels({"train": table(["a", "b", "c"]), "test": table(["c"])})
    assert names == ["a", "b", "c"]
    assert numbered["test"].tolist() == [2]


def test_splits_whose_sources_number_their_classes_in_two_orders() -> None:
    tables = {"train": table([0, 1], ["neg", "pos"]), "test": table([0, 1], ["pos", "neg"]), "other": table([1, 0])}
    names, numbered = number_labels(tables)
    assert names == ["neg", "pos"]
    assert {split: numbers.tolist() for split, numbers in numbered.items()} == {
        "train": [0, 1],
        "test": [1, 0],
        "other": [1, 0],
    }


@generated(st.lists(st.integers(-20, 20), min_size=1), st.permutations([str(number) for number in range(-20, 21)]))
def test_integers_that_are_all_names_are_read_by_name(integers: list[int], names: list[str]) -> None:
    found = match_integers(integers, names)
    assert {names[number] for number in found.values()} == {str(integer) for integer in integers}
    assert all(names[number] == str(integer) for integer, number in found.items())


@generated(st.lists(st.integers(-9, 9)), st.lists(st.text("abc-", min_size=1), min_size=2, unique=True))
def test_integers_of_which_none_is_a_name_are_indices(integers: list[int], names: list[str]) -> None:
    assert match_integers(integers, names) == {each: each for each in integers if 0 <= each < len(names)}


@generated(
    st.sets(st.integers(0, 9), min_size=1),
    st.sets(st.integers(10, 19), min_size=1),
    st.permutations([str(number) for number in range(10)]),
)
def test_integers_of_which_some_are_names_are_refused(named: set[int], others: set[int], names: list[str]) -> None:
    with pytest.raises(DataError, match="Use class names for all labels") as caught:
        match_integers(named | others, names)
    assert str(min(named)) in str(caught.value) and str(min(others)) in str(caught.value)


def test_a_name_written_with_a_point_is_second_choice() -> None:
    assert match_integers([1], ["1.0", "1"]) == {1: 1}
    assert match_integers([1], ["2", "1.0"]) == {1: 1}
    assert match_integers([1], ["01", "x"]) == {1: 1}  # another name, so 1 is an index


@pytest.mark.parametrize(
    ("labels", "given", "words"),
    [
        ([0, 1], ["1", "2"], r"Some labels are class names \(1\), and others are not \(0\). The classes are '1', '2'"),
        ([1, 2, 3], ["1", "2"], r"class names \(1, 2\), and others are not \(3\)"),
        (["cafe\u0301"], ["bar", "caf\xe9"], r"has the label 'cafe\\u0301': expected one of bar, 'caf\\xe9', or"),
        (["a", None], None, "test row 2 has no label"),
        (["a", "c"], ["a", "b"], "test row 2 has the label 'c'.*a, b"),
        ([0, 2], ["a", "b"], "test row 2 has the label 2.*from 0 to 1"),
        ([0, -1], ["a", "b"], "test row 2 has the label -1"),
        (["b", "a", 3, 1], None, r"strings \('a'\) and integers \(1\)"),
        ([9, 99], [str(number) for number in range(1, 13)], "The classes are '1',.* '10' and 2 more. Use"),
    ],
)
def test_number_labels_refuses(labels: list[Any], given: list[str] | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        number_labels({"test": table(labels)}, given)


SPELLINGS = [int, str, float, np.int64, np.float32, lambda label: f" {label} ", lambda label: f"{label}.0"]


@generated(st.lists(st.integers(-50, 50), min_size=1), st.sampled_from(SPELLINGS))
def test_integers_in_every_spelling_are_the_same_classes(integers: list[int], spell: Any) -> None:
    names, numbered = number_labels({"train": table([spell(each) for each in integers])})
    assert names == [str(each) for each in sorted(set(integers))]
    assert [int(names[number]) for number in numbered["train"]] == integers


@generated(st.lists(st.integers(-9, 9), min_size=1), st.permutations(SPELLINGS))
def test_a_test_set_in_another_spelling_matches_the_classes(integers: list[int], spellings: list[Any]) -> None:
    one, other = ([spell(each) for each in integers] for spell in spellings[:2])
    names, _ = number_labels({"train": table(one)})
    _, again = number_labels({"test": table(other)}, names)
    assert [int(names[number]) for number in again["test"]] == integers


@generated(st.lists(st.booleans(), min_size=1))
def test_booleans_are_the_integers_0_and_1(labels: list[bool]) -> None:
    whole = number_labels({"train": table([int(label) for label in labels])})
    found = number_labels({"train": table(labels)})
    assert found[0] == whole[0] and found[1]["train"].tolist() == whole[1]["train"].tolist()


@generated(st.lists(st.text(min_size=1).filter(lambda text: kind(text) == "string"), min_size=1), st.randoms())
def test_names_come_out_as_they_went_in(labels: list[str], random: Any) -> None:
    """Whatever the order of the given names; names that look like numbers are read as the numbers they are."""
    names, _ = number_labels({"train": table(labels)})
    random.shuffle(names)
    found, numbered = number_labels({"test": table(labels)}, names)
    read = normalise(labels, names)
    assert found == names
    assert [names[number] for number in numbered["test"]] == [str(label) for label in read]
