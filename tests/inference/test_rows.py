"""Rows in groups that are classified together."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from understudy.data import files
from understudy.data.blocks import Block
from understudy.errors import DataError
from understudy.inference.rows import Window, read_lines, stream_texts, windows


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# Windows


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 7, 100])
def test_windows_depend_neither_on_chunks_nor_on_files(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_ROWS", chunk)
    write(tmp_path / "1.jsonl", *({"text": str(row), "n": row} for row in range(4)))
    write(tmp_path / "2.jsonl", *({"text": str(row), "n": row} for row in range(4, 10)))
    found = list(windows(str(tmp_path / "*.jsonl"), "text", 3))
    assert [window.texts for window in found] == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"], ["9"]]
    numbers = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert [[block.columns for block in window.blocks] for window in found] == [
        [{"text": window.texts, "n": own}] for window, own in zip(found, numbers, strict=True)
    ]


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (3, [3]), (6, [3, 3]), (7, [3, 3, 1])])
def test_only_the_last_window_may_be_smaller(rows: int, sizes: list[int], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "good\n" * rows)
    assert [len(window.texts) for window in windows(str(tmp_path / "in.csv"), "text", 3)] == sizes


def test_rows_with_other_columns_stay_blocks_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", {"text": "a", "n": 1}, {"text": "b", "n": 2})
    write(tmp_path / "2.jsonl", {"n": 3, "text": "c"})
    write(tmp_path / "3.jsonl", {"text": "d"})
    (window,) = windows(str(tmp_path / "*.jsonl"), "text", 9)
    assert window.texts == ["a", "b", "c", "d"]
    assert [list(block.columns) for block in window.blocks] == [["text", "n"], ["n", "text"], ["text"]]
    answered = [(block.columns, added) for block, added in window.blocks_with({"label": [0, 1, 2, 3]})]
    assert answered == [
        ({"text": ["a", "b"], "n": [1, 2]}, {"label": [0, 1]}),
        ({"n": [3], "text": ["c"]}, {"label": [2]}),
        ({"text": ["d"]}, {"label": [3]}),
    ]


def test_the_readers_blocks_stay_unchanged() -> None:
    first, second = Block({"text": ["b"]}), Block({"text": ["a"]})
    window = Window()
    window.add(first, ["b"])
    window.add(second, ["a"])
    assert window.texts == ["b", "a"]
    assert (first, second) == (Block({"text": ["b"]}), Block({"text": ["a"]}))


# Texts alone


def test_texts_of_a_file_and_of_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in.jsonl", {"text": "good"}, {"text": None}, {"text": 12})
    assert list(stream_texts(str(tmp_path / "in.jsonl"))) == ["good", "", "12"]
    monkeypatch.setattr("sys.stdin", io.StringIO("good\nbad"))
    assert list(stream_texts("-")) == ["good", "bad"]


def test_lines_come_in_groups() -> None:
    assert list(read_lines(io.StringIO("a\nb\r\nc\n\nd"), size=2)) == [["a", "b"], ["c", ""], ["d"]]


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_lines_that_are_not_utf8(errors: str) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("gut\nschön\n".encode("latin-1")), encoding="utf-8", errors=errors)
    with pytest.raises(DataError, match="stdin is not UTF-8"):
        list(read_lines(stdin))
