"""Rows written chunk by chunk are read back unchanged."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from understudy.data.blocks import Block
from understudy.data.files import Chunk, chunks
from understudy.errors import DataError
from understudy.inference.writers import Types, writer

STRANGE = [
    "plain",
    'a "quoted" word, and a comma',
    "two\nlines",
    "carriage\rreturn",
    "dos\r\nline",
    "tab\tulator",
    "ünïcödé 🎬 \u2028 line separator",
    " spaces ",
    "'single'",
    '"',
]


def write(path: Path, kind: str, written: list[Chunk], **options: Any) -> None:
    with writer(path, kind, list(written[0]), **options) as put:
        for chunk in written:
            put(Block(chunk), {})


def read(path: Path) -> Chunk:
    found: Chunk = {}
    for chunk in chunks(path):
        for name, values in chunk.items():
            found.setdefault(name, []).extend(values)
    return found


def schema(written: list[Chunk]) -> pa.Schema:
    types = Types()
    for chunk in written:
        types.see(chunk, Path("in.jsonl"))
    return types.schema(list(written[0]), {})


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_strange_texts_survive(kind: str, tmp_path: Path) -> None:
    written = [{"text": STRANGE, "n": [str(row) for row in range(len(STRANGE))]}]
    path = tmp_path / f"out.{kind}"
    write(path, kind, written, schema=schema(written) if kind == "parquet" else None)
    assert read(path) == written[0]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_rows_end_with_a_newline_alone(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "out", kind, [{"a": ["1", None], "b": ["2", "x"]}])
    separator = "," if kind == "csv" else "\t"
    assert (tmp_path / "out").read_bytes().decode() == f"a{separator}b\n1{separator}2\n{separator}x\n"


def test_a_lone_missing_cell_is_a_row(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", "csv", [{"a": ["1", None, "2"]}])
    assert read(tmp_path / "out.csv") == {"a": ["1", None, "2"]}


def test_json_has_null_for_missing_and_infinite_values(tmp_path: Path) -> None:
    nan = float("nan")
    write(tmp_path / "out.jsonl", "jsonl", [{"a": [1.5, nan, None, float("-inf"), [nan, {"b": nan}], 3, True]}])
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    expected = ["1.5", "null", "null", "null", '[null, {"b": null}]', "3", "true"]
    assert lines == [f'{{"a": {value}}}' for value in expected]


def test_json_writes_a_date_as_text(tmp_path: Path) -> None:
    write(tmp_path / "out.jsonl", "jsonl", [{"day": [datetime.date(2024, 2, 29)]}])
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"day": "2024-02-29"}


def test_a_column_that_a_chunk_lacks_has_no_values_there(tmp_path: Path) -> None:
    with writer(tmp_path / "out.csv", "csv", ["a", "b"]) as put:
        put(Block({"b": ["1"]}), {})
        put(Block({"b": ["2"], "a": ["3"]}), {})
    assert (tmp_path / "out.csv").read_text() == "a,b\n,1\n3,2\n"


# Types of parquet columns


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ([1, 2], [3, None], pa.int64()),
        ([None, None], [3, 4], pa.int64()),
        ([1, 2], [0.5, None], pa.float64()),
        (["a", "b"], [None, None], pa.string()),
        ([None, None], [None, None], pa.string()),
        ([True, False], [None, True], pa.bool_()),
        ([2**53 + 1, 1], [None, 2], pa.int64()),
        ([[1], []], [None, [2]], pa.list_(pa.int64())),
    ],
)
def test_a_type_holds_for_all_chunks(first: list[Any], second: list[Any], kind: pa.DataType, tmp_path: Path) -> None:
    written: list[Chunk] = [{"x": first}, {"x": second}]
    write(tmp_path / "out.parquet", "parquet", written, schema=schema(written))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("x").type == kind
    assert table["x"].to_pylist() == [*first, *second]


@pytest.mark.parametrize("values", [[1, "one"], ["one", 1]])
@pytest.mark.parametrize("together", [True, False])
def test_several_types_in_one_column_are_refused(values: list[Any], together: bool) -> None:
    written: list[Chunk] = [{"x": values}] if together else [{"x": values[:1]}, {"x": values[1:]}]
    with pytest.raises(DataError, match=r"in\.jsonl has values of several types in one column.*Write \.jsonl"):
        schema(written)


def test_a_parquet_files_own_types_are_taken(tmp_path: Path) -> None:
    own = pa.schema([("text", pa.large_string()), ("n", pa.int8()), ("when", pa.timestamp("ms", tz="UTC"))])
    pq.write_table(pa.table({"text": [], "n": [], "when": []}, schema=own), tmp_path / "in.parquet")
    types = Types()
    assert types.see_file(tmp_path / "in.parquet")
    assert not types.see_file(tmp_path / "in.csv")
    assert types.schema(["text", "n", "when"], {"label": "string"}) == own.append(pa.field("label", pa.string()))
