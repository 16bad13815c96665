from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from understudy.data.sources import read, source_files
from understudy.data.tables import text_of
from understudy.errors import DataError


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def refused(source: str | Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(str(source), **options)
    return str(error.value)


# Files


def test_a_file(tmp_path: Path) -> None:
    table = read(str(write(tmp_path / "a.csv", "label,text\npos,One.\nneg,\n,Three.\n")))
    assert table.texts == ["One.", "", "Three."]
    assert table.labels == ["pos", "neg", None]
    assert table.classes is None
    assert len(table) == 3


def test_other_columns_by_name(tmp_path: Path) -> None:
    table = read(str(write(tmp_path / "a.csv", "text,review,stars\nx,One.,01\n")), "review", "stars")
    assert (table.texts, table.labels) == (["One."], ["01"])


def test_without_labels(tmp_path: Path) -> None:
    assert read(str(write(tmp_path / "a.csv", "text\nOne.\n")), label=None).labels is None


def test_one_column_may_be_both(tmp_path: Path) -> None:
    table = read(str(write(tmp_path / "a.csv", "text\nOne.\n")), "text", "text")
    assert (table.texts, table.labels) == (["One."], ["One."])


def test_missing_label_column(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "a.jsonl", '{"text": "One.", "stars": 1}'))
    assert "no column 'label'; its columns are: text, stars" in message


def test_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    table = read(str(write(tmp_path / "a.csv", "text,label\n")))
    assert (len(table), table.labels) == (0, [])


def test_float_and_integer_labels_keep_their_type(tmp_path: Path) -> None:
    lines = '{"text": "a", "label": 0.5}\n{"text": "b", "label": 1}\n{"text": "c", "label": null}\n{"text": "d"}\n'
    labels = read(str(write(tmp_path / "a.jsonl", lines))).labels
    assert labels == [0.5, 1, None, None]
    assert [type(label) for label in labels or []] == [float, int, type(None), type(None)]


def test_nan_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"text": pa.array([1.5, float("nan")]), "label": pa.array([1.0, float("nan")])}
    pq.write_table(pa.table(columns), path)
    table = read(str(path))
    assert (table.texts, table.labels) == (["1.5", ""], [1.0, None])


@pytest.mark.parametrize("value", [b"bytes", ["a", "list"], {"a": "mapping"}])
def test_texts_have_to_be_strings(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([None, value]), "label": pa.array([0, 1])}), path)
    message = refused(path)
    assert f"row 2: expected a string as text, got {type(value).__name__}" in message
    assert "--data.text" in message


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (None, ""), (float("nan"), ""), (7, "7"), (0.5, "0.5")])
def test_text_of(value: Any, text: str) -> None:
    assert text_of(value, "a.csv", 1) == text


# Globs


def test_a_glob_reads_its_files_in_order(tmp_path: Path) -> None:
    write(tmp_path / "part-2.csv", "text,label\nb,1\n")
    write(tmp_path / "part-1.jsonl", '{"label": "0", "text": "a"}\n')
    (tmp_path / "part-3.csv").mkdir()
    table = read(str(tmp_path / "part-*"))
    assert (table.texts, table.labels) == (["a", "b"], ["0", "1"])


def test_a_glob_numbers_rows_by_file(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", '{"text": "a"}\n')
    write(tmp_path / "2.jsonl", '{"text": []}\n')
    assert f"{tmp_path / '2.jsonl'} row 1:" in refused(tmp_path / "*.jsonl", label=None)


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1].csv", "text,label\na,b\n")
    assert source_files(str(path)) == [path]


def test_a_glob_refuses_other_formats(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "text,label\na,b\n")
    write(tmp_path / "readme.md", "no data")
    assert "readme.md: expected a file that ends in" in refused(tmp_path / "*")


# What is not there


@pytest.mark.parametrize(
    "source",
    [
        "missing.csv",
        "missing.jsonl.gz",
        "missing-*.csv",
        "/no/such/folder",
        "./missing:train",
        "/no/such:train",
        "owner/name",
        "a/b/c:train",
        "",
        ":train",
        "owner/name:",
        "x" * 5000,
        "x" * 5000 + "/y:train",
        "nul\0byte.csv",
    ],
)
def test_no_such_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(source)
    assert message.startswith(f"No data at '{source}'")
    assert "expected a csv" in message and "Check the path" in message


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    assert f"is a folder: expected files. Give a glob, such as {tmp_path}/*.csv" in refused(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "there.csv", "folder"])
def test_files_have_no_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "there.csv", "text,label\na,b\n")
    (tmp_path / "folder").mkdir()
    wanted = "a glob, such as folder/*.csv" if name == "folder" else name
    assert f"files and folders have no splits. Give {wanted}." in refused(f"{name}:train")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "text,label\na,b\n")

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refused(path)


# Parquet with class names


def write_class_label(path: Path, labels: list[int], names: list[str]) -> Path:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": [f"text {row}" for row in range(len(labels))], "label": labels}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


def test_class_names_that_datasets_wrote(tmp_path: Path) -> None:
    table = read(str(write_class_label(tmp_path / "a.parquet", [1, 0, -1], ["neg", "pos"])))
    assert table.classes == ["neg", "pos"]
    assert table.labels == [1, 0, None]


def test_class_names_survive_packing(tmp_path: Path) -> None:
    path = write_class_label(tmp_path / "a.parquet", [1, 0], ["neg", "pos"])
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(str(tmp_path / "b.parquet.gz")).classes == ["neg", "pos"]


def test_class_names_that_differ_between_files_are_refused(tmp_path: Path) -> None:
    write_class_label(tmp_path / "1.parquet", [1, 0], ["neg", "pos"])
    write_class_label(tmp_path / "2.parquet", [1, 0], ["pos", "neg"])
    assert "has the classes pos, neg, but earlier files have neg, pos" in refused(tmp_path / "*.parquet")


def test_a_plain_minus_one_is_a_label(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": [-1, 1]}), path)
    table = read(str(path))
    assert (table.labels, table.classes) == ([-1, 1], None)


@pytest.mark.parametrize(
    "metadata", [{}, {"huggingface": "no json"}, {"huggingface": "[]"}, {"huggingface": '{"info": {"features": null}}'}]
)
def test_foreign_metadata_gives_no_names(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [0]}).replace_schema_metadata(metadata), path)
    assert read(str(path)).classes is None


# What ships with understudy


@pytest.mark.parametrize("split", ["train", "test"])
def test_shipped_reviews(split: str) -> None:
    table = read(f"reviews:{split}")
    assert len(table) > 50
    assert set(table.labels or []) == {"negative", "positive"}
    assert all(text.strip() for text in table.texts)


def test_shipped_reviews_have_two_splits() -> None:
    assert read("reviews:train", label=None).labels is None
    assert not set(read("reviews:train").texts) & set(read("reviews:test").texts)
    assert "expected reviews:train or reviews:test" in refused("reviews:validation")
