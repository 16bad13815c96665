"""Classifying a whole file, window by window, so that memory does not grow with it and finished windows are kept."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.data.files import FORMATS, Chunk, file_format
from understudy.data.sources import source_files
from understudy.errors import DataError, UserError
from understudy.inference.answers import check_threshold, labels_of
from understudy.inference.classifier import Classifier
from understudy.inference.parts import Parts, parts_folder
from understudy.inference.rows import STDIN, Window, chunks_of, windows
from understudy.inference.writers import Types, writer
from understudy.runtime.progress import progress
from understudy.storage.files import file_sha256, write_file

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

# Rows that are sorted by length together, and kept together once they are done: more pad less, but lose more when the
# work is stopped. It does not hang on the reader's chunks, so that the same rows always meet in the same batches.
WINDOW = 4096

# Another version of one of these may answer otherwise.
_PACKAGES = ["understudy", "numpy", "scipy", "scikit-learn", "tokenizers", "transformers", "torch"]
_PACKAGES += ["openvino", "onnxruntime"]

_Answered = tuple[Window, np.ndarray]


def predict_file(classifier: Classifier, source: str, output: Path, text: str = "text", threshold: float = 0.0) -> int:
    """Adds `label` and `probability_<class>` columns to every row of a file; beside a gold `label`, `predicted_label`.

    A file is gone through twice, the first time without the model: what is wrong with its last row, or with the
    output's name, is said before any work is done. Until the output is whole, the answers lie beside it: after an
    interruption the same call goes on behind them, and with the same threads the output is the same byte for byte.
    Stdin, which can be read once only, is gone through once, and nothing of it is kept.

    Args:
        classifier: Answers.
        source: A csv, tsv, jsonl or parquet file (compressed too), a glob of them, or `-` for lines on stdin.
        output: A csv, tsv, jsonl or parquet file; it appears when it is whole, and takes the place of an older one.
        text: Column of the text.
        threshold: Rows whose top probability is below it get no label: an empty cell, or null. What is kept of an
            interrupted call serves any threshold.

    Returns:
        How many rows there were.

    Raises:
        DataError: the source cannot be read, lacks the column, already has a column that would be added, or was
            changed meanwhile.
        UserError: the output cannot be written under that name, or another process is writing it, or the threshold is
            not between 0 and 1.
    """
    check_threshold(threshold)
    kind = _output_kind(output, source)
    if source == STDIN:
        survey = _survey(source, text, kind, classifier.classes)
        with progress("predict", None, "rows") as advance:
            each_once = (
                (each, classifier.predict_proba(each.texts, advance)) for each in windows(source, text, WINDOW)
            )
            return _write(output, kind, survey, classifier.classes, threshold, each_once)
    stamps = _stamps(source)
    with parts_folder(output) as folder:
        survey = _survey(source, text, kind, classifier.classes)
        parts = Parts(folder, _work(classifier, source, text))
        if parts.rows:
            log.info("predict: %d of %d rows were done before", parts.rows, survey.rows)
        try:
            with progress("predict", survey.rows, "rows", already=parts.rows) as advance:
                answered = _answered(classifier, source, text, parts, advance, stamps)
                rows = _write(output, kind, survey, classifier.classes, threshold, answered, scratch=folder)
        except KeyboardInterrupt:
            if parts.rows:
                log.info("predict: %d of %d rows are done and kept", parts.rows, survey.rows)
            raise
        parts.clear()
    return rows


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
    if source != STDIN and output.exists() and any(output.samefile(path) for path in source_files(source)):
        raise UserError(f"--output {output} is the input itself: give another name.")
    return kind


def _stamps(source: str) -> list[tuple[str, int, int]]:
    """By which it shows that a file was changed meanwhile."""
    stats = [(path, path.stat()) for path in source_files(source)]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def _work(classifier: Classifier, source: str, text: str) -> dict[str, Any]:
    """What the answers depend on.

    The input counts by its content, which takes far less time to read than the survey's parsing of it does, and not
    by its time of change, which a copy does not share and an edit may; of its path only the name, which tells the
    format. Threads do not count: they decide last digits only, and one may well want to go on with more of them.
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    files = [{"name": path.name, "sha256": file_sha256(path)} for path in source_files(source)]
    return {
        "input": files,
        "text": text,
        **classifier.identity,
        "classes": classifier.classes,
        "window": WINDOW,
        "versions": versions,
    }


def _survey(source: str, text: str, kind: str, classes: list[str]) -> _Survey:
    types = Types() if kind == "parquet" else None
    rows = 0
    columns: dict[str, None] = {}
    declared = {path: types.see_file(path) for path in source_files(source)} if types and source != STDIN else {}
    for path, chunk, texts in chunks_of(source, text) if source != STDIN else ():
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


def _answered(
    classifier: Classifier,
    source: str,
    text: str,
    parts: Parts,
    advance: Callable[[int], None],
    stamps: list[tuple[str, int, int]],
) -> Iterator[_Answered]:
    """Windows and their probabilities: kept ones, or computed ones, which are kept from then on."""
    for number, window in enumerate(windows(source, text, WINDOW)):
        probabilities = parts.get(number)
        if probabilities is None:
            probabilities = classifier.predict_proba(window.texts, advance)
            parts.put(number, probabilities)
        yield window, probabilities
    if _stamps(source) != stamps:
        parts.clear()
        raise DataError(f"{source} was changed while it was read, so that its answers are of no use. Start again.")


def _write(
    output: Path,
    kind: str,
    survey: _Survey,
    classes: list[str],
    threshold: float,
    answered: Iterable[_Answered],
    scratch: Path | None = None,
) -> int:
    """Writes the output and returns how many rows it has."""
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        with writer(temporary, kind, [*survey.columns, *survey.answers], survey.schema) as put:
            for window, probabilities in answered:
                for chunk in window.chunks_with(_answers(probabilities, classes, threshold, survey.answers)):
                    put(chunk)
                rows += len(window.texts)

    write_file(output, write, scratch)
    return rows


def _answers(probabilities: np.ndarray, classes: list[str], threshold: float, columns: dict[str, str]) -> Chunk:
    label, *each = columns
    answers: Chunk = {label: labels_of(probabilities, classes, threshold)}
    return answers | {column: probabilities[:, index].tolist() for index, column in enumerate(each)}
