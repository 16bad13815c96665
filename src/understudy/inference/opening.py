"""Opens a finished classifier of any kind."""

from __future__ import annotations

import os
from pathlib import Path

from understudy.errors import ModelError, UserError
from understudy.inference.classifier import Classifier
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.exported import ExportedClassifier, is_exported
from understudy.inference.ngrams import LinearClassifier
from understudy.inference.opened import Opened
from understudy.inference.opened import OpenOptions as OpenOptions
from understudy.models.linear import LinearModel, is_linear
from understudy.storage.layout import RunDirectory
from understudy.storage.models import STUDENT, model_folder, refuse_which

_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def open_classifier(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
    which: str = STUDENT,
) -> Classifier:
    """Opens a Hugging Face folder, an export, a linear model, or a model of a run directory.

    Args:
        path: The folder; an open classifier counts as the path of its folder.
        device: `cpu`, `cuda` or `mps`; by default the fastest device here.
        threads: CPU threads. PyTorch has one number for the whole process, so the last call decides.
        precision: Compute type: `fp32` computes what `transformers` computes, `auto` takes the hardware's fastest.
            The default is `fp32`. For an int8 export it is `auto`, and concerns the operators that are not quantised.
        engine: `pytorch`, `openvino` or `auto`, which takes OpenVINO on a CPU if the precision is bf16 and the logits
            agree with PyTorch's. OpenVINO takes seconds to open, which pays for many texts. An export has its own
            engine.
        which: Which model of a run directory: `student`, `teacher`, `linear`, `frozen`, `static`, or `best`, the one
            that the run recommends.

    Raises:
        ModelError: `path` holds no single-label classifier, or the run has no such model.
        UserError: The device, precision or engine does not exist, or `which` was given without a run directory.
    """
    if precision is not None and precision not in _PRECISIONS:
        raise UserError(f"precision = {precision!r}: expected one of {', '.join(_PRECISIONS)}.")
    folder = _model_folder(path, which)
    opened = Opened.now(folder, {"device": device, "threads": threads, "precision": precision, "engine": engine})
    if is_exported(folder):
        return ExportedClassifier.open(folder, opened)
    if is_linear(folder):
        return LinearClassifier(LinearModel.load(folder), folder, opened)
    return TransformersClassifier.open(folder, opened)


def _model_folder(path: str | os.PathLike[str], which: str) -> Path:
    """The folder of a model, or of one of a run's models."""
    folder = Path(path).expanduser()
    run = RunDirectory(folder)
    if run.is_run():
        return model_folder(run, which)
    refuse_which(folder, which)
    if not folder.is_dir():
        raise ModelError(f"No model at '{folder}'. Give a run directory, a Hugging Face folder or an export.")
    return folder
