"""Classifying whole files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tables import FORMATS, TEXTS, entries, read, read_rows, write
from understudy.errors import DataError, UserError
from understudy.inference.bulk import predict_file
from understudy.inference.classifier import Classifier

ADDED = ["label", "probability_negative", "probability_positive"]


# Every format into every format


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_rows_keep_their_order_and_columns(
    source: str, output: str, classifier: Classifier, tmp_path: Path, small_chunks: None
) -> None:
    frame = pd.DataFrame({"id": [f"{row:03}x" for row in range(5)], "text": TEXTS})
    path = tmp_path / f"out.{output}"
    assert predict_file(classifier, write(tmp_path / f"in.{source}", frame), path) == 5
    found = read(path)
    assert list(found.columns) == ["id", "text", *ADDED]
    assert found["id"].tolist() == frame["id"].tolist()
    assert found["text"].tolist() == TEXTS
    assert found["label"].tolist() == classifier.predict(TEXTS)
    assert np.allclose(found[ADDED[1:]].to_numpy(), classifier.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl.bz2", "in.tsv.xz", "in.csv.zip"])
def test_compressed_input(name: str, classifier: Classifier, tmp_path: Path) -> None:
    source = write(tmp_path / name, pd.DataFrame({"text": TEXTS}))
    predict_file(classifier, source, tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet")["text"].tolist() == TEXTS


def test_several_files(classifier: Classifier, tmp_path: Path) -> None:
    for number in (2, 1):
        write(tmp_path / f"part-{number}.csv", pd.DataFrame({"text": [f"good {number}", f"bad {number}"]}))
    assert predict_file(classifier, str(tmp_path / "part-*.csv"), tmp_path / "out.csv") == 4
    assert read(tmp_path / "out.csv")["text"].tolist() == ["good 1", "bad 1", "good 2", "bad 2"]


@pytest.mark.parametrize("output", ["csv", "parquet", "jsonl"])
def test_files_with_other_columns(output: str, classifier: Classifier, tmp_path: Path) -> None:
    write(tmp_path / "part-1.csv", pd.DataFrame({"text": ["good"], "a": ["1"]}))
    write(tmp_path / "part-2.csv", pd.DataFrame({"b": ["2"], "label": ["x"], "text": ["bad"]}))
    path = tmp_path / f"out.{output}"
    predict_file(classifier, str(tmp_path / "part-*.csv"), path)
    found = read(path)
    assert found["text"].tolist() == ["good", "bad"]
    assert found["predicted_label"].tolist() == classifier.predict(["good", "bad"])
    assert found["label"].isna().tolist() == [True, False]
    assert found["a"].isna().tolist() == [False, True]
    assert found["b"].isna().tolist() == [True, False]


@pytest.mark.parametrize("output", FORMATS)
def test_lines_on_stdin(output: str, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("good film\r\n\nbad, dull\n"))
    path = tmp_path / f"out.{output}"
    assert predict_file(classifier, "-", path) == 3
    texts = read(path)["text"].fillna("").tolist()
    assert texts == ["good film", "", "bad, dull"]
    assert read(path)["label"].tolist() == classifier.predict(texts)


@pytest.mark.parametrize("output", FORMATS)
def test_nothing_on_stdin(output: str, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    path = tmp_path / f"out.{output}"
    assert predict_file(classifier, "-", path) == 0
    assert path.exists()
    if output != "jsonl":
        assert list(read(path).columns) == ["text", *ADDED]


@pytest.mark.parametrize("output", FORMATS)
def test_a_file_without_rows(output: str, classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n")
    write(tmp_path / "in.parquet", pd.DataFrame({"text": pd.Series([], dtype=str), "n": pd.Series([], dtype="int32")}))
    for source in ("in.csv", "in.parquet"):
        path = tmp_path / f"out.{output}"
        assert predict_file(classifier, str(tmp_path / source), path) == 0
    if output == "parquet":
        found = pq.read_schema(path)
        assert found.names == ["text", "n", *ADDED]
        assert found.field("n").type == pa.int32()


# Columns


def test_a_gold_label_stays(classifier: Classifier, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS, "label": list("abcde")}))
    predict_file(classifier, source, tmp_path / "out.csv")
    found = read(tmp_path / "out.csv")
    assert found["label"].tolist() == list("abcde")
    assert found["predicted_label"].tolist() == classifier.predict(TEXTS)


@pytest.mark.parametrize(
    "columns", [["probability_positive"], ["label", "predicted_label"], ["label", "probability_negative"]]
)
def test_a_column_that_would_be_lost_is_refused_before_any_work(
    columns: list[str], classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS, **dict.fromkeys(columns, "mine")}))
    monkeypatch.setattr(Classifier, "predict_proba", None)
    before = entries(tmp_path)
    with pytest.raises(DataError, match=f"already has the column '{columns[-1]}'"):
        predict_file(classifier, source, tmp_path / "out.csv")
    assert entries(tmp_path) == before


def test_the_text_column_can_be_named(classifier: Classifier, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"review": TEXTS}))
    predict_file(classifier, source, tmp_path / "out.csv", "review")
    assert read(tmp_path / "out.csv")["label"].tolist() == classifier.predict(TEXTS)
    with pytest.raises(DataError, match=r"no column 'text'; its columns are: review\. Name one with --text"):
        predict_file(classifier, source, tmp_path / "out.csv")


def test_missing_texts_are_empty_and_numbers_are_written_out(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": null}\n{"text": 12}\n{"text": "good"}\n')
    predict_file(classifier, str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl")["label"].tolist() == classifier.predict(["", "12", "good"])
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["text"] is None


@pytest.mark.parametrize("source", ["jsonl", "parquet"])
@pytest.mark.parametrize("output", ["jsonl", "parquet"])
def test_integers_with_holes_in_a_later_chunk_stay_integers(
    source: str, output: str, classifier: Classifier, tmp_path: Path, small_chunks: None
) -> None:
    values = [1, 2**53 + 1, None, 4, None]
    rows = [{"text": text, "n": value} for text, value in zip(TEXTS, values, strict=True)]
    path, out = tmp_path / f"in.{source}", tmp_path / f"out.{output}"
    if source == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    predict_file(classifier, str(path), out)
    found = pq.read_table(out).to_pylist() if output == "parquet" else map(json.loads, out.read_text().splitlines())
    numbers = [row["n"] for row in found]
    assert numbers == values
    assert [type(number) for number in numbers] == [type(value) for value in values]


def test_types_that_parquet_cannot_hold_are_refused_before_any_work(
    classifier: Classifier, tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": text, "x": value} for text, value in zip(TEXTS, [1, 2, 3, 4, "five"], strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    predict_file(classifier, str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl")["x"].tolist() == [1, 2, 3, 4, "five"]
    monkeypatch.setattr(Classifier, "predict_proba", None)
    with pytest.raises(DataError, match=r"several types.*Write \.jsonl"):
        predict_file(classifier, str(tmp_path / "in.jsonl"), tmp_path / "out.parquet")


# Thresholds


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("gold", [False, True])
def test_rows_below_the_threshold_get_no_label(
    output: str, gold: bool, classifier: Classifier, tmp_path: Path, small_chunks: None
) -> None:
    frame = pd.DataFrame({"text": TEXTS, **({"label": list("abcde")} if gold else {})})
    probabilities = classifier.predict_proba(TEXTS)
    threshold = float(np.median(probabilities.max(axis=1))) - 1e-6
    sure = (probabilities.max(axis=1) >= threshold).tolist()
    assert True in sure and False in sure
    path = tmp_path / f"out.{output}"
    predict_file(classifier, write(tmp_path / "in.csv", frame), path, threshold=threshold)
    expected = [label if answer else None for label, answer in zip(classifier.predict(TEXTS), sure, strict=True)]
    found = list(read_rows(path))
    added = "predicted_label" if gold else "label"
    assert [row[added] for row in found] == expected
    assert np.allclose([float(row["probability_positive"]) for row in found], probabilities[:, 1], atol=1e-6)
    if gold:
        assert [row["label"] for row in found] == list("abcde")


def test_all_rows_may_be_unsure(classifier: Classifier, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS}))
    predict_file(classifier, source, tmp_path / "out.csv", threshold=1.0)
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("good film,,0.")
    predict_file(classifier, source, tmp_path / "out.jsonl", threshold=1.0)
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["label"] is None
    predict_file(classifier, source, tmp_path / "out.parquet", threshold=1.0)
    column = pq.read_table(tmp_path / "out.parquet")["label"]
    assert column.type == pa.string() and column.null_count == len(TEXTS)


def test_an_odd_threshold_is_refused_before_any_work(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="threshold = 98: expected a probability from 0 to 1"):
        predict_file(classifier, str(tmp_path / "none.csv"), tmp_path / "out.csv", threshold=98)
