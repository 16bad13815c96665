"""Whole runs of other kinds: many classes, few controls, other teachers, students and validation sets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from understudy.errors import ModelError, RunDirectoryError
from understudy.inference.logits import softmax
from understudy.inference.opening import open_classifier
from understudy.models.linear import LinearModel
from understudy.models.loading import parameter_count
from understudy.recipe.recipe import Recipe
from understudy.run.pipeline import Run, distill
from understudy.run.teacher import opinion_pool
from understudy.training import student as training_student

pytestmark = pytest.mark.usefixtures("no_clock")

MakeRecipe = Callable[..., Recipe]
WORDS = ["good", "bad", "film", "story", "the", "a", "is", "was", "not", "very", "great", "awful", "fine", "dull"]


def write(path: Path, rows: int, classes: list[str], seed: int) -> str:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, 12)) for _ in range(rows)]
    labels = [classes[row % len(classes)] for row in range(rows)]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def run(make_recipe: MakeRecipe, tmp_path: Path) -> Callable[..., Run]:
    def start(**changes: Any) -> Run:
        recipe = make_recipe(**{"evaluation": {"controls": []}, **changes})
        return distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")

    return start


def manifest(run: Run) -> dict[str, Any]:
    return json.loads((run.directory / "manifest.json").read_text())


@pytest.mark.parametrize("number", [4, 77])
def test_many_classes_with_names(number: int, run: Callable[..., Run], tmp_path: Path) -> None:
    names = [f'class {index:02}, "{"äö"[index % 2]}"' for index in range(number)]
    data = {
        "train": write(tmp_path / "train.csv", 4 * number, names, seed=1),
        "test": write(tmp_path / "test.csv", 2 * number, names, seed=2),
    }
    found = run(data=data)
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    columns = [f"student_probability_{name}" for name in names]
    assert predictions[columns].to_numpy().shape == (2 * number, number)
    assert found.student.classes == names
    macro = f1_score(predictions["label"], predictions["student_label"], labels=names, average="macro", zero_division=0)
    assert found.metrics.student.f1 == pytest.approx(macro)
    saved = json.loads((found.directory / "student" / "config.json").read_text())
    assert saved["id2label"] == {str(index): name for index, name in enumerate(names)}


def test_integer_labels_with_names(run: Callable[..., Run], tmp_path: Path) -> None:
    data = {
        "train": write(tmp_path / "train.csv", 80, ["0", "1"], seed=1),
        "test": write(tmp_path / "test.csv", 40, ["0", "1"], seed=2),
        "labels": ["neg", "pos"],
    }
    found = run(data=data)
    assert found.student.classes == ["neg", "pos"]
    assert set(pd.read_parquet(found.directory / "predictions.parquet")["label"]) == {"neg", "pos"}


@pytest.mark.acceptance
def test_without_controls_the_verdict_says_so(run: Callable[..., Run]) -> None:
    found = run()
    assert found.metrics.controls.no_distillation is None
    assert found.metrics.controls.linear is None
    assert found.metrics.distillation_gain is None
    assert found.metrics.verdict.distillation == "unproven"
    assert "the recipe leaves out the no_distillation control" in found.metrics.verdict.text
    assert "the recipe leaves out the linear control" in found.metrics.verdict.text
    assert not (found.directory / "controls").exists()


@pytest.mark.acceptance
def test_the_linear_control_alone(run: Callable[..., Run]) -> None:
    found = run(evaluation={"controls": ["linear"]})
    assert found.metrics.controls.linear is not None
    assert found.metrics.controls.no_distillation is None
    assert [path.name for path in (found.directory / "controls").iterdir()] == ["linear"]
    columns = pd.read_parquet(found.directory / "predictions.parquet").columns
    assert "linear_label" in columns
    assert "no_distillation_label" not in columns


def test_validation_texts_from_a_source_of_their_own(run: Callable[..., Run], tmp_path: Path) -> None:
    source = write(tmp_path / "validation.csv", 30, ["negative", "positive"], seed=3)
    texts = manifest(run(data={"validation": source}))["stages"]["data"]["details"]["texts"]
    assert texts == {"train": 120, "validation": 30, "test": 60}


def test_a_classifier_is_taken_as_the_teacher_it_is(
    run: Callable[..., Run], make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a ready-made teacher must not be trained")

    monkeypatch.setattr("understudy.training.teacher.train", forbidden)
    teacher = make_model("classifier", ["negative", "positive"], layers=4)
    found = run(teacher={"model": str(teacher)})
    assert manifest(found)["stages"]["teacher"]["details"]["history"] == []
    texts = pd.read_csv(found.recipe.data.test)["text"].tolist()
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    assert Run(found.directory).teacher.predict(texts) == predictions["teacher_label"].tolist()


def test_a_teacher_without_class_names_is_matched_by_number(
    run: Callable[..., Run], make_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    teacher = make_model("classifier", ["LABEL_0", "LABEL_1"], layers=4)
    with caplog.at_level(logging.WARNING, "understudy"):
        found = run(teacher={"model": str(teacher)})
    assert "matching them by index with negative, positive" in caplog.text
    assert found.teacher.classes == ["negative", "positive"]


@pytest.mark.acceptance
def test_a_student_with_a_tokenizer_of_its_own(run: Callable[..., Run], make_model: Callable[..., Path]) -> None:
    student = make_model("other", layers=1, words=["film", "story", "good", "bad"])
    found = run(student={"model": str(student)}, evaluation={"controls": ["no_distillation"]})
    assert manifest(found)["models"]["student"]["name"] == str(student)
    texts = pd.read_csv(found.recipe.data.test)["text"].tolist()
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    assert len(found.student.tokenizer) == 9
    assert found.student.model.config.num_hidden_layers == 1
    expected = predictions[["student_probability_negative", "student_probability_positive"]].to_numpy()
    assert np.allclose(found.student.predict_proba(texts), expected, atol=1e-6)
    assert found.metrics.controls.no_distillation is not None


def test_a_model_in_several_files_has_the_size_of_all(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedModel

    save = PreTrainedModel.save_pretrained

    def in_parts(model: Any, folder: Any, **options: Any) -> None:
        save(model, folder, **{"max_shard_size": "10KB", **options})

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", in_parts)
    found = run()
    files = list((found.directory / "student").glob("*.safetensors"))
    assert len(files) > 1
    assert found.metrics.student.bytes == sum(path.stat().st_size for path in files)


# Transfer texts, other starts, committees


def test_unlabelled_texts_are_labelled_by_the_teacher_and_learned_from(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: dict[str, int] = {}
    train = training_student.train

    def spy(model: Any, examples: Any, *arguments: Any, **options: Any) -> Any:
        learned[options["context"].description] = len(examples.tokens)
        assert len(examples.labels) == len(examples.tokens)
        return train(model, examples, *arguments, **options)

    monkeypatch.setattr(training_student, "train", spy)
    source = write(tmp_path / "more.csv", 70, ["none"], seed=5)
    found = run(data={"unlabelled": source}, evaluation={"controls": ["no_distillation"]})
    details = manifest(found)["stages"]
    assert details["data"]["details"]["texts"] == {"train": 108, "validation": 12, "test": 60, "unlabelled": 70}
    assert details["soft_labels"]["details"]["computed"] == 178
    assert learned == {"student": 178, "no_distillation": 108}


def test_few_labels_and_the_rest_without(run: Callable[..., Run]) -> None:
    found = run(data={"labelled": 40})
    texts = manifest(found)["stages"]["data"]["details"]["texts"]
    assert texts == {"train": 36, "validation": 4, "test": 60, "unlabelled": 80}


@pytest.mark.acceptance
def test_a_student_with_a_smaller_vocabulary(run: Callable[..., Run]) -> None:
    found = run(
        student={"layers": 2, "from_layers": [1, 3], "vocabulary": 15}, evaluation={"controls": ["no_distillation"]}
    )
    assert len(found.student.tokenizer) == found.student.model.config.vocab_size == 15
    assert len(found.teacher.tokenizer) == 21
    texts = pd.read_csv(found.recipe.data.test)["text"].tolist()
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    expected = predictions[["student_probability_negative", "student_probability_positive"]].to_numpy()
    assert np.allclose(found.student.predict_proba(texts), expected, atol=1e-6)
    assert found.metrics.student.parameters < found.metrics.teacher.parameters
    assert found.metrics.controls.no_distillation is not None
    assert found.metrics.controls.no_distillation.parameters == found.metrics.student.parameters


def test_a_committee(run: Callable[..., Run], make_recipe: MakeRecipe, tmp_path: Path) -> None:
    encoder = make_recipe().teacher.model
    assert isinstance(encoder, str)
    found = run(teacher={"model": [encoder, "linear", encoder]}, evaluation={"controls": ["linear"]})
    stages = manifest(found)["stages"]
    members = [stages[f"teacher_{number}"] for number in (1, 2, 3)]
    assert members[0]["details"]["digest"] != members[2]["details"]["digest"]  # another seed
    assert stages["linear"]["details"]["reused"]  # fitted once for the member and the control
    assert stages["linear"]["seconds"] == stages["teacher_2"]["seconds"]  # that of the fitting, not of the copy
    record = json.loads((found.directory / "teacher" / "committee.json").read_text())["members"]
    assert [member["model"] for member in record] == [encoder, "linear", encoder]
    assert all(member["temperature"] > 0 and "left" in member for member in record)

    texts = pd.read_csv(found.recipe.data.test)["text"].tolist()
    first, third = (open_classifier(found.directory / "teacher" / number) for number in "13")
    linear = LinearModel.load(found.directory / "teacher" / "2")
    logits = [np.log(model.predict_proba(texts)) for model in (first, linear, third)]
    pooled = softmax(opinion_pool(logits, [member["temperature"] for member in record]))
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    columns = ["teacher_probability_negative", "teacher_probability_positive"]
    assert np.allclose(predictions[columns].to_numpy(), pooled, atol=1e-5)
    control = found.metrics.controls.linear
    assert control is not None
    assert found.metrics.teacher.parameters == 2 * parameter_count(first.model) + control.parameters
    with pytest.raises(ModelError):
        _ = found.teacher

    logs = manifest(distill(found.recipe, found.directory, device="cpu", cache_dir=tmp_path / "cache"))
    assert logs == manifest(found)


@pytest.mark.acceptance
def test_another_member_is_another_teacher(run: Callable[..., Run], make_recipe: MakeRecipe) -> None:
    encoder = make_recipe().teacher.model
    run(teacher={"model": [encoder, "linear"]})
    with pytest.raises(RunDirectoryError, match=r"teacher\.model"):
        run(teacher={"model": encoder})
