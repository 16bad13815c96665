"""Classifies a whole file window by window, so that memory stays small and an interruption loses little."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.data.files import FORMATS, READING, Chunk, file_format
from understudy.data.sources import source_files
from understudy.errors import DataError, UserError
from understudy.inference.answers import check_threshold, labels_of
from understudy.inference.classifier import Classifier
from understudy.inference.parts import Parts, parts_folder
from understudy.inference.rows import STDIN, Window, blocks_of, windows
from understudy.inference.writers import Types, writer
from understudy.runtime.packages import versions
from understudy.runtime.progress import progress
from understudy.storage.files import file_sha256, write_file

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

# Rows that are sorted by length and stored together. A larger window needs less padding, but loses more when stopped.
# It does not depend on the reader's chunks, so the same rows always share a batch.
WINDOW = 4096

# Another version of one of these may change the predictions.
_PACKAGES = ["understudy", "numpy", "scipy", "scikit-learn", "tokenizers", "transformers", "torch"]
_PACKAGES += ["openvino", "onnxruntime"]

_Answered = tuple[Window, np.ndarray]


def predict_file(classifier: Classifier, source: str, output: Path, text: str = "text", threshold: float = 0.0) -> int:
    """Adds `label` and `probability_<class>` columns to every row of a file.

    If the file has a column `label`, `predicted_label` is added instead. The file is read twice, the first time without
    the model, so errors in any row or in the output's name show before the work starts. After an interruption the same
    call resumes; with the same threads the output is the same, byte for byte. Stdin is read once, and an interruption
    loses its work.

    Args:
        classifier: The classifier.
        source: A csv, tsv, jsonl or parquet file (compressed too), a glob of them, or `-` for lines on stdin.
        output: A csv, tsv, jsonl or parquet file. It appears when it is complete, and replaces an older one.
        text: Column of the text.
        threshold: Rows whose top probability is below it get no label: an empty cell, or null. An interrupted call can
            resume with another threshold.

    Returns:
        The number of rows.

    Raises:
        DataError: The source cannot be read, lacks the column, has a column that would be added, or changed meanwhile.
        UserError: The output cannot be written under that name, another process is writing it, or the threshold is
            not between 0 and 1.
    """
    check_threshold(threshold)
    output = Path(os.path.expanduser(output))
    kind = _writable_kind(output, source)
    rows = _Rows(source, text)
    if source == STDIN:
        file = _Output(output, kind, rows.survey(kind, classifier.classes), classifier.classes, threshold)
        with progress("predict", None, "rows") as advance:
            return file.write((each, classifier.predict_proba(each.texts, advance)) for each in rows.windows())
    stamps = rows.stamps()
    with parts_folder(output) as folder:
        survey = rows.survey(kind, classifier.classes)
        file = _Output(output, kind, survey, classifier.classes, threshold)
        parts = Parts(folder, _work(classifier, rows))
        if parts.rows:
            log.info("predict: %d of %d rows were done before", parts.rows, survey.rows)
        try:
            with progress("predict", survey.rows, "rows", already=parts.rows) as advance:
                count = file.write(_answered(classifier, rows, parts, stamps, advance), scratch=folder)
        except KeyboardInterrupt:
            if parts.rows:
                log.info("predict: %d of %d rows are done and kept", parts.rows, survey.rows)
            raise
        parts.clear()
    return count


@dataclass(frozen=True)
class _Survey:
    """The result of a first pass over the source.

    Attributes:
        rows: How many; 0 for stdin, which can be read only once.
        columns: Those of the source, in the order of their first appearance.
        answers: Names and types of the columns to add: the label's, then one per class.
        schema: The output's, if it is parquet.
    """

    rows: int
    columns: list[str]
    answers: dict[str, str]
    schema: pa.Schema | None


@dataclass(frozen=True)
class _Rows:
    """The rows to classify.

    Attributes:
        source: The files, or stdin.
        text: Column of the text.
    """

    source: str
    text: str

    def windows(self) -> Iterator[Window]:
        return windows(self.source, self.text, WINDOW)

    def stamps(self) -> list[tuple[str, int, int]]:
        """Name, size and time of every file; they show whether one has changed."""
        stats = [(path, path.stat()) for path in source_files(self.source)]
        return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]

    def survey(self, kind: str, classes: list[str]) -> _Survey:
        """Reads every row of the files; stdin is left alone.

        Args:
            kind: The output's format.
            classes: Their names.

        Raises:
            DataError: As `predict_file`.
        """
        types = Types() if kind == "parquet" else None
        rows = 0
        columns: dict[str, None] = {}
        files = source_files(self.source) if self.source != STDIN else []
        declared = {path: types.see_file(path) for path in files} if types else {}
        for path, block, texts in blocks_of(self.source, self.text) if files else ():
            rows += len(texts)
            columns |= dict.fromkeys(block.columns)
            if types and not declared[path]:
                types.see(block.columns, path)
        # Without rows, only files that declare their columns have any.
        columns = columns or dict.fromkeys(types.columns if types else ()) or {self.text: None}
        # A gold label keeps its name.
        answers = {"predicted_label" if "label" in columns else "label": "string"}
        answers |= {f"probability_{name}": "double" for name in classes}
        taken = [name for name in answers if name in columns]
        if taken:
            raise DataError(
                f"{self.source} already has the column '{taken[0]}', which predict adds. Rename or remove it there."
            )
        return _Survey(rows, list(columns), answers, types.schema(list(columns), answers) if types else None)


@dataclass(frozen=True)
class _Output:
    """The file to write.

    Attributes:
        path: Where it is.
        kind: Its format.
        survey: Has the columns.
        classes: Their names.
        threshold: Rows whose top probability is below it get no label.
    """

    path: Path
    kind: str
    survey: _Survey
    classes: list[str]
    threshold: float

    def write(self, answered: Iterable[_Answered], scratch: Path | None = None) -> int:
        """Writes all rows and returns their number.

        Args:
            answered: Windows and their probabilities.
            scratch: The folder for the temporary file.
        """
        rows = 0
        columns = [*self.survey.columns, *self.survey.answers]

        def write(temporary: Path) -> None:
            nonlocal rows
            with writer(temporary, self.kind, columns, self.survey.schema) as put:
                for window, probabilities in answered:
                    for block, added in window.blocks_with(self._answers(probabilities)):
                        put(block, added)
                    rows += len(window.texts)

        write_file(self.path, write, scratch)
        return rows

    def _answers(self, probabilities: np.ndarray) -> Chunk:
        label, *each = self.survey.answers
        answers: Chunk = {label: labels_of(probabilities, self.classes, self.threshold)}
        return answers | {column: probabilities[:, index].tolist() for index, column in enumerate(each)}


def _writable_kind(output: Path, source: str) -> str:
    """The format of the output.

    Raises:
        UserError: The output cannot be written.
    """
    try:
        return _output_kind(output, source)
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise UserError(f"--output {output} cannot be written: {error}. Give another name.") from None


def _output_kind(output: Path, source: str) -> str:
    kind = file_format(output)
    if output.suffix.lower() not in FORMATS:
        raise UserError(
            f"--output {output}: predict writes no compressed files ({output.suffix}). End the name in .{kind}."
        )
    if output.is_dir():
        raise UserError(f"--output {output} is a folder. Name a file, such as {output / 'out.csv'}.")
    above = next(place for place in output.absolute().parents if place.exists())
    if not above.is_dir():
        raise UserError(f"--output {output}: {above} is a file, not a folder. Give another name.")
    if source != STDIN and output.exists() and any(output.samefile(path) for path in source_files(source)):
        raise UserError(f"--output {output} is the input itself. Give another name.")
    _try_writing(output, above)
    return kind


def _try_writing(output: Path, folder: Path) -> None:
    """Creates and removes a file with a name as long as the longest that is needed.

    Raises:
        UserError: The folder takes no such file.
    """
    probe = folder / f".{secrets.token_hex(4)}-{output.name}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--output {output}: {folder} takes no new file ({error.strerror}). Give a name in another folder."
        ) from None


def _work(classifier: Classifier, rows: _Rows) -> dict[str, Any]:
    """What the predictions depend on.

    The input counts by its content and its name, which gives the format. Its time of change does not count: a copy has
    another one, and an edit may have the same. Threads do not count either: they change last digits only, and a user
    may resume with more of them.
    """
    files = [{"name": path.name, "sha256": file_sha256(path)} for path in source_files(rows.source)]
    return {
        "input": files,
        "reading": READING,
        "text": rows.text,
        **classifier.identity,
        "classes": classifier.classes,
        "window": WINDOW,
        "versions": versions(_PACKAGES),
    }


def _answered(
    classifier: Classifier,
    rows: _Rows,
    parts: Parts,
    stamps: list[tuple[str, int, int]],
    advance: Callable[[int], None],
) -> Iterator[_Answered]:
    """Windows and their probabilities: stored ones, or computed ones, which are then stored."""
    for number, window in enumerate(rows.windows()):
        probabilities = parts.get(number)
        if probabilities is None:
            probabilities = classifier.predict_proba(window.texts, advance)
            parts.put(number, probabilities)
        yield window, probabilities
    if rows.stamps() != stamps:
        parts.clear()
        raise DataError(f"{rows.source} changed while it was read, so its predictions are useless. Run predict again.")
