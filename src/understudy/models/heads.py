"""The head of a classifier whose class names are in another order than the data's.

No head is used in the wrong order: its rows are put in the data's order, or it becomes a new one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from understudy.data.spelling import alike
from understudy.models.folding import change_last_layer, logits_and_their_layer
from understudy.models.loading import classifier_labels, load_classifier, load_tokenizer
from understudy.storage.hub import has_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def head_order(labels: list[str], classes: list[str]) -> list[int] | None:
    """The rows of a head in the order of other class names; None if some names are the same and some are not.

    If no name is the same, the order stays. If all names are the same, perhaps in another spelling, they decide.

    Args:
        labels: Class names of the head.
        classes: As many class names.
    """
    for spelling in (str, alike):
        own, wanted = [spelling(name) for name in labels], [spelling(name) for name in classes]
        if len(set(own)) == len(own) and set(own) == set(wanted):
            return [own.index(name) for name in wanted]
    if {alike(name) for name in labels}.isdisjoint(alike(name) for name in classes):
        return list(range(len(labels)))
    return None


def order_head(model: PreTrainedModel, order: list[int], batch: dict[str, Tensor]) -> bool:
    """Puts the rows of a classifier's last layer, and so its logits, in another order.

    Args:
        model: A sequence classifier in fp32, changed in place.
        order: For each new row, the old one.
        batch: As in `change_last_layer`.

    Returns:
        Whether it was done; if not, the model is unchanged.
    """
    return change_last_layer(model, lambda rows: rows[order], batch)


def can_be_ordered(folder: Path) -> bool:
    """Whether the outputs of a classifier can be put in another order without training.

    Raises:
        ModelError: As `load_classifier`.
    """
    model = load_classifier(folder)
    return order_head(model, list(range(len(classifier_labels(folder) or [])))[::-1], _few_texts(folder, model))


def match_head(
    model: PreTrainedModel, folder: Path, labels: list[str], classes: list[str], seed: int
) -> PreTrainedModel:
    """The model with its head in the order of other class names; with a new head if that is impossible.

    Args:
        model: A sequence classifier in fp32, which may be changed.
        folder: Where it comes from.
        labels: Class names of its head.
        classes: As many class names.
        seed: Of a new head.
    """
    order = head_order(labels, classes)
    if order == list(range(len(labels))):
        return model
    batch = _few_texts(folder, model)
    described = f"{', '.join(labels)}; expected {', '.join(classes)}"
    if order is None:
        log.warning("%s has only some of the classes (%s). It gets a new head.", folder, described)
        return _with_new_head(model, batch, seed)
    if not order_head(model, order, batch):
        log.warning("%s has its classes in another order (%s). It gets a new head.", folder, described)
        return _with_new_head(model, batch, seed)
    log.info("%s has its classes in another order (%s). Its head is put in this order.", folder, described)
    return model


def _few_texts(folder: Path, model: PreTrainedModel) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` of two texts, shape (texts, tokens)."""
    if has_vocabulary(folder):
        texts = load_tokenizer(folder)(["a first text", "and a second one"], padding=True, return_tensors="pt")
        return {name: texts[name] for name in ("input_ids", "attention_mask")}
    ids = torch.arange(8).remainder(model.config.vocab_size).reshape(2, 4)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _with_new_head(model: PreTrainedModel, batch: dict[str, Tensor], seed: int) -> PreTrainedModel:
    """The model with another last layer; if that layer cannot be found, with another everything behind the encoder."""
    from transformers import AutoModelForSequenceClassification, set_seed

    _, last = logits_and_their_layer(model, batch)
    head = next((f"{name}." for name, module in model.named_modules() if module is last), None)
    encoder = f"{model.base_model_prefix}."
    set_seed(seed)
    fresh: PreTrainedModel = AutoModelForSequenceClassification.from_config(model.config)
    kept = {
        name: value
        for name, value in model.state_dict().items()
        if (name.startswith(encoder) if head is None else not name.startswith(head))
    }
    fresh.load_state_dict(kept, strict=False)
    fresh.eval()
    return fresh
