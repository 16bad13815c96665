"""The quality gate, on made-up predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Set
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.corpus import Split
from understudy.data.tokens import Tokens, text_ids
from understudy.errors import DataError, GateRefused
from understudy.evaluation.results import Gain
from understudy.exporting.gate import Comparison, Gate, Referee
from understudy.exporting.graphs import Graph
from understudy.exporting.limits import Limits
from understudy.exporting.texts import QUANTISATION_TEXTS, ExportTexts, rows_for
from understudy.inference.engine import Batch, Engine

LIMITS = Limits(flips=0.1, accuracy_loss=0.05, ece_rise=0.2, batch_flips=0)
GOOD = Comparison(
    texts=100,
    flips=0.1,
    flips_ci95=(0.05, 0.18),
    accuracy=0.85,
    source_accuracy=0.9,
    change=Gain(-0.05, (-0.1, 0.0), 0.1),
    ece=0.3,
    source_ece=0.1,
    batch_texts=64,
    batch_flips=0,
    documents_per_second=20.0,
    source_documents_per_second=10.0,
)


class FakeEngine(Engine):
    """Computes logits from a text's first token."""

    name = "fake"
    classes = 2
    budget = 64

    def __init__(self, answer: Callable[[Batch], np.ndarray]) -> None:
        self._answer = answer

    def forward(self, batch: Batch) -> np.ndarray:
        return self._answer(batch).astype(np.float32)


def texts(count: int) -> Tokens:
    """Text number n is one token, n."""
    return Tokens(np.arange(count, dtype=np.int32), np.arange(count + 1), np.ones(count, dtype=np.int32))


def by_number(sure: float, wrong: Set[int] = frozenset()) -> FakeEngine:
    """Class 1 for odd texts, but the other one for those in `wrong`."""

    def answer(batch: Batch) -> np.ndarray:
        numbers = batch["input_ids"][:, 0]
        odd = (numbers % 2 == 1) ^ np.isin(numbers, list(wrong))
        return np.where(odd[:, None], [-sure, sure], [sure, -sure])

    return FakeEngine(answer)


def referee(count: int = 40, limits: Limits = LIMITS, source: Engine | None = None) -> Referee:
    labels = np.arange(count) % 2
    return Referee(source or by_number(4.0), texts(count), labels, pad_id=0, max_length=1, limits=limits)


def test_an_export_at_the_limits_passes() -> None:
    assert GOOD.excesses(dataclasses.replace(LIMITS, ece_rise=0.2 + 1e-12)) == []


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"flips": 0.11}, "11.00% of the labels flip (at most 10.00% may)"),
        (
            {"change": Gain(-0.06, (-0.1, -0.01), 0.01)},
            "accuracy changes by -6.00 points [-10.00, -1.00] (a loss of at most 5.00",
        ),
        ({"ece": 0.35}, "the expected calibration error rises from 0.100 to 0.350 (at most 0.200 more is allowed)"),
        ({"batch_flips": 1}, "1 of 64 texts change their label in a batch with 31 other texts (at most 0 may)"),
    ],
)
def test_each_limit_is_named(changes: dict[str, Any], words: str) -> None:
    (found,) = dataclasses.replace(GOOD, **{"ece": 0.1, **changes}).excesses(LIMITS)
    assert words in found


def test_a_better_export_exceeds_nothing() -> None:
    better = dataclasses.replace(GOOD, flips=0.0, change=Gain(0.2, (0.1, 0.3), 0.01), ece=0.0)
    assert better.excesses(Limits(0, 0, 0, 0)) == []


def test_the_same_predictions_compare_equal() -> None:
    found = referee().compare(by_number(4.0))
    assert (found.texts, found.flips, found.accuracy, found.source_accuracy) == (40, 0.0, 1.0, 1.0)
    assert found.change.accuracy == 0.0 and found.ece == found.source_ece
    assert (found.batch_texts, found.batch_flips) == (40, 0)


