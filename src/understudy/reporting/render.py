"""Writes the report of a run, says whether it is current, and compares finished runs."""

from __future__ import annotations

import os
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


def report(run: str | os.PathLike[str], *, texts: bool | None = None) -> Path:
    """Writes a finished run's dashboard and report again.

    Args:
        run: The run directory.
        texts: Whether the page shows test texts; by default, the run's recipe decides. A value is saved in that recipe.
            `False` also removes the audit's excerpts of texts from the manifest.

    Returns:
        The page.

    Raises:
        RunDirectoryError: The directory is not a run, or the run is not finished.
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


def compare(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str] = "comparison.html") -> RunComparison:
    """Compares finished runs, with paired tests if they have the same test texts, and writes a page about it.

    Args:
        runs: The run directories. Each run is compared with the first.
        out: The page.

    Raises:
        UserError: There are fewer than two runs, or `out` is not a place for the page.
        RunDirectoryError: A directory is not a run, or its run is not finished.
    """
    if len(runs) < 2:
        raise UserError(f"compare needs at least two run directories, got {len(runs)}. Name another one.")
    _check_page(Path(out))
    evidence = [Evidence.read(Path(run).expanduser(), texts=False) for run in runs]
    found = compare_runs(evidence)
    write_comparison(found, evidence, Path(out))
    return found


def _check_page(path: Path) -> None:
    """Refuses a path that cannot be a file, and a file that is not a comparison page."""
    if path.is_dir() or not all(parent.is_dir() for parent in path.absolute().parents if parent.exists()):
        raise UserError(f"--out {path} cannot be a file. Name a file in a folder, such as comparison.html.")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"--out {path} exists and is not a page of understudy compare. Choose another name.")


def is_rendered(run: RunDirectory, recipe: Recipe, manifest: Manifest) -> bool:
    """Whether the report exists and shows the run's current results."""
    written = {path.name: file_sha256(path) for path in _files(run) if path.is_file()}
    return manifest.fingerprint(REPORT) == _key(run, recipe) and manifest.details(REPORT).get("files") == written


def render_run(evidence: Evidence, manifest: Manifest) -> None:
    """Draws the dashboard and writes the page.

    Args:
        evidence: The finished run.
        manifest: The run's manifest, which records the report.
    """
    start, run = time.monotonic(), evidence.run
    draw_dashboard(evidence.metrics, run.dashboard, evidence.recipe.name)
    write_report(evidence, run.page)
    files = {path.name: file_sha256(path) for path in _files(run)}
    manifest.finish(REPORT, _key(run, evidence.recipe), time.monotonic() - start, {"files": files}, made=False)


def _files(run: RunDirectory) -> list[Path]:
    return [run.dashboard, run.dashboard_svg, run.page]


def _key(run: RunDirectory, recipe: Recipe) -> str:
    """The fingerprint of all that the report shows."""
    shown = (run.metrics, run.predictions, run.benchmark, run.frontier)
    files = {path.name: file_sha256(path) for path in shown if path.is_file()}
    return fingerprint(files=files, options=recipe.report.model_dump(), name=recipe.name)
