from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from understudy.data.corpus import Split
from understudy.data.tokens import Tokens, text_ids, tokenise
from understudy.evaluation.metrics import expected_calibration_error
from understudy.models.loading import load_tokenizer
from understudy.runtime.hardware import Hardware
from understudy.training import calibration as module
from understudy.training.calibration import Calibration, calibrate
from understudy.training.student import Start
from understudy.training.trainer import Examples

SETTINGS: dict[str, Any] = {"pad_id": 0, "hardware": Hardware("cpu", 1), "dtype": "fp32", "description": "student"}


def always(logits: list[float]) -> BertForSequenceClassification:
    """A model that answers every text alike."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor(logits))
    return model


def validation(labels: list[int]) -> Examples:
    texts = len(labels)
    ids = np.random.default_rng(0).integers(1, 30, 4 * texts).astype(np.int32)
    return Examples(Tokens(ids, 4 * np.arange(texts + 1), np.full(texts, 4, np.int32)), np.array(labels))


def test_a_hand_computed_case(caplog: pytest.LogCaptureFixture) -> None:
    """Of 60 texts with the logits (3, 0) two thirds are of class 0; the prior adds 20 of which sigmoid(3) are."""
    model, confidence = always([3.0, 0.0]), 1 / (1 + np.exp(-3))
    with caplog.at_level(logging.INFO):
        found = calibrate(model, validation([0, 0, 1] * 20), **SETTINGS)
    right = (40 + 20 * confidence) / 80
    logit = np.log(right / (1 - right))
    assert found.temperature == pytest.approx(3 / logit, rel=1e-3)
    assert found.ece_before == pytest.approx(confidence - 2 / 3, abs=1e-6)
    assert found.ece_after == pytest.approx(right - 2 / 3, abs=1e-3)
    assert found.nll_before == pytest.approx(np.log1p(np.exp(-3)) + 1, abs=1e-6)
    assert found.nll_after is not None and np.log(3) - 2 / 3 * np.log(2) < found.nll_after < found.nll_before
    assert found.left is None
    assert model.classifier.bias.tolist() == pytest.approx([logit, 0.0], rel=1e-3)
    assert "student: temperature 2.895; " in caplog.text and "held-out loss 1.0486 before and " in caplog.text
    assert "; the calibration error on 60 validation texts changes from 0.2859 to " in caplog.text


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, 0, 1] * 16, "only 48 validation texts; calibration needs 50"),
        ([0] * 60, "the validation texts do not prove that a temperature helps"),
        (([0] * 19 + [1]) * 3, "the validation texts do not prove that a temperature helps"),
        ([], "only 0 validation texts; calibration needs 50"),
    ],
)
def test_where_the_texts_do_not_tell_it_is_left_alone(
    labels: list[int], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = always([3.0, 0.0])
    with caplog.at_level(logging.INFO):
        found = calibrate(model, validation(labels), **SETTINGS)
    assert (found.temperature, found.ece_after, found.left) == (None, None, reason)
    assert (found.nll_before is None) is (found.nll_after is None) is reason.startswith("only")
    assert model.classifier.bias.tolist() == [3.0, 0.0]
    assert f"student: not calibrated: {reason}" in caplog.text


def test_fifty_texts_are_enough() -> None:
    assert calibrate(always([3.0, 0.0]), validation([0, 0, 0, 1, 1] * 10), **SETTINGS).temperature is not None


def test_where_it_cannot_be_folded_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "fold_temperature", lambda *_: False)
    with caplog.at_level(logging.INFO):
        found = calibrate(always([3.0, 0.0]), validation([0, 0, 1] * 20), **SETTINGS)
    assert found.temperature is None and found.ece_before is not None
    assert "student: not calibrated: the logits of this bert model do not come from a single layer" in caplog.text


# of students and teachers


@pytest.fixture
def encoder(make_model: Callable[..., Path]) -> Path:
    return make_model("encoder")


@pytest.fixture
def shop(workshop: Any) -> Any:
    """The workshop with 240 validation texts, of which a sixth has the other label, so that sure answers are wrong."""
    labels = (np.arange(240) % 4 == 0).astype(np.int64)
    texts = [f"a {'good' if label else 'bad'} film and {row}" for row, label in enumerate(labels)]
    labels[::6] = 1 - labels[::6]
    return replace(workshop, corpus=replace(workshop.corpus, validation=Split(texts, text_ids(texts), labels)))


def make(shop: Any, encoder: Path, what: str, name: str, calibrate: bool) -> Any:
    options = {"calibrate": calibrate, "epochs": 4, "learning_rate": 0.01}
    if what == "teacher":
        return shop.teacher(encoder, name, teacher=options)
    soft = None
    if what == "student":
        soft = np.random.default_rng(0).normal(size=(len(shop.corpus.train), 2)).astype(np.float32)
    start = Start(encoder, 1, static=what == "static")
    return shop.student(encoder, start, soft, name=name, distillation=options)


def plain(folder: Path, texts: list[str]) -> torch.Tensor:
    """Logits as plain transformers gives them."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.double()