def test_flips_and_accuracy_are_shares_of_the_texts() -> None:
    found = referee(source=by_number(4.0, wrong={0})).compare(by_number(4.0, wrong={1, 2}))
    assert found.flips == pytest.approx(3 / 40)
    assert found.flips_ci95 == pytest.approx((0.0157, 0.2039), abs=1e-4)  # Clopper and Pearson, 3 of 40
    assert (found.source_accuracy, found.accuracy) == (pytest.approx(39 / 40), pytest.approx(38 / 40))
    assert found.change.accuracy == pytest.approx(-1 / 40)


def test_a_prediction_that_depends_on_the_batch_is_found() -> None:
    plain = by_number(4.0)

    def answer(batch: Batch) -> np.ndarray:
        logits = plain.forward(batch)
        return -logits if len(logits) == 1 else logits

    found = referee(count=80).compare(FakeEngine(answer))
    assert (found.batch_texts, found.batch_flips) == (64, 64)


def test_the_score_is_one_for_the_models_own_logits_and_zero_at_a_limit() -> None:
    judge, rows = referee(), np.arange(40)
    own = by_number(4.0).forward({"input_ids": rows[:, None]})
    assert judge.score(rows, own) == 1.0
    two_wrong = by_number(4.0, wrong={1, 2}).forward({"input_ids": rows[:, None]})
    assert judge.score(rows, two_wrong) == pytest.approx(0.0)  # 5 % of the accuracy; the flips have room for two more
    four_wrong = by_number(4.0, wrong={1, 2, 3, 4}).forward({"input_ids": rows[:, None]})
    assert judge.score(rows, four_wrong) == pytest.approx(-1.0)


def test_a_limit_of_zero_leaves_no_room() -> None:
    strict, rows = referee(limits=Limits(0, 0, 0, 0)), np.arange(40)
    assert strict.score(rows, by_number(4.0).forward({"input_ids": rows[:, None]})) == 1.0
    assert strict.score(rows, by_number(4.0, wrong={1}).forward({"input_ids": rows[:, None]})) < -1e6


def test_batches_hold_every_text_once_with_its_row() -> None:
    found = referee(count=10).batches(4)
    assert [len(rows) for _, rows in found] == [4, 4, 2]
    assert sorted(np.concatenate([rows for _, rows in found]).tolist()) == list(range(10))
    assert all(np.array_equal(batch["input_ids"][:, 0], rows) for batch, rows in found)


# Searching and judging

DEFAULT = Limits(ece_rise=1.0)


class FakeGraph:
    """A graph that answers wrongly for some texts; quantised and restored, for others."""

    format = "openvino"

    def __init__(self, quantised: Set[int], restored: Set[int], wrong: Set[int] = frozenset()) -> None:
        self.made = {"quantised": quantised, "restored": restored}
        self.wrong = wrong
        self.seen: set[int] = set()

    def engine(self, threads: int, dtype: str) -> Engine:
        return by_number(4.0, self.wrong)

    def quantised(self, samples: Any) -> FakeGraph:
        return FakeGraph(**self.made, wrong=self.made["quantised"])

    def restored(self, samples: Any, validation: Any, score: Any) -> FakeGraph:
        self.seen |= {int(number) for batch, _ in validation for number in batch["input_ids"][:, 0]}
        return FakeGraph(**self.made, wrong=self.made["restored"])


def split(count: int, first: int = 0) -> Split:
    names = [f"text {number}" for number in range(first, first + count)]
    return Split(names, text_ids(names), np.arange(first, first + count) % 2)


RANGES = range(1000, 1050)
"""The numbers of the quantisation texts."""


def gate(count: int, precision: Any = "int8") -> Gate:
    everything = referee(RANGES.stop, DEFAULT)
    texts = ExportTexts("source", split(len(RANGES), RANGES.start), split(count))
    return Gate(everything.on(np.arange(count)), everything.on(np.array(RANGES)), texts, precision, threads=1)


def passed(count: int, graph: FakeGraph, precision: Any = "int8") -> Comparison:
    return gate(count, precision).passed(cast(Graph, graph))[1]


