"""Integers that are class names, and classes in another order, through whole runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from conftest import write_reviews
from understudy.data.corpus import build_corpus, read_tables
from understudy.errors import ModelError
from understudy.evaluation.single import evaluate
from understudy.exporting.texts import ExportTexts
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import gather
from understudy.run.pipeline import distill
from understudy.storage.layout import RunDirectory


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    train, test = (write_reviews(tmp_path / f"{name}.csv", 80, ["1", "2"], seed) for seed, name in enumerate("ab"))
    return {"train": str(train), "test": str(test)}


def turned(folder: Path, copy: Path) -> Path:
    """A copy of a classifier of two classes, in the other order."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights |= {name: weights[f"{name}"].flip(0).contiguous() for name in ("classifier.weight", "classifier.bias")}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    config = json.loads((copy / "config.json").read_text())
    names = [config["id2label"]["1"], config["id2label"]["0"]]
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.usefixtures("no_clock")
def test_integers_that_are_class_names(
    make_recipe: Callable[..., Recipe], data: dict[str, Any], tmp_path: Path
) -> None:
    less = {"controls": "none"}
    run = distill(make_recipe(data=data, evaluation=less), tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert evaluate(tmp_path / "run", data["test"]).metrics.accuracy == run.metrics.student.accuracy
    classes = json.loads((tmp_path / "run" / "student" / "config.json").read_text())["id2label"]
    assert classes == {"0": "1", "1": "2"}
    of_run = ExportTexts.of_run(RunDirectory(tmp_path / "run"), ["1", "2"])
    of_source = ExportTexts.of_source(data["test"], "text", "label", ["1", "2"], "model")
    assert set(of_run.validation.labels) == set(of_source.validation.labels) == {0, 1}

    # The run's teacher as a ready-made one, together with itself in the other order
    teacher = tmp_path / "run" / "teacher"
    both = [str(teacher), str(turned(teacher, tmp_path / "turned"))]
    again = make_recipe(data={**data, "labels": ["2", "1"]}, teacher={"model": both}, evaluation=less)
    distill(again, tmp_path / "again", device="cpu", cache_dir=tmp_path / "cache")
    first, second = (load_file(tmp_path / "again" / f"teacher_{place}" / "model.safetensors") for place in (1, 2))
    assert all(np.array_equal(value, second[name]) for name, value in first.items())
    own = load_file(teacher / "model.safetensors")
    assert np.array_equal(first["classifier.weight"], own["classifier.weight"].flip(0))
    accuracies = [evaluate(tmp_path / "again" / f"teacher_{place}", data["test"]).metrics.accuracy for place in (1, 2)]
    assert accuracies == [run.metrics.teacher.accuracy] * 2


def test_integers_take_the_names_of_a_ready_made_teacher(
    make_recipe: Callable[..., Recipe], data: dict[str, Any]
) -> None:
    options = make_recipe(data=data).data
    corpus = build_corpus(read_tables(options), options, 0, ["2", "1"])
    plain = build_corpus(read_tables(options), options, 0)
    assert (corpus.classes, plain.classes) == (["2", "1"], ["1", "2"])
    assert (corpus.test.labels == 1 - plain.test.labels).all()


@pytest.mark.parametrize("section", ["teacher", "student"])
def test_a_model_that_does_not_name_its_classes_properly_is_refused(
    section: str, make_recipe: Callable[..., Recipe], make_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_model(classes=["negative", "positive"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"1": "negative", "2": "positive"}}))
    with pytest.raises(ModelError, match=r"config\.json: id2label has the numbers 1, 2; expected 0 to 1"):
        gather(make_recipe(**{section: {"model": str(folder)}}), tmp_path / "cache")
