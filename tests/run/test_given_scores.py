"""Whole runs whose teacher's probabilities were made elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import understudy
from understudy.cli import main as cli
from understudy.data.tokens import text_ids
from understudy.errors import DataError, ModelError, RunDirectoryError
from understudy.evaluation.results import Latency, Metrics, ModelSpeed
from understudy.recipe.recipe import Recipe
from understudy.run import frontier as module
from understudy.run.frontier import frontier
from understudy.run.pipeline import Run, distill, examine
from understudy.training import student as training_student

MakeRecipe = Callable[..., Recipe]
COLUMNS = ["probability_negative", "probability_positive"]


@pytest.fixture(scope="session")
def answers(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `understudy predict` says of all texts with the finished run's teacher."""
    folder = tmp_path_factory.mktemp("answers")
    data = finished.recipe.data
    texts = pd.concat([pd.read_csv(data.train), pd.read_csv(data.test)])["text"]
    texts.to_frame().to_parquet(folder / "texts.parquet")
    flags = ["--input", str(folder / "texts.parquet"), "--output", str(folder / "scores.csv"), "--device", "cpu"]
    assert cli.main(["predict", str(finished.out / "teacher"), *flags]) == 0
    return folder / "scores.csv"


@pytest.fixture
def scores(answers: Path, tmp_path: Path) -> Path:
    """The same file once more, to be changed."""
    (tmp_path / "scores.csv").write_bytes(answers.read_bytes())
    return tmp_path / "scores.csv"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, np.ndarray | None]]:
    """What was trained, in order, each with the teacher's logits if it learned from any; no teacher ever is."""
    done: list[tuple[str, np.ndarray | None]] = []
    train = training_student.train

    def spy(model: Any, examples: Any, *arguments: Any, **options: Any) -> Any:
        done.append((options["context"].description, examples.teacher_logits))
        return train(model, examples, *arguments, **options)

    monkeypatch.setattr(training_student, "train", spy)
    monkeypatch.setattr("understudy.training.teacher.train", lambda *_, **__: pytest.fail("a teacher was trained"))
    return done


@pytest.fixture
def run(make_recipe: MakeRecipe, scores: Path, tmp_path: Path) -> Callable[..., Run]:
    def start(overwrite: bool = False, **changes: Any) -> Run:
        changes = {"evaluation": {"controls": ["no_distillation"]}, **changes}
        changes["teacher"] = {"scores": str(scores), **changes.get("teacher", {})}
        recipe = make_recipe(**changes)
        return distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache", overwrite=overwrite)

    return start


def manifest(run: Run) -> dict[str, Any]:
    return json.loads((run.directory / "manifest.json").read_text())


def change(scores: Path, texts: list[str]) -> None:
    """Other probabilities for some texts."""
    table = pd.read_csv(scores)
    table.loc[table["text"].isin(texts), COLUMNS] = [0.125, 0.875]
    table.to_csv(scores, index=False)


# The whole run


