"""Columns that predict does not touch come out as they were."""

from __future__ import annotations

import csv
import datetime
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tables import read_rows
from understudy.errors import DataError, UserError
from understudy.inference.bulk import predict_file
from understudy.inference.classifier import Classifier

NANOSECOND = pa.array([1_000_000_001, None, 3], pa.time64("ns"))
FOREVER = pa.array([253402300799000000, 0, None], pa.timestamp("us", "Europe/Berlin"))
COLUMNS: dict[str, Any] = {
    "time": NANOSECOND,
    "until": FOREVER,
    "at": pa.array([1, None, 2**62], pa.timestamp("ns")),
    "span": pa.array([1, None, 2], pa.duration("ns")),
    "day": pa.array([datetime.date(2024, 2, 29), None, None]),
    "price": pa.array([Decimal("1.50"), None, Decimal("12345678901234567890.10")], pa.decimal128(38, 2)),
    "id": pa.array([2**63 - 1, None, 1], pa.int64()),
    "small": pa.array([1, None, 3], pa.uint8()),
    "half": pa.array([0.1, float("nan"), None], pa.float32()),
    "none": pa.nulls(3),
    "kind": pa.array(["x", None, "y"]).dictionary_encode(),
    "tags": pa.array([["a"], [], None]),
    "times": pa.array([[1], None, [2]], pa.list_(pa.timestamp("ns"))),
    "nested": pa.array([{"a": 1, "t": 5}, None, {"a": None}], pa.struct({"a": pa.int8(), "t": pa.time64("ns")})),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "bytes": pa.array([b"\0\xff", None, b""]),
    "large": pa.array(["a", None, "b"], pa.large_string()),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["good", "bad", "fine"], **COLUMNS}), path)
    return path


def predicted(classifier: Classifier, source: Path, suffix: str) -> Path:
    path = source.with_name(f"out.{suffix}")
    predict_file(classifier, str(source), path)
    return path


@pytest.mark.parametrize("window", [1, 2, 4096])
def test_parquet_keeps_types_and_values(
    window: int, source: Path, classifier: Classifier, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.inference.bulk.WINDOW", window)
    before, after = pq.read_table(source), pq.read_table(predicted(classifier, source, "parquet"))
    assert list(after.schema)[: len(before.schema)] == list(before.schema)
    for name in before.column_names:
        found, expected = (table[name].combine_chunks() for table in (after, before))
        assert str(found) == str(expected)


def test_parquet_as_text_keeps_nanoseconds_and_all_years(source: Path, classifier: Classifier) -> None:
    first = json.loads(predicted(classifier, source, "jsonl").read_text().splitlines()[0])
    assert first["time"] == "00:00:01.000000001"
    assert first["until"] == "10000-01-01 00:59:59.000000+0100"
    assert first["at"] == "1970-01-01 00:00:00.000000001"
    assert (first["price"], first["id"], first["bytes"], first["span"]) == ("1.50", 2**63 - 1, "AP8=", "1 ns")
    assert first["nested"] == {"a": 1, "t": "00:00:00.000000005"}
    with predicted(classifier, source, "csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["time"], row["day"], row["bytes"], row["none"]) == ("00:00:01.000000001", "2024-02-29", "AP8=", "")
    assert json.loads(row["nested"]) == first["nested"]


NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)
VALUES = {
    "id": (NUMBERS, pa.int64()),
    "at": (NUMBERS, pa.timestamp("ns")),
    "span": (NUMBERS, pa.duration("us")),
    "half": (st.none() | st.floats(), pa.float64()),
    "note": (st.none() | st.text(max_size=9), pa.string()),
    "raw": (st.none() | st.binary(max_size=9), pa.binary()),
    "tags": (st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), pa.list_(pa.string())),
}


