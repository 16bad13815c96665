from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from understudy.models.loading import resolve
from understudy.run.keys import teacher_key
from understudy.storage.files import folder_digest
from understudy.training import teacher as module
from understudy.training.teacher import is_ready_made

CLASSES = ["bad", "good"]


@pytest.fixture
def encoder(make_model: Callable[..., Path]) -> Path:
    return make_model("encoder")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# fine-tuned


def test_an_encoder_is_fine_tuned(workshop: Any, encoder: Path) -> None:
    made = workshop.teacher(encoder)
    assert not made.reused and made.seconds > 0
    assert made.digest == folder_digest(made.folder)
    assert any("loss" in entry for entry in made.history) and any("eval_accuracy" in entry for entry in made.history)
    before = weights(encoder)
    after = {name.removeprefix("bert."): value for name, value in weights(made.folder).items()}
    assert not torch.equal(before["embeddings.word_embeddings.weight"], after["embeddings.word_embeddings.weight"])


def test_the_folder_opens_with_plain_transformers(workshop: Any, encoder: Path) -> None:
    folder = workshop.teacher(encoder).folder
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == {0: "bad", 1: "good"} and model.config.label2id == {"bad": 0, "good": 1}
    assert tokenizer.model_max_length == workshop.recipe(encoder).data.max_length
    texts = ["a very good film", "bad", "the story was good " * 10]
    with torch.no_grad():
        plain = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.softmax(-1)
    torch.testing.assert_close(plain.double(), torch.tensor(workshop.probabilities(folder, texts)), atol=1e-6, rtol=0)
    assert abs(float(plain[0, 0] - plain[1, 0])) > 1e-3  # or the comparison would say nothing


