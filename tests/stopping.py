"""Predictions of one file that are stopped on the way, or run without a stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import WORDS
from understudy.inference.bulk import predict_file
from understudy.inference.classifier import Classifier

ROWS, WINDOW = 23, 4


class Computed(list[int]):
    """How many rows the model classified, per window; it stops before the window with the set number."""

    stop: int | None = None


@dataclass(frozen=True)
class Job:
    """A file to predict.

    Attributes:
        source: The file; it has `ROWS` rows.
        computed: What the model computed since the last stop.
    """

    source: Path
    computed: Computed

    @property
    def folder(self) -> Path:
        return self.source.parent

    def predict(self, classifier: Classifier, output: Path, **options: Any) -> int:
        return predict_file(classifier, str(self.source), output, **options)

    def stopped(self, classifier: Classifier, output: Path, windows: int) -> None:
        """Leaves so many finished windows behind."""
        self.computed.stop = windows
        with pytest.raises(KeyboardInterrupt):
            self.predict(classifier, output)
        self.computed.clear()
        self.computed.stop = None

    def undisturbed(self, classifier: Classifier, output: Path, text: str = "text") -> bytes:
        """What the output holds after a prediction without a stop."""
        path = output.with_stem("undisturbed")
        self.predict(classifier, path, text=text)
        self.computed.clear()
        return path.read_bytes()


def write_texts(path: Path, rows: int, seed: int = 0, longest: int = 12) -> Path:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(rows)]
    pd.DataFrame({"id": range(rows), "text": texts}).to_csv(path, index=False)
    return path


def parts_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")
