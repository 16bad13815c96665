"""A teacher's given probabilities: which columns, which rows, and what is wrong with them."""

from __future__ import annotations

import gzip
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from understudy.data import files, score_rows
from understudy.data.corpus import Corpus, Split
from understudy.data.scores import Scores, read_scores
from understudy.data.tokens import text_ids
from understudy.data.unlabelled import select_unlabelled
from understudy.errors import DataError

CLASSES = ["bad", "good"]
TEXTS = {"train": ["a", "b"], "validation": ["v"], "test": ["c", "d"]}
ANSWERS = {"a": 0.9, "b": 0.25, "c": 0.5, "d": 0.0}  # of the class bad


def split(texts: list[str]) -> Split:
    return Split(texts, text_ids(texts), np.arange(len(texts)) % 2)


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(CLASSES, *(split(texts) for texts in TEXTS.values()))


def identity(text: str) -> str:
    return text_ids([text])[0].decode()


def rows(**changes: float) -> dict[str, list[Any]]:
    answers = ANSWERS | changes
    return {"text": list(answers), "bad": list(answers.values()), "good": [1 - p for p in answers.values()]}


def write(path: Path, content: dict[str, list[Any]]) -> str:
    frame = pd.DataFrame(content)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return str(path)


def read(path: Path, content: dict[str, list[Any]], corpus: Corpus) -> Scores:
    return read_scores(write(path, content), "text", corpus)


def found(scores: Scores, corpus: Corpus) -> np.ndarray:
    assert scores.findings == ()
    return scores.lookup(np.concatenate([corpus.train.ids, corpus.test.ids]))


EXPECTED = np.array([[0.9, 0.1], [0.25, 0.75], [0.5, 0.5], [0.0, 1.0]], dtype=np.float32)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_called_like_the_classes(suffix: str, corpus: Corpus, tmp_path: Path) -> None:
    read_ = read(tmp_path / f"scores.{suffix}", rows(), corpus)
    assert found(read_, corpus) == pytest.approx(EXPECTED)
    assert read_.probabilities.dtype == np.float32
    assert len(read_) == 4


