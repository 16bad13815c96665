"""Runs whose validation texts are many enough to calibrate on and to choose a threshold on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from conftest import Finished, leave_out_clock
from understudy.cli import main as cli
from understudy.errors import RunDirectoryError
from understudy.inference.opening import open_classifier
from understudy.recipe.recipe import Recipe
from understudy.run.frontier import frontier
from understudy.run.pipeline import Run, distill
from understudy.storage.files import folder_digest
from understudy.storage.layout import RunDirectory
from understudy.training import student

pytestmark = pytest.mark.usefixtures("no_clock")

MakeRecipe = Callable[..., Recipe]
TARGET = 0.67


def write_reviews(path: Path, rows: int, wrong: float) -> str:
    """Three of ten texts have words of both classes and any label. The others are clear, but a share is labelled wrong.

    Wrong labels in validation alone make a model overconfident that learned from right ones.
    """
    random = np.random.default_rng(rows)
    words = {"negative": ["bad", "awful", "dull", "film"], "positive": ["good", "great", "fine", "film"]}
    lines = ["text,label"]
    for row in range(rows):
        label, other = random.permutation(list(words))
        own = words[label] if row % 10 < 7 else words[label] + words[other]
        text = " ".join(random.choice(own, 8 + random.integers(4)))
        lines.append(f"{text} {random.choice(['and', 'but'])},{other if random.random() < wrong else label}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def recipe_with(tmp_path_factory: pytest.TempPathFactory, make_recipe: MakeRecipe) -> MakeRecipe:
    """Makes recipes with 240 validation texts and models that are too sure of their answers."""
    folder = tmp_path_factory.mktemp("data")
    rows = {"train": (300, 0.0), "validation": (240, 0.2), "test": (60, 0.1)}
    training = {"epochs": 4, "learning_rate": 0.002}
    base: dict[str, Any] = {
        "data": {name: write_reviews(folder / f"{name}.csv", *of) for name, of in rows.items()},
        "teacher": training,
        "distillation": {**training, "alpha": 0.2},
        "evaluation": {"target_precision": TARGET, "controls": ["no_distillation"]},
    }

    def make(**changes: Any) -> Recipe:
        return make_recipe(
            **base
            | {
                name: base.get(name, {}) | value if isinstance(value, dict) else value
                for name, value in changes.items()
            }
        )

    return make


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, recipe_with: MakeRecipe) -> Finished:
    """Made once and copied by what changes it."""
    folder, recipe = tmp_path_factory.mktemp("calibrated"), recipe_with()
    with pytest.MonkeyPatch.context() as patch:
        leave_out_clock(patch)
        distill(recipe, folder / "run", device="cpu", cache_dir=folder / "cache")
    return Finished(recipe, folder / "run", folder / "cache")


@pytest.fixture
def copied(calibrated: Finished, tmp_path: Path) -> Finished:
    shutil.copytree(calibrated.out, tmp_path / "run")
    shutil.copytree(calibrated.cache, tmp_path / "cache")
    return Finished(calibrated.recipe, tmp_path / "run", tmp_path / "cache")


def again(run: Any, recipe: Recipe, out: Path | None = None, cache: Path | None = None) -> Run:
    return distill(recipe, out or run.out, device="cpu", cache_dir=cache or run.cache)


def details(out: Path) -> dict[str, Any]:
    stages = json.loads((out / "manifest.json").read_text())["stages"]
    return {stage: content["details"].get("calibration") for stage, content in stages.items()}


def evidence(out: Path) -> dict[str, Any]:
    content = json.loads((out / "metrics.json").read_text())
    return {name: value for name, value in content.items() if name not in ("speed", "seconds")}


# calibration


def test_teacher_student_and_control_are_calibrated(calibrated: Finished) -> None:
    found = details(calibrated.out)
    for stage in ("teacher", "student", "no_distillation"):
        assert found[stage].keys() == {"temperature", "ece_before", "ece_after", "left", "nll_before", "nll_after"}
        assert found[stage]["temperature"] > 0 and found[stage]["left"] is None
    assert found["data"] is None and found["soft_labels"] is None


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_plain_transformers_gives_what_the_run_recorded(calibrated: Finished, model: str) -> None:
    folder = calibrated.out / model
    texts = pd.read_csv(calibrated.recipe.data.test)["text"].tolist()
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        plain = network(**encoded).logits.softmax(dim=-1).numpy()
    recorded = pd.read_parquet(calibrated.out / "predictions.parquet")
    columns = [f"{model}_probability_{name}" for name in ("negative", "positive")]
    assert np.allclose(plain, recorded[columns].to_numpy(), atol=1e-5)


@pytest.mark.acceptance
def test_without_it_the_labels_are_the_same(
    calibrated: Finished, recipe_with: MakeRecipe, trained: list[str], tmp_path: Path
) -> None:
    """The control learns from labels alone, so that nothing else differs."""
    recipe = recipe_with(distillation={"calibrate": False})
    again(calibrated, recipe, tmp_path / "run", tmp_path / "cache")
    assert details(tmp_path / "run")["no_distillation"] is None
    ours, theirs = (pd.read_parquet(out / "predictions.parquet") for out in (calibrated.out, tmp_path / "run"))
    assert (ours["no_distillation_label"] == theirs["no_distillation_label"]).all()
    column = "no_distillation_probability_positive"
    temperature = details(calibrated.out)["no_distillation"]["temperature"]
    logit = np.log(theirs[column] / (1 - theirs[column])) / temperature
    assert np.allclose(ours[column], 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_a_second_run_skips(copied: Finished, trained: list[str]) -> None:
    before = evidence(copied.out)
    again(copied, copied.recipe)
    assert trained == [] and evidence(copied.out) == before


@pytest.mark.acceptance
def test_made_twice_it_is_the_same(calibrated: Finished, tmp_path: Path) -> None:
    again(calibrated, calibrated.recipe, tmp_path / "run", tmp_path / "cache")
    assert evidence(tmp_path / "run") == evidence(calibrated.out)
    for name in ("teacher", "student", "controls/no_distillation"):
        assert folder_digest(tmp_path / "run" / name) == folder_digest(calibrated.out / name)


@pytest.mark.acceptance
def test_switching_it_off_makes_students_again_and_not_the_teacher(
    copied: Finished, recipe_with: MakeRecipe, trained: list[str]
) -> None:
    again(copied, recipe_with(distillation={"calibrate": False}))
    assert trained == ["student", "no_distillation"]
    assert details(copied.out)["student"] is None and details(copied.out)["teacher"] is not None


def test_a_teacher_that_is_not_calibrated_is_another_teacher(copied: Finished, recipe_with: MakeRecipe) -> None:
    recipe = recipe_with(teacher={"calibrate": False})
    with pytest.raises(RunDirectoryError, match=r"teacher\.calibrate: False here, True there"):
        again(copied, recipe)


@pytest.mark.acceptance
def test_an_interrupted_training_is_calibrated_as_an_undisturbed_one(
    calibrated: Finished, recipe_with: MakeRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = recipe_with(distillation={"checkpoint_steps": 4})
    distilled = student.distilled

    def breaking(*arguments: Any) -> Any:
        loss, calls = distilled(*arguments), iter(range(6))
        return lambda *given: (next(calls), loss(*given))[1]

    with monkeypatch.context() as patch, pytest.raises((StopIteration, RuntimeError)):
        patch.setattr(student, "distilled", breaking)
        again(calibrated, recipe, tmp_path / "run", tmp_path / "cache")
    again(calibrated, recipe, tmp_path / "run", tmp_path / "cache")
    assert folder_digest(tmp_path / "run" / "student") == folder_digest(calibrated.out / "student")
    assert details(tmp_path / "run")["student"] == details(calibrated.out)["student"]


@pytest.mark.acceptance
def test_repeats_and_the_frontiers_students_have_their_own_temperatures(
    copied: Finished, recipe_with: MakeRecipe
) -> None:
    recipe = recipe_with(seeds=2, frontier={"students": ["1", "static", "linear"]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.run.frontier.draw_frontier", lambda *_: None)
        frontier(recipe, copied.out, device="cpu", cache_dir=copied.cache)
    found = details(copied.out)
    made = ["student", "student_seed_1", "no_distillation_seed_1", "student_1", "student_static"]
    fitted = [(found[stage]["temperature"], found[stage]["nll_after"]) for stage in made]
    assert len(set(fitted)) == len(made) and all(loss is not None for _, loss in fitted)
    assert found["student_linear"] is None


# abstention


def test_the_threshold_is_in_metrics(calibrated: Finished) -> None:
    found = Run(calibrated.out).metrics.abstention
    assert found is not None and found.target_precision == TARGET and found.threshold is not None
    recipe, classifier = calibrated.recipe, open_classifier(calibrated.out, device="cpu")
    for source, answered in ((recipe.data.validation, found.validation), (recipe.data.test, found.test)):
        frame = pd.read_csv(str(source))
        probabilities = classifier.predict_proba(frame["text"].tolist())
        sure = probabilities.max(axis=1) >= found.threshold
        right = np.array(classifier.predict(frame["text"].tolist())) == frame["label"]
        assert answered.coverage == pytest.approx(sure.mean())
        assert answered.precision == pytest.approx(right[sure].mean())
    assert found.validation.precision is not None and found.validation.precision >= TARGET


def test_another_target_evaluates_again_and_trains_nothing(
    copied: Finished, recipe_with: MakeRecipe, trained: list[str]
) -> None:
    before = evidence(copied.out)
    again(copied, recipe_with(evaluation={"target_precision": None}))
    assert trained == []
    assert evidence(copied.out) == {**before, "abstention": None}


def test_on_the_command_line(calibrated: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    found = Run(calibrated.out).metrics.abstention
    assert found is not None
    frame = pd.read_csv(calibrated.recipe.data.test)
    texts = frame["text"].tolist()
    student = str(RunDirectory(calibrated.out).student)
    where = [student, *texts, "--threshold", str(found.threshold), "--device", "cpu"]
    assert cli.main(["predict", *where]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    given = [label for label, _ in lines if label != "-"]
    assert len(given) / len(texts) == pytest.approx(found.test.coverage)
    assert all((float(top) >= float(str(found.threshold))) == (label != "-") for label, top in lines)
    assert cli.main(["predict", *where, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == [None if label == "-" else label for label, _ in lines]
