from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from understudy.data.tokens import text_ids, tokenise
from understudy.inference import store as store_module
from understudy.inference.logits import predict_logits
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.inference.store import Answering, LogitsStore, StoredLogits, stored_logits
from understudy.models.loading import load_classifier
from understudy.runtime.hardware import Hardware

CPU = Hardware("cpu", 1)
TEXTS = ["good film", "bad film", "the story was dull", "great", "awful and dull", "fine"]


def logits_of(ids: np.ndarray) -> np.ndarray:
    """Numbers that tell the texts apart, whatever their order."""
    return np.array([[int(text[:4], 16), int(text[4:8], 16)] for text in ids.tolist()], dtype=np.float32)


def filled(folder: Path, texts: list[str] = TEXTS) -> LogitsStore:
    store, ids = LogitsStore(folder, 2), text_ids(texts)
    store.add(ids, logits_of(ids))
    return store


# the store


def test_found_by_id_and_not_by_position(tmp_path: Path) -> None:
    filled(tmp_path)
    ids = text_ids([TEXTS[4], TEXTS[0], TEXTS[2]])
    assert np.array_equal(LogitsStore(tmp_path, 2).lookup(ids), logits_of(ids))


def test_duplicates_share_their_logits(tmp_path: Path) -> None:
    ids = text_ids(["fine", "great", "fine"])
    found = filled(tmp_path).lookup(ids)
    assert found.shape == (3, 2) and np.array_equal(found[0], found[2]) and not np.array_equal(found[0], found[1])


def test_shards_add_up(tmp_path: Path) -> None:
    store = filled(tmp_path, TEXTS[:2])
    for texts in (TEXTS[2:3], TEXTS[3:]):
        store.add(text_ids(texts), logits_of(text_ids(texts)))
    ids = text_ids(TEXTS[::-1])
    assert np.array_equal(store.lookup(ids), logits_of(ids))
    assert np.array_equal(LogitsStore(tmp_path, 2).lookup(ids), logits_of(ids))
    assert len(list(tmp_path.glob("*.npy"))) == 3


def test_missing_names_first_occurrences_in_order(tmp_path: Path) -> None:
    store = filled(tmp_path, ["fine"])
    assert store.missing(text_ids(["new", "fine", "newer", "new", "newer"])).tolist() == [0, 2]
    assert store.missing(text_ids(["fine", "fine"])).tolist() == []


def test_lookup_of_a_missing_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="1 of 2 texts have no logits"):
        filled(tmp_path).lookup(text_ids(["fine", "new"]))


def test_an_empty_store(tmp_path: Path) -> None:
    store = LogitsStore(tmp_path / "none", 2)
    assert store.missing(text_ids(["a"])).tolist() == [0]
    assert store.lookup(text_ids([])).shape == (0, 2)
    assert not (tmp_path / "none").exists()


def test_shards_are_memory_mapped(tmp_path: Path) -> None:
    filled(tmp_path)
    shard = LogitsStore(tmp_path, 2)._shards[0]
    assert isinstance(shard, np.memmap) and not shard.flags.writeable


def shard_size() -> int:
    # 128 bytes of header, then 32 of id and 8 of logits a text.
    return 128 + len(TEXTS) * 40


@pytest.mark.parametrize("position", range(0, shard_size(), 3))
def test_a_flipped_bit_is_noticed(tmp_path: Path, position: int) -> None:
    filled(tmp_path)
    (shard,) = tmp_path.glob("*.npy")
    content = bytearray(shard.read_bytes())
    assert len(content) == shard_size()
    content[position] ^= 1 << (position % 8)
    shard.write_bytes(content)
    store = LogitsStore(tmp_path, 2)
    assert len(store.missing(text_ids(TEXTS))) == len(TEXTS)
    assert not shard.exists()


@pytest.mark.parametrize("kept", [0, 1, 127, 128, 200, shard_size() - 1])
def test_a_truncated_shard_is_noticed(tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path)
    (shard,) = tmp_path.glob("*.npy")
    shard.write_bytes(shard.read_bytes()[:kept])
    with caplog.at_level(logging.WARNING):
        store = LogitsStore(tmp_path, 2)
    assert len(store.missing(text_ids(TEXTS))) == len(TEXTS)
    assert "computed again" in caplog.text


def test_a_renamed_shard_is_not_used(tmp_path: Path) -> None:
    filled(tmp_path)
    (shard,) = tmp_path.glob("*.npy")
    shard.rename(tmp_path / f"{'0' * 64}.npy")
    assert len(LogitsStore(tmp_path, 2).missing(text_ids(TEXTS))) == len(TEXTS)


def test_shards_of_another_number_of_classes_are_not_used(tmp_path: Path) -> None:
    filled(tmp_path)
    assert len(LogitsStore(tmp_path, 3).missing(text_ids(TEXTS))) == len(TEXTS)


def test_only_the_damaged_shard_is_lost(tmp_path: Path) -> None:
    store = filled(tmp_path, TEXTS[:3])
    (first,) = tmp_path.glob("*.npy")
    store.add(text_ids(TEXTS[3:]), logits_of(text_ids(TEXTS[3:])))
    first.write_bytes(first.read_bytes()[:-1])
    assert LogitsStore(tmp_path, 2).missing(text_ids(TEXTS)).tolist() == [0, 1, 2]


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    half = tmp_path / f".0123abcd-{'0' * 64}.npy"
    half.write_bytes(b"half")
    LogitsStore(tmp_path, 2)
    assert half.exists()


# stored_logits


