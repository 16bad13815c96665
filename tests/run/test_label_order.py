"""Integers that are class names, and classes in another order, through whole runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import write_reviews
from understudy.data.corpus import build_corpus, read_tables
from understudy.errors import ModelError
from understudy.evaluation.single import evaluate
from understudy.exporting.texts import ExportTexts
from understudy.models.loading import load_classifier
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import gather
from understudy.run.pipeline import distill
from understudy.storage.layout import RunDirectory
from understudy.training.teacher import is_ready_made


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    train, test = (write_reviews(tmp_path / f"{name}.csv", 80, ["1", "2"], seed) for seed, name in enumerate("ab"))
    return {"train": str(train), "test": str(test)}


def turned(folder: Path, copy: Path) -> Path:
    """A copy of a classifier of two classes, in the other order."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    weights |= {name: weights[name].flip(0).contiguous() for name in ("classifier.weight", "classifier.bias")}
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    config = json.loads((copy / "config.json").read_text())
    names = [config["id2label"]["1"], config["id2label"]["0"]]
    config |= {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.acceptance
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

    # The run's teacher as a ready-made one
    teacher = tmp_path / "run" / "teacher"
    again = make_recipe(data=data, teacher={"model": str(teacher)}, evaluation=less)
    distill(again, tmp_path / "again", device="cpu", cache_dir=tmp_path / "cache")
    weights = (load_file(folder / "model.safetensors") for folder in (teacher, tmp_path / "again" / "teacher"))
    assert torch.equal(*(each["classifier.weight"] for each in weights))


def test_a_committee_in_two_orders(
    make_recipe: Callable[..., Recipe], make_model: Callable[..., Path], data: dict[str, Any], tmp_path: Path
) -> None:
    folder = make_model(classes=["1", "2"])
    both = [str(folder), str(turned(folder, tmp_path / "turned"))]
    found = gather(make_recipe(data={**data, "labels": ["2", "1"]}, teacher={"model": both}), tmp_path / "cache")
    origins = [member.encoder.origin for member in found.members if member.encoder is not None]
    assert [is_ready_made(origin, found.corpus.classes) for origin in origins] == [True, True]
    heads = [load_classifier(origin.path, found.corpus.classes).state_dict()["classifier.weight"] for origin in origins]
    assert torch.equal(heads[0], heads[1])
    assert torch.equal(heads[0], load_file(folder / "model.safetensors")["classifier.weight"].flip(0))


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
