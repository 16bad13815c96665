"""What a report is made from, read from a finished run: figures, predictions, texts and the manifest."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from understudy.data.sources import read
from understudy.data.tokens import text_ids
from understudy.errors import RunDirectoryError, UnderstudyError
from understudy.evaluation.results import Metrics
from understudy.evaluation.tradeoff import Tradeoff
from understudy.recipe.recipe import Recipe
from understudy.storage.layout import RunDirectory, read_recipe, source_of_test
from understudy.storage.manifest import Manifest
from understudy.timing.figures import Benchmark

log = logging.getLogger(__name__)

REPORT = "report"
"""The name of the report's stage in the manifest."""

MODELS = {
    "teacher": "Teacher",
    "student": "Student",
    "no_distillation": "No distillation",
    "linear": "Linear",
    "frozen": "Frozen encoder",
    "static": "Static student",
}
"""The models with predictions for the test texts, and their names in a report, in its order."""


@dataclass(frozen=True)
class Evidence:
    """A finished run.

    Attributes:
        run: Its directory.
        recipe: The resolved recipe.
        metrics: `metrics.json`.
        manifest: `manifest.json`.
        classes: The class names.
        ids: Ids of the test texts, bytes of shape (texts,).
        labels: Class indices of the test texts, int64 of shape (texts,).
        probabilities: For each model, float64 of shape (texts, classes).
        texts: The test texts; None if they are not available.
        benchmark: `benchmark.json`, if it exists.
        tradeoff: `frontier.json`, if it exists.
    """

    run: RunDirectory
    recipe: Recipe
    metrics: Metrics
    manifest: Manifest
    classes: list[str]
    ids: np.ndarray
    labels: np.ndarray
    probabilities: dict[str, np.ndarray]
    texts: list[str] | None
    benchmark: Benchmark | None
    tradeoff: Tradeoff | None

    @classmethod
    def read(cls, folder: Path, texts: bool = True) -> Evidence:
        """Opens a run directory.

        Args:
            folder: The run directory.
            texts: Whether to read the test texts.

        Raises:
            RunDirectoryError: The folder is not a run directory, or the run is not finished.
        """
        run = RunDirectory(folder)
        recipe = read_recipe(run)
        metrics, manifest = Metrics.load(run.metrics), Manifest(run.manifest)
        try:
            classes = [str(name) for name in manifest.content["classes"]]
            ids, labels, probabilities = _read_predictions(run.predictions, classes)
        except (OSError, KeyError, ValueError) as error:
            raise RunDirectoryError(
                f"Cannot read the predictions in {run.predictions} ({error}). Run it again: understudy run "
                f"{run.recipe} --out {folder}"
            ) from None
        return cls(
            *(run, recipe, metrics, manifest, classes, ids, labels, probabilities),
            texts=_texts(recipe, manifest, run, ids) if texts else None,
            benchmark=Benchmark.load(run.benchmark) if run.benchmark.is_file() else None,
            tradeoff=Tradeoff.load(run.frontier) if run.frontier.is_file() else None,
        )

    @cached_property
    def predicted(self) -> dict[str, np.ndarray]:
        """Predicted class indices of each model, int64 of shape (texts,)."""
        return {name: values.argmax(axis=1) for name, values in self.probabilities.items()}

    def with_texts(self, wanted: bool) -> Evidence:
        """A copy with another `report.texts`."""
        options = self.recipe.report.model_copy(update={"texts": wanted})
        return replace(self, recipe=self.recipe.model_copy(update={"report": options}))

    def temperature(self, model: str) -> float | None:
        """The calibration temperature, by which the logits were divided; None without one."""
        calibration = self.manifest.details(model).get("calibration") or {}
        return calibration.get("temperature")


def _read_predictions(path: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in table["label"].to_pylist()], dtype=np.int64)
    ids = np.array(table["id"].to_pylist(), dtype="S32")
    columns = {model: [f"{model}_probability_{name}" for name in classes] for model in MODELS}
    there = {model: names for model, names in columns.items() if set(names) <= set(table.column_names)}
    return (
        ids,
        labels,
        {
            model: np.column_stack([table[name].to_numpy() for name in names]).astype(np.float64)
            for model, names in there.items()
        },
    )


def _texts(recipe: Recipe, manifest: Manifest, run: RunDirectory, ids: np.ndarray) -> list[str] | None:
    """The test texts, from the predictions or from the recipe's source; None if neither has them."""
    import pyarrow.parquet as pq

    if "text" in pq.read_schema(run.predictions).names:
        kept: list[str] = pq.read_table(run.predictions, columns=["text"])["text"].to_pylist()
        return kept
    # A relative path is relative to the folder in which the run was started.
    named = source_of_test(run, recipe)
    sources = dict.fromkeys([named, str(Path(manifest.content.get("folder", "")) / named)])
    for source in sources:
        try:
            texts = read(source, recipe.data.text, label=None).texts
        except UnderstudyError:
            continue
        by_id = dict(zip(text_ids(texts).tolist(), texts, strict=True))
        found = [by_id.get(name) for name in ids.tolist()]
        if None not in found:
            return [text for text in found if text is not None]
    log.warning("%s no longer contains the test texts. The report is written without them.", named)
    return None