def test_a_run_without_a_model_of_the_teacher(
    run: Callable[..., Run], finished: Any, scores: Path, trained: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = run()
    before = Run(finished.out).metrics.teacher
    teacher, speed = found.metrics.teacher, found.metrics.speed
    assert (teacher.accuracy, teacher.f1) == (before.accuracy, before.f1)
    assert (teacher.auc, teacher.ece) == (pytest.approx(before.auc, abs=1e-6), pytest.approx(before.ece, abs=1e-6))
    assert (teacher.parameters, teacher.bytes) == (None, None)
    assert (found.metrics.parameter_fraction, found.metrics.efficiency_ratio) == (None, None)
    assert (speed.teacher, speed.speedup, speed.batch128.teacher_ms) == (None, None, None)
    assert speed.student.documents_per_second > 0
    assert Metrics.load(found.directory / "metrics.json") == found.metrics
    assert (found.report / "dashboard.png").read_bytes()[:4] == b"\x89PNG"

    # The soft labels are the logarithms of what the file says, text by text.
    assert [name for name, _ in trained] == ["student", "no_distillation"]
    kept = pd.read_parquet(found.directory / "teacher" / "scores.parquet")
    given = pd.read_csv(scores).drop_duplicates("text").set_index("text")[COLUMNS]
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    test = pd.read_csv(found.recipe.data.test)["text"]
    says = predictions[[f"teacher_{name}" for name in COLUMNS]].to_numpy()
    assert np.allclose(says, given.loc[test].to_numpy(), atol=1e-6)
    logits = trained[0][1]
    assert logits.shape == (108, 2) and trained[1][1] is None
    expected = {tuple(np.round(row, 4)) for row in np.log(given.to_numpy())}
    assert {tuple(np.round(row, 4)) for row in logits.astype(float)} <= expected
    assert len(kept) == 108 + 60

    # Nothing of a teacher is there but its answers.
    assert [path.name for path in (found.directory / "teacher").iterdir()] == ["scores.parquet"]
    with pytest.raises(ModelError, match="is not a model: its probabilities were given"):
        _ = found.teacher
    models = manifest(found)["models"]
    assert models["teacher"] == {"scores": str(scores), "texts": 168}
    assert models["student"]["name"] == found.recipe.teacher.model
    assert found.student.predict(["good film"])[0] in ("negative", "positive")

    output = capsys.readouterr()
    recipe = found.directory / "recipe.toml"
    where = ["--out", str(found.directory), "--cache-dir", str(found.directory.parent / "cache"), "--device", "cpu"]
    assert cli.main(["run", str(recipe), *where, "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["speed"]["speedup"] is None
    assert "unknown: only the teacher's scores were given" in output.err


@pytest.mark.acceptance
def test_without_soft_loss_the_student_is_its_control(run: Callable[..., Run], no_clock: None) -> None:
    found = run(distillation={"alpha": 0.0})
    predictions = pd.read_parquet(found.directory / "predictions.parquet")
    for name in COLUMNS:
        assert (predictions[f"student_{name}"] == predictions[f"no_distillation_{name}"]).all()
    learned = run(distillation={"alpha": 1.0})
    predictions = pd.read_parquet(learned.directory / "predictions.parquet")
    assert not np.allclose(predictions[f"student_{COLUMNS[0]}"], predictions[f"no_distillation_{COLUMNS[0]}"])


def test_beside_a_students_checkpoint_no_other_model_is_looked_for(
    run: Callable[..., Run], make_model: Callable[..., Path], no_clock: None, trained: list[Any]
) -> None:
    checkpoint = make_model("other", layers=1)
    found = run(student={"model": str(checkpoint)}, teacher={"model": "/nowhere/at/all"})
    assert found.student.model.config.num_hidden_layers == 1
    assert [name for name, _ in trained] == ["student", "no_distillation"]
    assert manifest(found)["models"]["student"]["name"] == str(checkpoint)


def test_unlabelled_texts_have_scores_as_well(run: Callable[..., Run], no_clock: None, trained: list[Any]) -> None:
    found = run(data={"labelled": 40})
    assert trained[0][1].shape == (36 + 80, 2)
    assert manifest(found)["stages"]["soft_labels"]["details"] == {"given": 116, "made_with": {}}


# Once more


def test_a_finished_run_is_not_done_again(
    run: Callable[..., Run], scores: Path, no_clock: None, trained: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    first = manifest(run())
    trained.clear()
    # A validation text needs no probabilities, and the order of the rows says nothing.
    needed = pd.read_parquet(scores.parent / "run" / "teacher" / "scores.parquet")["id"].str.encode("ascii")
    texts = pd.read_csv(scores)["text"]
    others = texts[~np.isin(text_ids(texts.tolist()), needed.to_numpy(dtype="S32"))].tolist()
    assert len(others) == 12
    change(scores, others)
    pd.read_csv(scores)[::-1].to_csv(scores, index=False)
    with caplog.at_level(logging.INFO, "understudy"):
        assert manifest(run()) == first
    assert trained == []
    assert "teacher: already finished" in caplog.text

    (scores.parent / "run" / "teacher" / "scores.parquet").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "understudy"):
        run()
    assert "teacher has changed since it was made; making it again" in caplog.text
    assert trained == []


@pytest.mark.acceptance
def test_another_student_needs_no_more_than_the_scores(
    run: Callable[..., Run], no_clock: None, trained: list[Any]
) -> None:
    run()
    trained.clear()
    run(student={"layers": 1})
    assert [name for name, _ in trained] == ["student", "no_distillation"]


@pytest.mark.acceptance
def test_other_scores_are_another_teacher(run: Callable[..., Run], scores: Path, no_clock: None) -> None:
    first = run()
    accuracy = first.metrics.teacher.accuracy
    change(scores, pd.read_csv(first.recipe.data.test)["text"].tolist())
    with pytest.raises(RunDirectoryError, match="another teacher: the options are the same, but the model, scores"):
        run()
    assert Run(first.directory).metrics.teacher.accuracy == accuracy
    assert run(overwrite=True).metrics.teacher.accuracy == 0.5  # always positive


def test_scores_instead_of_a_model_are_another_teacher(
    run: Callable[..., Run], finished_copy: Any, scores: Path, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(teacher={"scores": str(scores)})
    with pytest.raises(RunDirectoryError, match=r"teacher\.scores: '.*' here, None there"):
        distill(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)


@pytest.mark.acceptance
def test_a_source_that_has_gone(run: Callable[..., Run], scores: Path, no_clock: None, tmp_path: Path) -> None:
    first = run()
    scores.unlink()
    with pytest.raises(DataError, match=r"^teacher\.scores: No data at"):
        run()
    # What the run kept is a source.
    kept = first.recipe.model_copy(
        update={"teacher": first.recipe.teacher.model_copy(update={"scores": f"{first.directory}/teacher/*.parquet"})}
    )
    again = distill(kept, tmp_path / "second", device="cpu", cache_dir=tmp_path / "cache")
    assert again.metrics.student == first.metrics.student


# What is refused


def test_what_is_wrong_is_said_before_anything_is_trained(
    run: Callable[..., Run], scores: Path, make_recipe: MakeRecipe, tmp_path: Path, trained: list[Any]
) -> None:
    table = pd.read_csv(scores)
    table.loc[3, COLUMNS[0]] = 7.0
    table.drop(index=table.index[-2:]).to_csv(scores, index=False)
    with pytest.raises(DataError, match="2 problems in the data") as error:
        run()
    assert "scores_out_of_range: teacher.scores" in str(error.value)
    assert "    scores row 4: " in str(error.value)
    assert "missing_scores: test: 2 of 60 texts without a row" in str(error.value)
    assert trained == []
    assert not (tmp_path / "run").exists()
    found = examine(make_recipe(teacher={"scores": str(scores)}), tmp_path / "cache")
    assert [finding.code for finding in found.errors] == ["scores_out_of_range", "missing_scores"]


def test_the_check_command_says_so_too(
    scores: Path, make_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv(scores)[:-2].to_csv(scores, index=False)
    (tmp_path / "recipe.toml").write_text(make_recipe(teacher={"scores": str(scores)}).to_toml())
    assert cli.main(["check", str(tmp_path / "recipe.toml"), "--cache-dir", str(tmp_path / "cache")]) == 2
    assert "ERROR  missing_scores: test: 2 of 60 texts without a row" in capsys.readouterr().err


# The frontier


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(models: dict[str, Any], *_: Any, **__: Any) -> dict[str, ModelSpeed]:
        return {name: ModelSpeed(10.0 * (place + 1), Latency(9.0 - place, 10.0)) for place, name in enumerate(models)}

    monkeypatch.setattr(module, "measure_models", measured)


@pytest.mark.acceptance
@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_many_students_of_given_scores(
    with_checkpoint: bool,
    speeds: None,
    no_clock: None,
    scores: Path,
    trained: list[Any],
    make_recipe: MakeRecipe,
    make_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = {"student": {"model": str(make_model("other", layers=3))}} if with_checkpoint else {}
    recipe = make_recipe(
        teacher={"scores": str(scores)}, frontier={"students": ["1", "static", "linear"]}, **checkpoint
    )
    found = frontier(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert {name for name, _ in trained} == {"student", "no_distillation", "student_1", "student_static"}
    teacher, *others = found.tradeoff.points
    assert (teacher.role, teacher.speed, teacher.metrics.bytes) == ("teacher", None, None)
    assert teacher.validation_accuracy is None  # its scores are those of the training and test texts
    assert all(point.speed is not None and point.validation_accuracy is not None for point in others)
    assert found.plot.read_bytes()[:4] == b"\x89PNG"
    content = json.loads((tmp_path / "run" / "frontier.json").read_text())
    assert content["models"]["teacher:teacher"]["speed"] is None
    assert understudy.load(tmp_path / "run" / "students" / "1", device="cpu").predict(["good film"])

    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    where = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"), "--device", "cpu"]
    assert cli.main(["frontier", str(tmp_path / "recipe.toml"), *where]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip().startswith("teacher ")]
    assert line.split()[4:8] == ["-", "-", "-", "-"]
