"""The whole run: gathers the materials, checks everything, and runs the stages that are not finished."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Unpack

from understudy.errors import ModelError
from understudy.evaluation.results import Metrics
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.recipe.recipe import Recipe
from understudy.reporting.notebook import run_html
from understudy.run.checks import (
    announce,
    begin,
    check_attention,
    check_directory,
    check_fingerprints,
    check_hardware,
    remove_run,
)
from understudy.run.inputs import Materials, examine, gather
from understudy.run.settings import Settings, SettingsArguments, chosen
from understudy.run.stages import Stages
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.training.tracking import tracking

__all__ = ["Run", "distill", "examine"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run, opened for reading."""

    directory: Path

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def _layout(self) -> RunDirectory:
        return RunDirectory(Path(self.directory))

    @cached_property
    def recipe(self) -> Recipe:
        return read_recipe(self._layout)

    @cached_property
    def metrics(self) -> Metrics:
        return Metrics.load(self._layout.metrics)

    @cached_property
    def student(self) -> Classifier:
        return open_classifier(self._layout.student)

    @cached_property
    def teacher(self) -> Classifier:
        """The teacher.

        Raises:
            ModelError: It is a committee, whose members have folders of their own, or its scores were given.
        """
        if self.recipe.teacher.scores is not None:
            raise ModelError(
                f"The teacher of {self.directory} is not a model: its probabilities were given. They are in "
                f"{self._layout.teacher / 'scores.parquet'}. Use the student, or open that file."
            )
        return open_classifier(self._layout.teacher)

    @property
    def report(self) -> Path:
        """The folder with the dashboard and the page."""
        return self._layout.dashboard.parent

    @property
    def page(self) -> Path:
        """The report, one HTML file."""
        return self._layout.page

    def _repr_html_(self) -> str | None:
        if not self._layout.metrics.is_file():  # unfinished: a notebook then falls back on the plain text
            return None
        return run_html(self.directory, self.metrics, self._layout.dashboard)


def distill(
    recipe: Recipe | str | Path = "quickstart",
    out: str | Path | None = None,
    *,
    settings: Settings | None = None,
    **arguments: Unpack[SettingsArguments],
) -> Run:
    """Runs a recipe. Finished work is found and not done again.

    Args:
        recipe: A recipe, a preset's name or a TOML file's path.
        out: The run directory; by default `runs/<recipe name>`.
        settings: What to run with, instead of the keyword arguments.
        **arguments: The fields of `Settings`: `device`, `threads`, `engine`, `cache_dir`, `overwrite`, `report_to`.

    Raises:
        RecipeError: An option is wrong.
        UserError: A tracker is unknown or not installed.
        DataError: A source cannot be read, or its audit found errors.
        ModelError: A model is missing or cannot be used.
        RunDirectoryError: `out` holds something else.
        TrainingDiverged: A loss is no longer finite.
    """
    stages = prepare(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), out, chosen(settings, arguments))
    stages.execute()
    stages.tidy()
    return Run(stages.run.root)


def prepare(
    recipe: Recipe,
    out: str | Path | None,
    settings: Settings,
    check: Callable[[RunDirectory, Materials, Path], object] = lambda *_: None,
) -> Stages:
    """Does all that comes before the teacher: reads and checks everything, and begins the run directory.

    Errors are those of `distill`, apart from what training raises.

    Args:
        recipe: What to do.
        out: The run directory; by default `runs/<recipe name>`.
        settings: What to run with.
        check: Takes run directory, materials and cache; raises what else stands in the way, before anything is written.
    """
    started = time.monotonic()
    run = RunDirectory(Path(out) if out is not None else Path("runs") / recipe.name)
    tracking(settings.report_to, run.root.resolve().name, run.tracking)
    changed = check_directory(run, recipe, settings.overwrite)
    hardware = settings.hardware
    check_hardware(recipe, hardware)
    materials = gather(recipe, settings.cache)
    for finding in materials.findings.warnings:
        log.warning("%s: %s", finding.code, finding.message)
    check_attention(recipe, materials, hardware)
    keys = {member.stage: member.fingerprint(recipe, materials.corpus, hardware) for member in materials.members}
    if not settings.overwrite:
        check_fingerprints(run, {"data": materials.corpus.digest, **keys})
    check(run, materials, settings.cache)
    announce(recipe, materials, run, settings)
    if settings.overwrite:
        remove_run(run)
    if changed:
        log.info("changed since the last run: %s; what depends on these is done again", ", ".join(changed))
    manifest = begin(recipe, run, hardware, materials, time.monotonic() - started)
    return Stages(recipe, run, settings, materials, manifest, keys)
