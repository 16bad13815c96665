"""Separators, quotation marks, encodings and compression by content: no record is lost silently."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data.files import chunks
from understudy.data.quoting import warn_once
from understudy.data.sources import read as read_source
from understudy.errors import DataError

HEADER = ["text", "label"]


def read(path: Path) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks(path) for row in zip(*chunk.values(), strict=True)]


def made(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value).removeprefix(str(path))


# What is written is read

CELLS = st.text('aé🎬 ,;\t|"\n\r', max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8)
PACKINGS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    suffix=st.sampled_from(["csv", "tsv"]),
    separator=st.sampled_from(",;|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    packing=st.sampled_from(PACKINGS),
)
def test_what_csv_writes_is_read(
    rows: list[tuple[str, str]], suffix: str, separator: str, quoting: Any, encoding: str, packing: Any
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, quoting=quoting).writerows([HEADER, *rows])
    with tempfile.TemporaryDirectory() as folder:
        found = read(made(Path(folder), f"a.{suffix}", packing(file.getvalue().encode(encoding))))
    assert found == [tuple(cell or None for cell in row) for row in rows]


TAB_CELLS = st.text('aé "\n,', max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(TAB_CELLS, TAB_CELLS), min_size=1, max_size=8), quoting=st.sampled_from([0, 1]))
def test_what_csv_writes_with_tabs_is_read(rows: list[tuple[str, str]], quoting: Any) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, "excel-tab", quoting=quoting).writerows([HEADER, *rows])
    with tempfile.TemporaryDirectory() as folder:
        assert read(made(Path(folder), "a.tsv", file.getvalue())) == [
            tuple(cell or None for cell in row) for row in rows
        ]


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(st.text('a "', min_size=1, max_size=6), st.just("x")), min_size=1, max_size=8))
def test_marks_without_a_rule_lose_no_row_silently(rows: list[tuple[str, str]]) -> None:
    content = "".join("\t".join(row) + "\n" for row in [HEADER, *rows])
    before = warn_once.cache_info().misses
    with tempfile.TemporaryDirectory() as folder:
        found = read(made(Path(folder), "a.tsv", content))
    assert len(found) == len(rows) or warn_once.cache_info().misses > before


BEGINNINGS = [b"", b"text,label\n", b'{"text": "a"}\n', codecs.BOM_UTF16_LE, b"\x1f\x8b\x08", b"PK\x03\x04"]


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=60) | st.text('a1,;\t|"\r\n{}[]:\0é', max_size=60).map(str.encode),
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.jsonl.zst", "a.csv.zip", "a.parquet"]),
    begin=st.sampled_from(
        [b"", b"text,label\n", b'{"text": "a"}\n', codecs.BOM_UTF16_LE, b"\x1f\x8b\x08", b"PK\x03\x04"]
    ),
)
def test_any_bytes_give_rows_or_a_users_error(content: bytes, name: str, begin: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder), name, begin + content)
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)


# Separators


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, suffix: str, separator: str) -> None:
    content = f'text{separator}label\n"a, b; c{separator}"{separator}1\n"d"{separator}2\n'
    if separator != "\t":
        content = content.replace('"d"', "d; e" if separator != ";" else "d")
    assert len(read(made(tmp_path, f"a.{suffix}", content))) == 2


def test_a_comma_in_a_text_of_a_semicolon_file(tmp_path: Path) -> None:
    path = made(tmp_path, "a.csv", "text;label\nHello, you;1\nBye;2\n")
    assert read_source(str(path)).texts == ["Hello, you", "Bye"]


def test_a_semicolon_in_texts_of_a_comma_file(tmp_path: Path) -> None:
    assert read(made(tmp_path, "a.csv", "text,label\na; b,1\nc; d,2\n")) == [("a; b", "1"), ("c; d", "2")]
    assert read(made(tmp_path, "a.csv", "text\na; b\nc; d\n")) == [("a; b",), ("c; d",)]


def test_the_line_that_excel_writes_first(tmp_path: Path) -> None:
    assert read(made(tmp_path, "a.csv", "sep=;\r\ntext;label\r\na;b\r\n")) == [("a", "b")]


# Rows with other cells than the header


def test_empty_columns_at_the_end(tmp_path: Path) -> None:
    assert read(made(tmp_path, "a.csv", "text,label,,\na,b,,\nc,d,,\n")) == [("a", "b"), ("c", "d")]
    message = refused(made(tmp_path, "a.csv", "text,label,\nx,y,\nHello, you,b\n"))
    assert "line 3 has 'b' in column 3, which has no name" in message
    message = refused(made(tmp_path, "a.csv", "text,label\na,b,,\n"))
    assert "line 2 has 4 cells, but the header has 2" in message and "remove the separators" in message


def test_a_row_of_several_lines_is_named_with_all_of_them(tmp_path: Path) -> None:
    message = refused(made(tmp_path, "a.csv", 'text,label\na,b\n"c,d\ne",f,g\n'))
    assert "lines 3 to 4 are one row, which has 3 cells, but the header has 2" in message


@pytest.mark.parametrize("content", ["text,label\nx,y\na\rb,c\n", "text\nx\na\rb\n"])
def test_a_carriage_return_in_a_cell(tmp_path: Path, content: str) -> None:
    assert "line 3 has a carriage return" in refused(made(tmp_path, "a.csv", content))
    assert "line 3 has a carriage return" in refused(made(tmp_path, "a.tsv", content.replace(",", "\t")))


def test_lines_that_end_with_carriage_returns(tmp_path: Path) -> None:
    assert read(made(tmp_path, "a.csv", 'text,label\r"a\nb",c\rd,e\r')) == [("a\nb", "c"), ("d", "e")]


# Quotation marks


def lone_marks(separator: str) -> str:
    rows = [f"text {row}{separator}bad" for row in range(240)]
    rows[10], rows[40] = f'"text 10{separator}bad', f'text 40"{separator}bad'
    return "\n".join([separator.join(HEADER), *rows]) + "\n"


def test_lone_marks_with_tabs_are_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read(made(tmp_path, "a.tsv", lone_marks("\t")))
    assert len(found) == 240
    assert (found[10], found[40]) == (('"text 10', "bad"), ('text 40"', "bad"))
    assert "opens on line 12 and the next one closes on line 42" in caplog.text


def test_lone_marks_with_commas_give_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read(made(tmp_path, "a.csv", lone_marks(",")))) == 210
    assert "lines 12 to 42 are read as one row" in caplog.text


def test_a_mark_that_nothing_closes(tmp_path: Path) -> None:
    content = 'text,label\nx,y\n"a,b\nc,d\n'
    assert "line 3: a quotation mark opens a cell that never ends" in refused(made(tmp_path, "a.csv", content))
    assert read(made(tmp_path, "a.tsv", content.replace(",", "\t"))) == [("x", "y"), ('"a', "b"), ("c", "d")]


def test_quoted_cells_with_tabs_and_newlines(tmp_path: Path) -> None:
    path = made(tmp_path, "a.tsv", 'text\tlabel\n"one\t\ttwo\nthree ""3"""\t1\n"Great" film\t2\n')
    assert "expected after" in refused(path)
    path.write_text('text\tlabel\n"one\ttwo\nthree ""3"""\t"1"\nplain\t2\n')
    assert read(path) == [('one\ttwo\nthree "3"', "1"), ("plain", "2")]
    path.write_text('text\tlabel\n"Great" film\t1\n"all ""of"" it"\t2\n')
    assert read(path) == [('"Great" film', "1"), ('all "of" it', "2")]


