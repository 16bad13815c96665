"""Writes a run's report, once it is new or has changed, and puts finished runs beside each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from understudy.data.findings import without_excerpts
from understudy.errors import UserError
from understudy.recipe.recipe import Recipe
from understudy.reporting.comparison import MARK, RunComparison, compare_runs, write_comparison
from understudy.reporting.dashboard import draw_dashboard
from understudy.reporting.evidence import REPORT, Evidence
from understudy.reporting.page import write_report
from understudy.storage.files import file_sha256, fingerprint, write_text
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest


def report(run: str | Path, *, texts: bool | None = None) -> Path:
    """Draws a finished run's dashboard and writes its report again.

    Args:
        run: The run directory.
        texts: Whether the page shows test texts; by default as the run's recipe says. What is given here is kept there,
            and without texts the excerpts of the audit go from the manifest as well.

    Returns:
        The page.

    Raises:
        RunDirectoryError: there is no run, or it is not finished.
    """
    evidence = Evidence.read(Path(run).expanduser())
    if texts is not None:
        evidence = evidence.with_texts(texts)
        write_text(evidence.run.recipe, evidence.recipe.to_toml())
        if not texts:
            evidence.manifest.content["audit"] = without_excerpts(evidence.manifest.content.get("audit", []))
            evidence.manifest.save()
    render_run(evidence, evidence.manifest)
    return evidence.run.page


def compare(runs: Sequence[str | Path], out: str | Path = "comparison.html") -> RunComparison:
    """Puts finished runs beside each other, with paired tests where they were tested on the same texts.

    Args:
        runs: The run directories; the others are compared with the first.
        out: Where the page goes.

    Raises:
        UserError: fewer than two runs are given, or the page cannot go there.
        RunDirectoryError: one is no run, or not finished.
    """
    if len(runs) < 2:
        raise UserError(f"compare got {len(runs)} run: expected at least two. Name another run directory.")
    _check_page(Path(out))
    evidence = [Evidence.read(Path(run).expanduser(), texts=False) for run in runs]
    found = compare_runs(evidence)
    write_comparison(found, evidence, Path(out))
    return found


def _check_page(path: Path) -> None:
    """Refuses a place that is none, and a file that is no such page."""
    if path.is_dir() or not all(parent.is_dir() for parent in path.absolute().parents if parent.exists()):
        raise UserError(f"--out {path}: expected the name of a file in a folder. Give one, such as comparison.html.")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"--out {path} is there already and is no page of understudy compare. Give another name.")


def is_rendered(run: RunDirectory, recipe: Recipe, manifest: Manifest) -> bool:
    """Whether the report is there, and shows what the run holds now."""
    written = {path.name: file_sha256(path) for path in _files(run) if path.is_file()}
    return manifest.fingerprint(REPORT) == _key(run, recipe) and manifest.details(REPORT).get("files") == written


def render_run(evidence: Evidence, manifest: Manifest) -> None:
    """Draws the dashboard and writes the page.

    Args:
        evidence: The finished run's.
        manifest: Of the same run, which is told.
    """
    start, run = time.monotonic(), evidence.run
    draw_dashboard(evidence.metrics, run.dashboard, evidence.recipe.name)
    write_report(evidence, run.page)
    files = {path.name: file_sha256(path) for path in _files(run)}
    manifest.finish(REPORT, _key(run, evidence.recipe), time.monotonic() - start, {"files": files}, made=False)


def _files(run: RunDirectory) -> list[Path]:
    return [run.dashboard, run.dashboard_svg, run.page]


def _key(run: RunDirectory, recipe: Recipe) -> str:
    """What the report shows."""
    shown = (run.metrics, run.predictions, run.benchmark, run.frontier)
    files = {path.name: file_sha256(path) for path in shown if path.is_file()}
    return fingerprint(files=files, options=recipe.report.model_dump(), name=recipe.name)
