from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from understudy.data.findings import Finding
from understudy.data.label_checks import check_labels
from understudy.data.tables import Table

EVEN = ["neg", "pos"] * 20


def table(split: str, labels: list[Any] | None, classes: list[str] | None = None, texts: int = 0) -> Table:
    return Table(f"{split}.csv", [f"{split} text {row}" for row in range(len(labels or []) or texts)], labels, classes)


def check(train: list[Any], test: list[Any], classes: list[str] | None = None) -> list[Finding]:
    return list(check_labels({"train": table("train", train), "test": table("test", test)}, classes))


def only(findings: list[Finding], code: str) -> Finding:
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1, [finding.code for finding in findings]
    return found[0]


def errors(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings if finding.level == "error"]


def places(finding: Finding) -> list[tuple[str, int]]:
    return [(row.split, row.row) for row in finding.rows]


@pytest.mark.parametrize(
    ("train", "test", "classes"),
    [
        (EVEN, EVEN, None),
        ([0, 1] * 20, [1, 0], None),
        ([0.0, 1.0] * 20, ["0", "1"], None),
        (["0", "1"] * 20, [1, 0], None),
        ([True, False] * 20, [1], None),
        ([-1, 1] * 20, [-1], None),
        ([0, 1] * 20, [1], ["neg", "pos"]),
        (EVEN, EVEN, ["pos", "neg"]),
        (["0.5", "1.5"] * 20, ["0.5"], ["0.5", "1.5"]),
        (["0.5", "high"] * 20, ["0.5"], None),
        (["1", "2"] * 20, ["2"], ["1", "2"]),
    ],
)
def test_sound_labels_give_their_balance_and_nothing_else(
    train: list[Any], test: list[Any], classes: list[str] | None
) -> None:
    assert [finding.code for finding in check(train, test, classes)] == ["balance", "balance"]


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  "])
def test_missing_labels(missing: Any) -> None:
    finding = only(check([*EVEN, missing, "neg", missing], EVEN), "missing_labels")
    assert (finding.level, finding.count, places(finding)) == ("error", 2, [("train", 41), ("train", 43)])
    assert finding.rows[0].text == "train text 40"
    assert "train (train.csv): 2 labels of 43 missing" in finding.message


def test_missing_labels_show_five_rows_and_count_all() -> None:
    finding = only(check(EVEN, [*EVEN, *[None] * 8]), "missing_labels")
    assert (finding.count, [row.row for row in finding.rows]) == (8, [41, 42, 43, 44, 45])


def test_missing_labels_come_for_each_split() -> None:
    findings = check([*EVEN, None], [*EVEN, None])
    assert [row.split for finding in findings for row in finding.rows] == ["train", "test"]


def test_no_label_column() -> None:
    tables = {"train": table("train", None, texts=7), "test": table("test", EVEN)}
    finding = only(list(check_labels(tables, None)), "missing_labels")
    assert (finding.count, finding.rows) == (7, ())
    assert "train (train.csv) has no labels" in finding.message
    assert "--data.label" in finding.message


@pytest.mark.parametrize(("label", "word"), [(["a", "b"], "'list'"), ({"a": 1}, "'dict'")])
def test_unsupported_labels(label: Any, word: str) -> None:
    findings = check([*EVEN, label], EVEN)
    assert errors(findings) == ["unsupported_labels"]
    finding = only(findings, "unsupported_labels")
    assert (finding.count, places(finding)) == (1, [("train", 41)])
    assert word in finding.message
    assert "Multi-label classification (several classes per text) is not supported" in finding.message


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Decimal("1.50"), "type 'Decimal', such as Decimal('1.50')"),
        (datetime.date(2024, 1, 1), "type 'date', such as datetime.date(2024, 1, 1)"),
        (b"a", "type 'bytes', such as b'a'"),
    ],
)
def test_labels_to_convert(label: Any, words: str) -> None:
    finding = only(check([label] * 40, EVEN), "unsupported_labels")
    assert (finding.code, finding.count) == ("unsupported_labels", 40)
    assert words in finding.message
    assert "Convert the column to strings or integers" in finding.message and "Multi-label" not in finding.message


