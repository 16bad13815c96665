"""PyTorch as an engine, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from understudy.inference.engine import CPU_BUDGET, Batch, Engine
from understudy.runtime.hardware import Dtype, Hardware, fused_attention, torch_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BUDGET = {"cpu": CPU_BUDGET, "cuda": 65536, "mps": 16384}


class PyTorchEngine(Engine):
    """The model itself, moved to the device and set to evaluation; its weights stay as they are."""

    name = "pytorch"

    def __init__(self, model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> None:
        self._model = cast(Any, model).to(hardware.device).eval()
        self._hardware = hardware
        self._dtype = dtype
        self.classes = int(model.config.num_labels or 0)
        self.budget = _BUDGET[hardware.kind]
        use_fast_attention(model, hardware, dtype)

    def forward(self, batch: Batch) -> np.ndarray:
        import torch

        on_device = {name: torch.from_numpy(values).to(self._hardware.device) for name, values in batch.items()}
        logits: np.ndarray = self._model(**on_device).logits.float().cpu().numpy()
        return logits

    @contextmanager
    def computing(self) -> Iterator[None]:
        import torch

        enabled = self._dtype != "fp32"
        kind = self._hardware.kind
        autocast = torch.autocast(kind, torch_dtype(self._dtype), enabled=enabled)
        with torch.inference_mode(), autocast, fused_attention(kind):
            yield


def use_fast_attention(model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> None:
    """Sets the attention kernel that is fastest here for inference."""
    from understudy.models.attention import supports_per_text

    kernel = hardware.attention("auto", dtype, training=False, per_text=supports_per_text(model.config))
    model.set_attn_implementation(kernel)
