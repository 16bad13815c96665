"""The texts of an export: some to calibrate with, and labelled ones to validate on, never those of the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.data.corpus import Split, build_corpus, read_tables
from understudy.data.sources import read
from understudy.data.tokens import text_ids
from understudy.errors import DataError
from understudy.evaluation.single import matched_labels
from understudy.storage.files import fingerprint
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest

CALIBRATION_TEXTS = 300
_SEED = 0


@dataclass(frozen=True)
class ExportTexts:
    """What an int8 export is calibrated with, and what every export is compared on.

    Attributes:
        source: Where they are from.
        calibration: Texts whose ranges int8 is made for.
        validation: Labelled texts.
    """

    source: str
    calibration: list[str]
    validation: Split

    @classmethod
    def of_run(cls, run: RunDirectory, classes: list[str]) -> ExportTexts:
        """Some of a run's training texts, and its validation texts.

        Raises:
            DataError: a source cannot be read any more, or holds other texts than when the run was made.
        """
        recipe = read_recipe(run)
        options = recipe.data
        corpus = build_corpus(read_tables(options), options, recipe.seed, classes)
        # Of other texts some that the model was trained on might be taken for validation texts.
        if corpus.digest != Manifest(run.manifest).fingerprint("data") or corpus.classes != classes:
            raise DataError(
                f"The texts of {run.root} ({options.train}) are no longer those that it was made of, and which of them "
                "its models were trained on is not known. Name labelled texts that they were not trained on: --data."
            )
        return cls(f"{options.train}, training texts of {run.root.name}", _some(corpus.train.texts), corpus.validation)

    @classmethod
    def of_source(cls, source: str, text: str, label: str, classes: list[str], model: str) -> ExportTexts:
        """A third of a source's texts, but no more than it takes, to calibrate with; the others to validate on.

        Raises:
            DataError: the source cannot be read, has fewer than two texts, or a label that is no class of the model.
        """
        table = read(source, text, label)
        if len(table) < 2:
            raise DataError(
                f"{source} has {len(table)} rows: expected labelled texts to calibrate and to validate with."
            )
        whole = Split(table.texts, text_ids(table.texts), matched_labels(table, source, classes, model))
        order = np.random.default_rng(_SEED).permutation(len(whole))
        size = min(CALIBRATION_TEXTS, max(1, len(whole) // 3))
        return cls(source, whole.select(order[:size]).texts, whole.select(np.sort(order[size:])))

    def record(self) -> dict[str, Any]:
        """What a manifest says of the calibration."""
        ids = sorted(text_ids(self.calibration).astype(str).tolist())
        return {"source": self.source, "texts": len(self.calibration), "digest": fingerprint(ids=ids)}


def _some(texts: list[str]) -> list[str]:
    rows = np.random.default_rng(_SEED).permutation(len(texts))[:CALIBRATION_TEXTS]
    return [texts[row] for row in rows]