@pytest.mark.parametrize("train", [[0.5, 1.0, 2.25] * 20, ["0.5", "1.0", "2.25"] * 20, [0.5, "1.0", 2.25] * 20])
def test_continuous_labels(train: list[Any]) -> None:
    findings = check(train, [1, 1])
    assert errors(findings) == ["continuous_labels"]
    finding = only(findings, "continuous_labels")
    assert (finding.count, places(finding)[:3]) == (40, [("train", 1), ("train", 3), ("train", 4)])
    assert "train (train.csv): 40 labels of 60 with a fraction" in finding.message
    assert "0.5" in finding.message and "2.25" in finding.message and "regression" in finding.message


def test_infinity_is_no_class() -> None:
    assert errors(check([0, 1, float("inf")], [0])) == ["continuous_labels"]


def test_missing_and_unusable_labels_come_together() -> None:
    assert errors(check([0.5, None, ["a"]], [0])) == ["missing_labels", "unsupported_labels", "continuous_labels"]


@pytest.mark.parametrize(
    ("train", "test", "count", "first", "words"),
    [
        (EVEN, [0, 1, 1], 3, ("test", 1), "train has strings, test has integers"),
        ([*EVEN, 7], ["neg"], 1, ("train", 41), "train has integers and strings, test has strings"),
        ([1, 0] * 9, ["1", "x"], 2, ("test", 1), "train has integers, test has strings"),
    ],
)
def test_mixed_labels(train: list[Any], test: list[Any], count: int, first: tuple[str, int], words: str) -> None:
    findings = check(train, test)
    assert errors(findings) == ["mixed_labels"]
    finding = only(findings, "mixed_labels")
    assert (finding.count, places(finding)[0]) == (count, first)
    assert words in finding.message


@pytest.mark.parametrize(
    ("own", "other", "given", "expected"),
    [
        (["neg", "pos"], ["neg", "pos", "mid"], None, ["test: 'neg', 'pos', 'mid'"]),
        (["neg", "pos"], ["pos", "neg"], ["bad", "good"], ["train: 'neg', 'pos'", "data.labels: 'bad', 'good'"]),
        (["neg", "pos"], ["no", "yes"], ["pos", "neg"], ["train: 'neg', 'pos'", "test: 'no', 'yes'"]),
    ],
)
def test_different_class_names(
    own: list[str], other: list[str] | None, given: list[str] | None, expected: list[str]
) -> None:
    tables = {"train": table("train", [0, 1] * 20, own), "test": table("test", [0, 1], other)}
    finding = only(list(check_labels(tables, given)), "different_class_names")
    assert finding.level == "error"
    assert all(words in finding.message for words in expected)


@pytest.mark.parametrize(
    ("own", "other", "given"),
    [
        (["neg", "pos"], ["neg", "pos"], None),
        (["neg", "pos"], None, None),
        (["neg", "pos"], ["neg", "pos"], ["neg", "pos"]),
        (["neg", "pos"], ["neg", "pos"], ["bad", "good"]),
        # Another order: each source's own names count.
        (["neg", "pos"], ["pos", "neg"], None),
        (["neg", "pos"], None, ["pos", "neg"]),
        (["1", "2"], ["2", "1"], None),
    ],
)
def test_class_names_that_agree(own: list[str], other: list[str] | None, given: list[str] | None) -> None:
    tables = {"train": table("train", [0, 1] * 20, own), "test": table("test", [0, 1], other)}
    assert errors(list(check_labels(tables, given))) == []


@pytest.mark.parametrize(
    "train", [[f"id {row}" for row in range(50)], list(range(50)), [*range(26), *range(1, 25)]], ids=repr
)
def test_too_many_classes(train: list[Any]) -> None:
    findings = check(train, [])
    assert [finding.code for finding in findings] == ["too_many_classes"]
    assert findings[0].level == "error" and findings[0].count == 50
    assert f"{len(set(train))} different labels in 50 rows" in findings[0].message
    assert repr(train[0]) in findings[0].message


@pytest.mark.parametrize("train", [list(range(49)), [*range(25), *range(25)]], ids=["few rows", "half"])
def test_not_too_many_classes(train: list[Any]) -> None:
    assert errors(check(train, [])) == []