MANY = frozenset(range(0, 200, 10))


@pytest.mark.parametrize(
    ("flips", "fewest"), [(0.01, 100), (0.003, 334), (0.05, 20), (0.1, 10), (0.3, 4), (1.0, 1), (0.0, 100)]
)
def test_how_many_texts_can_judge(flips: float, fewest: int) -> None:
    limits = Limits(flips=flips)
    assert limits.fewest_texts == fewest
    assert not flips or 1 / fewest <= flips + 1e-12 < 1 / (fewest - 1 or 0.5)


def test_without_a_search_all_texts_judge() -> None:
    found = passed(100, FakeGraph(quantised=set(), restored=MANY))
    assert (found.texts, found.judged, found.searched) == (100, 100, 0)


def test_the_search_sees_one_half_and_the_other_half_judges() -> None:
    searched, judged = (set(rows.tolist()) for rows in gate(200).texts.halves())
    graph = FakeGraph(quantised=MANY, restored=searched)  # wrong wherever it was searched
    found = passed(200, graph)
    assert graph.seen == searched and not searched & judged
    assert (found.searched, found.judged, found.texts, found.flips) == (100, 100, 100, 0.0)


def test_a_search_that_only_helps_the_texts_it_saw_is_refused() -> None:
    _, judged = gate(200).texts.halves()
    with pytest.raises(GateRefused, match=r"2\.00% of the labels flip"):
        passed(200, FakeGraph(quantised=MANY, restored=set(judged[:2].tolist())))


def test_where_the_halves_are_too_small_the_quantisation_texts_choose_and_all_others_judge() -> None:
    graph = FakeGraph(quantised=MANY, restored=set(RANGES))
    found = passed(199, graph)
    assert graph.seen == set(RANGES)
    assert (found.searched, found.judged, found.texts, found.flips) == (50, 199, 199, 0.0)
    with pytest.raises(GateRefused, match=r"on 199 validation texts: 1\.01% of the labels flip"):
        passed(199, FakeGraph(quantised=MANY, restored={0, 1}))


def test_an_int8_export_to_onnx_is_not_searched() -> None:
    graph = FakeGraph(quantised=MANY, restored=set())
    graph.format = "onnx"
    quantised = graph.quantised([])
    quantised.format = "onnx"
    graph.quantised = lambda _: quantised  # type: ignore[method-assign]
    with pytest.raises(GateRefused, match="use --format openvino"):
        passed(200, graph)


def test_too_few_texts_refuse_int8_and_do_not_judge_fp32() -> None:
    with pytest.raises(DataError, match=r"99 validation texts cannot judge.*fewer than 100 texts.*Give 150 or more"):
        gate(99).check_texts()
    gate(100).check_texts()
    gate(99, "fp32").check_texts()
    found = passed(99, FakeGraph(set(), set(), wrong={1}), "fp32")
    assert (found.texts, found.judged, found.searched) == (99, 0, 0)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80))
@settings(max_examples=25, deadline=None)
def test_halves_share_no_text_and_are_the_same_every_time(numbers: list[int]) -> None:
    names = [f"the story of film number {number} was" for number in numbers]
    found = ExportTexts("source", split(1), Split(names, text_ids(names), np.array(numbers) % 3))
    searched, judged = found.halves()
    assert sorted([*searched, *judged]) == list(range(len(names)))
    assert not {names[row] for row in searched} & {names[row] for row in judged}
    again = found.halves()
    assert np.array_equal(searched, again[0]) and np.array_equal(judged, again[1])


def test_halves_are_stratified() -> None:
    found = split(200)
    searched, _ = ExportTexts("source", split(1), found).halves()
    assert np.bincount(found.labels[searched]).tolist() == [50, 50]


@pytest.mark.parametrize("validation", [2, 7, 100, 200, 599, 600, 601, 1000])
def test_how_many_rows_a_source_needs(validation: int) -> None:
    rows = rows_for(validation)
    assert rows - min(QUANTISATION_TEXTS, max(1, rows // 3)) >= validation
