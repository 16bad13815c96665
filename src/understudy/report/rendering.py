"""A run's report: dashboard and page, made anew when what they show has changed."""

from __future__ import annotations

import time
from pathlib import Path

from understudy.recipe.recipe import Recipe
from understudy.report.dashboard import draw_dashboard
from understudy.report.evidence import REPORT, Evidence
from understudy.report.page import write_report
from understudy.storage.artifacts import Manifest, RunDirectory, file_sha256, fingerprint


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
