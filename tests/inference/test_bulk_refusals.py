"""What predict refuses before any work, what an error leaves behind, and how much it holds in memory."""

from __future__ import annotations

import gzip
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tables import FORMATS, TEXTS, entries, write
from understudy.data.blocks import Block
from understudy.errors import DataError, UserError
from understudy.inference import bulk, rows
from understudy.inference.bulk import predict_file
from understudy.inference.classifier import Classifier

# Outputs that are refused, and outputs that are not complete


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.txt", "expected a file that ends in"),
        ("out", "expected a file that ends in"),
        ("out.csv.gz", r"no compressed files \(\.gz\)\. End the name in \.csv"),
        ("out.parquet.zst", r"no compressed files \(\.zst\)"),
        ("folder.csv", "is a folder. Name a file, such as"),
        ("in.csv", "is the input itself"),
        ("in.csv/out.csv", "is a file, not a folder"),
        ("/proc/out.csv", "no file can be created in /proc"),
        ("/proc/new/out.csv", "no file can be created in /proc"),
    ],
)
def test_odd_outputs_are_refused_before_any_work(
    name: str, message: str, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.csv").mkdir()
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS}))
    monkeypatch.setattr(Classifier, "predict_proba", None)
    before = entries(tmp_path)
    with pytest.raises(UserError, match=message):
        predict_file(classifier, source, tmp_path / name)
    assert entries(tmp_path) == before
    assert (tmp_path / "in.csv").read_text().startswith("text\n")


def test_folders_are_made_and_capitals_are_fine(classifier: Classifier, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS}))
    predict_file(classifier, source, tmp_path / "new" / "er" / "OUT.CSV")
    assert entries(tmp_path / "new" / "er") == ["OUT.CSV"]


@pytest.mark.parametrize("output", FORMATS)
def test_an_error_leaves_the_older_output_alone(
    output: str, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS}))
    (tmp_path / f"out.{output}").write_text("of yesterday")
    before = entries(tmp_path)

    def fails(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Classifier, "predict_proba", fails)
    with pytest.raises(MemoryError):
        predict_file(classifier, source, tmp_path / f"out.{output}")
    assert entries(tmp_path) == before
    assert (tmp_path / f"out.{output}").read_text() == "of yesterday"


def test_a_broken_last_row_is_found_before_any_work(
    classifier: Classifier, tmp_path: Path, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gzip.open(tmp_path / "in.jsonl.gz", "wt") as file:
        file.write('{"text": "good"}\n' * 5 + '{"text": ["bad"]}\n')
    monkeypatch.setattr(Classifier, "predict_proba", None)
    before = entries(tmp_path)
    with pytest.raises(DataError, match="row 6: expected a string as text, got list"):
        predict_file(classifier, str(tmp_path / "in.jsonl.gz"), tmp_path / "out.csv")
    assert entries(tmp_path) == before


# Memory


class _Text(str):
    """A cell that can be watched."""


@pytest.mark.parametrize("output", FORMATS)
def test_only_a_window_or_two_are_alive(
    output: str, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakValueDictionary[int, _Text] = weakref.WeakValueDictionary()
    most = made = 0

    def many(_: Path) -> Iterator[Block]:
        nonlocal most, made
        for _ in range(50):
            column = [_Text("good film"), _Text("bad")]
            for cell in column:
                made += 1
                alive[made] = cell
            most = max(most, len(alive))
            yield Block({"text": column})

    source = write(tmp_path / "in.csv", pd.DataFrame({"text": TEXTS}))
    monkeypatch.setattr(rows, "blocks", many)
    monkeypatch.setattr(bulk, "WINDOW", 5)
    assert predict_file(classifier, source, tmp_path / f"out.{output}") == 100
    assert made == 200  # each of the two passes
    assert most <= 12  # two windows, and what the reader gave last
