from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from understudy.data import files
from understudy.data.files import chunks, file_format, parquet_classes
from understudy.errors import DataError

CSV = b"text,label\nA triumph.,pos\nDull.,neg\n"
ROWS = {"text": ["A triumph.", "Dull."], "label": ["pos", "neg"]}


def read(path: Path, columns: list[str] | None = None) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for chunk in chunks(path, columns):
        for name, values in chunk.items():
            found.setdefault(name, []).extend(values)
    return found


def refused(path: Path, columns: list[str] | None = None) -> str:
    with pytest.raises(DataError) as error:
        read(path, columns)
    assert str(path) in str(error.value)
    return str(error.value)


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zst,
}


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def contents(tmp_path: Path) -> dict[str, bytes]:
    """The same two rows in every format."""
    pq.write_table(pa.table(ROWS), tmp_path / "made.parquet")
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(*ROWS.values(), strict=True)]
    return {
        "csv": CSV,
        "tsv": CSV.replace(b",", b"\t"),
        "jsonl": "\n".join(lines).encode(),
        "ndjson": "\n".join(lines).encode(),
        "parquet": (tmp_path / "made.parquet").read_bytes(),
    }


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz", "zst", "zip"])
def test_every_format_in_every_packing(tmp_path: Path, kind: str, packing: str) -> None:
    content = contents(tmp_path)[kind]
    path = tmp_path / (f"reviews.{kind}.{packing}" if packing else f"reviews.{kind}")
    if packing == "zip":
        write_zip(path, {f"reviews.{kind}": content})
    else:
        write(path, PACKERS[packing](content) if packing else content)
    assert read(path) == ROWS
    assert read(path, ["label"]) == {"label": ROWS["label"]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.b.TSV", "tsv"),
        ("a.ndjson.gz", "jsonl"),
        ("a.jsonl.ZIP", "jsonl"),
        ("a.parquet", "parquet"),
    ],
)
def test_format_by_name(name: str, expected: str) -> None:
    assert file_format(Path(name)) == expected


@pytest.mark.parametrize("name", ["a", "a.txt", "a.json", "a.gz", "a.csv.tar", "csv"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"expected a file that ends in \.csv"):
        file_format(Path(name))


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", b"\xef\xbb\xbf" + CSV)) == ROWS
    assert read(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a"}')) == {"text": ["a"]}


def test_quoted_cells_keep_newlines_separators_and_marks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\r\n"One,\r\ntwo\nand ""three""",x\r\n\r\n"",y\r\n')
    assert read(path) == {"text": ['One,\r\ntwo\nand "three"', None], "label": ["x", "y"]}


def test_marks_inside_an_unquoted_cell_are_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.tsv", 'text\tlabel\nHe said "no", twice\t1\n'))["text"] == ['He said "no", twice']


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "NULL", "01", "1e5", "1.50", "-", "True", " "])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_cells_are_strings_as_they_stand(tmp_path: Path, word: str, kind: str) -> None:
    separator = "," if kind == "csv" else "\t"
    path = write(tmp_path / f"a.{kind}", f"text{separator}label\n{word}{separator}{word}\n")
    assert read(path) == {"text": [word], "label": [word]}


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "text,label\n,x\ny,\n,\n")) == {
        "text": [None, "y", None],
        "label": ["x", None, None],
    }


def test_header_alone_gives_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "text,label\n"), ["text"]) == {}


def test_header_alone_must_have_the_columns(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "a.csv", "review,stars\n"), ["text", "label"])
    assert "no column 'text' and no column 'label'; its columns are: review, stars" in message
    assert "--data.text" in message


