"""What a report is made of, read from a finished run: figures, answers, texts, and how it all came about."""

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
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest
from understudy.timing.figures import Benchmark

log = logging.getLogger(__name__)

REPORT = "report"
"""The stage that shows what the others made."""

MODELS = {
    "teacher": "Teacher",
    "student": "Student",
    "no_distillation": "No distillation",
    "linear": "Linear",
}
"""What a run answers with on the test texts, in the order in which it is shown, and how it is called there."""


@dataclass(frozen=True)
class Evidence:
    """A finished run.

    Attributes:
        run: Where it is.
        recipe: What was asked for.
        metrics: `metrics.json`.
        manifest: `manifest.json`.
        classes: Their names.
        ids: Of the test texts, bytes of shape (texts,).
        labels: Their class numbers, int64 of shape (texts,).
        probabilities: By model, float64 of shape (texts, classes).
        texts: The test texts themselves; None where they are not to be had.
        benchmark: `benchmark.json`, if there is one.
        tradeoff: `frontier.json`, likewise.
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
            texts: Whether the test texts are wanted.

        Raises:
            RunDirectoryError: it holds no run, or one that is not finished.
        """
        run = RunDirectory(folder)
        recipe = read_recipe(run)
        metrics, manifest = Metrics.load(run.metrics), Manifest(run.manifest)
        try:
            classes = [str(name) for name in manifest.content["classes"]]
            ids, labels, probabilities = _read_predictions(run.predictions, classes)
        except (OSError, KeyError, ValueError) as error:
            raise RunDirectoryError(
                f"{run.predictions} does not hold what the run answered ({error}). Start the run again: understudy run "
                f"{run.recipe} --out {folder}"
            ) from None
        return cls(
            *(run, recipe, metrics, manifest, classes, ids, labels, probabilities),
            texts=_texts(recipe, manifest, run.predictions, ids) if texts else None,
            benchmark=Benchmark.load(run.benchmark) if run.benchmark.is_file() else None,
            tradeoff=Tradeoff.load(run.frontier) if run.frontier.is_file() else None,
        )

    @cached_property
    def predicted(self) -> dict[str, np.ndarray]:
        """Class numbers by model, int64 of shape (texts,)."""
        return {name: values.argmax(axis=1) for name, values in self.probabilities.items()}

    def with_texts(self, wanted: bool) -> Evidence:
        """The same with another `report.texts`."""
        options = self.recipe.report.model_copy(update={"texts": wanted})
        return replace(self, recipe=self.recipe.model_copy(update={"report": options}))

    def temperature(self, model: str) -> float | None:
        """What its logits were divided by when it was calibrated; None where they were not."""
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


def _texts(recipe: Recipe, manifest: Manifest, predictions: Path, ids: np.ndarray) -> list[str] | None:
    """The test texts: kept with the answers, or from where the recipe had them; None where they are not to be had."""
    import pyarrow.parquet as pq

    if "text" in pq.read_schema(predictions).names:
        return pq.read_table(predictions, columns=["text"])["text"].to_pylist()
    # A relative path starts from the folder in which the run was started.
    sources = dict.fromkeys([recipe.data.test, str(Path(manifest.content.get("folder", "")) / recipe.data.test)])
    for source in sources:
        try:
            texts = read(source, recipe.data.text, label=None).texts
        except UnderstudyError:
            continue
        by_id = dict(zip(text_ids(texts).tolist(), texts, strict=True))
        found = [by_id.get(name) for name in ids.tolist()]
        if None not in found:
            return [text for text in found if text is not None]
    log.warning("%s does not hold the test texts (any more): the report goes without them", recipe.data.test)
    return None
