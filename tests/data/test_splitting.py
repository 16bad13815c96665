"""Which rows become validation texts, and that equal and nearly equal texts stay together."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.splitting import choose_test, choose_validation, stratified_share
from understudy.data.splitting import test_size as size_of_test

WORDS = [f"word{number}" for number in range(5000)]


def prose(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


@pytest.mark.parametrize(
    ("counts", "share", "chosen"),
    [
        ([12500, 12500], 1000 / 25000, [500, 500]),
        ([100, 100], 0.1, [10, 10]),
        ([90, 10], 0.1, [9, 1]),
        ([95, 5], 0.1, [10, 0]),  # 9.5 and 0.5: round(10.0) in all, the first of equal remainders
        ([50, 30, 20], 0.25, [13, 7, 5]),  # 12.5, 7.5 and 5: 25 in all
        ([7, 7, 7], 0.5, [4, 3, 3]),  # 3.5 each: round(10.5) = 10 in all
        ([1, 1, 98], 0.5, [0, 0, 49]),  # each single text stays in training
        ([2, 98], 0.9, [1, 88]),
        ([10], 0.3, [3]),
        ([3, 3], 0.01, [0, 0]),
    ],
)
def test_how_many_of_each_class(counts: list[int], share: float, chosen: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    found = stratified_share(labels, share, seed=0)
    assert found.dtype == bool and found.shape == labels.shape
    assert np.bincount(labels[found], minlength=len(counts)).tolist() == chosen


@pytest.mark.parametrize("size", range(1, 200))
def test_every_count_is_met_exactly(size: int) -> None:
    labels = np.arange(1000) % 3
    assert stratified_share(labels, size / 1000, seed=1).sum() == size


def test_the_seed_decides_and_nothing_else() -> None:
    labels = np.arange(200) % 2
    first, same, other = (stratified_share(labels, 0.2, seed) for seed in (3, 3, 4))
    assert (first == same).all()
    assert (first != other).any()


def test_rows_are_drawn_from_everywhere() -> None:
    chosen = np.flatnonzero(stratified_share(np.zeros(1000, dtype=int), 0.2, seed=0))
    assert 400 < chosen.mean() < 600
    assert len(set(np.diff(chosen))) > 2


def test_class_numbers_may_have_gaps() -> None:
    labels = np.array([0] * 10 + [7] * 10)
    assert stratified_share(labels, 0.5, seed=0).sum() == 10


# Groups


def apart(chosen: np.ndarray, groups: np.ndarray) -> bool:
    return not set(groups[chosen].tolist()) & set(groups[~chosen].tolist())


def test_groups_of_one_change_nothing() -> None:
    labels = np.arange(300) % 3
    groups = np.random.default_rng(0).permutation(300)
    assert (stratified_share(labels, 0.13, 5) == stratified_share(labels, 0.13, 5, groups)).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [2, 3, 5])
def test_groups_stay_whole_and_the_share_is_met(size: int, seed: int) -> None:
    random_labels = np.random.default_rng(seed)
    groups = random_labels.permutation(np.arange(600) // size)
    labels = groups % 2  # a group has one label
    chosen = stratified_share(labels, 0.2, seed, groups)
    assert apart(chosen, groups)
    assert abs(np.bincount(labels[chosen], minlength=2) - 60).max() <= size / 2


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_any_groups_stay_whole_and_no_class_leaves_training(
    rows: list[tuple[int, int]], share: float, seed: int
) -> None:
    labels, groups = np.array(rows).T
    chosen = stratified_share(labels, share, seed, groups)
    assert chosen.dtype == bool and chosen.shape == labels.shape
    assert apart(chosen, groups)
    assert set(labels[~chosen].tolist()) == set(labels.tolist())
    assert (chosen == stratified_share(labels, share, seed, groups)).all()


def test_groups_with_several_labels() -> None:
    groups = np.arange(400) // 4
    labels = np.arange(400) % 4 // 2
    chosen = stratified_share(labels, 0.1, 0, groups)
    assert apart(chosen, groups)
    assert np.bincount(labels[chosen]).tolist() == [20, 20]


def test_each_class_keeps_a_training_text() -> None:
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert not stratified_share(labels, 0.9, 0, groups).any()


def test_groups_larger_than_the_share() -> None:
    """Of each class three texts come out, the smallest possible number, although one is asked for."""
    groups, labels = np.arange(30) // 3, np.arange(30) // 15
    chosen = stratified_share(labels, 1 / 15, 0, groups)
    assert apart(chosen, groups)
    assert np.bincount(labels[chosen]).tolist() == [3, 3]


# Texts


def repeated(alter: str = "") -> tuple[list[str], np.ndarray]:
    """One hundred texts three times each; the third is altered."""
    texts = [prose(seed) for seed in range(100)]
    return [*texts, *texts, *(text + alter for text in texts)], np.arange(300) % 2


@pytest.mark.parametrize("alter", ["", " ", " Indeed.", "!!!"])
def test_equal_and_nearly_equal_texts_stay_on_one_side(alter: str, caplog: pytest.LogCaptureFixture) -> None:
    texts, labels = repeated(alter)
    with caplog.at_level(logging.INFO, "understudy"):
        chosen = choose_validation(texts, labels, 0.1, seed=0)
    assert apart(chosen, np.arange(300) % 100)
    assert np.bincount(labels[chosen]).tolist() == [15, 15]
    assert "validation: 30 texts of 300; equal and nearly equal texts stay on one side" in caplog.text


def test_different_texts_are_chosen_as_ever() -> None:
    texts, labels = [prose(seed) for seed in range(200)], np.arange(200) % 2
    assert (choose_validation(texts, labels, 0.1, seed=3) == stratified_share(labels, 0.1, seed=3)).all()


def test_empty_texts_and_texts_without_words_are_not_copies() -> None:
    texts, labels = ["", " ", ":)", ":(", ";)", "?"], np.zeros(6, dtype=int)
    assert choose_validation(texts, labels, 0.5, seed=0).sum() == 3


def test_where_all_texts_are_alike_only_equal_ones_stay_together(caplog: pytest.LogCaptureFixture) -> None:
    form = prose(0)
    texts, labels = [f"{form} {row // 2}" for row in range(60)], np.arange(60) // 2 % 2
    with caplog.at_level(logging.INFO, "understudy"):
        chosen = choose_validation(texts, labels, 0.2, seed=0)
    assert apart(chosen, np.arange(60) // 2)
    assert chosen.sum() == 12
    assert "; equal texts stay on one side" in caplog.text


def test_too_few_different_texts(caplog: pytest.LogCaptureFixture) -> None:
    texts, labels = ["good"] * 20 + ["bad"] * 20, np.arange(40) // 20
    with caplog.at_level(logging.INFO, "understudy"):
        chosen = choose_validation(texts, labels, 0.1, seed=0)
    assert (chosen == stratified_share(labels, 0.1, seed=0)).all()
    assert "too few texts differ" in caplog.text


@given(
    st.lists(st.tuples(st.sampled_from([*"abcdefgh", prose(1), prose(2)]), st.integers(0, 1)), min_size=2, max_size=40),
    st.floats(0.05, 0.6),
)
@settings(max_examples=40, deadline=None)
def test_equal_texts_are_never_on_both_sides_while_enough_differ(rows: list[tuple[str, int]], share: float) -> None:
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    chosen = choose_validation(texts, labels, share, seed=0)
    assert chosen.shape == labels.shape and not chosen.all()
    shared = {text for text, there in zip(texts, chosen, strict=True) if there} & {
        text for text, there in zip(texts, chosen, strict=True) if not there
    }
    if shared:  # only where too few texts differ, and then as if none were equal
        assert (chosen == stratified_share(labels, share, seed=0)).all()


# Test texts


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([50, 50], 20),
        ([5000, 5000], 2000),
        ([500_000, 500_000], 2000),
        ([131] * 77, 2000),
        ([6] * 150, 300),  # two of each class, more than a fifth
        ([3, 2, 95], 20),
    ],
)
def test_how_many_test_texts(counts: list[int], size: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    assert size_of_test(labels) == size
    assert size_of_test([f"class {label}" for label in labels]) == size


def test_the_size_is_what_the_verdict_needs() -> None:
    """The figures of the docstring: accuracy 0.9, 99 % kept, 8 % of the texts that only one model gets right."""
    from understudy.evaluation.intervals import PairedCounts, ratio_limits

    def limits(texts: int) -> tuple[float, float]:
        student_only, teacher_only = round((0.08 - 0.009) * texts / 2), round((0.08 + 0.009) * texts / 2)
        both = round(0.9 * texts) - teacher_only
        neither = texts - both - student_only - teacher_only
        low, high = ratio_limits(PairedCounts(*map(np.array, (both, student_only, teacher_only, neither))))
        return round(float(low), 3), round(float(high), 3)

    assert limits(2000) == (0.976, 1.004)
    assert limits(1000)[0] == pytest.approx(0.970, abs=0.0011)
    assert limits(500)[0] == 0.961


def test_each_class_gives_two_test_texts_where_it_can(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.repeat(np.arange(5), [200, 6, 5, 3, 2])
    texts = [prose(seed) for seed in range(len(labels))]
    with caplog.at_level(logging.INFO, "understudy"):
        chosen = choose_test(texts, labels, 0.2, seed=0)
    assert np.bincount(labels[chosen], minlength=5)[1:].tolist() == [2, 1, 1, 0]
    assert "test: " in caplog.text and "validation" not in caplog.text


def test_equal_and_nearly_equal_texts_are_no_test_texts_of_each_other() -> None:
    texts, labels = repeated(" Indeed.")
    chosen = choose_test(texts, labels, 0.2, seed=0)
    assert apart(chosen, np.arange(300) % 100)
    assert chosen.sum() == 60