def test_similar_labels() -> None:
    finding = only(check([*EVEN, "Pos", " pos"], EVEN), "similar_labels")
    assert (finding.level, finding.count, places(finding)) == ("warning", 2, [("train", 41), ("train", 42)])
    assert "' pos', 'Pos', 'pos'" in finding.message
    assert "write 'pos' everywhere" in finding.message


def test_similar_labels_across_splits() -> None:
    findings = check(EVEN, ["neg", "POS"])
    assert places(only(findings, "similar_labels")) == [("test", 2)]
    assert errors(findings) == ["unseen_test_class"]


ALIKE = [
    ("caf\xe9", "cafe\u0301", r"'cafe\u0301', 'caf\xe9'"),
    ("pos", "p\u200bos", r"'pos', 'p\u200bos'"),
    ("pos", "pos\ufeff", r"'pos', 'pos\ufeff'"),
    ("in time", "in\xa0 time", r"'in time', 'in\xa0 time'"),
    ("pos", "\uff50os", r"'pos', '\uff50os'"),
    ("\u2764", "\u2764\ufe0f", r"'\u2764', '\u2764\ufe0f'"),
    ("stra\xdfe", "STRASSE", "'STRASSE', 'stra\xdfe'"),
]


@pytest.mark.parametrize(("usual", "odd", "shown"), ALIKE, ids=range(len(ALIKE)))
def test_labels_that_look_the_same(usual: str, odd: str, shown: str) -> None:
    train = [usual, "other"] * 20
    within = only(check([*train, odd], train), "similar_labels")
    assert places(within) == [("train", 41)]
    assert shown in within.message
    across = check(train, [odd, "other"])
    assert places(only(across, "similar_labels")) == [("test", 1)]
    unseen = only(across, "unseen_test_class").message
    assert all(each in unseen for each in shown.split(", "))


def test_labels_that_differ_are_not_alike() -> None:
    findings = check(["a-b", "a b", "ab", "\u0430b", "a_b"] * 20, [])
    assert "similar_labels" not in [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("train", "classes"), [([0, 1] * 20, ["1", "2"]), ([1, 2, 3] * 20, ["1", "2"]), ([True, False] * 20, ["True", "x"])]
)
def test_labels_of_which_only_some_are_class_names(train: list[Any], classes: list[str]) -> None:
    findings = check(train, train[:2], classes)
    assert errors(findings) == ["ambiguous_labels"]
    assert "The classes are '" in only(findings, "ambiguous_labels").message


def test_a_class_that_only_another_source_names_is_seen() -> None:
    tables = {"train": table("train", [0, 1] * 20, ["neg", "pos"]), "test": table("test", [1, 0])}
    findings = list(check_labels(tables, None))
    assert [finding.code for finding in findings] == ["balance", "balance"]
    assert "'pos' 1 (50.0%)" in findings[1].message


def test_a_given_name_is_the_spelling_to_use() -> None:
    findings = check(EVEN, EVEN, ["neg", "Pos"])
    finding = only(findings, "similar_labels")
    assert finding.count == 40
    assert "write 'Pos' everywhere" in finding.message
    assert errors(findings) == ["unknown_label", "unknown_label"]


@pytest.mark.parametrize(
    ("train", "classes", "wrong"),
    [
        ([*EVEN, "mid"], ["neg", "pos"], "('mid')"),
        ([*[0, 1] * 20, 2], ["neg", "pos"], "(2)"),
        ([*[0, 1] * 20, -1], ["neg", "pos"], "(-1)"),
        ([*["0", "1"] * 20, "2"], ["neg", "pos"], "(2)"),
    ],
)
def test_unknown_label(train: list[Any], classes: list[str], wrong: str) -> None:
    findings = check(train, train[:2], classes)
    assert errors(findings) == ["unknown_label"]
    finding = only(findings, "unknown_label")
    assert (finding.count, places(finding)) == (1, [("train", 41)])
    assert f"1 label {wrong} not among the classes" in finding.message
    assert "'neg', 'pos', or an integer from 0 to 1" in finding.message


def test_unknown_label_among_the_data_sets_own_names() -> None:
    tables = {"train": table("train", [0, 1] * 20, ["neg", "pos"]), "test": table("test", [0, -1], ["neg", "pos"])}
    findings = list(check_labels(tables, None))
    assert errors(findings) == ["unknown_label"]
    assert places(only(findings, "unknown_label")) == [("test", 2)]


