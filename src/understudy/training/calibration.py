"""What comes behind a training: the temperature that makes a classifier's probabilities mean what they say."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from understudy.data.tokens import pad
from understudy.evaluation.calibration import FEWEST_TEXTS, at_an_end, fit_temperature
from understudy.evaluation.metrics import expected_calibration_error
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.folding import fold_temperature
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.progress import progress
from understudy.training.trainer import Examples

if TYPE_CHECKING:
    import numpy as np
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

_PROBES = 8


@dataclass(frozen=True)
class Calibration:
    """How a trained classifier was calibrated, on the validation texts.

    Attributes:
        temperature: What its logits were divided by; None where they were left as they are.
        ece_before: Expected calibration error of the logits as they were trained; None where it was not looked at.
        ece_after: Of the divided ones; None where they were left as they are.
        left: Why they were left as they are; None where they were not.
    """

    temperature: float | None
    ece_before: float | None
    ece_after: float | None
    left: str | None


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

    Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599. The model is left as it is where
    there are fewer than 50 validation texts, where the best temperature lies at an end of what is searched (the texts
    are then all answered rightly, or no better than by chance, and tell nothing of how sure the model may be), and
    where the temperature cannot be folded.

    Args:
        model: A trained sequence classifier, changed in place.
        validation: The validation texts.
        pad_id: The padding token.
        hardware: Where to compute.
        dtype: Compute type.
        description: Names the model in messages.
    """
    if len(validation.labels) < FEWEST_TEXTS:
        return _left(description, f"{len(validation.labels)} validation texts are fewer than {FEWEST_TEXTS}")
    logits = _logits(model, validation, pad_id, hardware, dtype, description)
    ece = expected_calibration_error(softmax(logits), validation.labels)
    temperature = fit_temperature(logits, validation.labels)
    if at_an_end(temperature):
        return _left(description, f"its temperature, {temperature:.3g}, lies at an end of what is searched", ece)
    batch = {
        name: torch.from_numpy(values).to(hardware.device)
        for name, values in pad(validation.tokens, range(_PROBES), pad_id).items()
    }
    if not fold_temperature(model, temperature, batch):
        return _left(description, f"no one layer of this {model.config.model_type} model makes its logits", ece)
    after = expected_calibration_error(softmax(logits / temperature), validation.labels)
    log.info(
        "%s: temperature %.3f on %d validation texts, whose calibration error goes from %.4f to %.4f",
        *(description, temperature, len(validation.labels), ece, after),
    )
    return Calibration(temperature, ece, after, None)


def _left(description: str, reason: str, ece: float | None = None) -> Calibration:
    log.info("%s: not calibrated: %s", description, reason)
    return Calibration(None, ece, None, reason)


def _logits(
    model: PreTrainedModel, validation: Examples, pad_id: int, hardware: Hardware, dtype: Dtype, description: str
) -> np.ndarray:
    with progress(f"{description}, validation", len(validation.labels)) as advance:
        return predict_logits(PyTorchEngine(model, hardware, dtype), validation.tokens, pad_id, advance)
