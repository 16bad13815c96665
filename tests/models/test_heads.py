"""Heads whose classes are in another order: made in hand-made weights, and in every family."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from families import FAMILIES, write_family
from understudy.models.heads import can_be_ordered, head_order, order_head
from understudy.models.loading import load_classifier
from understudy.models.static import StaticConfig, StaticForSequenceClassification
from understudy.models.students import from_layers

NAMES = ["bad", "fine", "good"]
BATCH = {"input_ids": torch.tensor([[3, 4, 5], [6, 7, 1]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}

MakeModel = Callable[..., Path]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**BATCH).logits


# The order


@pytest.mark.parametrize(
    ("labels", "classes", "order"),
    [
        (["a", "b"], ["a", "b"], [0, 1]),
        (["a", "b"], ["b", "a"], [1, 0]),
        (["a", "b", "c"], ["c", "a", "b"], [2, 0, 1]),
        (["POS", "NEG"], ["neg", "pos"], [1, 0]),
        (["pos", "Pos"], ["Pos", "pos"], [1, 0]),
        (["caf\xe9", "bar"], ["bar", "cafe\u0301"], [1, 0]),
        (["LABEL_0", "LABEL_1"], ["neg", "pos"], [0, 1]),
        (["LABEL_0", "LABEL_1"], ["LABEL_1", "LABEL_0"], [1, 0]),
        (["no", "yes"], ["neg", "pos"], [0, 1]),
        (["pos", "x"], ["neg", "pos"], None),
        (["pos", "POS"], ["neg", "Pos"], None),
    ],
)
def test_order(labels: list[str], classes: list[str], order: list[int] | None) -> None:
    assert head_order(labels, classes) == order


@given(st.lists(st.text(min_size=1), min_size=2, max_size=6, unique=True), st.randoms())
def test_the_same_names_decide_the_order(labels: list[str], random: Any) -> None:
    classes = random.sample(labels, len(labels))
    order = head_order(labels, classes)
    assert order is not None and [labels[row] for row in order] == classes


# The weights


def test_rows_of_hand_made_weights_are_moved() -> None:
    model = StaticForSequenceClassification(StaticConfig(vocab_size=9, hidden_size=2, num_labels=3)).eval()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        model.classifier.bias.copy_(torch.tensor([10.0, 20.0, 30.0]))
    assert order_head(model, [2, 0, 1], BATCH)
    assert model.classifier.weight.tolist() == [[5, 6], [1, 2], [3, 4]]
    assert model.classifier.bias.tolist() == [30, 10, 20]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_outputs_follow_the_names(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_family(tmp_path / "model", family, NAMES, layers=1)
    with caplog.at_level(logging.INFO, "understudy"):
        model = load_classifier(folder, ["good", "bad", "fine"])
    assert model.config.id2label == {0: "good", 1: "bad", 2: "fine"}
    torch.testing.assert_close(logits(model), logits(load_classifier(folder))[:, [2, 0, 1]])
    assert "has its classes in another order (bad, fine, good; expected good, bad, fine)" in caplog.text
    assert can_be_ordered(folder)


def test_names_in_another_case_decide_too(make_model: MakeModel) -> None:
    folder = make_model(classes=["POSITIVE", "NEGATIVE"])
    found = logits(load_classifier(folder, ["negative", "positive"]))
    torch.testing.assert_close(found, logits(load_classifier(folder)).flip(1))


def test_layers_are_taken_with_the_head_in_order(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "model", "bert", NAMES)
    own = load_classifier(folder).classifier.weight
    model: Any = from_layers(folder, 2, NAMES[::-1], seed=0)
    assert torch.equal(model.classifier.weight, own.flip(0))


# New heads


def test_a_model_with_only_some_of_the_classes_gets_a_new_head(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model(classes=["bad", "good"], seed=5)
    own: Any = load_classifier(folder)
    found: list[Any] = [load_classifier(folder, ["good", "fine"], seed) for seed in (0, 0, 1)]
    assert "has only some of the classes (bad, good; expected good, fine). It gets a new head." in caplog.text
    first, same, other = (model.classifier.weight for model in found)
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert not torch.isin(first, own.classifier.weight).any()
    assert torch.equal(found[0].bert.pooler.dense.weight, own.bert.pooler.dense.weight)
    assert not found[0].training and found[0].config.id2label == {0: "good", 1: "fine"}


FORWARD = StaticForSequenceClassification.forward


class Squared(StaticForSequenceClassification):
    """No linear layer outputs the logits."""

    base_model_prefix = "embedding"

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        outputs = FORWARD(self, input_ids, attention_mask, **more)
        outputs.logits = outputs.logits**2
        return outputs


class Shared(StaticForSequenceClassification):
    """The last layer's weights also serve another layer."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        outputs = FORWARD(self, input_ids, attention_mask, **more)
        outputs.logits = self.classifier(nn.functional.linear(outputs.logits.cumsum(-1), self.classifier.weight.T))
        return outputs


@pytest.mark.parametrize("kind", [Squared, Shared])
def test_a_head_that_cannot_be_ordered_is_left_as_it_is(kind: type[StaticForSequenceClassification]) -> None:
    torch.manual_seed(0)
    model = kind(StaticConfig(vocab_size=9, hidden_size=2, num_labels=3)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not order_head(model, [2, 0, 1], BATCH)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", [Squared, Shared])
def test_a_head_that_cannot_be_ordered_becomes_a_new_one(
    kind: type[StaticForSequenceClassification],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from understudy.models import static

    torch.manual_seed(5)  # not the seed of the new head
    config = StaticConfig(vocab_size=9, hidden_size=2, id2label=dict(enumerate(NAMES)))
    config.architectures = ["StaticForSequenceClassification"]
    StaticForSequenceClassification(config).save_pretrained(tmp_path)
    monkeypatch.setattr(static.StaticForSequenceClassification, "forward", kind.forward)
    monkeypatch.setattr(static.StaticForSequenceClassification, "base_model_prefix", "embedding")
    own: Any = load_classifier(tmp_path)
    assert not can_be_ordered(tmp_path)
    model: Any = load_classifier(tmp_path, NAMES[::-1])
    assert (
        "has its classes in another order (bad, fine, good; expected good, fine, bad). It gets a new head."
        in caplog.text
    )
    assert torch.equal(model.embedding.weight, own.embedding.weight)
    assert not torch.isin(model.classifier.weight, own.classifier.weight).any()
