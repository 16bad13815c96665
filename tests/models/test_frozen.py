"""Classifiers on a frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from families import FAMILIES, write_family
from understudy.models.frozen import frozen_classifier, mean_of_tokens
from understudy.models.loading import classifier_labels, load_classifier, load_config, longest_input

CLASSES = ["bad", "good", "mixed"]
IDS = torch.tensor([[5, 6, 7, 2], [8, 9, 3, 4]])
MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])


def test_padding_does_not_count_for_the_mean() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[1.0, 1.0], [5.0, 5.0], [6.0, 6.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert mean_of_tokens(states, mask).tolist() == [[2.0, 3.0], [4.0, 4.0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_answers_as_the_regression_on_the_mean_vector(family: str, tmp_path: Path) -> None:
    folder = write_family(tmp_path / "encoder", family, None, layers=1)
    source = load_classifier(folder, CLASSES)
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(3, 16)).astype(np.float32), random.normal(size=3).astype(np.float32)
    frozen_classifier(source, load_config(folder), weight, bias).save_pretrained(tmp_path / "frozen")
    with torch.no_grad():
        states = source.base_model(input_ids=IDS, attention_mask=MASK).last_hidden_state
        expected = mean_of_tokens(states, MASK).numpy() @ weight.T + bias
        for opened in (
            load_classifier(tmp_path / "frozen"),
            AutoModelForSequenceClassification.from_pretrained(tmp_path / "frozen"),
        ):
            found = opened(input_ids=IDS, attention_mask=MASK).logits.numpy()
            np.testing.assert_allclose(found, expected, atol=1e-4)
    assert classifier_labels(tmp_path / "frozen") == CLASSES
    assert longest_input(load_config(tmp_path / "frozen")) == longest_input(load_config(folder))
    assert load_config(tmp_path / "frozen").hidden_size == 16
