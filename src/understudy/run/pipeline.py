"""The whole run: materials are gathered, everything is checked, and the stages do what is not finished."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
from understudy.run.keys import teacher_keys
from understudy.run.stages import Stages
from understudy.runtime.hardware import detect
from understudy.storage.layout import RunDirectory, default_cache, read_recipe
from understudy.training.tracking import tracking

__all__ = ["Run", "distill", "examine"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run, opened for reading."""

    directory: Path

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
            ModelError: it is a committee, whose members stand in folders of their own, or its scores were given.
        """
        if self.recipe.teacher.scores is not None:
            raise ModelError(
                f"The teacher of {self.directory} is no model: its probabilities were given, and stand in "
                f"{self._layout.teacher / 'scores.parquet'}. Ask the student, or open that file."
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
    device: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    cache_dir: str | Path | None = None,
    overwrite: bool = False,
    report_to: str | Sequence[str] = (),
) -> Run:
    """Runs a recipe, or what of it is not finished yet.

    Args:
        recipe: A recipe, a preset's name or a TOML file's path.
        out: The run directory; by default `runs/<recipe name>`.
        device: `cpu`, `cuda`, `mps`; by default the best there is.
        threads: CPU threads; by default as many as there are cores.
        engine: What runs finished models: `pytorch`, `openvino`, or by default the fastest that agrees.
        cache_dir: Where finished work is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.
        overwrite: Replace the run that is in `out` where its data or teacher differ.
        report_to: Experiment trackers that Hugging Face's Trainer knows, by its names, such as `tensorboard`. What is
            trained shows its curves there, each stage in a run of its own. No result depends on it.

    Raises:
        RecipeError: an option is wrong.
        UserError: a tracker is unknown or not installed.
        DataError: a source cannot be read, or its audit found errors.
        ModelError: a model is not there or cannot be used.
        RunDirectoryError: `out` holds something else.
        TrainingDiverged: a loss is no longer finite.
    """
    stages = prepare(
        recipe,
        out,
        device=device,
        threads=threads,
        engine=engine,
        cache_dir=cache_dir,
        overwrite=overwrite,
        report_to=report_to,
    )
    stages.execute()
    stages.tidy()
    return Run(stages.run.root)


def prepare(
    recipe: Recipe | str | Path = "quickstart",
    out: str | Path | None = None,
    *,
    device: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    cache_dir: str | Path | None = None,
    overwrite: bool = False,
    report_to: str | Sequence[str] = (),
    check: Callable[[RunDirectory, Materials, Path], object] = lambda *_: None,
) -> Stages:
    """All that comes before the teacher: everything is read and checked, and the run directory is begun.

    Further arguments and errors are those of `distill`, but for what training raises.

    Args:
        check: Given run directory, materials and cache, raises what else stands in the way, before anything is touched.
    """
    started = time.monotonic()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    run = RunDirectory(Path(out) if out is not None else Path("runs") / recipe.name)
    curves = tracking(report_to, run.root.resolve().name, run.tracking)
    changed = check_directory(run, recipe, overwrite)
    hardware = detect(device, threads, engine)
    check_hardware(recipe, hardware)
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    materials = gather(recipe, cache)
    for finding in materials.findings.warnings:
        log.warning("%s: %s", finding.code, finding.message)

    check_attention(recipe, materials, hardware)
    keys = teacher_keys(recipe, materials, hardware)
    if not overwrite:
        check_fingerprints(run, {"data": materials.corpus.digest, **keys})
    check(run, materials, cache)
    announce(recipe, materials, run, hardware, afresh=overwrite)
    if overwrite:
        remove_run(run)
    if changed:
        log.info("changed since the last run: %s; what depends on that is done again", ", ".join(changed))
    manifest = begin(recipe, run, hardware, materials, time.monotonic() - started)
    return Stages(recipe, run, hardware, cache, materials, manifest, keys, curves)
