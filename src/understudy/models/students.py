"""Creates students from some of their teacher's layers, or from its word embeddings alone."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import ModelError
from understudy.models.loading import load_classifier, load_config
from understudy.recipe.training import LayerChoice

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# By model_type: the prefix of the layers in the state dict. Only families that the tests cover.
_LAYERS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "xlm-roberta": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "mpnet": "mpnet.encoder.layer",
    "deberta-v2": "deberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
}


def taken_layers(teacher_layers: int, student_layers: int, which: LayerChoice) -> list[int]:
    """Numbers of the teacher's layers that the student takes, from 0, ascending.

    Args:
        teacher_layers: Number of the teacher's layers.
        student_layers: Number of layers to take.
        which: `spread` takes every (n/k)-th layer from the first (Sanh et al. 2019), `first` the lowest, `last` the
            highest; a list gives their numbers.
    """
    if isinstance(which, list):
        return which
    if which == "first":
        return list(range(student_layers))
    if which == "last":
        return list(range(teacher_layers - student_layers, teacher_layers))
    return [index * teacher_layers // student_layers for index in range(student_layers)]


def check_layers(folder: Path, layers: int, which: LayerChoice = "spread") -> None:
    """Checks that `from_layers` can take these layers.

    Raises:
        ModelError: The family is not supported, or the model does not have these layers.
    """
    config = load_config(folder)
    if config.model_type not in _LAYERS:
        raise ModelError(
            f"student.layers: cannot take layers from a '{config.model_type}' model; supported are "
            f"{', '.join(sorted(_LAYERS))}. Use student.model instead."
        )
    if not 1 <= layers <= config.num_hidden_layers:
        raise ModelError(
            f"student.layers = {layers}: {folder} has {config.num_hidden_layers} layers; choose 1 to "
            f"{config.num_hidden_layers}."
        )
    highest = taken_layers(config.num_hidden_layers, layers, which)[-1]
    if highest >= config.num_hidden_layers:
        raise ModelError(
            f"student.from_layers = {which}: {folder} has {config.num_hidden_layers} layers; choose numbers from 0 to "
            f"{config.num_hidden_layers - 1}."
        )


def from_layers(
    folder: Path,
    layers: int,
    classes: list[str],
    seed: int,
    *,
    attention_dropout: float | None = None,
    which: LayerChoice = "spread",
) -> PreTrainedModel:
    """Creates a classifier from some layers of another model, with its embeddings and, if it has one, its head.

    Args:
        folder: The model whose layers are taken.
        layers: Number of layers to take.
        classes: Class names.
        seed: Seed of the head, if the model has none.
        attention_dropout: Dropout on the attention weights; None keeps the value in the folder's config.
        which: Which layers to take; see `taken_layers`.

    Raises:
        ModelError: As `check_layers` and `load_classifier`.
    """
    from transformers import AutoModelForSequenceClassification

    check_layers(folder, layers, which)
    source = load_classifier(folder, classes, seed, attention_dropout)
    config = copy.deepcopy(source.config)
    taken = taken_layers(config.num_hidden_layers, layers, which)
    config.num_hidden_layers = layers
    student: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    student.load_state_dict(_renumbered(source.state_dict(), _LAYERS[config.model_type], taken))
    student.eval()  # like the models of `load_classifier`
    return student


def static_student(folder: Path, classes: list[str], seed: int, dimensions: int = 64) -> PreTrainedModel:
    """Creates a static model from an encoder's word embeddings, reduced to their first principal components.

    Args:
        folder: The encoder.
        classes: Class names.
        seed: Seed of the head.
        dimensions: Dimensions of an embedding; at most as many as the encoder has.

    Raises:
        ModelError: As `load_classifier`.
    """
    import torch

    from understudy.models.static import StaticConfig, StaticForSequenceClassification

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
    # Principal components of the embeddings; the signs are fixed, because they vary between libraries.
    _, components = torch.linalg.eigh(centred.T @ centred)
    largest = components[:, -config.hidden_size :].flip(1)
    largest = largest * torch.where(largest.gather(0, largest.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    with torch.no_grad():
        reduced = centred @ largest
        model.embedding.weight.copy_(reduced / reduced.std())
        model.embedding.weight[config.pad_token_id] = 0
    model.train(False)
    return model


def _renumbered(state: dict[str, Tensor], prefix: str, taken: list[int]) -> dict[str, Tensor]:
    pattern = re.compile(rf"^{re.escape(prefix)}\.(\d+)\.(.+)$")
    result = {}
    for name, value in state.items():
        match = pattern.match(name)
        if match is None:
            result[name] = value
        elif int(match[1]) in taken:
            result[f"{prefix}.{taken.index(int(match[1]))}.{match[2]}"] = value
    return result
