"""A linear model on n-grams as a classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from understudy.inference.classifier import CHUNK, Classifier, Size, batched
from understudy.inference.opened import Opened
from understudy.models.linear import LinearModel
from understudy.runtime.hardware import Dtype


@dataclass(frozen=True, eq=False)
class LinearClassifier(Classifier):
    """A linear model on n-grams; it reads texts of any length.

    Attributes:
        model: The linear model.
        folder: Where the model is.
        opened: How it was opened.
        dtype: Compute type.
    """

    model: LinearModel
    folder: Path
    opened: Opened
    dtype: Dtype = "fp32"

    @property
    def classes(self) -> list[str]:
        return self.model.names

    @property
    def size(self) -> Size:
        return Size(self.model.parameters, sum(path.stat().st_size for path in self.folder.iterdir()))

    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        parts = []
        for part in batched(texts, CHUNK):
            parts.append(self.model.predict_proba(part))
            if advance is not None:
                advance(len(part))
        return np.concatenate([np.empty((0, self.model.classes)), *parts])