@pytest.mark.parametrize(("train", "classes", "name"), [(["pos"] * 20, None, "pos"), ([1] * 20, ["neg", "pos"], "pos")])
def test_one_class(train: list[Any], classes: list[str] | None, name: str) -> None:
    finding = only(check(train, train, classes), "one_class")
    assert (finding.level, finding.count) == ("error", 20)
    assert f"train (train.csv): all 20 labels are '{name}'" in finding.message


def test_one_label_that_is_no_class_is_only_unknown() -> None:
    assert errors(check(["mid"] * 20, [], ["neg", "pos"])) == ["unknown_label"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_unseen_class(split: str) -> None:
    tables = {"train": table("train", EVEN), split: table(split, ["neg", "mid", "pos", "mid"])}
    findings = list(check_labels(tables, None))
    finding = only(findings, "unseen_test_class")
    assert (finding.level, finding.count, places(finding)) == ("error", 2, [(split, 2), (split, 4)])
    assert f"{split} ({split}.csv): 2 texts labelled 'mid'" in finding.message
    assert "train has 'neg', 'pos'" in finding.message


def test_unseen_class_has_its_name_and_no_second_finding() -> None:
    findings = check([0, 1] * 20, [2], ["neg", "pos", "mid"])
    assert "1 text labelled 'mid'" in only(findings, "unseen_test_class").message
    assert "class_without_texts" not in [finding.code for finding in findings]


@pytest.mark.parametrize(("own", "given"), [(["neg", "pos", "mid"], None), (None, ["neg", "pos", "mid"])])
def test_class_without_texts(own: list[str] | None, given: list[str] | None) -> None:
    tables = {"train": table("train", [0, 1] * 20, own), "test": table("test", [0, 1], own)}
    finding = only(list(check_labels(tables, given)), "class_without_texts")
    assert (finding.level, finding.count) == ("warning", 0)
    assert "1 class without any text: 'mid'" in finding.message


@pytest.mark.parametrize(("largest", "warned"), [(99, False), (100, True), (250, True)])
def test_imbalance(largest: int, warned: bool) -> None:
    findings = check(["often"] * largest + ["some"] * 50 + ["rare"] * 10, [])
    found = [finding for finding in findings if finding.code == "imbalance"]
    assert len(found) == warned
    for finding in found:
        assert finding.level == "warning"
        assert f"'often' has {largest} texts and the smallest 'rare' 10 ({largest // 10} to 1)" in finding.message


@pytest.mark.parametrize(("texts", "warned"), [(9, True), (10, False)])
def test_few_per_class(texts: int, warned: bool) -> None:
    found = [f for f in check(["often"] * 30 + ["rare"] * texts, ["rare"]) if f.code == "few_per_class"]
    assert len(found) == warned
    for finding in found:
        assert (finding.level, finding.count) == ("warning", 9)
        assert places(finding) == [("train", row) for row in range(31, 36)]
        assert "a class from: 'rare' 9." in finding.message


def test_few_per_class_names_the_smallest_first() -> None:
    labels = [f"c{size}" for size in range(1, 9) for _ in range(size)]
    finding = only(check(labels, []), "few_per_class")
    assert "'c1' 1, 'c2' 2, 'c3' 3, 'c4' 4, 'c5' 5 and 3 more" in finding.message
    assert finding.count == 36


def test_balance_of_each_split() -> None:
    findings = [f for f in check([0, 1, 1, 1] * 10, [0, 1], ["neg", "pos"]) if f.code == "balance"]
    assert [(f.level, f.count) for f in findings] == [("note", 40), ("note", 2)]
    assert findings[0].message == "train: 40 texts, 2 distinct labels: 'pos' 30 (75.0%), 'neg' 10 (25.0%)."


def test_balance_of_many_classes_shows_both_ends() -> None:
    labels = [f"c{size}" for size in range(10, 22) for _ in range(size)]
    message = only(check(labels, []), "balance").message
    assert "12 distinct labels: 'c21' 21 (" in message
    assert [word in message for word in ("'c19'", "...", "'c18'", "'c13'", "'c12'", "'c10'")] == [1, 1, 0, 0, 1, 1]
