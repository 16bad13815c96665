"""Runs with several seeds: what is trained, what is kept, and what the evidence says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from understudy.cli import main as cli
from understudy.evaluation.results import Metrics
from understudy.inference.opening import open_classifier
from understudy.recipe.recipe import Recipe
from understudy.run.frontier import frontier
from understudy.run.pipeline import Run, distill
from understudy.storage.files import folder_digest
from understudy.storage.layout import RunDirectory
from understudy.training import student

pytestmark = pytest.mark.usefixtures("no_clock")

MakeRecipe = Callable[..., Recipe]
REPEATS = ["student_seed_1", "student_seed_2", "no_distillation_seed_1", "no_distillation_seed_2"]


def again(run: Any, recipe: Recipe, **options: Any) -> Run:
    return distill(recipe, run.out, device="cpu", cache_dir=run.cache, **options)


def digests(out: Path) -> dict[str, str]:
    folders = [path.parent for path in out.rglob("model.safetensors")]
    return {str(folder.relative_to(out)): folder_digest(folder) for folder in folders}


def evidence(out: Path) -> dict[str, Any]:
    """metrics.json without what a clock decides."""
    content = json.loads((out / "metrics.json").read_text())
    return {name: value for name, value in content.items() if name not in ("speed", "seconds")}


@pytest.mark.acceptance
def test_more_seeds_for_a_finished_run_and_fewer_again(
    finished_copy: Any, make_recipe: MakeRecipe, trained: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    before, figures = digests(finished_copy.out), evidence(finished_copy.out)
    assert figures["seeds"] is None
    with caplog.at_level(logging.INFO, "understudy"):
        run = again(finished_copy, make_recipe(seeds=3))
    assert trained == REPEATS
    assert "changed since the last run: seeds" in caplog.text
    after = digests(finished_copy.out)
    assert {place: after[place] for place in before} == before
    added = {
        *(f"students/seed-{seed}" for seed in (1, 2)),
        *(f"controls/no_distillation-seed-{seed}" for seed in (1, 2)),
    }
    assert set(after) == {*before, *added}
    assert len({after[place] for place in added}) == 4  # other seeds, other models

    # What is about the shipped student is what it was.
    found = evidence(finished_copy.out)
    kept = set(figures) - {"seeds", "verdict"}
    assert {name: found[name] for name in kept} == {name: figures[name] for name in kept}
    assert set(run.metrics.seconds) == {
        "data", "teacher", "soft_labels", "student", "no_distillation", "linear", "frozen", "evaluation", *REPEATS
    }  # fmt: skip
    seeds = run.metrics.seeds
    assert seeds is not None and seeds.gain is not None
    assert [each.seed for each in seeds.repeats] == [0, 1, 2]
    assert seeds.repeats[0].accuracy == run.metrics.student.accuracy
    assert seeds.repeats[0].gain == run.metrics.distillation_gain
    assert seeds.gain.accuracy == pytest.approx(np.mean([each.gain.accuracy for each in seeds.repeats if each.gain]))
    assert "over 3 seeds" in run.metrics.verdict.text

    # The same again is finished; one seed fewer trains nothing, and one seed gives the first figures.
    trained.clear()
    again(finished_copy, make_recipe(seeds=3))
    two = again(finished_copy, make_recipe(seeds=2)).metrics
    assert two.seeds is not None and [each.seed for each in two.seeds.repeats] == [0, 1]
    assert "student_seed_2" not in two.seconds
    again(finished_copy, make_recipe())
    assert evidence(finished_copy.out) == figures
    again(finished_copy, make_recipe(seeds=3))
    assert evidence(finished_copy.out) == found
    assert trained == []


@pytest.mark.acceptance
def test_the_figures_are_those_of_the_folders(make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]) -> None:
    recipe = make_recipe(seeds=2, student={"seed": 5}, evaluation={"controls": ["no_distillation"]})
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert trained == ["teacher", "student", "no_distillation", "student_seed_6", "no_distillation_seed_6"]
    table, layout = pd.read_csv(recipe.data.test), RunDirectory(tmp_path / "run")
    predictions = pd.read_parquet(layout.predictions)
    right = {}
    for model, folder in (
        ("student", layout.student),
        ("student_seed_6", layout.repeated_student(6)),
        ("no_distillation", layout.control("no_distillation")),
        ("no_distillation_seed_6", layout.repeated_control(6)),
    ):
        labels = open_classifier(folder).predict(table["text"].tolist())
        assert predictions[f"{model}_label"].tolist() == labels
        assert predictions[f"{model}_probability_positive"].between(0, 1).all()
        right[model] = float((np.array(labels) == table["label"].to_numpy()).mean())
    seeds = run.metrics.seeds
    assert seeds is not None and seeds.gain is not None and seeds.control_accuracy is not None
    assert [(each.seed, each.accuracy, each.control_accuracy) for each in seeds.repeats] == [
        (5, right["student"], right["no_distillation"]),
        (6, right["student_seed_6"], right["no_distillation_seed_6"]),
    ]
    values = list(right.values())
    assert seeds.gain.accuracy == pytest.approx(np.mean(values[:2]) - np.mean(values[2:]))
    assert seeds.accuracy.sd == pytest.approx(np.std(values[:2], ddof=1))

    # Another run with the repeat's seed is the same model, and a second run of the recipe the same run.
    alone = distill(
        recipe.with_student_seed(6).model_copy(update={"seeds": 1}),
        tmp_path / "alone",
        device="cpu",
        cache_dir=tmp_path / "cache",
    )
    assert folder_digest(layout.repeated_student(6)) == folder_digest(alone.directory / "student")
    assert folder_digest(layout.repeated_control(6)) == folder_digest(alone.directory / "controls" / "no_distillation")
    distill(recipe, tmp_path / "twice", device="cpu", cache_dir=tmp_path / "other cache")
    assert evidence(tmp_path / "twice") == evidence(tmp_path / "run")


@pytest.mark.acceptance
def test_without_the_control_only_the_student_is_repeated(
    make_recipe: MakeRecipe, tmp_path: Path, trained: list[str]
) -> None:
    recipe = make_recipe(seeds=2, evaluation={"controls": []})
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert trained == ["teacher", "student", "student_seed_1"]
    assert not (run.directory / "controls").exists()
    seeds = run.metrics.seeds
    assert seeds is not None and seeds.gain is None and seeds.control_accuracy is None
    assert "the recipe leaves out the no_distillation control" in run.metrics.verdict.text


@pytest.mark.acceptance
def test_an_interrupted_repeat_leaves_no_figures_and_goes_on(
    finished_copy: Any, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe(seeds=2, distillation={"checkpoint_steps": 4})
    distilled = student.distilled

    def breaking(*arguments: Any) -> Any:
        loss, calls = distilled(*arguments), iter(range(6))
        return lambda *given: (next(calls), loss(*given))[1]

    with monkeypatch.context() as patch, pytest.raises((StopIteration, RuntimeError)):
        patch.setattr(student, "distilled", breaking)
        again(finished_copy, recipe)
    assert not (finished_copy.out / "metrics.json").exists()
    assert not (finished_copy.out / "students" / "seed-1").exists()
    with caplog.at_level(logging.INFO, "understudy"):
        again(finished_copy, recipe)
    assert "student_seed_1: resuming from checkpoint-4" in caplog.text
    assert Metrics.load(finished_copy.out / "metrics.json").seeds is not None
    assert not (finished_copy.out / ".checkpoints").exists()


def test_a_damaged_repeat_is_made_again(
    finished_copy: Any, make_recipe: MakeRecipe, trained: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make_recipe(seeds=2, evaluation={"controls": []})
    again(finished_copy, recipe)
    figures, before = evidence(finished_copy.out), digests(finished_copy.out)
    (finished_copy.out / "students" / "seed-1" / "model.safetensors").write_bytes(b"no weights")
    trained.clear()
    with caplog.at_level(logging.WARNING, "understudy"):
        again(finished_copy, recipe)
    assert trained == ["student_seed_1"]
    assert "seed-1 has changed since it was made" in caplog.text
    assert (evidence(finished_copy.out), digests(finished_copy.out)) == (figures, before)


@pytest.mark.acceptance
def test_overwriting_removes_the_repeats(finished_copy: Any, make_recipe: MakeRecipe) -> None:
    again(finished_copy, make_recipe(seeds=2))
    assert "controls/no_distillation-seed-1" in digests(finished_copy.out)
    recipe = make_recipe(data={"max_length": 12}, evaluation={"controls": []})
    assert set(digests(again(finished_copy, recipe, overwrite=True).directory)) == {"teacher", "student"}


@pytest.mark.acceptance
def test_a_frontier_repeats_the_recipes_own_student_alone(
    finished_copy: Any, make_recipe: MakeRecipe, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from understudy.evaluation.results import Latency, ModelSpeed
    from understudy.run import frontier as module

    monkeypatch.setattr(
        module, "measure_models", lambda models, *_, **__: dict.fromkeys(models, ModelSpeed(1.0, Latency(1.0, 1.0)))
    )
    recipe = make_recipe(seeds=2, evaluation={"controls": []}, frontier={"students": ["2", "1", "linear"]})
    found = frontier(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert trained == ["student_seed_1", "student_1"]
    folders = sorted(path.name for path in (finished_copy.out / "students").iterdir())
    assert folders == ["1", "linear", "seed-1"]
    assert [point.folder for point in found.tradeoff.students] == ["student", "students/1", "students/linear"]

    # Another student of the frontier leaves the evidence of the seeds where it is.
    written = (finished_copy.out / "metrics.json").stat().st_mtime_ns
    more = make_recipe(seeds=2, evaluation={"controls": []}, frontier={"students": ["2", "1", "3"]})
    frontier(more, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert trained == ["student_seed_1", "student_1", "student_3"]
    assert (finished_copy.out / "metrics.json").stat().st_mtime_ns == written


def test_the_flag(
    finished_copy: Any, make_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(make_recipe().to_toml())
    where = ["--out", str(finished_copy.out), "--cache-dir", str(finished_copy.cache), "--device", "cpu", "--json"]
    assert cli.main(["run", str(tmp_path / "recipe.toml"), "--seeds", "2", *where]) == 0
    output = capsys.readouterr()
    assert [each["seed"] for each in json.loads(output.out)["seeds"]["repeats"]] == [0, 1]
    assert "2 seeds" in output.err
    assert Recipe.load(finished_copy.out / "recipe.toml").seeds == 2
