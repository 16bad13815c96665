"""Classifying a whole file, row by row in chunks, so that memory does not grow with it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from understudy.artifacts import write_file
from understudy.data.sources import file_format, stream
from understudy.errors import DataError, UserError
from understudy.inference.classifier import Classifier
from understudy.progress import progress

if TYPE_CHECKING:
    import pandas as pd


def predict_file(classifier: Classifier, source: str, output: Path, text: str = "text") -> int:
    """Adds `label` and `probability_<class>` columns to every row of a file.

    Args:
        classifier: Answers.
        source: A csv, tsv, jsonl or parquet file (compressed too), a glob of them, or `-` for lines on stdin.
        output: A csv, tsv, jsonl or parquet file; it appears when it is whole.
        text: Column of the text.

    Returns:
        How many rows there were.

    Raises:
        DataError: the source cannot be read, lacks the column, or already has a column that would be added.
    """
    kind = file_format(output)
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        with progress("predict", 0) as advance, _writer(temporary, kind) as put:
            for frame in _frames(source, text):
                put(_answered(classifier, frame, text))
                rows += len(frame)
                advance(len(frame))

    write_file(output, write)
    return rows


def stream_texts(source: str, text: str = "text") -> Iterator[str]:
    """The texts of a file, or the lines of stdin for `-`."""
    for frame in _frames(source, text):
        yield from _texts(frame, text)


def _texts(frame: pd.DataFrame, text: str) -> list[str]:
    return ["" if value is None or value != value else str(value) for value in frame[text]]


def _frames(source: str, text: str) -> Iterator[pd.DataFrame]:
    import pandas as pd

    if source != "-":
        for frame in stream(source):
            if text not in frame.columns:
                columns = ", ".join(map(str, frame.columns))
                raise DataError(f"{source} has no column '{text}'; its columns are: {columns}. Name it with --text.")
            yield frame
        return
    for lines in read_lines(sys.stdin):
        yield pd.DataFrame({text: lines})


def read_lines(file: TextIO, size: int = 1024) -> Iterator[list[str]]:
    """Lines in groups; a line is a text.

    Raises:
        DataError: the input is not UTF-8.
    """
    lines: list[str] = []
    try:
        for line in file:
            lines.append(line.rstrip("\r\n"))
            if len(lines) == size:
                yield lines
                lines = []
    except UnicodeDecodeError as error:
        raise DataError(f"stdin is not UTF-8 ({error.reason}). Convert it first, for example with iconv.") from None
    if lines:
        yield lines


def _answered(classifier: Classifier, frame: pd.DataFrame, text: str) -> pd.DataFrame:
    probabilities = classifier.predict_proba(_texts(frame, text))
    names = classifier.classes
    added: dict[str, Any] = {"label": [names[index] for index in probabilities.argmax(axis=-1)]}
    added |= {f"probability_{name}": probabilities[:, index] for index, name in enumerate(names)}
    if "label" in frame.columns:  # a gold label keeps its name
        added = {"predicted_label": added.pop("label"), **added}
    taken = [name for name in added if name in frame.columns]
    if taken:
        raise DataError(f"The input already has the column '{taken[0]}', which predict would add. Rename it first.")
    return frame.assign(**added)


@contextmanager
def _writer(path: Path, kind: str) -> Iterator[Callable[[pd.DataFrame], None]]:
    if kind == "parquet":
        with _parquet_writer(path) as put:
            yield put
        return
    if path.suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise UserError(f"--output {path.name}: compressed output is not written; end the name in .{kind}.")
    with path.open("w", encoding="utf-8", newline="") as file:
        first = True

        def put(frame: pd.DataFrame) -> None:
            nonlocal first
            if kind == "jsonl":
                for row in frame.to_dict("records"):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n")
                if first:
                    writer.writerow(frame.columns)
                writer.writerows(frame.itertuples(index=False))
            first = False

        yield put


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def put(frame: pd.DataFrame) -> None:
        nonlocal writer
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield put
    finally:
        if writer is not None:
            writer.close()
