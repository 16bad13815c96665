"""The whole run: gathers the materials, checks everything, and runs the stages that are not finished."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from understudy.data.findings import Audit
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
    check_fingerprints,
    check_hardware,
    check_place,
    check_recipe,
    remove_run,
)
from understudy.run.inputs import Materials, gather, look_over
from understudy.run.keys import Key
from understudy.run.request import Arguments, DataArguments, Request, asked, refuse_unknown, settings_of
from understudy.run.settings import Settings
from understudy.run.stages import Stages
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.usage import used_by
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
        """The recipe with all defaults."""
        return read_recipe(self._layout)

    @cached_property
    def metrics(self) -> Metrics:
        """The figures of `metrics.json`."""
        return Metrics.load(self._layout.metrics)

    @cached_property
    def student(self) -> Classifier:
        """The student, ready to predict."""
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
    recipe: Any = "quickstart",
    out: str | os.PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    **arguments: Unpack[Arguments],
) -> Run:
    """Runs a recipe. Finished work is found and not done again.

    Args:
        recipe: A recipe, a preset's name or the path of a TOML file. Or training data, which is run with the settings
            of `quickstart`: a data file, the name of a Hub data set, or data in memory. That is a pandas or Polars data
            frame, an Arrow table, a `datasets.Dataset`, columns, rows, or a pair `(texts, labels)`. Columns are a
            mapping of names to lists, rows a list of mappings.
        out: The run directory; by default `runs/<recipe name>`.
        settings: What to run with, instead of the keyword arguments.
        **arguments: Options of the data: `test`, `validation` and `unlabelled` (sources or data in memory), `text` and
            `label` (columns). The fields of `Settings` are arguments, too.

    Raises:
        RecipeError: An option is wrong.
        TypeError: An argument is unknown, or data in memory has an unsupported type.
        UserError: A tracker is unknown or not installed.
        DataError: A source cannot be read, or its audit found errors.
        ModelError: A model is missing or cannot be used.
        RunDirectoryError: `out` holds something else.
        TrainingDiverged: A loss is no longer finite.
    """
    request = asked(recipe, arguments)
    run = run_directory(request, out)
    with used_by(run.root):
        stages = prepare(request, run, settings_of(settings, arguments))
        stages.execute()
    stages.tidy()
    return Run(run.root)


def run_directory(request: Request, out: str | os.PathLike[str] | None) -> RunDirectory:
    """Where a run goes: `out`, or a folder with the recipe's name."""
    return RunDirectory(Path(out) if out is not None else Path("runs") / request.recipe.name)


def examine(
    recipe: Any = "quickstart",
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    **arguments: Unpack[DataArguments],
) -> Audit:
    """Finds everything that `distill` would find wrong with data and recipe before it trains.

    Args:
        recipe: A recipe or training data, as `distill` takes it.
        cache_dir: Where tokenised data is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.
        settings: What to run with, instead of `cache_dir`.
        **arguments: Options of the data, as `distill` takes them.

    Raises:
        RecipeError: An option is wrong.
        DataError: A source cannot be read at all.
        ModelError: A model is missing or cannot be used.
    """
    if settings is not None and cache_dir is not None:
        raise TypeError("got settings and cache_dir; give one or the other")
    refuse_unknown(arguments, DataArguments.__annotations__)
    cache = settings or Settings(cache_dir=None if cache_dir is None else Path(cache_dir))
    request = asked(recipe, arguments)
    with tempfile.TemporaryDirectory() as folder, request.written_to(Path(folder)) as written:
        found = look_over(written, cache.cache)
        findings = (replace(each, message=request.worded(each.message, written)) for each in found.findings)
        return replace(found, findings=tuple(findings))


def prepare(
    request: Request,
    run: RunDirectory,
    settings: Settings,
    check: Callable[[Recipe, RunDirectory, Materials, Path], object] = lambda *_: None,
) -> Stages:
    """Does all that comes before the teacher: reads and checks everything, and begins the run directory.

    Errors are those of `distill`, apart from what training raises.

    Args:
        request: What to do.
        run: Where it goes.
        settings: What to run with.
        check: Takes recipe, run directory, materials and cache; raises what else stands in the way, before the run
            directory is begun.
    """
    started = time.monotonic()
    tracking(settings.report_to, run.root.resolve().name, run.tracking)
    check_place(run)
    with request.written_to(run.data) as recipe:
        changed = check_recipe(run, recipe, settings.overwrite)
        check_hardware(recipe, settings.hardware)
        materials = gather(recipe, settings.cache)
        for finding in materials.findings.warnings:
            log.warning("%s: %s", finding.code, request.worded(finding.message, recipe))
        check_attention(recipe, materials, settings.hardware)
        keys = _teacher_keys(recipe, materials, settings)
        if not settings.overwrite:
            check_fingerprints(
                run, {"data": materials.corpus.digest, **{stage: key.asked for stage, key in keys.items()}}
            )
        check(recipe, run, materials, settings.cache)
        announce(recipe, materials, run, settings)
    if settings.overwrite:
        remove_run(run, keep=recipe)
    if changed:
        log.info("changed since the last run: %s; what depends on these is done again", ", ".join(changed))
    manifest = begin(recipe, run, settings.hardware, materials, time.monotonic() - started)
    return Stages(recipe, run, settings, materials, manifest, keys)


def _teacher_keys(recipe: Recipe, materials: Materials, settings: Settings) -> dict[str, Key]:
    """The keys of the teacher's members, by stage."""
    corpus, hardware = materials.corpus, settings.hardware
    return {member.stage: member.key(recipe, corpus, hardware) for member in materials.members}
