"""Vectors of texts from an encoder that is not trained: what enters its last layer, and the mean of its tokens.

The first one starts a classifier's last layer, the second one is the frozen control's; one pass gives both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from understudy.data.tokens import Tokens, pad
from understudy.inference.engine import Batch
from understudy.inference.logits import predict_logits
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.folding import logits_and_their_layer
from understudy.models.frozen import mean_of_tokens
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.progress import progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBES = 2


@dataclass(frozen=True)
class Vectors:
    """Two vectors a text.

    Attributes:
        entering: What enters the classifier's last layer, float32 of shape (texts, width).
        mean: The mean of the last hidden states of its tokens, float32 of shape (texts, hidden).
    """

    entering: np.ndarray
    mean: np.ndarray

    @classmethod
    def split(cls, both: np.ndarray, width: int) -> Vectors:
        """From both side by side, shape (texts, width + hidden)."""
        return cls(both[:, :width], both[:, width:])


class VectorEngine(PyTorchEngine):
    """Gives a text's two vectors side by side instead of its logits.

    Args:
        model: A sequence classifier.
        layer: Its last layer; see `last_layer`.
        hardware: Where to compute.
        dtype: Compute type.
    """

    def __init__(self, model: PreTrainedModel, layer: nn.Linear, hardware: Hardware, dtype: Dtype) -> None:
        super().__init__(model, hardware, dtype)
        self._layer = layer
        self.width = layer.in_features
        self.classes = layer.in_features + int(model.config.hidden_size)

    @property
    def made_with(self) -> dict[str, str]:
        """Device and compute type, on which the vectors depend."""
        return {"device": self._hardware.kind, "dtype": self._dtype}

    def forward(self, batch: Batch) -> np.ndarray:
        on_device = {name: torch.from_numpy(values).to(self._hardware.device) for name, values in batch.items()}
        entering: list[Tensor] = []
        states: list[Tensor] = []
        hooks = [
            self._layer.register_forward_hook(lambda _, inputs, __: entering.append(inputs[0])),
            cast(nn.Module, self._model.base_model).register_forward_hook(
                lambda _, __, output: states.append(output.last_hidden_state)
            ),
        ]
        try:
            self._model(**on_device)
        finally:
            for hook in hooks:
                hook.remove()
        mean = mean_of_tokens(states[0].float(), on_device["attention_mask"])
        both: np.ndarray = torch.cat([entering[0].float(), mean], dim=1).cpu().numpy()
        return both

    def read(self, tokens: Tokens, pad_id: int, description: str, longest: int = 0) -> Vectors:
        """The vectors of every text, in the order of `tokens`.

        Args:
            tokens: One entry a text.
            pad_id: The padding token.
            description: Names the work in messages.
            longest: As for `predict_logits`.
        """
        with progress(description, len(tokens)) as advance:
            return Vectors.split(predict_logits(self, tokens, pad_id, advance, longest), self.width)


def last_layer(model: PreTrainedModel, tokens: Tokens, pad_id: int) -> nn.Linear | None:
    """The linear layer that outputs a classifier's logits; None if there is none.

    Args:
        model: A sequence classifier.
        tokens: Texts to try it on.
        pad_id: The padding token.
    """
    model.train(False)
    device: Any = model.device
    rows = range(min(_PROBES, len(tokens)))
    batch = {name: torch.from_numpy(values).to(device) for name, values in pad(tokens, rows, pad_id).items()}
    _, layer = logits_and_their_layer(model, batch)
    return layer
