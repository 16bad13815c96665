from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from understudy.models.loading import resolve
from understudy.storage.files import folder_digest
from understudy.training import student as module
from understudy.training.student import Start, control_start, student_start


@pytest.fixture
def encoder(make_model: Callable[..., Path]) -> Path:
    return make_model("encoder")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# where a student starts


def test_a_student_of_layers_starts_from_the_fine_tuned_teacher(workshop: Any, encoder: Path, tmp_path: Path) -> None:
    recipe = workshop.recipe(encoder, student={"layers": 1})
    assert student_start(recipe, tmp_path / "fine-tuned", None) == Start(tmp_path / "fine-tuned", 1)


def test_its_control_never_sees_what_the_teacher_learned(workshop: Any, encoder: Path) -> None:
    recipe = workshop.recipe(encoder, student={"layers": 1})
    assert control_start(recipe, resolve(str(encoder)), None) == Start(encoder, 1)


def test_a_checkpoint_and_its_control_start_from_the_checkpoint(
    workshop: Any, encoder: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = resolve(str(make_model("checkpoint")))
    recipe = workshop.recipe(encoder, student={"model": str(checkpoint.path)})
    assert student_start(recipe, tmp_path / "fine-tuned", checkpoint) == Start(checkpoint.path, None)
    assert control_start(recipe, resolve(str(encoder)), checkpoint) == Start(checkpoint.path, None)


# training


def test_a_student_of_layers(workshop: Any, encoder: Path) -> None:
    teacher = workshop.teacher(encoder).folder
    made = workshop.student(encoder, Start(teacher, 1))
    model = AutoModelForSequenceClassification.from_pretrained(made.folder)
    assert model.config.num_hidden_layers == 1 and model.config.id2label == {0: "bad", 1: "good"}
    assert made.digest == folder_digest(made.folder) and not made.reused
    assert any("loss" in entry for entry in made.history)


def test_the_folder_opens_with_plain_transformers(workshop: Any, encoder: Path) -> None:
    folder = workshop.student(encoder, Start(encoder, 1)).folder
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["a very good film", "bad", "the story was good " * 10]
    with torch.no_grad():
        plain = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.softmax(-1)
    torch.testing.assert_close(plain.double(), torch.tensor(workshop.probabilities(folder, texts)), atol=1e-6, rtol=0)
    assert abs(float(plain[0, 0] - plain[1, 0])) > 1e-3  # or the comparison would say nothing


def test_a_checkpoint_may_have_another_tokenizer(workshop: Any, encoder: Path, make_model: Callable[..., Path]) -> None:
    other = make_model("other", hidden=8, words=["film", "good", "bad", "the"])
    made = workshop.student(encoder, Start(other, None))
    ours, theirs = AutoTokenizer.from_pretrained(made.folder), AutoTokenizer.from_pretrained(encoder)
    assert ours("good film")["input_ids"] == [2, 6, 5, 3]
    assert ours("good film")["input_ids"] != theirs("good film")["input_ids"]
    assert weights(made.folder)["bert.embeddings.word_embeddings.weight"].shape == (9, 8)
    assert workshop.probabilities(made.folder, ["good film"]).shape == (1, 2)


def test_it_follows_the_soft_labels_and_the_control_does_not_see_them(workshop: Any, encoder: Path) -> None:
    """With the teacher always sure of `bad`, and nothing but the teacher counting, so is the student."""
    sure = np.tile(np.array([[4.0, -4.0]], dtype=np.float32), (len(workshop.corpus.train), 1))
    options = {"distillation": {"alpha": 1.0, "learning_rate": 0.01, "epochs": 6}}
    followed = workshop.student(encoder, Start(encoder, 1), sure, **options)
    control = workshop.student(encoder, Start(encoder, 1), None, name="control", **options)
    texts = workshop.corpus.train.texts
    assert workshop.probabilities(followed.folder, texts)[:, 0].min() > 0.9
    assert workshop.probabilities(control.folder, texts)[:, 0].min() < 0.9


def test_the_control_uses_the_labels_alone_all_else_being_equal(
    workshop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    train = module.train

    def note(model: Any, examples: Any, validation: Any, *, method: Any, **rest: Any) -> Any:
        start = {name: value.clone() for name, value in model.state_dict().items()}
        calls.append((start, examples, validation, method.options, method.seed))
        return train(model, examples, validation, method=method, **rest)

    monkeypatch.setattr(module, "train", note)
    soft = np.zeros((len(workshop.corpus.train), 2), dtype=np.float32)
    workshop.student(encoder, Start(encoder, 1), soft)
    workshop.student(encoder, Start(encoder, 1), None, name="control")
    student, control = calls
    assert all(torch.equal(student[0][name], control[0][name]) for name in student[0])
    assert student[3:] == control[3:]
    for with_teacher, without in zip(student[1:3], control[1:3], strict=True):
        assert np.array_equal(with_teacher.tokens.ids, without.tokens.ids)
        assert np.array_equal(with_teacher.labels, without.labels)
    assert control[1].teacher_logits is None and student[1].teacher_logits is soft


def test_the_seed_of_the_student_is_its_own(workshop: Any, encoder: Path) -> None:
    first = workshop.student(encoder, Start(encoder, 1))
    again = workshop.student(encoder, Start(encoder, 1), name="again")
    other = workshop.student(encoder, Start(encoder, 1), name="other", student={"seed": 9})
    assert first.digest == again.digest != other.digest


def test_the_objective_is_the_recipes(workshop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    distilled = module.distilled
    monkeypatch.setattr(module, "distilled", lambda *args: asked.append(args) or distilled(*args))
    soft = np.zeros((len(workshop.corpus.train), 2), dtype=np.float32)
    options = {"objective": "mse", "temperature": 3.0, "alpha": 0.25, "class_weights": "balanced"}
    workshop.student(encoder, Start(encoder, 1), soft, distillation=options)
    counts = workshop.corpus.class_counts
    assert asked == [("mse", 3.0, 0.25, [sum(counts) / (2 * count) for count in counts])]


def test_attention_dropout_is_the_recipes(workshop: Any, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropouts: list[float] = []
    train = module.train

    def note(model: Any, *args: Any, **rest: Any) -> Any:
        dropouts.append(model.config.attention_probs_dropout_prob)
        return train(model, *args, **rest)

    monkeypatch.setattr(module, "train", note)
    workshop.student(encoder, Start(encoder, 1))
    workshop.student(encoder, Start(encoder, 1), distillation={"attention_dropout": 0.0})
    workshop.student(encoder, Start(encoder, None), distillation={"attention_dropout": 0.0})
    assert dropouts == [0.1, 0.0, 0.0]


def test_the_old_student_is_replaced_and_nothing_unfinished_left(workshop: Any, encoder: Path, tmp_path: Path) -> None:
    made = workshop.student(encoder, Start(encoder, 1))
    (made.folder / "stale.json").write_text("{}")
    workshop.student(encoder, Start(encoder, 1))
    assert not (made.folder / "stale.json").exists()
    assert not list((tmp_path / "checkpoints").rglob("checkpoint-*"))