def test_columns_come_in_the_order_asked_for_and_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,c\n1,2,3\n")
    assert list(read(path, ["c", "a", "c"])) == ["c", "a"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        write(path, "text,text,label\na,b,c\n")
    else:
        pq.write_table(pa.table([["a"], ["b"], ["c"]], names=["text", "text", "label"]), path)
    assert "more than one column 'text'" in refused(path, ["text", "label"])
    assert read(path, ["label"]) == {"label": ["c"]}


@pytest.mark.parametrize(("row", "cells"), [("a,b,c", "3 cells"), ("a", "1 cell,")])
def test_ragged_rows_are_refused_with_their_line(tmp_path: Path, row: str, cells: str) -> None:
    message = refused(write(tmp_path / "a.csv", f'text,label\n"x\ny",z\n{row}\n'))
    assert f"line 4 has {cells}" in message and "the header has 2" in message


@pytest.mark.parametrize("row", ['"never closed,pos', '"Great" film,pos'])
def test_wrong_quoting_is_refused_and_not_swallowed(tmp_path: Path, row: str) -> None:
    message = refused(write(tmp_path / "a.csv", f"text,label\n{row}\nnext,neg\n"))
    assert "Quote each cell" in message


def test_a_cell_may_be_very_long(tmp_path: Path) -> None:
    long = "word " * 100_000
    assert read(write(tmp_path / "a.csv", f"text\n{long}\n")) == {"text": [long]}


@pytest.mark.parametrize("name", ["a.csv", "my data.tsv", "a.jsonl"])
def test_latin1_is_refused_with_the_way_to_convert_it(tmp_path: Path, name: str) -> None:
    message = refused(write(tmp_path / name, '{"text": "café"}\n'.encode("latin1")))
    assert "not UTF-8" in message and "iconv -f latin1 -t utf-8" in message
    assert ("'my data.tsv'" in message) == (name == "my data.tsv")


def test_packed_latin1_is_to_be_unpacked_first(tmp_path: Path) -> None:
    assert "Unpack it" in refused(write(tmp_path / "a.csv.gz", gzip.compress("text\né\n".encode("latin1"))))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    assert "is empty" in refused(write(tmp_path / name, b""))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_only_empty_lines(tmp_path: Path, name: str) -> None:
    assert "expected" in refused(write(tmp_path / name, "\n\n"))


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst"])
def test_truncated_packing(tmp_path: Path, packing: str) -> None:
    packed = PACKERS[packing](b"text\n" + "".join(f"{n * 7919 % 10007}\n" for n in range(9000)).encode())
    assert "cannot be read as csv" in refused(write(tmp_path / f"a.csv.{packing}", packed[: len(packed) // 2]))


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zst", "zip"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_packing_that_is_none(tmp_path: Path, packing: str, kind: str) -> None:
    assert f"cannot be read as {kind}" in refused(write(tmp_path / f"a.{kind}.{packing}", CSV))


def test_damaged_gz(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"text\n" + bytes(range(32, 127)) * 50))
    packed[20] ^= 0xFF
    assert "cannot be read as csv" in refused(write(tmp_path / "a.csv.gz", bytes(packed)))


def test_zip_ignores_what_macos_adds(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.csv.zip", {"in/": b"", "in/a.csv": CSV, "__MACOSX/in/._a.csv": b"\x00"})
    assert read(path) == ROWS


@pytest.mark.parametrize("members", [{}, {"a.csv": CSV, "b.csv": CSV}])
def test_zip_has_to_hold_one_file(tmp_path: Path, members: dict[str, bytes]) -> None:
    assert f"holds {len(members)} files: expected one" in refused(write_zip(tmp_path / "a.csv.zip", members))


@pytest.mark.parametrize("content", [CSV, b"PAR1 but not really PAR1", b"PAR1"])
def test_parquet_that_is_not(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.parquet", content)
    assert "cannot be read as parquet" in refused(path)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        parquet_classes(path, "label")


def test_truncated_parquet(tmp_path: Path) -> None:
    whole = contents(tmp_path)["parquet"]
    assert "cannot be read as parquet" in refused(write(tmp_path / "a.parquet", whole[:-20]))


def test_a_parquet_file_of_one_row_group_is_not_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    texts = [random.randbytes(50).hex() for _ in range(200_000)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=len(texts))
    before = pa.total_allocated_bytes()
    found = chunks(path)
    assert len(next(found)["text"]) == files.CHUNK_ROWS
    assert pa.total_allocated_bytes() - before < path.stat().st_size / 2
    assert sum(len(chunk["text"]) for chunk in found) == len(texts) - files.CHUNK_ROWS


def test_parquet_integers_with_nulls_stay_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": pa.array([1, None, 2**60 + 1], pa.int64())}), path)
    assert read(path) == {"label": [1, None, 2**60 + 1]}
    assert [type(value) for value in read(path)["label"]] == [int, type(None), int]


def test_parquet_dictionary_columns_give_their_values(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": pa.array(["b", "a", "b"]).dictionary_encode()}), path)
    assert read(path) == {"label": ["b", "a", "b"]}


def test_jsonl_keeps_types_and_key_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"1": "01", "date": "2020-01-01", "n": 1}\n\n{"1": null, "n": 2.5}\n')
    assert read(path) == {"1": ["01", None], "date": ["2020-01-01", None], "n": [1, 2.5]}
    assert read(path, ["date"]) == {"date": ["2020-01-01", None]}


@pytest.mark.parametrize("line", ["{'text': 1}", "[1]", '"a"', '{"text": "a"', "[" * 100_000])
def test_jsonl_names_the_line_that_is_wrong(tmp_path: Path, line: str) -> None:
    message = refused(write(tmp_path / "a.jsonl", f'{{"text": "a"}}\n{line}\n'))
    assert "line 2: expected one JSON object per line" in message


def test_jsonl_half_a_character(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude00"}')) == {"text": ["\U0001f600"]}
    assert "line 1 holds half" in refused(write(tmp_path / "a.jsonl", '{"text": "\\uD83D"}'))


def test_jsonl_key_that_comes_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_ROWS", 2)
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 3, "b": 4}\n')
    assert "line 3 has the key 'b'" in refused(path)
    assert read(path, ["a"]) == {"a": [1, 2, 3]}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_chunks_hold_all_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rows: int) -> None:
    monkeypatch.setattr(files, "CHUNK_ROWS", 2)
    path = tmp_path / f"a.{kind}"
    words = [f"w{row}" for row in range(rows)]
    if kind == "parquet":
        pq.write_table(pa.table({"a": words}), path)
    else:
        write(path, "\n".join(["a", *words] if kind == "csv" else [json.dumps({"a": word}) for word in words]))
    sizes = [len(chunk["a"]) for chunk in chunks(path)]
    assert sizes == [2] * (rows // 2) + [1] * (rows % 2)
    assert read(path)["a"] == words
