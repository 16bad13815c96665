"""One teacher and many students, from the command line to the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import understudy
from understudy.cli import main as cli
from understudy.data.corpus import build_corpus, read_tables
from understudy.errors import DataError, GateRefused, ModelError
from understudy.evaluation.results import Latency, ModelSpeed
from understudy.recipe.recipe import Recipe
from understudy.run import frontier as module
from understudy.run.frontier import default_students, frontier
from understudy.run.request import Request
from understudy.run.settings import Settings
from understudy.storage.layout import RunDirectory
from understudy.training import student as training_student

pytestmark = pytest.mark.usefixtures("no_clock")

STUDENTS = ["2", "1", "3/15", "static", "linear"]


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last model is the fastest; nothing is timed."""

    def measured(models: dict[str, Any], *_: Any, **__: Any) -> dict[str, ModelSpeed]:
        return {name: ModelSpeed(10.0 * (place + 1), Latency(9.0 - place, 10.0)) for place, name in enumerate(models)}

    monkeypatch.setattr(module, "measure_models", measured)


@pytest.mark.parametrize(
    ("layers", "students"),
    [
        (6, ["6", "3", "2", "1", "3/8000", "static", "linear"]),
        (12, ["12", "6", "4", "1", "6/8000", "static", "linear"]),
        (1, ["1", "1/8000", "static", "linear"]),
    ],
)
def test_the_students_of_a_recipe_that_names_none(layers: int, students: list[str]) -> None:
    assert default_students(layers) == students


