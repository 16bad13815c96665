from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from understudy.data.tokens import tokenise
from understudy.errors import MissingExtra, ModelError
from understudy.inference import openvino_engine
from understudy.inference.engines import open_engine
from understudy.inference.logits import predict_logits
from understudy.inference.opening import open_classifier
from understudy.inference.openvino_engine import OpenVinoEngine
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.runtime.hardware import Hardware

CPU, OPENVINO = Hardware("cpu", 1), Hardware("cpu", 1, "openvino")
TEXTS = ["the story was not very good but fine", "bad", "great film", "dull", "good " * 40]


@pytest.fixture
def folder(make_model: Callable[..., Path]) -> Path:
    return make_model(classes=["bad", "fine", "good"])


def other_family(kind: str) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, **sizes, vocab_size=50, max_position_embeddings=70, initializer_range=0.5, num_labels=3
    )
    return AutoModelForSequenceClassification.from_config(config)


def test_openvino_computes_what_pytorch_computes(folder: Path) -> None:
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    tokens = tokenise(TEXTS, tokenizer, 64)
    wanted = predict_logits(PyTorchEngine(model, CPU, "fp32"), tokens, 0)
    found = predict_logits(OpenVinoEngine.converted(model, CPU, "fp32"), tokens, 0)
    assert found.dtype == np.float32 and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.ptp(wanted, axis=0).min() > 0.05


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "xlm-roberta", "mpnet", "deberta-v2"])
def test_families_that_openvino_runs(kind: str) -> None:
    model = other_family(kind)
    engine = open_engine(model, OPENVINO, "fp32")
    assert engine.name == "openvino"


def test_a_model_is_left_as_it_was(folder: Path) -> None:
    model = load_classifier(folder)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pytorch = PyTorchEngine(model, CPU, "fp32")
    kernel = model.config._attn_implementation
    tokens = tokenise(TEXTS, load_tokenizer(folder), 64)
    before = predict_logits(pytorch, tokens, 0)
    open_engine(model, OPENVINO, "fp32")
    assert model.config._attn_implementation == kernel
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert np.array_equal(predict_logits(pytorch, tokens, 0), before)


def test_an_engine_that_disagrees_is_rejected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Hardware, "engine_for", lambda *_: "openvino")
    plain = OpenVinoEngine.forward
    monkeypatch.setattr(OpenVinoEngine, "forward", lambda self, batch: plain(self, batch) + 0.5)
    model = load_classifier(folder)
    with caplog.at_level(logging.INFO, logger="understudy"):
        assert open_engine(model, CPU, "fp32").name == "pytorch"
    assert "rejected: its logits are 0.5 from PyTorch's in fp32 on a probe" in caplog.text
    with pytest.raises(
        ModelError, match=r"--engine openvino cannot run this bert model.* 0\.5 from .*--engine pytorch"
    ):
        open_engine(model, OPENVINO, "fp32")


def test_logits_that_are_nan_disagree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OpenVinoEngine.forward
    monkeypatch.setattr(OpenVinoEngine, "forward", lambda self, batch: plain(self, batch) * np.nan)
    with pytest.raises(ModelError, match="inf from PyTorch's"):
        open_engine(load_classifier(folder), OPENVINO, "fp32")


def test_a_model_that_cannot_be_converted_stays_in_pytorch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(model: Any) -> None:
        raise RuntimeError("no such operator\nand a long story")

    monkeypatch.setattr(openvino_engine, "_converted", fail)
    monkeypatch.setattr(Hardware, "engine_for", lambda *_: "openvino")
    with caplog.at_level(logging.INFO, logger="understudy"):
        assert open_engine(load_classifier(folder), CPU, "fp32").name == "pytorch"
    assert "RuntimeError: no such operator" in caplog.text and "long story" not in caplog.text


def test_openvino_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtra, match="Run: pip install openvino"):
        open_engine(load_classifier(folder), OPENVINO, "fp32")


def test_converting_reports_to_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = pytest.importorskip("openvino_telemetry.main")
    monkeypatch.delenv("CI", raising=False)
    sent: list[Any] = []
    monkeypatch.setattr("openvino_telemetry.utils.sender.TelemetrySender.send", lambda *sending: sent.append(sending))
    # It decides once per process whether it sends.
    monkeypatch.setattr(telemetry.Telemetry, "_SingletonMetaClass__single_instance", None)
    OpenVinoEngine.converted(load_classifier(folder), CPU, "fp32")
    assert not sent and "CI" not in os.environ


def test_a_classifier_opens_its_engine_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    plain = openvino_engine._converted
    monkeypatch.setattr(openvino_engine, "_converted", lambda model: opened.append(model) or plain(model))
    classifier = open_classifier(folder, engine="openvino")
    wanted = open_classifier(folder, engine="pytorch").predict_proba(TEXTS)
    assert not opened
    for _ in range(2):
        np.testing.assert_allclose(classifier.predict_proba(TEXTS), wanted, atol=1e-4)
    assert len(opened) == 1
