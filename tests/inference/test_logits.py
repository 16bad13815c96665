from __future__ import annotations

from collections.abc import Callable
from math import e
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from understudy.data.tokens import pad, tokenise
from understudy.inference.engine import Engine
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.openvino_engine import OpenVinoEngine
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.loading import load_classifier
from understudy.runtime.hardware import Dtype, Hardware

CPU = Hardware("cpu", 1)
TEXTS = ["the story was not very good but fine", "bad", "great film", "dull"]


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Any:
    return load_classifier(make_model(classes=["bad", "fine", "good"]))


def engine(model: Any, dtype: Dtype = "fp32") -> Engine:
    return PyTorchEngine(model, CPU, dtype)


@pytest.fixture
def tokens(model: Any) -> Any:
    return tokenise(TEXTS, AutoTokenizer.from_pretrained(model.name_or_path), 16)


def test_logits_are_those_of_each_text_alone_in_the_order_of_the_texts(model: Any, tokens: Any) -> None:
    logits = predict_logits(engine(model), tokens, 0)
    assert logits.shape == (4, 3) and logits.dtype == np.float32
    with torch.no_grad():
        alone = [model(input_ids=torch.tensor(tokens[row])[None].long()).logits[0].numpy() for row in range(4)]
    np.testing.assert_allclose(logits, alone, atol=1e-5)
    assert np.ptp(logits, axis=0).min() > 0.05


def test_dropout_is_off_and_training_mode_does_not_matter(model: Any, tokens: Any) -> None:
    first = predict_logits(engine(model.train()), tokens, 0)
    assert np.array_equal(first, predict_logits(engine(model.train()), tokens, 0))


def test_progress_adds_up_to_the_texts(model: Any, tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.inference.pytorch_engine._BUDGET", {"cpu": 8})
    told: list[int] = []
    predict_logits(engine(model), tokens, 0, told.append)
    assert sum(told) == 4 and len(told) > 1


@pytest.mark.parametrize(("longest", "widths"), [(0, [10, 4, 3]), (11, [11, 4, 4]), (64, [12, 4, 4])])
def test_batches_are_padded_to_steps_but_not_beyond_what_the_model_takes(
    model: Any, tokens: Any, longest: int, widths: list[int]
) -> None:
    stepping = engine(model)
    stepping.step, stepping.budget = 4, 10
    wanted, plain, seen = predict_logits(engine(model), tokens, 0), stepping.forward, []

    def watched(batch: Any) -> np.ndarray:
        seen.append(batch["input_ids"].shape[1])
        return plain(batch)

    stepping.forward = watched  # type: ignore[method-assign]
    np.testing.assert_allclose(predict_logits(stepping, tokens, 0, longest=longest), wanted, atol=1e-5)
    assert seen == widths  # of texts of 10, 4, 3 and 3 tokens


def test_batches_that_are_computed_at_once_keep_their_order(model: Any, tokens: Any) -> None:
    one, two = (OpenVinoEngine.converted(model, Hardware("cpu", threads), "fp32") for threads in (1, 2))
    one.budget = two.budget = 1
    many = tokens.select(np.resize(np.arange(4), 20))
    assert np.array_equal(predict_logits(two, many, 0), predict_logits(one, many, 0))


def test_batches_that_are_computed_at_once_are_not_all_drawn_ahead(model: Any, tokens: Any) -> None:
    batches = iter([pad(tokens, [0], 0)] * 20)
    answers = OpenVinoEngine.converted(model, Hardware("cpu", 2), "fp32").forward_each(batches, 20)
    next(answers)
    assert len(list(batches)) > 10
    assert len(list(answers)) < 10


def test_few_shapes_are_computed_for_many_numbers_of_texts(model: Any, tokens: Any) -> None:
    compiled = OpenVinoEngine.converted(model, CPU, "fp32")
    compiled.budget = 170
    plain, seen = compiled._together, set()

    def watched(batch: Any) -> Any:
        seen.add(batch["input_ids"].shape)
        return plain(batch)

    compiled._together = watched  # type: ignore[assignment]
    wanted = predict_logits(engine(model), tokens, 0)
    for count in (1, 2, 3, 4, 5, 6, 7, 9, 13, 15, 16, 17):
        rows = np.resize(np.arange(4), count)
        np.testing.assert_allclose(compiled.forward(pad(tokens, rows, 0)), wanted[rows], atol=1e-5)
    # 17 texts of 10 tokens are a full batch of 170.
    assert seen == {(texts, 10) for texts in (1, 2, 3, 4, 6, 8, 12, 16, 17)}


def test_bf16_is_close_and_leaves_the_weights_alone(model: Any, tokens: Any) -> None:
    exact = predict_logits(engine(model), tokens, 0)
    rough = predict_logits(engine(model, "bf16"), tokens, 0)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.2
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_softmax() -> None:
    np.testing.assert_allclose(softmax(np.array([[0, 1], [0, 0]], dtype=np.float32))[0], [1 / (1 + e), e / (1 + e)])
    extreme = softmax(np.array([[1000.0, 0.0, -1000.0]], dtype=np.float32))
    assert extreme.tolist() == [[1.0, 0.0, 0.0]] and extreme.dtype == np.float64
