"""The forward pass over many texts: batches by length, no autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from understudy.data.tokens import Tokens, length_batches, pad
from understudy.hardware import Dtype, Hardware, torch_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Padded tokens in one batch: what fills two cores' caches, and what fills a GPU.
_BUDGET = {"cpu": 4096, "cuda": 65536, "mps": 16384}


def predict_logits(
    model: PreTrainedModel,
    tokens: Tokens,
    pad_id: int,
    hardware: Hardware,
    dtype: Dtype = "fp32",
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Logits of every text, in the order of `tokens`.

    Args:
        model: A sequence classifier; it is moved to the device and set to evaluation.
        tokens: One entry a text.
        pad_id: The padding token.
        hardware: Where to compute.
        dtype: Compute type; the weights stay as they are.
        advance: Told how many more texts are done.

    Returns:
        float32 of shape (texts, classes).
    """
    import torch

    model.to(hardware.device).eval()  # type: ignore[arg-type]
    use_fast_attention(model, hardware, dtype)
    logits = np.empty((len(tokens), int(model.config.num_labels or 0)), dtype=np.float32)
    with torch.inference_mode(), torch.autocast(hardware.kind, torch_dtype(dtype), enabled=dtype != "fp32"):
        for rows in length_batches(tokens.lengths, _BUDGET[hardware.kind]):
            batch = {name: tensor.to(hardware.device) for name, tensor in pad(tokens, rows, pad_id).items()}
            logits[rows] = model(**batch).logits.float().cpu().numpy()
            if advance is not None:
                advance(len(rows))
    return logits


def use_fast_attention(model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> None:
    """Lets a model that is to answer, not to be trained, compute its attention the way that is fastest here."""
    from understudy.models.attention import supports_per_text

    kernel = hardware.attention("auto", dtype, training=False, per_text=supports_per_text(model.config))
    model.set_attn_implementation(kernel)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64 of the shape of `logits`."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