# Encodings and compression


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("packing", [gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_found_by_content(tmp_path: Path, name: str, packing: Callable[[bytes], bytes]) -> None:
    assert read(made(tmp_path, name, packing(b"text,label\na,b\n"))) == [("a", "b")]


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        ("“fine” — bright", "cp1252", "iconv -f cp1252"),
        ("schön", "latin1", "iconv -f latin1"),
        ("Это очень хороший фильм", "cp1251", "iconv -f ENCODING"),
        ("这部电影真的很好看非常好看推荐大家", "gbk", "iconv -f ENCODING"),
    ],
)
def test_the_conversion_that_suits(tmp_path: Path, content: str, encoding: str, expected: str) -> None:
    path = made(tmp_path, "a.csv", f"text,label\nplain,0\n{content},1\n".encode(encoding))
    assert "is not UTF-8: line 3 has the byte 0x" in refused(path) and expected in refused(path)


def test_one_damaged_line_of_utf8(tmp_path: Path) -> None:
    content = "text\nschön\ngrün\nblau\n".encode() + "süß\n".encode("latin1")
    assert "line 5 has the byte 0xfc. But 2 lines" in refused(made(tmp_path, "a.csv", content))


def test_nul_bytes(tmp_path: Path) -> None:
    assert "line 3 holds a NUL byte" in refused(made(tmp_path, "a.csv", b"text,label\na,b\nc\0,d\n"))
    assert "line 2 holds a NUL byte" in refused(made(tmp_path, "a.jsonl", b'{"text": "a"}\n{"text": "b\0"}\n'))
    wide = "text,label\nschön,b\n"
    assert "iconv -f UTF-16LE" in refused(made(tmp_path, "a.csv", wide.encode("utf-16-le")))
    assert "iconv -f UTF-16BE" in refused(made(tmp_path, "a.csv", wide.encode("utf-16-be")))
    others = "text,label\n" + "Хороший фильм,хорошо\n" * 9  # the header alone has NULs
    assert "iconv -f UTF-16LE" in refused(made(tmp_path, "a.csv", others.encode("utf-16-le")))
    assert "iconv -f UTF-16BE" in refused(made(tmp_path, "a.csv", others.encode("utf-16-be")))
    assert "is not UTF-16" in refused(made(tmp_path, "a.csv", wide.encode("utf-16")[:-1]))


