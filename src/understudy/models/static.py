"""The smallest neural student: the mean of the token embeddings and a linear layer, without attention.

It is a bag of embeddings (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification", arXiv 1607.01759),
initialised with the first principal components of an encoder's word embeddings. It is a `transformers` model, so it is
trained, run and opened like any other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class StaticConfig(PretrainedConfig):
    """Config of a static model: the numbers of tokens and of embedding dimensions."""

    model_type = "understudy-static"

    def __init__(self, vocab_size: int = 0, hidden_size: int = 0, pad_token_id: int = 0, **more: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        super().__init__(**more)
        self.pad_token_id = pad_token_id


class StaticForSequenceClassification(PreTrainedModel):
    """Logits from the mean of a text's embeddings."""

    config_class = StaticConfig
    base_model_prefix = "static"
    # It has no attention, so any kernel may be set.
    _supports_sdpa = True

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.classifier = nn.Linear(config.hidden_size, int(config.num_labels or 0))
        PreTrainedModel.post_init(self)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embedding = value

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Logits of shape (texts, classes); ids and mask have the shape (texts, tokens)."""
        mask = attention_mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        mean = (self.embedding(input_ids) * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return SequenceClassifierOutput(logits=self.classifier(mean))


def register() -> None:
    """Registers static models, so that `AutoModelForSequenceClassification` opens them."""
    AutoConfig.register(StaticConfig.model_type, StaticConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StaticConfig, StaticForSequenceClassification, exist_ok=True)