def test_every_student_opens_and_answers_as_it_was_measured(
    speeds: None, make_recipe: Callable[..., Recipe], tmp_path: Path, trained: list[str]
) -> None:
    recipe = make_recipe(frontier={"students": STUDENTS})
    found = frontier(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    points = {point.name: point for point in found.tradeoff.students}
    assert list(points) == STUDENTS
    assert points["2"].folder == "student"  # the recipe's own
    folders = [points[name].folder for name in STUDENTS[1:]]
    assert folders == ["students/1", "students/3-15", "students/static", "students/linear"]
    controls = [point.name for point in found.tradeoff.points if point.role == "control"]
    assert controls == ["no_distillation", "linear", "frozen"]
    assert found.plot.read_bytes()[:4] == b"\x89PNG"

    table = pd.read_csv(recipe.data.test)
    for point in points.values():
        classifier = understudy.load(tmp_path / "run" / point.folder, device="cpu")
        assert classifier.classes == ["negative", "positive"]
        right = np.array(classifier.predict(table["text"].tolist())) == table["label"].to_numpy()
        assert right.mean() == pytest.approx(point.metrics.accuracy)
        assert classifier.size.parameters == point.metrics.parameters
    assert points["static"].metrics.parameters < points["3/15"].metrics.parameters

    corpus = build_corpus(read_tables(recipe.data), recipe.data, recipe.seed)
    assert found.tradeoff.validation_texts == len(corpus.validation)
    for point in found.tradeoff.points:
        classifier = understudy.load(tmp_path / "run" / point.folder, device="cpu")
        predicted = classifier.predict_proba(corpus.validation.texts).argmax(axis=1)
        assert point.validation_accuracy == pytest.approx((predicted == corpus.validation.labels).mean())

    # Once more: nothing is trained again; one more student costs one training.
    trained.clear()
    again = frontier(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert trained == [] and again.tradeoff == found.tradeoff
    more = make_recipe(frontier={"students": [*STUDENTS, "4"]})
    frontier(more, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert trained == ["student_4"]
    content = json.loads((tmp_path / "run" / "frontier.json").read_text())
    assert content["models"]["student:4"]["folder"] == "students/4"

    # Figures that changed leave none of the frontier's behind.
    understudy.distill(
        make_recipe(evaluation={"resamples": 300}), tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache"
    )
    assert not (tmp_path / "run" / "frontier.json").exists() and not found.plot.exists()


def test_an_interrupted_student_goes_on_from_its_checkpoint(
    speeds: None,
    finished_copy: Any,
    make_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = make_recipe(frontier={"students": ["3"]}, distillation={"checkpoint_steps": 4})
    distilled = training_student.distilled

    def breaking(*arguments: Any) -> Any:
        loss, calls = distilled(*arguments), iter(range(6))
        return lambda *given: (next(calls), loss(*given))[1]

    with monkeypatch.context() as patch, pytest.raises((StopIteration, RuntimeError)):
        patch.setattr(training_student, "distilled", breaking)
        frontier(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    with caplog.at_level("INFO", "understudy"):
        frontier(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert "student_3: resuming from checkpoint-4" in caplog.text
    assert not (finished_copy.out / ".checkpoints").exists()


@pytest.mark.parametrize(
    ("student", "message"),
    [("9", "student.layers = 9: .* has 4 layers; choose 1 to 4"), ("2/3", "vocabulary = 3 is too small")],
)
def test_a_student_that_cannot_be_is_refused_before_anything_is_trained(
    student: str, message: str, make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"frontier.students, {student}: .*{message}"):
        frontier(make_recipe(frontier={"students": ["1", student]}), tmp_path / "run", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "run" / "teacher").exists()


def test_too_few_validation_texts_are_refused_before_anything_is_trained(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"12 validation texts cannot tell which student to ship.*--data\.validation"):
        frontier(make_recipe(), tmp_path / "run", cache_dir=tmp_path / "cache", to_choose=True)
    assert not (tmp_path / "run" / "teacher").exists()


def test_a_student_that_cannot_be_overwrites_nothing(finished_copy: Any, make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe(seed=3, frontier={"students": ["9"]})
    with pytest.raises(ModelError):
        frontier(recipe, finished_copy.out, cache_dir=finished_copy.cache, overwrite=True)
    assert (finished_copy.out / "metrics.json").is_file()


def test_students_that_nobody_asked_for_are_left_out_where_they_cannot_be(
    make_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "default_students", lambda _: ["9", "static/1000", "linear"])
    stages = module.prepare(
        Request(make_recipe()), RunDirectory(tmp_path / "run"), Settings(cache_dir=tmp_path / "cache")
    )
    assert list(module._variants(stages.recipe, stages.run, stages.materials, stages.settings.cache)) == [
        "static/1000",
        "linear",
    ]


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("flags", "status"),
    [
        pytest.param(["--at-least", "0"], 0, marks=pytest.mark.acceptance),
        (["--at-least", "1"], GateRefused.exit_status),
    ],
)
def test_the_command_names_the_one_to_ship(
    flags: list[str],
    status: int,
    speeds: None,
    make_recipe: Callable[..., Recipe],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Labels by chance: no student gets all of them right.
    rows = [f"{word} film,{label}" for word in ("good", "bad", "fine") for label in ("negative", "positive")] * 4
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "validation.csv").write_text("\n".join(["text,label", *rows * 3]))
    sources = {name: str(tmp_path / f"{name}.csv") for name in ("test", "validation")}
    recipe = make_recipe(data=sources, frontier={"students": ["1", "linear"]})
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    where = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"), "--device", "cpu", "--json"]
    assert cli.main(["frontier", str(tmp_path / "recipe.toml"), *where, *flags]) == status
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert set(found["models"]) >= {"teacher:teacher", "student:1", "student:linear", "control:linear"}
    if status:
        assert [found[name] for name in ("ship", "ship_validation_accuracy", "ship_accuracy")] == [None] * 3
        assert "No student reaches an accuracy of 1 on the validation texts." in output.err
    else:
        assert found["ship"] == str(tmp_path / "run" / "students" / "linear")
        point = found["models"]["student:linear"]
        assert found["ship_validation_accuracy"] == point["validation_accuracy"]
        assert found["ship_accuracy"] == point["accuracy"]
        assert f"ship: linear (chosen by validation accuracy {point['validation_accuracy']:.4f}; test " in output.err
    assert "documents / s" in output.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--at-least", "90"], "expected a share from 0 to 1, got '90'"),
        (["--at-most-ms", "0"], "expected a number above 0, got '0'"),
        (["--at-most-ms", "soon"], "expected a number, got 'soon'"),
        (["--frontier.students", "3,3"], "frontier.students: expected different ones of LAYERS"),
        (["--frontier.students", "tree"], "frontier.students: expected different ones of LAYERS"),
    ],
)
def test_bad_flags(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["frontier", "quickstart", *flags]) == 2
    assert message in capsys.readouterr().err