def test_japanese_in_seven_bits(tmp_path: Path) -> None:
    content = "text,label\nとても良い映画,good\n".encode("iso2022_jp")
    assert "iconv -f ISO-2022-JP -t utf-8" in refused(made(tmp_path, "a.csv", content))


def test_files_of_another_kind(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.csv")
    assert "is a parquet file. Rename it" in refused(tmp_path / "a.csv")
    with zipfile.ZipFile(tmp_path / "b.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    assert "is an Office document" in refused(tmp_path / "b.csv")


# JSON


@pytest.mark.parametrize("content", ['[{"a": 1}, {"a": 2}]', '[\n{"a": 1},\n{"a": 2}\n]\n'])
def test_a_json_array_is_to_be_converted(tmp_path: Path, content: str) -> None:
    assert "line 1" in refused(made(tmp_path, "a.jsonl", content))
    assert "jq -c '.[]' a.jsonl" in refused(made(tmp_path, "a.jsonl", content))


@pytest.mark.parametrize("line", ['{"a": 1, "a": 2}', '{"a": {"b": 1, "c": 2, "b": 3}}'])
def test_a_key_that_is_there_twice(tmp_path: Path, line: str) -> None:
    key = "a" if line.count('"a"') > 1 else "b"
    assert f"line 2 has the key '{key}' more than once" in refused(made(tmp_path, "a.jsonl", '{"a": 0}\n' + line))


def test_a_last_line_that_is_cut_off(tmp_path: Path) -> None:
    assert "line 3: expected one JSON object" in refused(made(tmp_path, "a.jsonl", '{"a": 1}\n\n{"a": 2, "b'))


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(max_size=5).filter(str.isprintable)), min_size=1
    ),
    encoding=st.sampled_from(["utf-8-sig", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_what_json_writes_is_read(rows: list[dict[str, Any]], encoding: str, end: str) -> None:
    rows[0] = {"a": 1, "b": 2}
    with tempfile.TemporaryDirectory() as folder:
        content = end.join(json.dumps(row, ensure_ascii=False) for row in rows)
        assert read(made(Path(folder), "a.jsonl", content.encode(encoding))) == [
            (row.get("a"), row.get("b")) for row in rows
        ]


# Names


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made(tmp_path, "a.csv", "text,label\na,b\n")
    assert read_source("~/a.csv").texts == ["a"]
    assert read_source("~/*.csv").texts == ["a"]