class Counting:
    """A classifier that counts its passes and, on demand, breaks off."""

    def __init__(self, model: Any, passes: int | None = None) -> None:
        self._model, self.left, self.texts = model, passes, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def to(self, device: str) -> Counting:
        self._model.to(device)
        return self

    def eval(self) -> Counting:
        self._model.eval()
        return self

    def __call__(self, **batch: Any) -> Any:
        if self.left is not None and self.texts >= self.left:
            raise KeyboardInterrupt
        self.texts += len(batch["input_ids"])
        return self._model(**batch)


@pytest.fixture
def folder(make_model: Callable[..., Path]) -> Path:
    return make_model(classes=["bad", "good"])


@pytest.fixture
def compute(folder: Path, tmp_path: Path) -> Callable[..., StoredLogits]:
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def run(model: Any, texts: list[str] = TEXTS, description: str = "labels", **changed: Any) -> StoredLogits:
        answering = dataclasses.replace(Answering("m", "t", 8, 0, CPU, "fp32"), **changed)
        tokens, ids = tokenise(texts, tokenizer, 8), text_ids(texts)
        return stored_logits(model, tokens, ids, answering, cache=tmp_path / "cache", description=description)

    return run


def test_computed_once(folder: Path, compute: Callable[..., StoredLogits]) -> None:
    model = Counting(load_classifier(folder))
    first = compute(model, [*TEXTS, TEXTS[0]])
    assert (first.computed, first.reused, model.texts) == (6, 0, 6)
    again = compute(model, [*TEXTS[::-1], "good good"])
    assert (again.computed, again.reused, model.texts) == (1, 6, 7)
    assert np.array_equal(again.logits[:6], first.logits[5::-1])
    assert np.array_equal(first.logits[6], first.logits[0])


def test_they_are_the_models_logits(folder: Path, compute: Callable[..., StoredLogits]) -> None:
    model = load_classifier(folder)
    tokens = tokenise(TEXTS, AutoTokenizer.from_pretrained(folder), 8)
    direct = predict_logits(PyTorchEngine(model, CPU, "fp32"), tokens, 0)
    assert np.ptp(direct[:, 0]) > 0.1  # otherwise any order would pass
    np.testing.assert_allclose(compute(model).logits, direct, atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [
        {"model_digest": "other"},
        {"tokenizer_digest": "other"},
        {"max_length": 9},
        {"dtype": "bf16"},
        {"hardware": Hardware("cpu", 1, "openvino")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_key_holds_what_logits_depend_on(
    folder: Path, compute: Callable[..., StoredLogits], changed: dict[str, Any]
) -> None:
    model = load_classifier(folder)
    compute(model)
    assert compute(model, **changed).computed == len(TEXTS)
    assert compute(model).computed == 0


def test_the_key_does_not_hold_the_batch(
    folder: Path, compute: Callable[..., StoredLogits], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_classifier(folder)
    compute(model)
    monkeypatch.setattr("understudy.inference.pytorch_engine._BUDGET", {"cpu": 1})
    assert compute(model, hardware=Hardware("cpu", 7), description="other").computed == 0


def test_finished_shards_survive_an_interruption(
    folder: Path, compute: Callable[..., StoredLogits], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SHARD_TEXTS", 2)
    model = load_classifier(folder)
    with pytest.raises(KeyboardInterrupt):
        compute(Counting(model, passes=4))
    rest = compute(model)
    assert (rest.computed, rest.reused) == (2, 4)


def test_a_damaged_shard_is_computed_again(
    folder: Path, compute: Callable[..., StoredLogits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SHARD_TEXTS", 2)
    model = load_classifier(folder)
    right = compute(model)
    shard = sorted((tmp_path / "cache" / "logits").rglob("*.npy"))[1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    again = compute(model)
    assert again.computed == 2 and np.array_equal(again.logits, right.logits)


def test_what_the_key_names() -> None:
    """If these names change, all cached logits are lost."""
    many = Answering("m", "t", 8, 0, Hardware("cpu", 1, "openvino"), "fp32").key("openvino")
    assert set(many.pop("versions")) == {"torch", "transformers", "tokenizers", "openvino"}
    assert many == {
        "model": "m",
        "tokenizer": "t",
        "max_length": 8,
        "device": "cpu",
        "dtype": "fp32",
        "engine": "openvino",
        "code": 1,
        "step": 16,
    }
    other = Answering("m", "t", 8, 0, CPU, "fp32").key("pytorch")
    assert "openvino" not in other.pop("versions") and other == many | {"engine": "pytorch", "step": 1}


def test_the_engine_that_computed_names_the_logits_and_not_the_planned_one(
    folder: Path, compute: Callable[..., StoredLogits], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_classifier(folder)
    opened: list[str] = []

    def left_aside(*_: Any) -> Any:
        opened.append("pytorch")
        return PyTorchEngine(model, CPU, "fp32")

    with monkeypatch.context() as patch:
        patch.setattr(Hardware, "engine_for", lambda *_: "openvino")
        patch.setattr(store_module, "open_engine", left_aside)
        first = compute(model)
        assert (first.engine, first.computed) == ("pytorch", len(TEXTS))
        again = compute(model)
        assert (again.engine, again.computed) == ("pytorch", 0) and opened == ["pytorch"]
    assert compute(model).computed == 0  # where PyTorch is planned they are the same logits
    exact = compute(model, hardware=Hardware("cpu", 1, "openvino"))  # the user's own choice does not fall back
    assert (exact.engine, exact.computed) == ("openvino", len(TEXTS))
