from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from families import FAMILIES, write_family
from understudy.models.folding import fold_temperature
from understudy.models.loading import load_classifier
from understudy.models.static import StaticConfig, StaticForSequenceClassification

CLASSES = ["bad", "fine", "good"]


def made_up(texts: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 30, (texts, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[::2, 6:] = 0
    ids[::2, 6:] = 1
    return {"input_ids": ids, "attention_mask": mask}


def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch).logits


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def static() -> StaticForSequenceClassification:
    torch.manual_seed(0)
    return StaticForSequenceClassification(StaticConfig(vocab_size=30, hidden_size=8, num_labels=3)).eval()


@pytest.mark.parametrize("temperature", [0.4, 1.7, 20.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_folds_and_plain_transformers_agrees(family: str, temperature: float, tmp_path: Path) -> None:
    model = load_classifier(write_family(tmp_path / "model", family, CLASSES, layers=1))
    many = made_up(200, seed=1)
    last: Any = getattr(model.classifier, "out_proj", model.classifier)
    with torch.no_grad():
        last.bias -= logits(model, many).mean(dim=0)  # so that there are texts of every class
    before, weights = logits(model, many), state(model)
    assert fold_temperature(model, temperature, made_up(4))
    model.save_pretrained(tmp_path / "folded")
    after = logits(AutoModelForSequenceClassification.from_pretrained(tmp_path / "folded"), many)
    torch.testing.assert_close(after, before / temperature, rtol=1e-4, atol=1e-5)
    assert torch.equal(after.argmax(dim=1), before.argmax(dim=1))
    assert len(before.argmax(dim=1).unique()) > 1  # or that would say nothing
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])]
    assert len(changed) == 2 and all(name.startswith("classifier.") for name in changed)


def test_a_bag_of_embeddings_folds() -> None:
    model, many = static(), made_up(200)
    before = logits(model, many)
    assert fold_temperature(model, 2.0, made_up(4))
    assert torch.equal(logits(model, many), before / 2)  # to divide by two is exact


def test_training_or_not_stays_as_it_was_and_no_hook_is_left() -> None:
    model = static().train()
    assert fold_temperature(model, 2.0, made_up(4))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


class Bilinear(StaticForSequenceClassification):
    """No linear layer makes the logits: they are squared behind it."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        outputs = super().forward(input_ids, attention_mask, **more)
        outputs.logits = outputs.logits**2
        return outputs


class Shared(StaticForSequenceClassification):
    """The last layer's weights serve another one as well, so that dividing them divides the logits twice."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        outputs = super().forward(input_ids, attention_mask, **more)
        outputs.logits = self.classifier(nn.functional.linear(outputs.logits, self.classifier.weight.T))
        return outputs


@pytest.mark.parametrize("kind", [Bilinear, Shared])
def test_what_cannot_be_folded_is_left_as_it_is(kind: type[StaticForSequenceClassification]) -> None:
    torch.manual_seed(0)
    model = kind(StaticConfig(vocab_size=30, hidden_size=8, num_labels=3)).eval()
    before = state(model)
    assert not fold_temperature(model, 1.7, made_up(4))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
