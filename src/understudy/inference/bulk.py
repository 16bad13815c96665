"""Classifying a whole file, row by row in chunks, so that memory does not grow with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from understudy.artifacts import write_file
from understudy.data.files import FORMATS, Chunk, chunks, file_format
from understudy.data.sources import source_files, text_of
from understudy.errors import DataError, UserError
from understudy.inference.classifier import Classifier
from understudy.inference.writers import Types, writer
from understudy.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa

_STDIN = "-"
_LINES = 1024


def predict_file(classifier: Classifier, source: str, output: Path, text: str = "text") -> int:
    """Adds `label` and `probability_<class>` columns to every row of a file; beside a gold `label`, `predicted_label`.

    A file is gone through twice, the first time without the model: what is wrong with its last row, or with the
    output's name, is said before any work is done.

    Args:
        classifier: Answers.
        source: A csv, tsv, jsonl or parquet file (compressed too), a glob of them, or `-` for lines on stdin.
        output: A csv, tsv, jsonl or parquet file; it appears when it is whole, and takes the place of an older one.
        text: Column of the text.

    Returns:
        How many rows there were.

    Raises:
        DataError: the source cannot be read, lacks the column, or already has a column that would be added.
        UserError: the output cannot be written under that name.
    """
    kind = _output_kind(output, source)
    survey = _survey(source, text, kind, classifier.classes)
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        columns = [*survey.columns, *survey.answers]
        with (
            progress("predict", survey.rows) as advance,
            writer(temporary, kind, columns, survey.schema) as put,
        ):
            for _, chunk, texts in _chunks(source, text):
                put(chunk | _answers(classifier.predict_proba(texts), classifier.classes, survey.answers))
                rows += len(texts)
                advance(len(texts))

    write_file(output, write)
    return rows


def stream_texts(source: str, text: str = "text") -> Iterator[str]:
    """The texts of a file, or the lines of stdin for `-`."""
    for _, _, texts in _chunks(source, text):
        yield from texts


def read_lines(file: TextIO, size: int = _LINES) -> Iterator[list[str]]:
    """Lines in groups; a line is a text.

    Raises:
        DataError: the input is not UTF-8.
    """
    lines: list[str] = []
    try:
        for line in file:
            line.encode("utf-8")  # in a C locale Python lets foreign bytes through as surrogates
            lines.append(line.rstrip("\r\n"))
            if len(lines) == size:
                yield lines
                lines = []
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"stdin is not UTF-8 ({reason}). Convert it first, for example with iconv.") from None
    if lines:
        yield lines


@dataclass(frozen=True)
class _Survey:
    """What a first pass over the source found.

    Attributes:
        rows: How many; 0 for stdin, which can be read once only.
        columns: Those of the source, in the order in which they turn up.
        answers: Names and types of the columns that are added: the label's, then one a class.
        schema: The output's, where it is parquet.
    """

    rows: int
    columns: list[str]
    answers: dict[str, str]
    schema: pa.Schema | None


def _output_kind(output: Path, source: str) -> str:
    kind = file_format(output)
    if output.suffix.lower() not in FORMATS:
        raise UserError(f"--output {output}: packed output ({output.suffix}) is not written; end the name in .{kind}.")
    if output.is_dir():
        raise UserError(f"--output {output} is a folder: expected the name of a file, such as {output / 'out.csv'}.")
    above = next(place for place in output.absolute().parents if place.exists())
    if not above.is_dir():
        raise UserError(f"--output {output}: {above} is a file; expected a folder there. Give another name.")
    if source != _STDIN and output.exists() and any(output.samefile(path) for path in source_files(source)):
        raise UserError(f"--output {output} is the input itself: give another name.")
    return kind


def _survey(source: str, text: str, kind: str, classes: list[str]) -> _Survey:
    types = Types() if kind == "parquet" else None
    rows = 0
    columns: dict[str, None] = {}
    declared = {path: types.see_file(path) for path in source_files(source)} if types and source != _STDIN else {}
    for path, chunk, texts in _chunks(source, text) if source != _STDIN else ():
        rows += len(texts)
        columns |= dict.fromkeys(chunk)
        if types and not declared[path]:
            types.see(chunk, path)
    # Without any row only files that declare their columns tell them.
    columns = columns or dict.fromkeys(types.columns if types else ()) or {text: None}
    # A gold label keeps its name.
    answers = {"predicted_label" if "label" in columns else "label": "string"}
    answers |= {f"probability_{name}": "double" for name in classes}
    taken = [name for name in answers if name in columns]
    if taken:
        raise DataError(
            f"{source} already has the column '{taken[0]}', which predict would add. Rename it there, or leave it out."
        )
    return _Survey(rows, list(columns), answers, types.schema(list(columns), answers) if types else None)


def _chunks(source: str, text: str) -> Iterator[tuple[Path, Chunk, list[str]]]:
    """File, rows by column, and the rows' texts."""
    if source == _STDIN:
        for lines in read_lines(sys.stdin):
            yield Path(_STDIN), {text: lines}, lines
        return
    for path in source_files(source):
        row = 0
        for chunk in chunks(path):
            if text not in chunk:
                columns = ", ".join(chunk)
                raise DataError(f"{path} has no column '{text}'; its columns are: {columns}. Name it with --text.")
            yield path, chunk, [text_of(value, path, number) for number, value in enumerate(chunk[text], row + 1)]
            row += len(chunk[text])


def _answers(probabilities: Any, classes: list[str], columns: dict[str, str]) -> Chunk:
    label, *each = columns
    answers: Chunk = {label: [classes[index] for index in probabilities.argmax(axis=-1)]}
    return answers | {column: probabilities[:, index].tolist() for index, column in enumerate(each)}
