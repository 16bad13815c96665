"""HTML snippets for notebooks: escaped, and without colours, so that they suit light and dark themes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

# Notebooks centre tables, align their text right and, in old versions, make it black; sentences need other styles.
_TABLE = "margin: 0.5em 0; font-size: 0.95em; color: inherit"
_PREFORMATTED = "max-height: 30em; overflow: auto; font-size: 0.9em; color: inherit"


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    bold: bool = False
    right: bool = False

    def html(self, tag: str) -> str:
        align = "right" if self.right else "left"
        weight = "; font-weight: bold" if self.bold else ""
        return f'<{tag} style="text-align: {align}; vertical-align: top{weight}">{escape(self.text)}</{tag}>'


def table(rows: Iterable[Sequence[Cell]], head: Sequence[Cell] = ()) -> str:
    """A table; without `head` it has no heading row."""
    lines = ["".join(cell.html("th") for cell in head)] if head else []
    lines += ["".join(cell.html("td") for cell in row) for row in rows]
    return f'<table style="{_TABLE}">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def title(text: str) -> str:
    return f"<p><b>{escape(text)}</b></p>"


def preformatted(text: str) -> str:
    return f'<pre style="{_PREFORMATTED}">{escape(text)}</pre>'


def picture(path: Path, description: str) -> str:
    """A PNG file, embedded, so that the notebook also shows it on other machines."""
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(description)}" style="max-width: 100%">'
