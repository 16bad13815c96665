"""A run directory that already holds a run, and a cache that other runs left: what is done again and what is not."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from understudy.recipe.recipe import Recipe
from understudy.run.pipeline import Run, distill

pytestmark = pytest.mark.usefixtures("no_clock")

CONTROLS = ["no_distillation", "linear"]


@dataclass
class Work:
    """What was really done: which models were trained, and forward passes by the number of a model's layers."""

    trained: list[str] = field(default_factory=list)
    passes: dict[int, int] = field(default_factory=dict)

    @property
    def teacher_passes(self) -> int:
        return self.passes.get(4, 0)

    @property
    def only_probed(self) -> bool:
        """Whether the frozen control looked for the encoder's last layer, which takes two texts, and nothing else."""
        return self.teacher_passes == 1


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    from transformers import BertForSequenceClassification

    from understudy.models.linear import LinearModel
    from understudy.run import testing
    from understudy.training import student, teacher

    done = Work()
    train, forward, fit = student.train, BertForSequenceClassification.forward, LinearModel.fit
    operations = testing.operations

    def counted_train(*arguments: Any, **options: Any) -> Any:
        done.trained.append(options["context"].description)
        return train(*arguments, **options)

    def counted_forward(model: Any, *arguments: Any, **options: Any) -> Any:
        layers = model.config.num_hidden_layers
        done.passes[layers] = done.passes.get(layers, 0) + 1
        return forward(model, *arguments, **options)

    def counted_fit(*arguments: Any, **options: Any) -> Any:
        done.trained.append("linear")
        return fit(*arguments, **options)

    def uncounted_operations(*arguments: Any) -> int:
        """One pass of made-up tokens counts a model's operations; no text is answered."""
        before = dict(done.passes)
        found = operations(*arguments)
        done.passes = before
        return found

    monkeypatch.setattr(testing, "operations", uncounted_operations)
    monkeypatch.setattr(student, "train", counted_train)
    monkeypatch.setattr(teacher, "train", counted_train)
    monkeypatch.setattr(LinearModel, "fit", counted_fit)
    monkeypatch.setattr(BertForSequenceClassification, "forward", counted_forward)
    return done


def again(finished: Any, recipe: Recipe | None = None, out: Path | None = None, **options: Any) -> Run:
    return distill(recipe or finished.recipe, out or finished.out, device="cpu", cache_dir=finished.cache, **options)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def results(run: Run | Path) -> dict[str, Any]:
    """metrics.json without what a clock decides."""
    folder = run.directory if isinstance(run, Run) else run
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("speed", "seconds")}


# The same recipe


def test_a_finished_run_is_not_done_again(finished_copy: Any, work: Work) -> None:
    before = contents(finished_copy.out)
    again(finished_copy)
    assert work == Work()
    after = contents(finished_copy.out)
    assert {name for name in after if after[name][0] != before[name][0]} <= {"manifest.json"}
    assert after["metrics.json"] == before["metrics.json"]


def test_a_finished_run_needs_no_cache(finished_copy: Any, work: Work) -> None:
    shutil.rmtree(finished_copy.cache)
    again(finished_copy)
    assert work == Work()


def test_another_name_changes_nothing(finished_copy: Any, make_recipe: Callable[..., Recipe], work: Work) -> None:
    again(finished_copy, make_recipe(name="other", distillation={"checkpoint_steps": 3}))
    assert work == Work()


@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet", "report/dashboard.png"])
def test_damaged_or_lost_evidence_is_made_again(finished_copy: Any, work: Work, name: str) -> None:
    metrics = results(finished_copy.out)
    (finished_copy.out / name).write_text("{}")
    assert results(again(finished_copy)) == metrics
    (finished_copy.out / name).unlink()
    assert results(again(finished_copy)) == metrics
    assert work.trained == []
    assert work.teacher_passes == 0


def test_a_damaged_student_is_made_again(finished_copy: Any, work: Work, caplog: pytest.LogCaptureFixture) -> None:
    metrics = results(finished_copy.out)
    with (finished_copy.out / "student" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    with caplog.at_level(logging.WARNING, "understudy"):
        assert results(again(finished_copy)) == metrics
    assert work.trained == ["student"]
    assert work.teacher_passes == 0
    assert "student has changed since it was made" in caplog.text


# Other student, distillation or evaluation options


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({"distillation": {"temperature": 4.0}}, ["student"]),
        ({"distillation": {"alpha": 0.9}}, ["student"]),
        ({"distillation": {"learning_rate": 2e-3}}, ["student", "no_distillation"]),
        ({"student": {"seed": 7}}, ["student", "no_distillation"]),
        ({"student": {"layers": 3}}, ["student", "no_distillation"]),
        ({"evaluation": {"resamples": 300}}, []),
        ({"evaluation": {"controls": []}}, []),
    ],
    ids=str,
)
def test_only_what_an_option_changes_is_done_again(
    finished_copy: Any,
    make_recipe: Callable[..., Recipe],
    work: Work,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    trained: list[str],
) -> None:
    teacher, metrics = contents(finished_copy.out / "teacher"), results(finished_copy.out)
    with caplog.at_level(logging.INFO, "understudy"):
        run = again(finished_copy, make_recipe(**changes))
    assert work.trained == trained
    assert work.teacher_passes == 0
    assert results(run) != metrics
    assert contents(finished_copy.out / "teacher") == teacher
    (section, options), *_ = changes.items()
    assert f"changed since the last run: {section}.{next(iter(options))}" in caplog.text
    assert Recipe.load(finished_copy.out / "recipe.toml") == make_recipe(**changes)


