"""The parts of a stopped prediction are not used for other work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stopping import ROWS, Job, parts_of
from understudy.errors import DataError
from understudy.inference import bulk
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.runtime.packages import versions


def _another_input(source: Path, _: Path, __: pytest.MonkeyPatch) -> dict[str, Any]:
    before = source.stat()
    source.write_bytes(source.read_bytes()[:-2] + b"x\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # the size and the time stay the same
    return {}


def _another_model(_: Path, model: Path, __: pytest.MonkeyPatch) -> dict[str, Any]:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    return {}


def _another_text(*_: Any) -> dict[str, Any]:
    return {"text": "id"}


def _another_precision(*_: Any) -> dict[str, Any]:
    return {"precision": "bf16", "engine": "pytorch"}  # on processors with bf16, auto would change the engine, too


def _another_engine(*_: Any) -> dict[str, Any]:
    return {"engine": "openvino"}


def _another_window(_: Path, __: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(bulk, "WINDOW", 5)
    return {}


def _another_version(_: Path, __: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(bulk, "versions", lambda names: versions(names) | {"torch": "0"})
    return {}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_another_input, "input"),
        (_another_model, "model"),
        (_another_text, "text"),
        (_another_precision, "dtype"),
        (_another_engine, "engine"),
        (_another_window, "window"),
        (_another_version, "versions"),
    ],
)
def test_other_work_starts_over(
    change: Any,
    name: str,
    make_model: Callable[..., Path],
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, path = make_model("model", ["negative", "positive"]), job.folder / "out.csv"
    job.stopped(open_classifier(model, device="cpu"), path, 3)
    options = change(job.source, model, monkeypatch)
    text = options.pop("text", "text")
    classifier = open_classifier(model, device="cpu", **options)
    job.predict(classifier, path, text=text)
    assert f"{parts_of(path)} belongs to other work and is removed: different {name}" in caplog.messages
    assert sum(job.computed) == ROWS
    assert path.read_bytes() == job.undisturbed(classifier, path, text)


def test_an_input_that_changes_meanwhile_is_refused(
    classifier: Classifier, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_proba = Classifier.predict_proba

    def changing(self: Classifier, texts: list[str], *rest: Any) -> np.ndarray:
        with job.source.open("a") as file:
            file.write("99,good\n")
        return predict_proba(self, texts, *rest)

    monkeypatch.setattr(Classifier, "predict_proba", changing)
    with pytest.raises(DataError, match=r"in\.csv changed while it was read"):
        job.predict(classifier, job.folder / "out.csv")
    assert not (job.folder / "out.csv").exists()
    assert not parts_of(job.folder / "out.csv").exists()
