"""Whole runs with a tracker: a folder of curves for every stage, and nothing else is different."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sklearn  # noqa: F401  # it sets environment variables

from curves import curves, logged
from understudy.recipe.recipe import Recipe
from understudy.run.frontier import frontier
from understudy.run.pipeline import distill


def without_clock(path: Path) -> str:
    content = json.loads(path.read_text())
    return json.dumps({name: value for name, value in content.items() if name not in ("speed", "seconds")})


@pytest.mark.acceptance
def test_a_run_and_its_tracked_twin_differ_in_nothing_but_the_curves(
    finished_copy: Any, tmp_path: Path, no_clock: None, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    recipe, out, twin = finished_copy.recipe, finished_copy.out, tmp_path / "twin"
    options: dict[str, Any] = {"device": "cpu", "report_to": ["tensorboard"]}
    distill(recipe, twin, cache_dir=tmp_path / "another cache", **options)
    assert trained == ["teacher", "student", "no_distillation"]
    assert dict(os.environ) == before
    assert capsys.readouterr().out == ""

    assert without_clock(twin / "metrics.json") == without_clock(out / "metrics.json")
    assert (twin / "predictions.parquet").read_bytes() == (out / "predictions.parquet").read_bytes()
    stages = [json.loads((folder / "manifest.json").read_text())["stages"] for folder in (out, twin)]
    # The report's hangs on the dashboard, which shows how fast the models were.
    fingerprints = [
        {name: stage["fingerprint"] for name, stage in found.items() if name != "report"} for found in stages
    ]
    assert "report" in stages[0] and "report" in stages[1]
    assert fingerprints[0] == fingerprints[1]
    assert {path.name for path in (twin / "tracking").iterdir()} == set(trained)
    for stage in trained:
        found, history = curves(twin / "tracking" / stage), stages[1][stage]["details"]["history"]
        assert found["train/loss"] == logged(history, "loss")
        assert found["eval/accuracy"] == logged(history, "eval_accuracy")

    # With or without a tracker, what is finished stays finished.
    trained.clear()
    written = (twin / "metrics.json").stat().st_mtime_ns
    distill(recipe, twin, device="cpu", cache_dir=tmp_path / "another cache")
    distill(recipe, out, cache_dir=finished_copy.cache, **options)
    assert trained == []
    assert (twin / "metrics.json").stat().st_mtime_ns == written
    assert not (out / "tracking").exists()


def test_overwriting_a_run_removes_its_curves(
    finished_copy: Any, make_recipe: Callable[..., Recipe], no_clock: None
) -> None:
    stale = finished_copy.out / "tracking" / "teacher" / "events.out.tfevents.0"
    stale.parent.mkdir(parents=True)
    stale.touch()
    distill(
        make_recipe(evaluation={"controls": []}),
        finished_copy.out,
        device="cpu",
        cache_dir=finished_copy.cache,
        overwrite=True,
        report_to="tensorboard",
    )
    assert not stale.exists()  # and the teacher came from the cache
    assert [path.name for path in (finished_copy.out / "tracking").iterdir()] == ["student"]


@pytest.mark.acceptance
def test_members_of_a_committee_repeats_and_the_frontier(
    make_recipe: Callable[..., Recipe], tmp_path: Path, no_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.run.frontier.measure_models", lambda *_, **__: {})
    monkeypatch.setattr("understudy.run.frontier.draw_frontier", lambda *_: None)
    monkeypatch.setattr("understudy.run.frontier.Tradeoff.save", lambda *_: None)
    encoder = make_recipe().teacher.model
    recipe = make_recipe(
        teacher={"model": [encoder, encoder]},
        evaluation={"controls": []},
        frontier={"students": ["2", "1"]},
        seeds=2,
    )
    frontier(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache", report_to="tensorboard")
    stages = {path.name for path in (tmp_path / "run" / "tracking").iterdir()}
    assert stages == {"teacher_1", "teacher_2", "student", "student_seed_1", "student_1"}