def test_columns_as_predict_writes_them(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content = {"label": ["bad"] * 4, **{f"probability_{name}": content[name] for name in CLASSES}, **content}
    content |= {"bad": ["no"] * 4, "good": ["number"] * 4}  # the user's own columns
    content["text"] = content.pop("text")
    assert found(read(tmp_path / "answers.csv", content, corpus), corpus) == pytest.approx(EXPECTED)


@pytest.mark.parametrize("prefix", ["", "probability_", "probability_LABEL_"])
def test_columns_with_the_numbers_of_the_classes(
    prefix: str, corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = rows()
    content = {f"{prefix}1": content.pop("good"), f"{prefix}0": content.pop("bad"), **content}
    assert found(read(tmp_path / "scores.csv", content, corpus), corpus) == pytest.approx(EXPECTED)
    assert f"the columns {prefix}0, {prefix}1 of" in caplog.text and "are read as bad, good" in caplog.text


def test_numbers_that_are_class_names_are_read_by_name(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content = {"probability_1": content.pop("bad"), "probability_0": content.pop("good"), **content}
    corpus = replace(corpus, classes=["1", "0"])
    assert found(read(tmp_path / "scores.csv", content, corpus), corpus) == pytest.approx(EXPECTED)


def test_numbers_of_which_only_some_are_class_names_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content = {"probability_0": content.pop("bad"), "probability_1": content.pop("good"), **content}
    with pytest.raises(DataError, match="has no column 'probability_2'"):
        read(tmp_path / "scores.csv", content, replace(corpus, classes=["1", "2"]))
    with pytest.raises(DataError, match=r"class names \(1\), and others are not \(0\)"):
        read(tmp_path / "scores.csv", content, replace(corpus, classes=["1.0", "2.0"]))


def test_rows_are_found_by_id_rather_than_by_text(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content["id"] = [identity(text) for text in content["text"]]
    content["text"] = ["another"] * 4
    assert found(read(tmp_path / "scores.csv", content, corpus), corpus) == pytest.approx(EXPECTED)
    del content["text"]
    assert found(read(tmp_path / "scores.parquet", content, corpus), corpus) == pytest.approx(EXPECTED)


def test_the_text_column_is_the_recipes(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content["review"] = content.pop("text")
    source = write(tmp_path / "scores.csv", content)
    assert found(read_scores(source, "review", corpus), corpus) == pytest.approx(EXPECTED)


def test_a_packed_file_and_a_glob(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    for part, chosen in (("1", slice(0, 1)), ("2", slice(1, 4))):
        text = pd.DataFrame({name: values[chosen] for name, values in content.items()}).to_csv(index=False)
        with gzip.open(tmp_path / f"part-{part}.csv.gz", "wt") as file:
            file.write(text)
    read_ = read_scores(str(tmp_path / "part-*.csv.gz"), "text", corpus)
    assert found(read_, corpus) == pytest.approx(EXPECTED)


def test_many_chunks(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_ROWS", 2)
    assert found(read(tmp_path / "scores.csv", rows(), corpus), corpus) == pytest.approx(EXPECTED)
    conflicting = read(tmp_path / "more.csv", {name: values * 2 for name, values in rows().items()}, corpus)
    assert conflicting.findings == ()
    content = rows()
    content = {"text": [*content["text"], "a"], "bad": [*content["bad"], 0.2], "good": [*content["good"], 0.8]}
    (finding,) = read(tmp_path / "bad.csv", content, corpus).findings
    assert "other probabilities than in row 1 in row 5" in finding.message


def test_rounding_is_mended(corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content["bad"][0], content["good"][0] = 0.9005, 0.1004  # sums to 1.0009
    content["bad"][3], content["good"][3] = 0.0, 1.0000001  # a float32's one
    read_ = read(tmp_path / "scores.csv", content, corpus)
    assert found(read_, corpus)[0] == pytest.approx([0.9005 / 1.0009, 0.1004 / 1.0009], abs=1e-7)
    assert found(read_, corpus)[3].tolist() == [0.0, 1.0]


def test_unlabelled_texts_are_needed_and_validation_texts_are_not(
    corpus: Corpus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unlabelled = select_unlabelled(lambda: [["u", "w"], ["x"]], {})
    whole = Corpus(CLASSES, corpus.train, corpus.validation, corpus.test, unlabelled)
    with caplog.at_level(logging.INFO, "understudy"):
        (finding,) = read(tmp_path / "scores.csv", rows(u=0.4, v=0.3, y=0.1, z=0.2), whole).findings
    assert "scores: 5 of 7 texts read" in caplog.text
    assert "2 rows for texts of no split ignored" in caplog.text  # y and z; v is a validation text
    assert finding.message.startswith("unlabelled: 2 of 3 texts without a row in teacher.scores")
    assert "The first: 'w', 'x'." in finding.message
    read_ = read(tmp_path / "scores.csv", rows(u=0.4, w=0.3, x=0.1), whole)
    assert found(read_, whole) == pytest.approx(EXPECTED)
    assert read_.lookup(unlabelled.ids)[:, 0] == pytest.approx([0.4, 0.3, 0.1])


def test_a_text_that_is_in_two_splits(corpus: Corpus, tmp_path: Path) -> None:
    both = Corpus(CLASSES, corpus.train, corpus.validation, corpus.train)
    assert read(tmp_path / "scores.csv", rows(), both).lookup(both.test.ids) == pytest.approx(EXPECTED[:2])


# What is wrong


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("much", "'much'"),
        ("nan", "'nan'"),
        ("-0.1", "'-0.1'"),
        ("1.1", "'1.1'"),
        ("inf", "'inf'"),
        ("", "nothing"),
    ],
)
def test_cells_that_are_no_probabilities(value: str, shown: str, corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(f"text,bad,good\na,0.5,0.5\nb,{value},0.5\nc,0.5,0.5\nd,0.5,0.5\n")
    (finding,) = read_scores(str(path), "text", corpus).findings
    assert (finding.level, finding.code, finding.count) == ("error", "scores_out_of_range", 1)
    assert f"1 row of 4 with values that are not probabilities, such as {shown} as 'bad' in row 2" in finding.message
    assert [(row.split, row.row, row.text) for row in finding.rows] == [("scores", 2, "b")]


@pytest.mark.parametrize("value", [True, None, [0.5], 10**400])
def test_json_that_is_no_probability(value: Any, corpus: Corpus, tmp_path: Path) -> None:
    lines = [{"text": text, "bad": value if text == "b" else p, "good": 1 - p} for text, p in ANSWERS.items()]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (finding,) = read_scores(str(path), "text", corpus).findings
    assert finding.code == "scores_out_of_range"
    assert finding.rows[0].row == 2


@pytest.mark.parametrize(("bad", "good", "total"), [(0.5, 0.4, "0.9"), (0.6, 0.4011, "1.0011")])
def test_rows_that_do_not_sum_to_1(bad: float, good: float, total: str, corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    content["bad"][2], content["good"][2] = bad, good
    (finding,) = read(tmp_path / "scores.csv", content, corpus).findings
    assert finding.code == "scores_not_normalised"
    assert f"1 row of 4 whose probabilities do not sum to 1, such as a sum of {total} in row 3" in finding.message


def test_a_repeated_text(corpus: Corpus, tmp_path: Path) -> None:
    content = {name: [*values, values[0]] for name, values in rows().items()}
    content["bad"][4], content["good"][4] = 0.9004, 0.0996  # rounded otherwise
    assert found(read(tmp_path / "scores.csv", content, corpus), corpus) == pytest.approx(EXPECTED)
    content["bad"][4], content["good"][4] = 0.8, 0.2
    (finding,) = read(tmp_path / "scores.csv", content, corpus).findings
    assert (finding.code, finding.count) == ("conflicting_scores", 1)
    assert "other probabilities than in row 1 in row 5" in finding.message


def test_texts_without_a_row(corpus: Corpus, tmp_path: Path) -> None:
    content = {name: values[1:3] for name, values in rows().items()}
    train, test = read(tmp_path / "scores.csv", content, corpus).findings
    assert (train.code, train.count, test.code) == ("missing_scores", 1, "missing_scores")
    assert train.message.startswith("train: 1 of 2 texts without a row in teacher.scores")
    assert "The first: 'a'." in train.message
    assert test.message.startswith("test: 1 of 2 texts") and "'d'" in test.message


def test_ids_of_the_users_own(corpus: Corpus, tmp_path: Path) -> None:
    findings = read(tmp_path / "scores.csv", {"id": [1, 2, 3, 4], **rows()}, corpus).findings
    assert [finding.code for finding in findings] == ["scores_without_text_id", "missing_scores", "missing_scores"]
    assert "4 rows of 4 without a text id in the column 'id', such as '1' in row 1" in (findings[0].message)
    assert "Without that column they are found by the column 'text'" in findings[1].message


def test_all_problems_come_at_once_with_the_first_rows(corpus: Corpus, tmp_path: Path) -> None:
    content = {name: values * 10 for name, values in rows(a=2.0).items()}
    content["good"] = [0.5 if text == "b" else p for text, p in zip(content["text"], content["good"], strict=True)]
    out_of_range, uneven = read(tmp_path / "scores.csv", content, corpus).findings
    assert (out_of_range.code, uneven.code) == ("scores_out_of_range", "scores_not_normalised")
    assert out_of_range.count == uneven.count == 10
    assert [row.row for row in uneven.rows] == [2, 6, 10, 14, 18]


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("good", "has no column 'good'; its columns are: text, bad. Expected one column per class, named"),
        ("text", "has neither a column 'id' nor a column 'text'; its columns are: bad, good."),
    ],
)
def test_a_column_that_is_missing(lost: str, message: str, corpus: Corpus, tmp_path: Path) -> None:
    content = rows()
    del content[lost]
    with pytest.raises(DataError, match=r"^teacher\.scores: .*") as error:
        read(tmp_path / "scores.csv", content, corpus)
    assert message in str(error.value)


def test_a_column_of_predicts_that_is_missing(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'probability_good'"):
        read(tmp_path / "scores.csv", {"text": ["a"], "probability_bad": [0.5], "label": ["bad"]}, corpus)


def test_a_file_that_is_not_there(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^teacher\.scores: No data at"):
        read_scores(str(tmp_path / "gone.csv"), "text", corpus)


def test_a_file_without_rows(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("text,bad,good\n")
    findings = read_scores(str(tmp_path / "scores.csv"), "text", corpus).findings
    assert [finding.count for finding in findings] == [2, 2]


# What is kept


def test_what_is_kept_reads_back(corpus: Corpus, tmp_path: Path) -> None:
    first = read(tmp_path / "scores.csv", rows(v=0.1), corpus)
    first.save(tmp_path / "kept.parquet", CLASSES)
    again = read_scores(str(tmp_path / "kept.parquet"), "text", corpus)
    assert again.digest == first.digest
    assert pd.read_parquet(tmp_path / "kept.parquet").columns.tolist() == ["id", "probability_bad", "probability_good"]


def test_the_digest_is_that_of_what_is_needed(corpus: Corpus, tmp_path: Path) -> None:
    first = read(tmp_path / "scores.csv", rows(), corpus).digest
    backwards = {name: values[::-1] for name, values in rows(v=0.1, z=0.2).items()}
    assert read(tmp_path / "other.jsonl", backwards, corpus).digest == first
    assert read(tmp_path / "scores.csv", rows(d=0.01), corpus).digest != first


def test_a_text_that_was_not_read_has_no_answer(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="has no probabilities for"):
        read(tmp_path / "scores.csv", rows(), corpus).lookup(corpus.validation.ids)


def test_what_is_no_number() -> None:
    assert np.isnan(score_rows._numbers(["0.5", "x", None, True])).tolist() == [False, True, True, True]
    assert score_rows._numbers([0.5, "0.25"]).tolist() == [0.5, 0.25]
