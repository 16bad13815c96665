"""Finished runs shown again: the report of one, and several beside each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from understudy.artifacts import write_text
from understudy.errors import UserError
from understudy.report.comparison import RunComparison, compare_runs, write_comparison
from understudy.report.dashboard import draw_dashboard
from understudy.report.evidence import Evidence
from understudy.report.page import write_report

log = logging.getLogger(__name__)


def report(run: str | Path, *, texts: bool | None = None) -> Path:
    """Draws a finished run's dashboard and writes its report again.

    Args:
        run: The run directory.
        texts: Whether the page shows test texts; by default as the run's recipe says. What is given here is kept there.

    Returns:
        The page.

    Raises:
        RunDirectoryError: there is no run, or it is not finished.
    """
    evidence = Evidence.read(Path(run).expanduser())
    if texts is not None:
        evidence = evidence.with_texts(texts)
        write_text(evidence.run.recipe, evidence.recipe.to_toml())
    draw_dashboard(evidence.metrics, evidence.run.dashboard, evidence.recipe.name)
    write_report(evidence, evidence.run.page)
    return evidence.run.page


def compare(runs: Sequence[str | Path], out: str | Path = "comparison.html") -> RunComparison:
    """Puts finished runs beside each other, with paired tests where they were tested on the same texts.

    Args:
        runs: The run directories; the others are compared with the first.
        out: Where the page goes.

    Raises:
        UserError: fewer than two runs are given.
        RunDirectoryError: one is no run, or not finished.
    """
    if len(runs) < 2:
        raise UserError(f"compare got {len(runs)} run: expected at least two. Name another run directory.")
    found = compare_runs([Evidence.read(Path(run).expanduser()) for run in runs])
    write_comparison(found, Path(out))
    return found
