from __future__ import annotations

import json

import pytest

from understudy.data.findings import Audit, Finding, Row, counted, enumerated, examples, excerpt
from understudy.data.tables import Table
from understudy.errors import DataError

ERROR = Finding("error", "one_class", "Only one.", (Row("train", 3, "a text"), Row("test", 1, "")), 2)
MANY = Finding("error", "missing_labels", "Not there.", (Row("train", 7, "seven"),), 1234)
WARNING = Finding("warning", "tiny_test", "Small.", (), 12)
NOTE = Finding("note", "balance", "Even.")


def test_findings_by_level() -> None:
    audit = Audit((ERROR, WARNING, NOTE))
    assert (audit.errors, audit.warnings, audit.notes) == ((ERROR,), (WARNING,), (NOTE,))


def test_no_error_raises_nothing() -> None:
    Audit((WARNING, NOTE)).raise_errors()


def test_one_error_with_its_rows() -> None:
    with pytest.raises(DataError) as raised:
        Audit((ERROR, WARNING, NOTE)).raise_errors()
    assert str(raised.value).splitlines() == [
        "1 problem in the data:",
        "  one_class: Only one.",
        "    train row 3: a text",
        "    test row 1: (empty text)",
    ]


def test_all_errors_come_at_once() -> None:
    with pytest.raises(DataError) as raised:
        Audit((ERROR, MANY)).raise_errors()
    lines = str(raised.value).splitlines()
    assert lines[0] == "2 problems in the data:"
    assert lines[4:] == ["  missing_labels: Not there.", "    train row 7: seven", "    ... 1,234 rows in all"]


def test_to_json_is_plain() -> None:
    plain = Audit((ERROR, NOTE)).to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain[0] == {
        "level": "error",
        "code": "one_class",
        "message": "Only one.",
        "rows": [{"split": "train", "row": 3, "text": "a text"}, {"split": "test", "row": 1, "text": ""}],
        "count": 2,
    }
    assert plain[1]["rows"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", "short"),
        ("", ""),
        (" two\n\tlines ", "two lines"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("\n" * 2000 + "late", "late"),
        ("red \x1b[31m", "red \ufffd[31m"),
        ("word " * 10**5, ("word " * 16)[:79] + "…"),
    ],
)
def test_excerpt(text: str, expected: str) -> None:
    assert excerpt(text) == expected


def test_examples_are_the_first_five_counted_from_one() -> None:
    tables = {"train": Table("x", [f"text {row}" for row in range(9)])}
    rows = examples(tables, (("train", row) for row in range(2, 9)))
    assert [row.row for row in rows] == [3, 4, 5, 6, 7]
    assert rows[0] == Row("train", 3, "text 2")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["a"], "'a'"),
        (["a", 1, "b"], "'a', 1, 'b'"),
        (list("abcde"), "'a', 'b', 'c', 'd', 'e'"),
        (list(range(1006)), "0, 1, 2, 3, 4 and 1,001 more"),
    ],
)
def test_enumerated(items: list[object], expected: str) -> None:
    assert enumerated(items) == expected


@pytest.mark.parametrize(("count", "expected"), [(0, "0 texts"), (1, "1 text"), (2000, "2,000 texts")])
def test_counted(count: int, expected: str) -> None:
    assert counted(count, "text") == expected


def test_counted_with_a_plural_of_its_own() -> None:
    assert (counted(1, "class", "classes"), counted(2, "class", "classes")) == ("1 class", "2 classes")
