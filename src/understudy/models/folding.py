"""Folding a temperature into a classifier's weights, so that every loader gives the calibrated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ROUNDING = 1e-4  # of the largest logit


def fold_temperature(model: PreTrainedModel, temperature: float, batch: dict[str, Tensor]) -> bool:
    """Divides a classifier's logits by a temperature: the weights and bias of the layer that makes them.

    That layer is looked for with a forward pass, not by its name, which every family has another one for; and with a
    second pass the new logits are held against the old ones. The labels stay, for the order of the logits does.

    Args:
        model: A sequence classifier in fp32, changed in place.
        temperature: Above 0.
        batch: `input_ids` and `attention_mask` of a few texts, shape (texts, tokens), on the model's device.

    Returns:
        Whether it was done. If no linear layer makes the logits, or they do not come out as expected (the weights may
        serve another layer as well), the model is as it was.
    """
    training = model.training
    model.eval()
    try:
        logits, layer = _logits_and_their_layer(model, batch)
        if layer is None:
            return False
        parameters = [value for value in (layer.weight, layer.bias) if value is not None]
        before = [value.detach().clone() for value in parameters]
        with torch.no_grad():
            for value in parameters:
                value /= temperature
        wanted = logits / temperature
        found, _ = _logits_and_their_layer(model, batch)
        close = (found - wanted).abs() <= _ROUNDING * wanted.abs().max()
        if bool(close.all()):
            return True
        with torch.no_grad():
            for value, old in zip(parameters, before, strict=True):
                value.copy_(old)
        return False
    finally:
        model.train(training)


def _logits_and_their_layer(model: PreTrainedModel, batch: dict[str, Tensor]) -> tuple[Tensor, nn.Linear | None]:
    """The logits, and the linear layer whose output they are; None where there is no such layer, or several."""
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
