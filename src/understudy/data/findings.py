"""The audit's findings, with example rows, and the error that stops a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from understudy.errors import DataError
from understudy.runtime.markup import Cell, table

if TYPE_CHECKING:
    from understudy.data.tables import Table

Level = Literal["error", "warning", "note"]

EXAMPLES = 5
_EXCERPT = 80


@dataclass(frozen=True)
class Row:
    """One row that a finding concerns.

    Attributes:
        split: "train", "validation" or "test"; "scores" for a row of the teacher's given probabilities.
        row: Its number, from 1; a file's header is not counted.
        text: The beginning of the text, on one line.
    """

    split: str
    row: int
    text: str


@dataclass(frozen=True)
class Finding:
    """One finding of the audit.

    Attributes:
        level: "error", "warning" or "note"; an error stops a run.
        code: Stable name of this kind of finding; it may occur once per split.
        message: What was found, what was expected and what to do.
        rows: The first few of the rows.
        count: Number of rows, or of distinct texts for texts that occur more than once; 0 if no row is concerned.
    """

    level: Level
    code: str
    message: str
    rows: tuple[Row, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class Audit:
    """All findings: errors first, then warnings, then notes."""

    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        return self._of("note")

    def raise_errors(self) -> None:
        """Raises one `DataError` that lists every error with its rows; does nothing if there is no error."""
        if not self.errors:
            return
        lines = [f"{len(self.errors)} problem{'s' if len(self.errors) > 1 else ''} in the data:"]
        for finding in self.errors:
            lines.append(f"  {finding.code}: {finding.message}")
            lines += [f"    {row.split} row {row.row}: {row.text or '(empty text)'}" for row in finding.rows]
            if finding.rows and finding.count > len(finding.rows):
                lines.append(f"    ... {finding.count:,} rows in all")
        raise DataError("\n".join(lines))

    def to_json(self, excerpts: bool = True) -> list[dict[str, Any]]:
        """The findings as plain dicts and lists.

        Args:
            excerpts: Whether the rows include the beginning of their texts.
        """

        found = [{**asdict(each), "rows": [asdict(row) for row in each.rows]} for each in self.findings]
        return found if excerpts else without_excerpts(found)

    def _repr_html_(self) -> str:
        if not self.findings:
            return "<p>no findings</p>"
        return table(
            [Cell(finding.level, bold=True), Cell(finding.code), Cell(finding.message)] for finding in self.findings
        )

    def _of(self, level: Level) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == level)


def without_excerpts(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings as `Audit.to_json` returns them, without the beginning of the texts."""

    def bare(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != "text"}

    return [{**finding, "rows": [bare(row) for row in finding["rows"]]} for finding in findings]


def examples(tables: Mapping[str, Table], places: Iterable[tuple[str, int]]) -> tuple[Row, ...]:
    """The first few of `places`, each a split and an index from 0, as rows with their texts."""
    return tuple(
        Row(split, index + 1, excerpt(tables[split].texts[index]))
        for (split, index), _ in zip(places, range(EXAMPLES), strict=False)
    )


def excerpt(text: str) -> str:
    """The beginning of a text: one line of printable characters."""
    # Cut before cleaning, so that a megabyte of text costs no more than a short one.
    start = " ".join(text.lstrip()[: 10 * _EXCERPT].split())
    start = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in start)
    return start if len(start) <= _EXCERPT else start[: _EXCERPT - 1] + "…"


def enumerated(items: Iterable[object], most: int = 5, show: Callable[[object], str] = repr) -> str:
    """`'a', 'b' and 3 more`."""
    shown = [show(item) for item in items]
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(count: int, thing: str, things: str | None = None) -> str:
    """`1 text`, `2 texts`."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"
