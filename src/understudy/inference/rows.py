"""The rows of a file, or the lines of stdin, in groups that are classified together."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from understudy.data.blocks import Block, is_arrow
from understudy.data.files import Chunk, blocks, python_values
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
        blocks: The rows; consecutive rows with the same columns share a block.
    """

    texts: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def add(self, block: Block, texts: list[str]) -> None:
        self.texts += texts
        joined = self.blocks[-1].joined(block) if self.blocks else None
        if joined is None:
            self.blocks.append(block)
        else:
            self.blocks[-1] = joined

    def blocks_with(self, answers: Chunk) -> Iterator[tuple[Block, Chunk]]:
        """The rows, each block with its predictions."""
        start = 0
        for block in self.blocks:
            end = start + len(block)
            yield block, {name: values[start:end] for name, values in answers.items()}
            start = end


def windows(source: str, text: str, size: int) -> Iterator[Window]:
    """The rows in groups of `size`, across files and the reader's blocks; the last group may be smaller."""
    window = Window()
    for _, block, texts in blocks_of(source, text):
        start = 0
        while start < len(texts):
            end = min(len(texts), start + size - len(window.texts))
            window.add(block.slice(start, end), texts[start:end])
            start = end
            if len(window.texts) == size:
                yield window
                window = Window()
    if window.texts:
        yield window


def blocks_of(source: str, text: str) -> Iterator[tuple[Path, Block, list[str]]]:
    """Yields the file, rows, and the texts of the rows."""
    if source == STDIN:
        for lines in read_lines(sys.stdin):
            yield Path(STDIN), Block({text: lines}), lines
        return
    for path in source_files(source):
        row = 0
        for block in blocks(path):
            if text not in block.columns:
                columns = ", ".join(block.columns)
                raise DataError(f"{path} has no column '{text}'; its columns are: {columns}. Name one with --text.")
            values = block.columns[text]
            if is_arrow(values):
                values = python_values(values, path, text)
            yield path, block, [text_of(value, path, number) for number, value in enumerate(values, row + 1)]
            row += len(block)


def stream_texts(source: str, text: str = "text") -> Iterator[str]:
    """The texts of a file, or the lines of stdin for `-`."""
    for _, _, texts in blocks_of(source, text):
        yield from texts


def read_lines(file: TextIO, size: int = _LINES) -> Iterator[list[str]]:
    """Lines in groups; a line is a text.

    Raises:
        DataError: The input is not UTF-8.
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