@given(st.data(), st.integers(1, 7), st.sets(st.sampled_from(sorted(VALUES)), min_size=1))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_columns_of_parquet(classifier: Classifier, data: Any, rows: int, names: set[str]) -> None:
    def column(name: str) -> pa.Array:
        values, its_type = VALUES[name]
        return pa.array(data.draw(st.lists(values, min_size=rows, max_size=rows), name), its_type)

    columns = {name: column(name) for name in sorted(names)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.parquet"
        pq.write_table(pa.table({"text": ["good"] * rows, **columns}), path)
        after = pq.read_table(predicted(classifier, path, "parquet"))
    assert after.num_rows == rows
    for name, expected in columns.items():
        found = after[name].combine_chunks()
        assert found.type == expected.type and str(found.to_pylist()) == str(expected.to_pylist())


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=9), min_size=1))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cells_of_csv(classifier: Classifier, cells: list[str]) -> None:
    """Rows in are rows out, and cells keep their text, apart from how a line ends within a cell."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text", "note"], *(["good", cell] for cell in cells)])
        with predicted(classifier, path, "csv").open(newline="", encoding="utf-8") as file:
            found = [row["note"] for row in csv.DictReader(file)]
    assert [cell.splitlines() for cell in found] == [cell.splitlines() for cell in cells]


def test_a_time_zone_that_nobody_knows(tmp_path: Path, classifier: Classifier) -> None:
    when = pa.array([0], pa.timestamp("us", "Nowhere/Else"))
    pq.write_table(pa.table({"text": ["good"], "when": when}), tmp_path / "in.parquet")
    (row,) = read_rows(predicted(classifier, tmp_path / "in.parquet", "csv"))
    assert row["when"] == "1970-01-01 00:00:00.000000Z"


def test_csv_keeps_the_text_of_cells(tmp_path: Path, classifier: Classifier) -> None:
    cells = ["007", "1e5", "2024-02-29", "1.50", "12345678901234567890123", " x ", "NaN", "TRUE"]
    (tmp_path / "in.csv").write_text(";".join(["text", *"abcdefgh"]) + "\n" + ";".join(["good", *cells]) + "\n")
    with predicted(classifier, tmp_path / "in.csv", "csv").open(newline="") as file:
        assert list(csv.reader(file))[1][1:9] == cells
    table = pq.read_table(predicted(classifier, tmp_path / "in.csv", "parquet"))
    assert [table[name][0].as_py() for name in "abcdefgh"] == cells


LINES = [
    '{"text":"a","id":12345678901234567890123,"f":1e400,"g":0.10,"n":NaN,"d":{"t":"\\u0000"}}',
    '{"text":"b",  "id":1,"f":1.0,"g":1e-320 }',
    '{ "z": [], "text": "\\u00e9" }',
    "{}",
]


def test_jsonl_keeps_the_text_of_keys(tmp_path: Path, classifier: Classifier, small_chunks: None) -> None:
    (tmp_path / "in.jsonl").write_text("\n\n".join(LINES))
    found = predicted(classifier, tmp_path / "in.jsonl", "jsonl").read_text().splitlines()
    assert len(found) == len(LINES)
    for line, after in zip(LINES, found, strict=True):
        assert after.startswith(line.removesuffix("}").rstrip())
        added = json.loads(after).keys() - json.loads(line).keys()
        assert added == {"label", "probability_negative", "probability_positive"}


def test_jsonl_as_csv_keeps_numbers(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "in.jsonl").write_text("\n".join(LINES[:2]))
    with predicted(classifier, tmp_path / "in.jsonl", "csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["id"], first["f"], first["g"]) == ("12345678901234567890123", "1e400", "0.10")


@pytest.mark.parametrize("values", [["12345678901234567890123", "1"], ["9007199254740993", "0.5"], ["1", "1e400"]])
@pytest.mark.parametrize("apart", [True, False])
def test_numbers_that_parquet_would_change_are_refused_before_any_work(
    values: list[str], apart: bool, tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.data.files.CHUNK_ROWS", 1 if apart else 8)
    monkeypatch.setattr(Classifier, "predict_proba", None)
    (tmp_path / "in.jsonl").write_text("".join(f'{{"text": "a", "x": {value}}}\n' for value in values))
    with pytest.raises(DataError, match=r"'x'.*Write \.jsonl instead"):
        predicted(classifier, tmp_path / "in.jsonl", "parquet")


def test_files_whose_types_differ(tmp_path: Path, classifier: Classifier) -> None:
    for number, kind in enumerate([pa.int8(), pa.int64()]):
        table = pa.table({"text": ["good"], "n": pa.array([number], kind), "k": pa.array(["x"]).dictionary_encode()})
        pq.write_table(table, tmp_path / f"in{number}.parquet")
    predict_file(classifier, str(tmp_path / "in*.parquet"), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert (table["n"].type, table["n"].to_pylist(), table["k"].to_pylist()) == (pa.int64(), [0, 1], ["x", "x"])


@pytest.mark.parametrize("name", ["/proc/x.csv", "/proc/new/x.csv", f"{'a' * 300}.csv", "a\0b.csv"])
def test_outputs_that_cannot_be_written(name: str, tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "in.csv").write_text("text\ngood\n")
    if name.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc")
    with pytest.raises(UserError, match="Give a"):
        predict_file(classifier, str(tmp_path / "in.csv"), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.csv"]


def test_the_home_folder(tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "in.csv").write_text("text\ngood\n")
    assert predict_file(classifier, "~/in.csv", Path("~/out.csv")) == 1
    assert (tmp_path / "out.csv").exists()
