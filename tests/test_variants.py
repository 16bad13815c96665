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

from understudy.pipeline import Run, distill
from understudy.recipe import Recipe

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


def test_without_controls_the_verdict_says_so(run: Callable[..., Run]) -> None:
    found = run()
    assert found.metrics.controls.no_distillation is None
    assert found.metrics.controls.linear is None
    assert found.metrics.distillation_gain is None
    assert found.metrics.verdict.distillation == "unproven"
    assert "the control without a teacher was left out" in found.metrics.verdict.text
    assert "the linear control was left out" in found.metrics.verdict.text
    assert not (found.directory / "controls").exists()


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
    assert "matched by number with negative, positive" in caplog.text
    assert found.teacher.classes == ["negative", "positive"]


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
