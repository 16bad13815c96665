"""Markdown for a model card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters that could be markup within a line, in Markdown or HTML.
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#]")


def plain(text: str) -> str:
    """Escapes a text for one line of Markdown or for a cell of a table."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKUP.sub(r"\\\g<0>", line)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown cells, the header first; figures are aligned to the right."""
    header, *body = rows
    rule = ["---", *("---:" if len(header) > 2 else "---" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def fenced(text: str, language: str) -> str:
    """A block of code; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
