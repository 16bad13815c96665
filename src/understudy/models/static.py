"""The smallest student that still reads tokens: a mean of embeddings and a linear layer, no attention.

A bag of embeddings (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification", arXiv 1607.01759) that
starts from the first principal components of an encoder's own word embeddings. It is a `transformers` model, so that
training, labelling and opening one are the same as for any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from understudy.models.loading import load_classifier

DIMENSIONS = 64


class StaticConfig(PretrainedConfig):
    """What a static model is made of: tokens, and dimensions of each one's embedding."""

    model_type = "understudy-static"

    def __init__(self, vocab_size: int = 0, hidden_size: int = DIMENSIONS, pad_token_id: int = 0, **more: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        super().__init__(**more)
        self.pad_token_id = pad_token_id


class StaticForSequenceClassification(PreTrainedModel):
    """Logits from the mean of a text's embeddings."""

    config_class = StaticConfig
    base_model_prefix = "static"
    # It has no attention to set, and takes whatever it is set to.
    _supports_sdpa = True

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.classifier = nn.Linear(config.hidden_size, int(config.num_labels or 0))
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embedding = value

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> SequenceClassifierOutput:
        """Logits of shape (texts, classes) for ids and mask of shape (texts, tokens)."""
        mask = attention_mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        mean = (self.embedding(input_ids) * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return SequenceClassifierOutput(logits=self.classifier(mean))


def register() -> None:
    """Lets `AutoModelForSequenceClassification` open static models."""
    AutoConfig.register(StaticConfig.model_type, StaticConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StaticConfig, StaticForSequenceClassification, exist_ok=True)


def static_student(folder: Path, classes: list[str], seed: int, dimensions: int = DIMENSIONS) -> PreTrainedModel:
    """A static model with an encoder's vocabulary, its embeddings reduced to their first principal components.

    Args:
        folder: The encoder's.
        classes: Names of the classes.
        seed: Of the head.
        dimensions: Of an embedding; never more than the encoder has.

    Raises:
        ModelError: as `load_classifier`.
    """
    encoder = load_classifier(folder, classes, seed)
    embedding: Any = encoder.get_input_embeddings()
    words: Tensor = embedding.weight.detach()
    config = StaticConfig(
        vocab_size=words.shape[0],
        hidden_size=min(dimensions, words.shape[1]),
        pad_token_id=int(encoder.config.pad_token_id or 0),
        id2label=dict(enumerate(classes)),
        label2id={name: number for number, name in enumerate(classes)},
        problem_type="single_label_classification",
        architectures=[StaticForSequenceClassification.__name__],
    )
    torch.manual_seed(seed)
    model = StaticForSequenceClassification(config)
    centred = words - words.mean(dim=0)
    # The components of the tokens' covariance; with signs that do not hang on the library's mood.
    _, components = torch.linalg.eigh(centred.T @ centred)
    largest = components[:, -config.hidden_size :].flip(1)
    largest = largest * torch.where(largest.gather(0, largest.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    with torch.no_grad():
        reduced = centred @ largest
        model.embedding.weight.copy_(reduced / reduced.std())
        model.embedding.weight[config.pad_token_id] = 0
    return model.eval()
