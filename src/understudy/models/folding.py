"""Changes a classifier's last layer, and so its logits, whatever the loader.

A temperature is folded into the weights, so that the calibrated probabilities do not depend on the loader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ROUNDING = 1e-4  # of the largest logit


def fold_temperature(model: PreTrainedModel, temperature: float, batch: dict[str, Tensor]) -> bool:
    """Divides the weights and bias of a classifier's last layer, and so its logits, by a temperature.

    The predicted labels do not change.

    Args:
        model: A sequence classifier in fp32, changed in place.
        temperature: Above 0.
        batch: `input_ids` and `attention_mask` of a few texts, shape (texts, tokens), on the model's device.

    Returns:
        Whether it was done; see `change_last_layer`.
    """
    return change_last_layer(model, lambda rows: rows / temperature, batch)


def change_last_layer(model: PreTrainedModel, change: Callable[[Tensor], Tensor], batch: dict[str, Tensor]) -> bool:
    """Changes the weights and bias of a classifier's last layer, and so its logits.

    A forward pass finds that layer, because each model family has another name for it. A second pass checks the new
    logits.

    Args:
        model: A sequence classifier in fp32, changed in place.
        change: Linear, for a tensor with one row per class.
        batch: `input_ids` and `attention_mask` of a few texts, shape (texts, tokens), on the model's device.

    Returns:
        Whether it was done. The model is unchanged if no linear layer outputs the logits, or if the new logits are
        wrong (for example because the weights are shared with another layer).
    """
    training = model.training
    model.eval()
    try:
        logits, layer = logits_and_their_layer(model, batch)
        if layer is None:
            return False
        parameters = [value for value in (layer.weight, layer.bias) if value is not None]
        before = [value.detach().clone() for value in parameters]
        with torch.no_grad():
            for value, old in zip(parameters, before, strict=True):
                value.copy_(change(old))
        wanted = change(logits.T).T
        found, _ = logits_and_their_layer(model, batch)
        close = (found - wanted).abs() <= _ROUNDING * wanted.abs().max()
        if bool(close.all()):
            return True
        with torch.no_grad():
            for value, old in zip(parameters, before, strict=True):
                value.copy_(old)
        return False
    finally:
        model.train(training)


def logits_and_their_layer(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, nn.Linear | None]:
    """The logits, and the linear layer that outputs them; None instead of the layer if there is none, or several."""
    made: list[tuple[nn.Linear, Tensor]] = []
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_hook(lambda module, _, output: made.append((module, output))) for module in linear]
    try:
        with torch.no_grad():
            logits: Tensor = model(**batch).logits
    finally:
        for hook in hooks:
            hook.remove()
    layers = {module for module, output in made if torch.equal(output, logits)}
    return logits, layers.pop() if len(layers) == 1 else None
