"""Calibration after training: a temperature that makes a classifier's confidence match its accuracy."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from understudy.data.tokens import pad
from understudy.evaluation.metrics import expected_calibration_error
from understudy.evaluation.temperature import ChosenTemperature, choose_temperature, too_few_texts
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.folding import fold_temperature
from understudy.recipe.training import TrainingOptions
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.progress import progress
from understudy.training.trainer import Examples, TrainingContext

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

_PROBES = 8


@dataclass(frozen=True)
class Calibration:
    """How a trained classifier was calibrated, on the validation texts.

    Attributes:
        temperature: What its logits were divided by; None if they were not changed.
        ece_before: Expected calibration error before calibration; None if it was not computed.
        ece_after: The same after calibration; None if the logits were not changed.
        left: Why the logits were not changed; None if they were.
        nll_before: Mean negative log-likelihood of the labels before calibration; None if it was not computed.
        nll_after: The same for held-out texts: each fold is divided by a temperature from the other folds.
    """

    temperature: float | None
    ece_before: float | None
    ece_after: float | None
    left: str | None
    nll_before: float | None = None
    nll_after: float | None = None


def calibrate(
    model: PreTrainedModel,
    validation: Examples,
    *,
    pad_id: int,
    hardware: Hardware,
    dtype: Dtype,
    description: str,
) -> Calibration:
    """Fits a temperature on the validation texts and folds it into the model's weights.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599. The model is not changed in three
    cases: there are fewer than 50 validation texts; the temperature does not help on held-out ones; or it cannot be
    folded. See `understudy.evaluation.temperature`.

    Args:
        model: A trained sequence classifier, changed in place.
        validation: The validation texts.
        pad_id: The padding token.
        hardware: Where to compute.
        dtype: Compute type.
        description: Names the model in messages.
    """
    few = too_few_texts(len(validation.labels))
    if few is not None:
        return _left(description, few)
    logits = _logits(PyTorchEngine(model, hardware, dtype), validation, pad_id, description)
    ece = expected_calibration_error(softmax(logits), validation.labels)
    chosen = choose_temperature(logits, validation.labels)
    if chosen.left is not None:
        return _left(description, chosen.left, ece, chosen)
    batch = {
        name: torch.from_numpy(values).to(hardware.device)
        for name, values in pad(validation.tokens, range(_PROBES), pad_id).items()
    }
    if not fold_temperature(model, chosen.temperature, batch):
        reason = f"the logits of this {model.config.model_type} model do not come from a single layer"
        return _left(description, reason, ece, chosen)
    after = expected_calibration_error(softmax(logits / chosen.temperature), validation.labels)
    log.info(
        "%s: %s; the calibration error on %d validation texts changes from %.4f to %.4f",
        *(description, chosen, len(validation.labels), ece, after),
    )
    return Calibration(chosen.temperature, ece, after, None, chosen.nll_before, chosen.nll_after)


def calibrate_trained(
    model: PreTrainedModel, validation: Examples, options: TrainingOptions, pad_id: int, context: TrainingContext
) -> Calibration:
    """Calibrates a model in the place and compute type of its training; see `calibrate`."""
    hardware = context.hardware
    return calibrate(
        model,
        validation,
        pad_id=pad_id,
        hardware=hardware,
        dtype=hardware.dtype(options.precision),
        description=context.description,
    )


def _left(
    description: str, reason: str, ece: float | None = None, chosen: ChosenTemperature | None = None
) -> Calibration:
    left = replace(chosen or ChosenTemperature(1.0, None, None, None), left=reason)
    log.info("%s: %s", description, left)
    return Calibration(None, ece, None, reason, left.nll_before, left.nll_after)


def _logits(engine: PyTorchEngine, validation: Examples, pad_id: int, description: str) -> np.ndarray:
    with progress(f"{description}, validation", len(validation.labels)) as advance:
        return predict_logits(engine, validation.tokens, pad_id, advance)
