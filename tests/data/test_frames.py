"""In-memory data: what is accepted, what becomes of it, and that its file reads the same."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.frames import as_arrow, as_table, is_data, write_source
from understudy.data.sources import read
from understudy.data.tables import Table
from understudy.errors import DataError
from understudy.recipe.recipe import Recipe

COLUMNS: dict[str, list[Any]] = {"text": ["One.", None, "Three."], "label": ["pos", "neg", None]}
ROWS = [{"text": "One.", "label": "pos"}, {"label": "neg"}, {"text": "Three.", "label": None}]
FORMS: dict[str, Callable[[], Any]] = {
    "columns": lambda: COLUMNS,
    "rows": lambda: ROWS,
    "pair of lists": lambda: (COLUMNS["text"], COLUMNS["label"]),
    "pair of arrays": lambda: (np.array(COLUMNS["text"]), np.array(COLUMNS["label"])),
    "pair of series": lambda: (pd.Series(COLUMNS["text"]), pd.Series(COLUMNS["label"])),
    "pandas": lambda: pd.DataFrame(COLUMNS, index=[7, 7, 7]),
    "pandas objects": lambda: pd.DataFrame({**COLUMNS, "text": ["One.", float("nan"), "Three."]}, dtype=object),
    "pandas categories": lambda: pd.DataFrame(COLUMNS).astype({"label": "category"}),
    "arrow": lambda: pa.table(COLUMNS),
    "arrow views": lambda: pa.table({name: pa.array(cells, pa.string_view()) for name, cells in COLUMNS.items()}),
    "arrow batch": lambda: pa.record_batch(COLUMNS),
    "datasets": lambda: datasets.Dataset.from_dict(COLUMNS),
    "polars": lambda: pytest.importorskip("polars").DataFrame(COLUMNS),
    "polars categories": lambda: _polars_categories(),
}
CLASS_LABELS = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
)


def _polars_categories() -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame(COLUMNS, schema={"text": polars.String, "label": polars.Categorical})


def content(table: Table) -> tuple[Any, ...]:
    """Everything but the source; labels by their `repr`, which tells 1 from True and 1.0."""
    return table.texts, table.labels if table.labels is None else list(map(repr, table.labels)), table.classes


def named_dataset() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=CLASS_LABELS)


# Every form


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_table_and_file(form: str, tmp_path: Path) -> None:
    data = FORMS[form]()
    assert is_data(data)
    table = as_table(data)
    assert content(table) == (["One.", "", "Three."], ["'pos'", "'neg'", "None"], None)
    path = write_source(data, tmp_path, "train")
    assert content(read(str(path))) == content(table)
    if form != "datasets":  # whose features belong to the content
        assert path == write_source(COLUMNS, tmp_path, "train")


def test_other_columns_by_name(tmp_path: Path) -> None:
    data = {"message": ["a", "b"], "team": [1, 2], "received": pd.to_datetime(["2026-01-01", None])}
    assert content(as_table(data, "message", "team")) == (["a", "b"], ["1", "2"], None)
    assert as_table(data, "message", None).labels is None
    path = write_source(data, tmp_path, "train")
    assert content(read(str(path), "message", "team")) == content(as_table(data, "message", "team"))


def test_class_names_of_a_dataset_survive(tmp_path: Path) -> None:
    data = named_dataset().select([2, 0, 1])
    table = as_table(data)
    assert content(table) == (["c", "a", "b"], ["None", "0", "1"], ["negative", "positive"])
    assert content(read(str(write_source(data, tmp_path, "train")))) == content(table)


def test_a_dataset_with_a_format_of_its_own() -> None:
    assert as_table(named_dataset().with_format("numpy", columns=["label"])).texts == ["a", "b", "c"]


def test_class_names_count_for_the_file_name(tmp_path: Path) -> None:
    data = named_dataset()
    other = data.cast_column("label", datasets.ClassLabel(names=["bad", "good"]))
    assert write_source(data, tmp_path, "train") != write_source(other, tmp_path, "train")


def test_numbers_and_nan(tmp_path: Path) -> None:
    data = pd.DataFrame({"text": [1.5, float("nan")], "label": [1, float("nan")]})
    assert content(as_table(data)) == (["1.5", ""], ["1.0", "None"], None)
    arrow = pa.table({"text": [1.5, float("nan")], "label": [1.0, float("nan")]})
    assert content(as_table(arrow)) == content(as_table(data))
    assert content(read(str(write_source(arrow, tmp_path, "train")))) == content(as_table(arrow))


def test_nested_labels_are_left_to_the_audit(tmp_path: Path) -> None:
    data = {"text": ["a"], "label": [["x", "y"]]}
    assert as_table(data).labels == [["x", "y"]]
    assert read(str(write_source(data, tmp_path, "train"))).labels == [["x", "y"]]


def test_the_index_of_a_data_frame_is_no_column() -> None:
    assert as_arrow(pd.DataFrame(COLUMNS, index=pd.Index([1, 2, 3], name="id"))).column_names == ["text", "label"]


# The file


def test_the_file_is_written_once(tmp_path: Path) -> None:
    path = write_source(COLUMNS, tmp_path / "new", "train")
    written = path.stat().st_mtime_ns
    assert write_source(ROWS, tmp_path / "new", "train") == path
    assert path.stat().st_mtime_ns == written
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.name == "train-11ec9c6cfacb2c11.parquet"  # also next year, and with another version of Arrow


@pytest.mark.parametrize(
    "other",
    [
        {"text": ["One.", "Two.", "Three."], "label": COLUMNS["label"]},
        {"text": COLUMNS["text"], "label": ["pos", "neg", "neg"]},
        {"text": COLUMNS["text"], "team": COLUMNS["label"]},
        {"text": COLUMNS["text"], "label": [1, 0, None]},
        {**COLUMNS, "id": [1, 2, 3]},
        {"text": ["One.", "", "Three."], "label": COLUMNS["label"]},
    ],
)
def test_other_content_has_another_name(tmp_path: Path, other: dict[str, list[Any]]) -> None:
    assert write_source(other, tmp_path, "train") != write_source(COLUMNS, tmp_path, "train")


def test_chunks_do_not_change_the_name(tmp_path: Path) -> None:
    whole = pa.table({"text": [f"text {row}" for row in range(20_000)], "label": [0, 1] * 10_000})
    parts = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    assert write_source(whole, tmp_path, "train") == write_source(parts, tmp_path, "train")


def test_dates_are_told_apart(tmp_path: Path) -> None:
    names = {
        write_source({"text": ["a"], "when": pa.chunked_array([pa.array([1], kind)])}, tmp_path, "train").name
        for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.date32(), pa.date64(), pa.duration("ms"))
    }
    assert len(names) == 5


def test_what_parquet_cannot_hold(tmp_path: Path) -> None:
    data = pa.table({"text": ["a"], "span": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(DataError, match=r"pyarrow Table cannot be written as parquet: .* Leave that column out"):
        write_source(data, tmp_path, "train")
    assert not list(tmp_path.iterdir())


# The same as files

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CSV_TEXTS = TEXTS.filter(lambda text: "\0" not in text)  # csv files with NUL bytes are refused
LABELS = CSV_TEXTS.filter(lambda label: label != "")


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.none() | CSV_TEXTS, st.none() | LABELS), min_size=1, max_size=8))
def test_strings_read_as_from_csv_and_parquet(rows: list[tuple[str | None, str | None]]) -> None:
    data = ([text for text, _ in rows], [label for _, label in rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
        from_csv, from_parquet = read(str(path)), read(str(write_source(data, Path(folder), "train")))
    assert content(as_table(data)) == content(from_csv) == content(from_parquet)


CELLS = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.none() | st.floats(), min_size=4, max_size=4),
    st.lists(st.none() | st.booleans(), min_size=4, max_size=4),
    st.lists(st.none() | TEXTS, min_size=4, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(texts=CELLS, labels=CELLS)
def test_any_type_reads_as_from_parquet(texts: list[Any], labels: list[Any]) -> None:
    data = {"text": texts, "label": labels}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(pa.table(data), path)
        plain, ours = read(str(path)), read(str(write_source(data, Path(folder), "train")))
    assert content(as_table(data)) == content(ours) == content(plain)


# What is refused


@pytest.mark.parametrize("value", ["reviews.csv", b"bytes", Path("reviews.csv"), Recipe.load("quickstart"), None, 3])
def test_names_paths_and_recipes_are_no_data(value: object) -> None:
    assert not is_data(value)
    with pytest.raises(TypeError, match=r"^Got .* as data\. Pass a pandas or Polars data frame"):
        as_arrow(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.Series(["a"]), "Got pandas Series, a single column. Pass a pandas or Polars data frame"),
        (("a", "b", "c"), "Got a tuple of 3 as data"),
        (["a", "b"], "Row 1 of the list has the type str: expected a mapping"),
        (("texts", "labels"), "The column 'text' has the type str: expected a list"),
        ({"text": 3}, "The column 'text' has the type int: expected a list"),
        ({"text": {"a": 1}}, "The column 'text' has the type dict: expected a list"),
        ({"text": {"a", "b"}}, "The column 'text' has the type set: expected a list"),
        ({1: ["a"]}, "A column has the name 1 (int): expected a string"),
        (datasets.DatasetDict(train=named_dataset()), "Got several splits (train): expected one. Pass data['train']"),
    ],
)
def test_wrong_types(data: Any, message: str) -> None:
    with pytest.raises(TypeError) as error:
        as_arrow(data)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "The list has no rows: expected at least one"),
        ({"text": ["a", "b"], "label": [1]}, "different lengths ('text' has 2, 'label' has 1 values)"),
        ((["a", "b"], [1]), "different lengths ('text' has 2, 'label' has 1 values)"),
        (
            {"message": ["a"], "team": [1]},
            "has no column 'text' and no column 'label'; its columns are: message, team.",
        ),
        ({"text": [["a"]], "label": [1]}, "the column 'text' has the type list<item: string>; expected strings"),
        ({"text": [b"a"], "label": [1]}, "the column 'text' has the type binary; expected strings"),
        ({"text": ["a", 1], "label": [1, 2]}, "The column 'text' mixes types"),
        ({"text": ["a"], "label": [2**70]}, "The column 'label' mixes types, or holds values that Arrow cannot store"),
        ({"text": ["\ud83d"], "label": [1]}, "half of a surrogate pair"),
        (pd.DataFrame({"text": ["a", 1], "label": [1, 2]}), "Conversion failed for column text"),
        (pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), "has no column 'label'"),
        (pa.Table.from_arrays([pa.array(["a"])] * 3, ["text", "text", "label"]), "more than one column 'text'"),
    ],
)
def test_unfit_data(data: Any, message: str) -> None:
    with pytest.raises(DataError) as error:
        as_table(data)
    assert message in str(error.value)


WITHOUT_LIBRARIES = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name in ("pandas", "polars", "datasets"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from understudy.data.frames import as_table, is_data, write_source

data = {"text": ["a"], "label": [1]}
assert is_data(data) and len(as_table(data)) == 1
assert write_source(data, Path(sys.argv[1]), "train").is_file()
"""


def test_plain_data_needs_no_other_library(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_LIBRARIES, str(tmp_path)], check=True)
