"""Chooses the engine for a model: PyTorch anywhere, OpenVINO on a CPU where it is faster and its logits agree."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.inference.engine import Engine, made_up
from understudy.inference.openvino_engine import OpenVinoEngine
from understudy.inference.pytorch_engine import PyTorchEngine, use_fast_attention
from understudy.runtime.hardware import Dtype, Hardware

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

_PROBE_LENGTHS = (1, 2, 7, 33, 96)
_ROOM = 4.0
_ROUNDING = 1e-3


def open_engine(model: PreTrainedModel, hardware: Hardware, dtype: Dtype, tokens: int | None = None) -> Engine:
    """Opens the engine that the hardware's policy names.

    Where that is OpenVINO, a probe of random texts comes first. OpenVINO and PyTorch compute it in `dtype`, and PyTorch
    in fp32 as the reference. OpenVINO is taken if its logits are at most four times as far from the reference as
    PyTorch's; otherwise PyTorch is. The choice depends on the model alone, so a model always gets the same engine.

    Args:
        model: A sequence classifier in fp32.
        hardware: Where to compute.
        dtype: Compute type.
        tokens: How many there will be; None for many.

    Raises:
        MissingExtra: OpenVINO was asked for and is not installed.
        ModelError: OpenVINO was asked for and cannot run the model as PyTorch does.
    """
    pytorch = PyTorchEngine(model, hardware, dtype)
    if hardware.engine_for(dtype, tokens) == "pytorch":
        return pytorch
    try:
        compiled = OpenVinoEngine.converted(model, hardware, dtype)
        far, near = _distances(compiled, pytorch, PyTorchEngine(model, hardware, "fp32"), model.config)
    except MissingExtra:
        raise
    except Exception as error:  # the converter raises anything for a model that it does not know
        problem = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    else:
        if far <= max(_ROOM * near, _ROUNDING):
            log.info("engine: OpenVINO in %s; its logits are within %.2g of PyTorch's in fp32 on a probe", dtype, far)
            return compiled
        problem = (
            f"its logits are {far:.2g} from PyTorch's in fp32 on a probe, while PyTorch's in {dtype} are {near:.2g}"
        )
    finally:
        use_fast_attention(model, hardware, dtype)
    if hardware.engine == "openvino":
        raise ModelError(
            f"--engine openvino cannot run this {model.config.model_type} model as PyTorch does: {problem}. "
            "Use --engine pytorch, or leave it out."
        )
    log.info("engine: PyTorch in %s; OpenVINO may be faster but was rejected: %s", dtype, problem)
    return pytorch


def _distances(compiled: Engine, pytorch: Engine, exact: Engine, config: Any) -> tuple[float, float]:
    """The largest distances of the logits of the first and the second engine from those of the third."""
    from understudy.models.loading import longest_input

    longest = longest_input(config) or max(_PROBE_LENGTHS)
    probes = tuple(min(length, longest) for length in _PROBE_LENGTHS)
    far = near = 0.0
    for lengths in [*((length,) for length in probes), probes]:
        batch = made_up(config, lengths)
        with exact.computing():
            wanted = exact.forward(batch)
        with pytorch.computing():
            near = max(near, float(np.abs(pytorch.forward(batch) - wanted).max()))
        far = max(far, float(np.nan_to_num(np.abs(compiled.forward(batch) - wanted), nan=np.inf).max()))
    return far, near
