"""Where things are: the run directory's layout, and the cache's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from understudy.errors import RunDirectoryError
from understudy.recipe.recipe import Recipe

SCHEMA_VERSION = 1
"""Of the JSON files in a run directory."""


@dataclass(frozen=True)
class RunDirectory:
    """The layout of a run, one property a place."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def data(self) -> Path:
        """Data that was given in memory, as files."""
        return self.root / "data"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions.parquet"

    @property
    def teacher(self) -> Path:
        return self.root / "teacher"

    def teacher_members(self, count: int) -> list[Path]:
        """A folder for each model of a committee; a teacher that is one model has its folder to itself."""
        return [self.teacher] if count == 1 else [self.teacher / str(number) for number in range(1, count + 1)]

    @property
    def student(self) -> Path:
        return self.root / "student"

    @property
    def card(self) -> Path:
        """The student's model card."""
        return self.student / "README.md"

    def another_student(self, name: str) -> Path:
        """Where a student of the frontier is that is not the recipe's own."""
        return self.root / "students" / name

    def repeated_student(self, seed: int) -> Path:
        """Where the recipe's own student is that was trained with another seed."""
        return self.another_student(f"seed-{seed}")

    @property
    def frontier(self) -> Path:
        return self.root / "frontier.json"

    @property
    def frontier_plot(self) -> Path:
        return self.root / "report" / "frontier.png"

    def frontier_students(self) -> list[Path]:
        """The students of the frontier that are there, but for the recipe's own and its repeats."""
        found = sorted((self.root / "students").glob("[!.]*"))
        return [folder for folder in found if folder.is_dir() and not folder.name.startswith("seed-")]

    def control(self, name: str) -> Path:
        return self.root / "controls" / name

    def repeated_control(self, seed: int) -> Path:
        """Where the control without a teacher is that was trained with another seed."""
        return self.control(f"no_distillation-seed-{seed}")

    def export(self, name: str) -> Path:
        """Where an exported model is."""
        return self.root / "export" / name

    @property
    def benchmark(self) -> Path:
        return self.root / "benchmark.json"

    @property
    def benchmark_plot(self) -> Path:
        return self.root / "report" / "benchmark.png"

    def exports(self) -> list[Path]:
        """The folders in which exports are expected."""
        return sorted(path for path in self.export("").glob("[!.]*") if path.is_dir())

    @property
    def dashboard(self) -> Path:
        return self.root / "report" / "dashboard.png"

    @property
    def dashboard_svg(self) -> Path:
        return self.dashboard.with_suffix(".svg")

    @property
    def page(self) -> Path:
        return self.root / "report" / "report.html"

    @property
    def checkpoints(self) -> Path:
        """Where unfinished training keeps its state; gone once a stage is done."""
        return self.root / ".checkpoints"

    @property
    def tracking(self) -> Path:
        """What experiment trackers write that keep files."""
        return self.root / "tracking"

    def is_run(self) -> bool:
        return self.manifest.is_file()


def default_cache() -> Path:
    """`$UNDERSTUDY_CACHE`, else `understudy` in the user's cache folder (on Linux `$XDG_CACHE_HOME` or `~/.cache`)."""
    chosen = os.environ.get("UNDERSTUDY_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("understudy", appauthor=False)


def read_recipe(run: RunDirectory) -> Recipe:
    """The recipe of a run.

    Raises:
        RunDirectoryError: There is no run there.
    """
    if not run.recipe.is_file():
        raise RunDirectoryError(f"{run.root} holds no run: expected {run.recipe.name} in it. Give a run directory.")
    return Recipe.load(run.recipe)
