"""The texts of an export: quantisation texts and labelled validation texts, never those of the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.data.corpus import Split, build_corpus, read_tables
from understudy.data.tokens import text_ids
from understudy.errors import DataError
from understudy.evaluation.single import labelled_table, matched_labels
from understudy.storage.files import fingerprint
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest

QUANTISATION_TEXTS = 300
_SEED = 0


@dataclass(frozen=True)
class ExportTexts:
    """The texts that an export needs.

    Attributes:
        source: Where they come from.
        quantisation: An int8 export takes the ranges of its activations from these.
        validation: Labelled texts on which every export is compared with its model.
    """

    source: str
    quantisation: list[str]
    validation: Split

    @classmethod
    def of_run(cls, run: RunDirectory, classes: list[str]) -> ExportTexts:
        """Takes some of a run's training texts, and its validation texts.

        Raises:
            DataError: A source can no longer be read, or its texts have changed since the run.
        """
        recipe = read_recipe(run)
        options = recipe.data
        corpus = build_corpus(read_tables(options), options, recipe.seed, classes)
        # In a changed source, texts that the model was trained on might become validation texts.
        if corpus.digest != Manifest(run.manifest).fingerprint("data") or corpus.classes != classes:
            raise DataError(
                f"The texts of {run.root} ({options.train}) have changed since the run, so its validation texts are "
                "unknown. Give labelled texts that its models were not trained on: --data."
            )
        return cls(f"{options.train}, training texts of {run.root.name}", _some(corpus.train.texts), corpus.validation)

    @classmethod
    def of_source(cls, data: Any, text: str, label: str, classes: list[str], model: str) -> ExportTexts:
        """Takes a third of labelled texts, at most 300, as quantisation texts; the others are validation texts.

        Args:
            data: A source, or data in memory.
            text: The text column.
            label: The label column.
            classes: The model's class names.
            model: The model's name in messages.

        Raises:
            DataError: The source cannot be read, has fewer than two texts, or has a label that is not a class of the
                model.
        """
        table = labelled_table(data, text, label)
        if len(table) < 2:
            raise DataError(
                f"{table.source} has too few rows ({len(table)}). Give at least two labelled texts, for quantisation "
                "and validation."
            )
        whole = Split(table.texts, text_ids(table.texts), matched_labels(table, table.source, classes, model))
        order = np.random.default_rng(_SEED).permutation(len(whole))
        size = min(QUANTISATION_TEXTS, max(1, len(whole) // 3))
        return cls(table.source, whole.select(order[:size]).texts, whole.select(np.sort(order[size:])))

    def record(self) -> dict[str, Any]:
        """What the manifest records about the quantisation texts."""
        ids = sorted(text_ids(self.quantisation).astype(str).tolist())
        return {"source": self.source, "texts": len(self.quantisation), "digest": fingerprint(ids=ids)}


def _some(texts: list[str]) -> list[str]:
    rows = np.random.default_rng(_SEED).permutation(len(texts))[:QUANTISATION_TEXTS]
    return [texts[row] for row in rows]