def test_the_second_time_it_comes_from_the_cache(workshop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workshop.teacher(encoder)
    monkeypatch.setattr(module, "train", None)
    again = workshop.teacher(encoder)
    assert again == replace(first, reused=True, seconds=round(first.seconds, 2))


def test_made_twice_it_is_the_same(workshop: Any, encoder: Path) -> None:
    first, again = workshop.teacher(encoder), workshop.teacher(encoder, cache="another")
    assert not again.reused and first.folder != again.folder
    assert again.digest == first.digest and again.history == first.history


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: flip(entry / "model" / "model.safetensors"),
        lambda entry: flip(entry / "model" / "tokenizer.json"),
        lambda entry: (entry / "model" / "config.json").unlink(),
        lambda entry: shutil.rmtree(entry / "model"),
        lambda entry: (entry / "training.json").unlink(),
        lambda entry: (entry / "training.json").write_text("{"),
        lambda entry: (entry / "training.json").write_text("[]"),
        lambda entry: (entry / "training.json").write_text('{"digest": "x"}'),
        lambda entry: change(entry / "training.json", seconds="3"),
        lambda entry: change(entry / "training.json", history=None),
        lambda entry: change(entry / "training.json", calibration={"temperature": 2.0}),
    ],
    ids=[
        "weights",
        "tokenizer",
        "config",
        "model",
        "record",
        "broken record",
        "list",
        "short record",
        "seconds",
        "history",
        "calibration",
    ],
)
def test_a_damaged_cache_entry_is_made_again(
    workshop: Any,
    make_model: Callable[..., Path],
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ready = make_model("ready", classes=CLASSES)  # quickly made
    first = workshop.teacher(ready)
    damage(first.folder.parent)
    with caplog.at_level(logging.WARNING):
        again = workshop.teacher(ready)
    assert not again.reused and again.digest == first.digest
    assert "is damaged; making it again" in caplog.text
    assert workshop.teacher(ready).reused


def test_nothing_unfinished_is_left(workshop: Any, encoder: Path, tmp_path: Path) -> None:
    made = workshop.teacher(encoder)
    assert [path.name for path in made.folder.parent.parent.iterdir()] == [made.folder.parent.name]
    assert not list((tmp_path / "checkpoints").rglob("checkpoint-*"))


def test_a_classifier_for_other_classes_is_fine_tuned(workshop: Any, make_model: Callable[..., Path]) -> None:
    for name, classes in {"renamed": ["negative", "positive"], "three": ["bad", "fine", "good"]}.items():
        made = workshop.teacher(make_model(name, classes=classes))
        assert made.history
        assert json.loads((made.folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}


def test_rare_classes_can_weigh_more(workshop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    supervised = module.supervised
    monkeypatch.setattr(module, "supervised", lambda weights: asked.append(weights) or supervised(weights))
    workshop.teacher(encoder)
    workshop.teacher(encoder, teacher={"class_weights": "balanced"})
    counts = workshop.corpus.class_counts
    assert asked == [None, [sum(counts) / (2 * count) for count in counts]]


# ready-made


def test_a_classifier_with_these_classes_is_taken_as_it_is(
    workshop: Any, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model("ready", classes=CLASSES)
    monkeypatch.setattr(module, "train", None)
    made = workshop.teacher(folder)
    assert (made.history, made.seconds, made.reused) == ([], 0.0, False)
    assert same_weights(folder, made.folder)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert workshop.teacher(folder).reused


def test_one_without_names_is_taken_by_number_with_a_warning(
    workshop: Any, make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model("unnamed", classes=["LABEL_0", "LABEL_1"])
    made = workshop.teacher(folder)
    assert same_weights(folder, made.folder)
    assert "names its classes LABEL_0, LABEL_1; matching them by index with bad, good" in caplog.text
    assert AutoModelForSequenceClassification.from_pretrained(made.folder).config.id2label == {0: "bad", 1: "good"}


@pytest.mark.parametrize(
    ("labels", "ready"),
    [
        (["bad", "good"], True),
        (["LABEL_0", "LABEL_1"], True),
        (["good", "bad"], True),
        (["Bad", "Good"], False),
        (["LABEL_1", "LABEL_0"], False),
        (["LABEL_0", "LABEL_1", "LABEL_2"], False),
        (None, False),
    ],
)
def test_what_is_ready_made(make_model: Callable[..., Path], labels: list[str] | None, ready: bool) -> None:
    assert is_ready_made(resolve(str(make_model(classes=labels))), CLASSES) == ready


def turned(folder: Path) -> torch.Tensor:
    """The rows of a head of two classes in the other order."""
    return weights(folder)["classifier.weight"].flip(0)


def test_one_with_the_classes_in_another_order_is_put_in_order(
    workshop: Any, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_model("turned", classes=CLASSES[::-1], seed=5)
    monkeypatch.setattr(module, "train", None)
    made = workshop.teacher(folder)
    assert json.loads((made.folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
    assert torch.equal(weights(made.folder)["classifier.weight"], turned(folder))
    texts = ["a very good film", "bad"]
    assert workshop.probabilities(made.folder, texts) == pytest.approx(workshop.probabilities(folder, texts)[:, ::-1])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_that_cannot_be_put_in_order_is_fine_tuned(
    workshop: Any, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from understudy.models import heads

    folder = make_model("turned", classes=CLASSES[::-1], seed=5)
    monkeypatch.setattr(heads, "order_head", lambda *_: False)
    module._can_be_ordered.cache_clear()
    starts: list[torch.Tensor] = []
    train = module.train
    monkeypatch.setattr(
        module,
        "train",
        lambda model, *rest, **more: starts.append(model.classifier.weight.clone()) or train(model, *rest, **more),
    )
    assert workshop.teacher(folder).history
    module._can_be_ordered.cache_clear()
    assert not torch.isin(starts[0], turned(folder)).any()


def test_other_spellings_in_another_order_are_fine_tuned_from_the_head_in_order(
    workshop: Any, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("turned", classes=["GOOD", "BAD"])
    starts: list[torch.Tensor] = []
    train = module.train
    monkeypatch.setattr(
        module,
        "train",
        lambda model, *rest, **more: starts.append(model.classifier.weight.clone()) or train(model, *rest, **more),
    )
    assert workshop.teacher(folder).history
    assert torch.equal(starts[0], turned(folder))


# what decides a teacher


def fingerprint(workshop: Any, folder: Path, /, **options: Any) -> str:
    recipe = workshop.recipe(folder, **options)
    return teacher_key(recipe, workshop.corpus, resolve(str(folder)), workshop.hardware, recipe.seed).entry


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 5},
        {"data": {"max_length": 9}},
        {"teacher": {"learning_rate": 0.5}},
        {"teacher": {"epochs": 7}},
        {"teacher": {"precision": "bf16"}},
        {"teacher": {"early_stopping": 1}},
        {"teacher": {"attention": "eager"}},
    ],
    ids=str,
)
def test_what_decides_the_weights_is_in_the_fingerprint(workshop: Any, encoder: Path, changed: dict[str, Any]) -> None:
    assert fingerprint(workshop, encoder, **changed) != fingerprint(workshop, encoder)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"distillation": {"temperature": 9.0}},
        {"student": {"seed": 3}},
        {"teacher": {"checkpoint_steps": 1}},
    ],
    ids=str,
)
def test_what_does_not_is_not(workshop: Any, encoder: Path, changed: dict[str, Any]) -> None:
    assert fingerprint(workshop, encoder, **changed) == fingerprint(workshop, encoder)


@pytest.mark.parametrize("labels", [None, CLASSES], ids=["fine-tuned", "ready-made"])
def test_weights_config_and_tokenizer_are_in_the_fingerprint(
    workshop: Any, make_model: Callable[..., Path], labels: list[str] | None
) -> None:
    folder = make_model(classes=labels)
    found = {fingerprint(workshop, folder), fingerprint(workshop, folder, data={"max_length": 9})}
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        copy = shutil.copytree(folder, folder.with_name(f"other-{name}"))
        shutil.copy(make_model("other", classes=labels, seed=1, layers=1, words=["good"]) / name, copy)
        found.add(fingerprint(workshop, copy))
    assert len(found) == 5
    assert fingerprint(workshop, shutil.copytree(folder, folder.with_name("same"))) in found