@pytest.mark.parametrize("what", ["teacher", "student", "control", "static"])
def test_plain_transformers_gives_the_calibrated_probabilities(shop: Any, encoder: Path, what: str) -> None:
    made, raw = make(shop, encoder, what, "calibrated", True), make(shop, encoder, what, "raw", False)
    assert raw.calibration is None
    found = made.calibration
    assert isinstance(found, Calibration) and found.temperature is not None and found.temperature != pytest.approx(1)
    split = shop.corpus.validation
    before, after = plain(raw.folder, split.texts), plain(made.folder, split.texts)
    torch.testing.assert_close(after, before / found.temperature, rtol=1e-4, atol=1e-5)
    assert torch.equal(after.argmax(dim=1), before.argmax(dim=1))
    probabilities = shop.probabilities(made.folder, split.texts)
    torch.testing.assert_close(after.softmax(dim=1), torch.tensor(probabilities), atol=1e-6, rtol=0)
    assert found.ece_before == pytest.approx(expected_calibration_error(before.softmax(1).numpy(), split.labels), 1e-3)
    assert found.ece_after == pytest.approx(expected_calibration_error(probabilities, split.labels), 1e-3)
    ours, theirs = (load_file(each.folder / "model.safetensors") for each in (made, raw))
    changed = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("what", ["teacher", "control"])
def test_mixed_precision_makes_no_difference(shop: Any, encoder: Path, what: str) -> None:
    """Trainer leaves its autocast around the model, in which the layer's output is not what the model returns."""
    options = {"precision": "bf16", "epochs": 4, "learning_rate": 0.01}
    if what == "teacher":
        made = shop.teacher(encoder, teacher=options)
    else:
        made = shop.student(encoder, Start(encoder, 1), None, distillation=options)
    assert made.calibration.left is None and made.calibration.temperature is not None
    split = shop.corpus.validation
    found = expected_calibration_error(plain(made.folder, split.texts).softmax(1).numpy(), split.labels)
    assert found == pytest.approx(made.calibration.ece_after, abs=0.02)


def test_a_teacher_is_kept_calibrated(shop: Any, encoder: Path) -> None:
    first = make(shop, encoder, "teacher", "cache", True)
    again = make(shop, encoder, "teacher", "cache", True)
    assert again.reused and again.calibration == first.calibration and again.digest == first.digest
    record = json.loads((first.folder.parent / "training.json").read_text())
    assert record["calibration"]["temperature"] == first.calibration.temperature
    raw = make(shop, encoder, "teacher", "cache", False)
    assert not raw.reused and raw.digest != first.digest


def test_a_ready_made_teacher_is_left_as_it_is(shop: Any, make_model: Callable[..., Path]) -> None:
    folder = make_model("ready", classes=shop.corpus.classes)
    made = shop.teacher(folder)
    ours, theirs = load_file(folder / "model.safetensors"), load_file(made.folder / "model.safetensors")
    assert made.calibration is None and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_made_twice_it_is_the_same(shop: Any, encoder: Path) -> None:
    first, again = (make(shop, encoder, "student", name, True) for name in ("first", "again"))
    assert first.digest == again.digest and first.calibration == again.calibration


def test_the_texts_are_those_of_its_own_tokenizer(shop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Examples] = []
    monkeypatch.setattr("understudy.training.student.calibrate_trained", lambda _, texts, *__: seen.append(texts))
    make(shop, encoder, "control", "student", True)
    expected = tokenise(shop.corpus.validation.texts, load_tokenizer(encoder), 12)
    assert np.array_equal(seen[0].tokens.ids, expected.ids)
    assert np.array_equal(seen[0].labels, shop.corpus.validation.labels)
