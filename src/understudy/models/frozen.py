"""A classifier on a frozen encoder: the mean of its tokens' vectors, and a linear layer.

It is what sentence embeddings and a logistic regression give. It is a `transformers` model, so it is run, opened and
exported like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from understudy.models.loading import longest_input

if TYPE_CHECKING:
    import numpy as np

# What the code asks a config, wherever a model is run or its size is estimated.
_SHARED = (
    "vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "hidden_dim", "pad_token_id",
)  # fmt: skip


class FrozenConfig(PretrainedConfig):
    """Config of a classifier on a frozen encoder.

    Args:
        encoder: The encoder's own config, as a mapping.
        **more: The classes, and what every config takes.
    """

    model_type = "understudy-frozen"

    def __init__(self, encoder: dict[str, Any] | None = None, **more: Any) -> None:
        self.encoder = dict(encoder or {})
        super().__init__(**more)

    def encoder_config(self) -> PretrainedConfig:
        """The encoder's config."""
        options = dict(self.encoder)
        return AutoConfig.for_model(options.pop("model_type"), **options)


class FrozenForSequenceClassification(PreTrainedModel):
    """Logits from the mean of the encoder's last hidden states."""

    config_class = FrozenConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: FrozenConfig) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config.encoder_config())
        self.classifier = nn.Linear(self.encoder.config.hidden_size, int(config.num_labels or 0))
        PreTrainedModel.post_init(self)

    def get_input_embeddings(self) -> nn.Module:
        return cast(nn.Module, self.encoder.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.encoder.set_input_embeddings(value)

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], *args: Any, **more: Any) -> None:
        """Sets the encoder's kernel."""
        self.encoder.set_attn_implementation(attn_implementation, *args, **more)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Logits of shape (texts, classes); ids and mask have the shape (texts, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.classifier(mean_of_tokens(states, attention_mask)))


def frozen_classifier(
    source: PreTrainedModel, encoder: PretrainedConfig, weight: np.ndarray, bias: np.ndarray
) -> FrozenForSequenceClassification:
    """A classifier on an encoder as it is.

    Args:
        source: A sequence classifier with that encoder; it names the classes.
        encoder: The encoder's config.
        weight: The linear layer's, shape (classes, hidden).
        bias: The linear layer's, shape (classes,).
    """
    # `to_dict` leaves out nothing that the encoder needs; classes are the classifier's.
    own = {name: value for name, value in encoder.to_dict().items() if name not in ("id2label", "label2id")}
    config = FrozenConfig(
        encoder=own,
        id2label=source.config.id2label,
        label2id=source.config.label2id,
        problem_type="single_label_classification",
        architectures=[FrozenForSequenceClassification.__name__],
        **{name: getattr(encoder, name) for name in _SHARED if hasattr(encoder, name)},
        max_position_embeddings=longest_input(encoder),
    )
    model = FrozenForSequenceClassification(config)
    model.encoder.load_state_dict(source.base_model.state_dict(), strict=False)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(weight))
        model.classifier.bias.copy_(torch.from_numpy(bias))
    model.train(False)
    return model


def mean_of_tokens(states: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean over a text's tokens, shape (texts, hidden).

    Args:
        states: Shape (texts, tokens, hidden).
        attention_mask: 1 for tokens, 0 for padding, shape (texts, tokens).
    """
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def register() -> None:
    """Registers these models, so that `AutoModelForSequenceClassification` opens them."""
    AutoConfig.register(FrozenConfig.model_type, FrozenConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(FrozenConfig, FrozenForSequenceClassification, exist_ok=True)
