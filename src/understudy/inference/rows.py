"""The rows of a file, or the lines of stdin, in groups that are classified together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from understudy.data.files import Chunk, chunks
from understudy.data.sources import source_files
from understudy.data.tables import text_of
from understudy.errors import DataError

STDIN = "-"
_LINES = 1024


@dataclass
class Window:
    """Rows that are classified together.

    Attributes:
        texts: One per row.
        chunks: The rows; consecutive rows with the same columns share a chunk.
    """

    texts: list[str] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    def add(self, chunk: Chunk, texts: list[str]) -> None:
        self.texts += texts
        if self.chunks and list(self.chunks[-1]) == list(chunk):
            for name, values in chunk.items():
                self.chunks[-1][name] += values
        else:
            self.chunks.append(chunk)

    def chunks_with(self, answers: Chunk) -> Iterator[Chunk]:
        """The rows with their predictions added."""
        start = 0
        for chunk in self.chunks:
            end = start + len(next(iter(chunk.values())))
            yield chunk | _rows(answers, start, end)
            start = end


def windows(source: str, text: str, size: int) -> Iterator[Window]:
    """The rows in groups of `size`, across files and the reader's chunks; the last group may be smaller."""
    window = Window()
    for _, chunk, texts in chunks_of(source, text):
        start = 0
        while start < len(texts):
            end = min(len(texts), start + size - len(window.texts))
            window.add(_rows(chunk, start, end), texts[start:end])
            start = end
            if len(window.texts) == size:
                yield window
                window = Window()
    if window.texts:
        yield window


def chunks_of(source: str, text: str) -> Iterator[tuple[Path, Chunk, list[str]]]:
    """Yields the file, rows by column, and the texts of the rows."""
    if source == STDIN:
        for lines in read_lines(sys.stdin):
            yield Path(STDIN), {text: lines}, lines
        return
    for path in source_files(source):
        row = 0
        for chunk in chunks(path):
            if text not in chunk:
                columns = ", ".join(chunk)
                raise DataError(f"{path} has no column '{text}'; its columns are: {columns}. Name one with --text.")
            yield path, chunk, [text_of(value, path, number) for number, value in enumerate(chunk[text], row + 1)]
            row += len(chunk[text])


def stream_texts(source: str, text: str = "text") -> Iterator[str]:
    """The texts of a file, or the lines of stdin for `-`."""
    for _, _, texts in chunks_of(source, text):
        yield from texts


def read_lines(file: TextIO, size: int = _LINES) -> Iterator[list[str]]:
    """Lines in groups; a line is a text.

    Raises:
        DataError: the input is not UTF-8.
    """
    lines: list[str] = []
    try:
        for line in file:
            line.encode("utf-8")  # in a C locale Python reads invalid bytes as surrogates
            lines.append(line.rstrip("\r\n"))
            if len(lines) == size:
                yield lines
                lines = []
    except UnicodeError as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"stdin is not UTF-8 ({reason}). Convert it first, for example with iconv.") from None
    if lines:
        yield lines


def _rows(chunk: Chunk, start: int, end: int) -> Chunk:
    return {name: values[start:end] for name, values in chunk.items()}
