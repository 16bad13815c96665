"""The frozen control in a run: its answers, its place, and the vectors that it shares with the teacher's head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import understudy
from understudy import Run, distill
from understudy.inference.vectors import VectorEngine
from understudy.recipe.recipe import Recipe
from understudy.storage.manifest import Manifest


def test_its_folder_answers_as_the_run_did(finished: Any) -> None:
    texts = pd.read_csv(finished.recipe.data.test)["text"].tolist()
    predictions = pd.read_parquet(finished.out / "predictions.parquet")
    expected = predictions[["frozen_probability_negative", "frozen_probability_positive"]].to_numpy()
    found = understudy.load(finished.out / "controls" / "frozen", device="cpu").predict_proba(texts)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_it_has_figures_and_says_how_it_was_fitted(finished: Any) -> None:
    frozen = Run(finished.out).metrics.controls.frozen
    assert frozen is not None and frozen.parameters is not None and frozen.parameters > 0
    details = Manifest(finished.out / "manifest.json").details("frozen")
    assert details["head"]["strength"] > 0
    assert details["head"]["cross_validated"] > 0
    page = (finished.out / "report" / "report.html").read_text()
    assert "Frozen encoder" in page


@pytest.mark.usefixtures("no_clock")
def test_it_shares_its_vectors_with_the_teachers_head(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = VectorEngine.read

    def counted(engine: VectorEngine, *arguments: Any) -> Any:
        read.append(arguments[2])
        return real(engine, *arguments)

    monkeypatch.setattr(VectorEngine, "read", counted)
    recipe = make_recipe(data={"validation": 12}, teacher={"head": "logistic"}, evaluation={"controls": ["frozen"]})
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert read == ["teacher, vectors", "teacher, validation"]
    head = Manifest(run.directory / "manifest.json").details("teacher")["head"]
    assert head["validation_accuracy"] is not None and head["trained_accuracy"] is not None
    distill(recipe, tmp_path / "other", device="cpu", cache_dir=tmp_path / "cache")
    assert len(read) == 2


@pytest.mark.usefixtures("no_clock")
def test_a_student_and_its_control_start_from_heads_of_their_own(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = make_recipe(distillation={"head": "logistic"}, evaluation={"controls": ["no_distillation"]})
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    manifest = Manifest(run.directory / "manifest.json")
    assert manifest.details("teacher")["head"] is None
    heads = [manifest.details(stage)["head"] for stage in ("student", "no_distillation")]
    assert all(head["validation_accuracy"] is not None for head in heads)


@pytest.mark.acceptance
def test_it_can_be_exported(finished: Any, tmp_path: Path) -> None:
    folder = finished.out / "controls" / "frozen"
    texts = pd.read_csv(finished.recipe.data.test)["text"].tolist()
    exported = understudy.export(folder, out=tmp_path / "out").folder
    expected = understudy.load(folder, device="cpu").predict_proba(texts)
    np.testing.assert_allclose(understudy.load(exported).predict_proba(texts), expected, atol=1e-4)
