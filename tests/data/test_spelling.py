"""Labels that look the same but are different strings."""

from __future__ import annotations

import pytest

from understudy.data.findings import Finding
from understudy.data.label_checks import check_labels
from understudy.data.spelling import alike, look, speller
from understudy.data.tables import Table


def check(train: list[str], test: list[str]) -> dict[str, Finding]:
    tables = {name: Table(name, ["text"] * len(each), each) for name, each in (("train", train), ("test", test))}
    return {finding.code: finding for finding in check_labels(tables, None)}


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
    within = check([*train, odd], train)["similar_labels"]
    assert [(row.split, row.row) for row in within.rows] == [("train", 41)]
    assert shown in within.message
    across = check(train, [odd, "other"])
    assert [(row.split, row.row) for row in across["similar_labels"].rows] == [("test", 1)]
    unseen = across["unseen_test_class"].message
    assert all(each in unseen for each in shown.split(", "))


def test_labels_that_differ_are_not_alike() -> None:
    findings = check(["a-b", "a b", "ab", "\u0430b", "a_b"] * 20, [])
    assert "similar_labels" not in findings


def test_what_looks_the_same() -> None:
    assert look(" in\n\xa0time\u200b ") == "in time"
    assert look("Pos") != look("pos") and alike("Pos") == alike("pos")
    show = speller(["caf\xe9", "cafe\u0301", "na\xefve", 1])
    assert [show(label) for label in ("caf\xe9", "na\xefve", 1)] == [r"'caf\xe9'", "'na\xefve'", "1"]
