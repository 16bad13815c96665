"""Opens a finished classifier of whatever kind a folder holds."""

from __future__ import annotations

from pathlib import Path

from understudy.errors import ModelError, UserError
from understudy.inference.classifier import Classifier
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.exported import ExportedClassifier, is_exported
from understudy.inference.ngrams import LinearClassifier
from understudy.models.linear import LinearModel, is_linear
from understudy.storage.layout import RunDirectory

_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def open_classifier(
    path: str | Path,
    *,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    engine: str | None = None,
) -> Classifier:
    """Opens a Hugging Face folder, an export, a linear model, or a run directory's student.

    Args:
        path: The folder.
        device: `cpu`, `cuda`, `mps`; by default the best there is.
        threads: CPU threads; PyTorch has one number for the whole process, the last that was asked for.
        precision: Compute type: `fp32` gives what `transformers` gives, `auto` the hardware's fastest. By default
            `auto` for an int8 export, where it is the type of what is not quantised, and `fp32` for all else.
        engine: `pytorch`, `openvino` or `auto`: OpenVINO on a CPU where the precision is bf16 and the model's
            logits agree. It takes seconds to open, which pays for many texts. An export has an engine of its own.

    Raises:
        ModelError: there is no single-label classifier at `path`.
        UserError: there is no such device, precision or engine.
    """
    if precision is not None and precision not in _PRECISIONS:
        raise UserError(f"precision = {precision!r}: expected one of {', '.join(_PRECISIONS)}.")
    folder = _model_folder(path)
    if is_exported(folder):
        return ExportedClassifier.open(folder, device, threads, precision, engine)
    if is_linear(folder):
        return LinearClassifier(LinearModel.load(folder), folder)
    return TransformersClassifier.open(folder, path, device, threads, precision or "fp32", engine)


def _model_folder(path: str | Path) -> Path:
    """The folder of a model, or of a run's student."""
    folder = Path(path).expanduser()
    run = RunDirectory(folder)
    if run.is_run():
        if not run.student.is_dir():
            raise ModelError(f"The run {path} has no student yet. Finish it first: understudy run --out {path}")
        return run.student
    if not folder.is_dir():
        raise ModelError(f"No model at '{path}': expected a run directory, a Hugging Face folder or an export.")
    return folder
