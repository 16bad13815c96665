"""Which columns of a table are the text and the label, and what is said where that cannot be told."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.columns import Column, choose, find_columns
from understudy.errors import DataError

ROWS = 60
WORDS = ["parcel", "invoice", "late", "broken", "please", "send", "the", "my", "again", "card"]
RANDOM = random.Random(0)


def prose(rows: int = ROWS, words: int = 8) -> list[str]:
    return [" ".join(RANDOM.choices(WORDS, k=words)) + f" {row}" for row in range(rows)]


TEXTS = prose()
TEAMS = [["billing", "delivery", "technical"][row % 3] for row in range(ROWS)]


def column(name: str, values: list[Any], classes: list[str] | None = None) -> Column:
    found = Column(name, classes)
    for start in range(0, len(values), 7):  # in chunks, as files are read
        found.add(values[start : start + 7])
    return found


def chosen(text: str = "auto", label: str = "auto", **columns: list[Any]) -> tuple[str, str]:
    return choose("t.csv", [column(name, values) for name, values in columns.items()], text, label)


OTHERS = {
    "identifiers": [f"T-{row:05}" for row in range(ROWS)],
    "numbers": list(range(ROWS)),
    "numbers as text": [str(row) for row in range(ROWS)],
    "customers": [1000 + 977 * (row % 9) for row in range(ROWS)],
    "hashes": [f"{row * 2654435761 % 2**32:08x}1" for row in range(ROWS)],
    "days": [f"2024-01-{row % 9 + 1:02}" for row in range(ROWS)],
    "times": [f"2024-01-{row % 28 + 1:02}T10:{row % 60:02}:00Z" for row in range(ROWS)],
    "days in words": [f"{row % 28 + 1} March 2024" for row in range(ROWS)],
    "years": [2015 + row % 5 for row in range(ROWS)],
    "years as text": [str(2015 + row % 5) for row in range(ROWS)],
    "links": [f"https://example.org/{row % 4}" for row in range(ROWS)],
    "mails": [f"a{row % 4}@example.org" for row in range(ROWS)],
    "files": [f"/data/files/{row % 4}.txt" for row in range(ROWS)],
    "fractions": [row / 7 for row in range(ROWS)],
    "fractions as text": [f"0.{row % 4}" for row in range(ROWS)],
    "constant": ["en"] * ROWS,
    "constant numbers": [1] * ROWS,
    "empty": [None] * ROWS,
    "empty text": [""] * ROWS,
    "mostly empty": ["x" if row % 20 == 0 else None for row in range(ROWS)],
    "lists": [[row % 3] for row in range(ROWS)],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_columns_are_no_candidates(name: str) -> None:
    other = column(name, OTHERS[name])
    assert not other.is_text and not other.is_label
    assert chosen(**{name: OTHERS[name], "message": TEXTS, "team": TEAMS}) == ("message", "team")


def test_all_other_columns_at_once() -> None:
    assert chosen(**OTHERS, what=TEXTS, queue=TEAMS) == ("what", "queue")


@pytest.mark.parametrize(
    "labels",
    [
        TEAMS,
        [row % 3 for row in range(ROWS)],
        [str(row % 3) for row in range(ROWS)],
        [float(row % 3) for row in range(ROWS)],
        [row % 2 == 0 for row in range(ROWS)],
        [2 * (row % 2) - 1 for row in range(ROWS)],
        [f"class_{row % 5}" for row in range(ROWS)],
        ["customer service" if row % 2 else "after-sales service request" for row in range(ROWS)],
        ["正面" if row % 2 else "负面" for row in range(ROWS)],
        [row // 2 for row in range(ROWS)],  # as many classes as can be
        [None if row % 3 == 0 else "yes" if row % 2 else "no" for row in range(ROWS)],
    ],
)
def test_kinds_of_labels(labels: list[Any]) -> None:
    assert chosen(body=TEXTS, x=labels) == ("body", "x")


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        prose(words=2),
        [
            "这是第" + "一二三四五六七八九"[row % 9] + "个很好的电影" + "好坏中"[row % 3] * (row % 7)
            for row in range(ROWS)
        ],
        [WORDS[row % 10] + WORDS[row // 10] for row in range(ROWS)],  # one word, of which nearly all differ
        [*TEXTS[:20], *TEXTS[:20], *TEXTS[:20]],  # three times each
    ],
)
def test_kinds_of_texts(texts: list[Any]) -> None:
    assert chosen(a=texts, b=TEAMS) == ("a", "b")


def test_names_of_people_are_not_texts_beside_sentences() -> None:
    people = [f"{first} {last}" for first in WORDS for last in WORDS[:6]]
    assert chosen(person=people, note=TEXTS, team=TEAMS) == ("note", "team")


def test_several_texts_are_listed_with_three_values_each() -> None:
    with pytest.raises(DataError) as error:
        chosen(subject=TEXTS, answer=prose(), team=TEAMS)
    lines = str(error.value).splitlines()
    assert lines[0] == "t.csv: 2 columns can be the text. Name one with --data.text:"
    assert [line.split(":")[0] for line in lines[1:]] == ["  subject", "  answer"]
    assert all(line.count("'") == 6 for line in lines[1:])
    assert chosen(text="subject", subject=TEXTS, answer=prose(), team=TEAMS) == ("subject", "team")


def test_several_labels_are_listed() -> None:
    with pytest.raises(DataError, match=r"2 columns can be the label\. Name one with --data\.label:") as error:
        chosen(note=TEXTS, queue=TEAMS, urgent=[row % 2 == 0 for row in range(ROWS)])
    assert "\n  queue: 'billing', 'delivery', 'technical'\n  urgent: True, False" in str(error.value)
    assert chosen(label="urgent", note=TEXTS, queue=TEAMS, urgent=[row % 2 for row in range(ROWS)])[1] == "urgent"


def test_well_known_names_decide_between_candidates() -> None:
    assert chosen(subject=TEXTS, Message=prose(), Category=TEAMS, language=TEAMS) == ("Message", "Category")
    with pytest.raises(DataError, match="2 columns can be the text"):
        chosen(message=TEXTS, body=prose(), team=TEAMS)


def test_a_well_known_name_does_not_make_a_candidate() -> None:
    assert chosen(query=OTHERS["identifiers"], words=TEXTS, target=OTHERS["fractions"], kind=TEAMS) == ("words", "kind")


def test_a_column_with_class_names_is_the_label() -> None:
    columns = [column("note", TEXTS), column("a", TEAMS), column("b", [0, 1] * (ROWS // 2), ["no", "yes"])]
    assert choose("t.parquet", columns, "auto", "auto") == ("note", "b")


def test_lists_are_the_label_where_nothing_else_can_be() -> None:
    """The audit then says that several labels per text are not supported."""
    assert chosen(note=TEXTS, tags=[["a", "b"][: row % 2 + 1] for row in range(ROWS)]) == ("note", "tags")


def test_no_text_and_no_label() -> None:
    with pytest.raises(
        DataError, match=r"no column can be the text; expected strings of several words.*\n  n: 0, 1, 2"
    ):
        chosen(n=list(range(ROWS)), team=TEAMS)
    with pytest.raises(
        DataError, match=r"no column can be the label; expected few distinct values.*--data\.label:\n  n"
    ):
        chosen(note=TEXTS, n=list(range(ROWS)))


def test_many_columns_are_not_all_listed() -> None:
    with pytest.raises(DataError, match="and 8 more columns"):
        chosen(**{f"c{number}": list(range(ROWS)) for number in range(20)})


def test_long_values_are_cut() -> None:
    with pytest.raises(DataError) as error:
        chosen(one=[f"{text} {'x' * 500}" for text in TEXTS], two=TEXTS, team=TEAMS)
    assert max(map(len, str(error.value).splitlines())) < 150


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.binary()), max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_values_have_an_answer(values: list[Any]) -> None:
    found = column("any", values)
    assert not (found.is_text and found.is_label and not isinstance(found.sample[0], str))
    assert found.rows == len(values) and found.used <= found.rows


@given(st.integers(1, 30), st.integers(2, 8), st.permutations(["id", "note", "team"]))
@settings(max_examples=50, deadline=None)
def test_order_and_size_do_not_matter(per_class: int, classes: int, order: list[str]) -> None:
    rows = 2 * per_class * classes
    values = {"id": list(range(rows)), "note": prose(rows), "team": [f"team {row % classes}" for row in range(rows)]}
    assert chosen(**{name: values[name] for name in order}) == ("note", "team")


# From sources


def test_text_and_label_are_taken_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("label,text,message\na,1,two words here\n", encoding="utf-8")
    assert find_columns(str(path)) == ("text", "label")
    assert find_columns(str(path), text="message") == ("message", "label")
    assert find_columns("missing.csv", "a", "b") == ("a", "b")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_files(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import pandas as pd

    frame = pd.DataFrame({"id": range(ROWS), "when": OTHERS["days"], "note": TEXTS, "team": TEAMS})
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    with caplog.at_level("INFO", "understudy"):
        assert find_columns(str(path)) == ("note", "team")
    assert f"{path}: the texts are in the column 'note', the labels in 'team'" in caplog.text


def test_parquet_with_class_names_and_dates(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"note": datasets.Value("string"), "a": datasets.Value("int64"), "b": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"note": TEXTS, "a": [row % 3 for row in range(ROWS)], "b": [row % 2 for row in range(ROWS)]}
    path = tmp_path / "t.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    assert find_columns(str(path)) == ("note", "b")
    table = pq.read_table(path).append_column("when", pa.array([0] * ROWS, pa.timestamp("ns", "UTC")))
    pq.write_table(table, path)
    assert find_columns(str(path)) == ("note", "b")


def test_a_table_that_is_sorted_by_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{'first' if row < 9000 else 'second'},{row} words that differ" for row in range(18_000)]
    path.write_text("\n".join(["x,y", *rows]) + "\n", encoding="utf-8")
    assert find_columns(str(path)) == ("y", "x")


def test_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        find_columns(str(path))


def test_sources_of_one_shape(tmp_path: Path) -> None:
    assert find_columns("reviews:train") == ("text", "label")
    (tmp_path / "aclImdb" / "train" / "pos").mkdir(parents=True)
    (tmp_path / "aclImdb" / "train" / "pos" / "1.txt").write_text("Good.")
    assert find_columns(f"{tmp_path}/aclImdb:train") == ("text", "label")