@pytest.mark.acceptance
def test_going_back_gives_the_same_figures(finished_copy: Any, make_recipe: Callable[..., Recipe], work: Work) -> None:
    metrics = results(finished_copy.out)
    again(finished_copy, make_recipe(distillation={"temperature": 4.0}))
    assert results(again(finished_copy)) == metrics


def test_controls_that_are_left_out_have_no_seconds(finished_copy: Any, make_recipe: Callable[..., Recipe]) -> None:
    metrics = again(finished_copy, make_recipe(evaluation={"controls": ["linear"]})).metrics
    assert set(metrics.seconds) == {"data", "teacher", "soft_labels", "student", "linear", "evaluation"}


def test_figures_of_another_student_do_not_stay(
    finished_copy: Any, make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("understudy.training.student.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        again(finished_copy, make_recipe(distillation={"temperature": 4.0}))
    left = {path.name for path in finished_copy.out.iterdir()}
    assert not left & {"metrics.json", "predictions.parquet"}
    assert "evaluation" not in json.loads((finished_copy.out / "manifest.json").read_text())["stages"]


# Another run directory, the same cache


def test_another_directory_takes_teacher_and_soft_labels_from_the_cache(
    finished_copy: Any, tmp_path: Path, work: Work
) -> None:
    run = again(finished_copy, out=tmp_path / "second")
    assert work.trained == ["student", "no_distillation"]
    assert work.only_probed
    assert results(run) == results(finished_copy.out)
    manifest = json.loads((tmp_path / "second" / "manifest.json").read_text())
    assert manifest["stages"]["teacher"]["details"]["reused"] is True
    assert manifest["stages"]["soft_labels"]["details"]["computed"] == 0


def test_another_student_seed_in_another_directory_needs_no_teacher(
    finished_copy: Any, make_recipe: Callable[..., Recipe], tmp_path: Path, work: Work
) -> None:
    run = again(finished_copy, make_recipe(student={"seed": 1}), tmp_path / "second")
    assert work.only_probed
    assert "teacher" not in work.trained
    assert results(run)["teacher"] == results(finished_copy.out)["teacher"]
    assert results(run)["student"] != results(finished_copy.out)["student"]


@pytest.mark.acceptance
def test_two_caches_give_the_same_figures(finished: Any, tmp_path: Path, work: Work) -> None:
    run = distill(finished.recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert work.trained == ["teacher", "student", *CONTROLS]
    assert work.teacher_passes > 0
    assert results(run) == results(finished.out)
    for model in ("teacher", "student"):
        weights = Path(model) / "model.safetensors"
        assert (tmp_path / "run" / weights).read_bytes() == (finished.out / weights).read_bytes()


# Interruptions


def interrupt(monkeypatch: pytest.MonkeyPatch, module: str, after: int) -> None:
    """Ctrl-C in the loss of a step."""
    from understudy.training import student

    train, steps = student.train, 0

    def interrupted(model: Any, examples: Any, validation: Any, *, method: Any, **rest: Any) -> Any:
        def loss(*tensors: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > after:
                raise KeyboardInterrupt
            return method.objective(*tensors)

        return train(model, examples, validation, method=replace(method, objective=loss), **rest)

    monkeypatch.setattr(f"understudy.training.{module}.train", interrupted)


@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_an_interrupted_run_goes_on_from_its_checkpoint(
    stage: str,
    finished: Any,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
    work: Work,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = make_recipe(teacher={"checkpoint_steps": 2}, distillation={"checkpoint_steps": 2})
    out, cache = tmp_path / "run", tmp_path / "cache"
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, stage, after=5)
        with pytest.raises(KeyboardInterrupt):
            distill(recipe, out, device="cpu", cache_dir=cache)
    assert not (out / "metrics.json").exists()
    assert not (out / stage).exists()
    work.trained.clear()
    work.passes.clear()
    with caplog.at_level(logging.INFO, "understudy"):
        run = distill(recipe, out, device="cpu", cache_dir=cache)
    assert f"{stage}: resuming from checkpoint-4" in caplog.text
    assert ("teacher" in work.trained) == (stage == "teacher")
    assert results(run) == results(finished.out)
    assert not (out / ".checkpoints").exists()


def test_a_run_that_broke_off_before_its_recipe_was_written_goes_on(
    finished: Any, make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(evaluation={"controls": []})

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("understudy.run.checks.write_text", interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill(recipe, tmp_path / "run", device="cpu", cache_dir=finished.cache)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["manifest.json"]
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=finished.cache)
    assert run.recipe == recipe
