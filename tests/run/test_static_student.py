"""The static student next to the recipe's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.run import variants
from understudy.run.frontier import frontier
from understudy.run.pipeline import distill


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[..., Recipe]) -> Any:
    folder = tmp_path_factory.mktemp("static")
    recipe = make_recipe(evaluation={"static": True, "controls": ["linear"]})
    return distill(recipe, folder / "run", device="cpu", cache_dir=folder / "cache")


def test_a_run_has_a_static_student_with_its_figures(run: Any) -> None:
    folder = run.directory / "students" / "static"
    static, evidence = run.metrics.students["static"], Evidence.read(run.directory)

    assert static.parameters < run.metrics.student.parameters
    assert run.metrics.seconds["static"] > 0
    predicted = evidence.probabilities["static"].argmax(axis=1)
    assert static.accuracy == pytest.approx((predicted == evidence.labels).mean())
    assert evidence.texts is not None
    answered = understudy.load(folder).predict_proba(evidence.texts)
    assert answered == pytest.approx(evidence.probabilities["static"], abs=1e-5)
    assert "Static student" in run.page.read_text(encoding="utf-8")


def test_the_linear_choice_is_in_the_manifest(run: Any) -> None:
    manifest = json.loads((run.directory / "manifest.json").read_text("utf-8"))
    choice = manifest["stages"]["linear"]["details"]["choice"]
    saved = json.loads((run.directory / "controls" / "linear" / "linear.json").read_text("utf-8"))

    assert choice == saved["choice"]
    assert choice["settings"] == saved["settings"]
    assert {each["features"] for each in choice["tried"]} == {"nb_words", "tfidf", "stacked"}
    assert np.isfinite(choice["accuracy"])


def test_the_frontier_takes_the_static_student_of_the_run(
    run: Any, make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    monkeypatch.setattr("understudy.run.stages.train_student", lambda *_: trained.append("student"))
    recipe = make_recipe(evaluation={"static": True, "controls": ["linear"]}, frontier={"students": ["static"]})
    cache = Path(run.directory).parent / "cache"
    found = frontier(recipe, run.directory, device="cpu", cache_dir=cache)

    assert not trained
    (point,) = [point for point in found.tradeoff.points if point.name == "static"]
    assert point.metrics == run.metrics.students["static"]


def test_its_pace_is_its_own_and_its_loss_the_recipes(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe(distillation={"temperature": 3.0, "alpha": 0.7, "early_stopping": 2})
    options = variants._at_its_pace(recipe, 120).distillation

    assert [variants._at_its_pace(recipe, texts).distillation.epochs for texts in (600, 3000, 24_000)] == [40, 13, 10]
    assert (options.temperature, options.alpha) == (3.0, 0.7)
    assert options.learning_rate > recipe.distillation.learning_rate
    assert options.early_stopping == 0
