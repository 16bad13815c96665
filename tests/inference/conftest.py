"""A classifier of two classes, and files of several chunks and windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stopping import ROWS, WINDOW, Computed, Job, write_texts
from understudy.data import files
from understudy.inference import bulk
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier


@pytest.fixture
def classifier(make_model: Callable[..., Path]) -> Classifier:
    return open_classifier(make_model("model", ["negative", "positive"]), device="cpu")


@pytest.fixture(scope="session")
def exports(exported: Any) -> dict[str, Path]:
    return {name: exported("fp32", name).folder for name in ("openvino", "onnx")}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that do not end where chunks do."""
    monkeypatch.setattr(files, "CHUNK_ROWS", 2)
    monkeypatch.setattr(bulk, "WINDOW", 3)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A file of several windows, and a count of what the model computes."""
    monkeypatch.setattr(files, "CHUNK_ROWS", 3)
    monkeypatch.setattr(bulk, "WINDOW", WINDOW)
    computed = Computed()
    predict_proba = Classifier.predict_proba

    def counted(self: Classifier, texts: list[str], *rest: Any) -> np.ndarray:
        if len(computed) == computed.stop:
            raise KeyboardInterrupt
        computed.append(len(texts))
        return predict_proba(self, texts, *rest)

    monkeypatch.setattr(Classifier, "predict_proba", counted)
    return Job(write_texts(tmp_path / "in.csv", ROWS), computed)
