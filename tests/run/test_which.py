"""Any model of a finished run, by name: opened, evaluated and exported, in Python and on the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from conftest import user_error, write_model
from understudy.cli.main import main
from understudy.errors import ModelError, UserError
from understudy.exporting.export import export
from understudy.exporting.limits import Limits
from understudy.inference.opening import open_classifier
from understudy.models.linear import LinearModel
from understudy.run.candidates import operations
from understudy.run.pipeline import distill
from understudy.storage.layout import RunDirectory
from understudy.storage.models import model_folder

TEXTS = ["good film", "bad story", "the film was not very good"]
FOLDERS = {"student": "student", "teacher": "teacher", "linear": "controls/linear"}


@pytest.fixture
def recommended(finished: Any) -> str:
    return str(json.loads((finished.out / "metrics.json").read_text())["recommendation"]["model"])


def bare_run(folder: Path, model: str | None = None, *models: str) -> RunDirectory:
    """A run directory with empty model folders, and a recommendation if one is named."""
    run = RunDirectory(folder)
    for each in models:
        (folder / each).mkdir(parents=True)
    run.manifest.write_text("{}")
    run.metrics.write_text(json.dumps({"recommendation": model and {"model": model}}))
    return run


@pytest.mark.parametrize("which", FOLDERS)
def test_every_model_opens_by_name(finished: Any, which: str) -> None:
    by_name = understudy.load(finished.out, which=which)
    by_folder = understudy.load(finished.out / FOLDERS[which])
    assert by_name.folder == finished.out / FOLDERS[which]
    assert np.array_equal(by_name.predict_proba(TEXTS), by_folder.predict_proba(TEXTS))


def test_the_default_is_the_student_and_best_is_the_recommendation(finished: Any, recommended: str) -> None:
    assert open_classifier(finished.out).folder == finished.out / "student"
    assert open_classifier(finished.out, which="best").folder == finished.out / FOLDERS[recommended]


def test_models_that_other_stages_make_open_too(tmp_path: Path) -> None:
    run = bare_run(tmp_path, "static", "student", "students/static", "controls/frozen")
    assert model_folder(run, "static") == model_folder(run, "best") == tmp_path / "students" / "static"
    assert model_folder(run, "frozen") == tmp_path / "controls" / "frozen"


def test_a_model_that_the_run_does_not_have_is_refused_and_the_others_are_named(finished: Any) -> None:
    with pytest.raises(ModelError) as caught:
        understudy.load(finished.out, which="static")
    assert str(caught.value) == (
        f"{finished.out} has no static. Choose a model that it has: student, teacher, linear, frozen."
    )


def test_an_unknown_name_is_refused(finished: Any) -> None:
    with pytest.raises(UserError, match=r"No model is called 'pupil'\. Choose one of student, teacher, linear, frozen"):
        understudy.load(finished.out, which="pupil")


def test_a_committee_and_given_scores_are_not_one_model(tmp_path: Path) -> None:
    run = bare_run(tmp_path, None, "student", "teacher")
    (run.teacher / "committee.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is a committee of several models.* Choose a model that it has: student\."):
        model_folder(run, "teacher")
    (run.teacher / "committee.json").rename(run.teacher / "scores.parquet")
    with pytest.raises(ModelError, match=r"is not a model, because only its scores were given\. Choose"):
        model_folder(run, "teacher")


@pytest.mark.parametrize(
    "content", [b"{}", b'{"recommendation": null}', b'{"recommendation": {"model": "../x"}}', b"["]
)
def test_a_run_without_a_recommendation_has_no_best_model(content: bytes, tmp_path: Path) -> None:
    run = bare_run(tmp_path, None, "student")
    run.metrics.write_bytes(content)
    with pytest.raises(
        ModelError, match=r"does not recommend a model\. Run it again with this version, or name a model"
    ):
        model_folder(run, "best")
    run.metrics.unlink()
    with pytest.raises(ModelError, match=r"is not finished\. Finish it first"):
        model_folder(run, "best")


def test_a_model_folder_has_no_other_models(finished: Any) -> None:
    for use in (understudy.load, export):
        with pytest.raises(UserError, match=r"is not a run directory, so it has no teacher model to choose"):
            use(finished.out / "student", which="teacher")


def test_predict_and_evaluate_take_it(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run, test = str(finished.out), finished.recipe.data.test
    assert main(["predict", run, "--which", "linear", "--json", *TEXTS]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] for line in lines] == understudy.load(run, which="linear").predict(TEXTS)
    assert main(["evaluate", run, "--which", "teacher", "--data", test, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    metrics = json.loads((finished.out / "metrics.json").read_text())
    assert found["model"] == str(finished.out / "teacher")
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert found[name] == pytest.approx(metrics["teacher"][name])
    assert [each["name"] for each in found["classes"]] == ["negative", "positive"]
    assert sum(each["support"] for each in found["classes"]) == 60
    assert set(found["classes"][0]) == {"name", "support", "precision", "recall", "recall_ci95", "f1"}
    error = user_error(capsys, "predict", run, "--which", "static", "a text")
    assert error.endswith("has no static. Choose a model that it has: student, teacher, linear, frozen.")


def test_evaluate_in_python_takes_it(finished: Any) -> None:
    found = understudy.evaluate(finished.out, finished.recipe.data.test, which="linear")
    assert found.model == str(finished.out / "controls" / "linear")
    with pytest.raises(TypeError, match="got an open classifier and which"):
        understudy.evaluate(understudy.load(finished.out), finished.recipe.data.test, which="linear")


def test_export_takes_it(finished_copy: Any) -> None:
    found = export(finished_copy.out, which="teacher", limits=Limits(1.0, 1.0, 1.0, 64))
    assert found.folder == finished_copy.out / "export" / "teacher-fp32"
    assert found.manifest.source["model"] == str(finished_copy.out / "teacher")
    with pytest.raises(ModelError, match=r"is a linear model and needs no export: it already runs without PyTorch"):
        export(finished_copy.out, which="linear")


# What the recommendation is made of


def test_a_run_ends_in_a_recommendation(finished: Any, recommended: str) -> None:
    metrics = json.loads((finished.out / "metrics.json").read_text())
    found = metrics["recommendation"]
    assert found["folder"] == FOLDERS[recommended]
    controls = {name: metrics["controls"][name] for name in ("linear", "frozen")}
    known = {"teacher": metrics["teacher"], "student": metrics["student"], **controls}
    assert found["accuracy"] == known[recommended]["accuracy"]
    assert list(found["compared"]) == ["teacher", "student", "linear", "frozen"]
    assert {name: each["parameters"] for name, each in found["compared"].items()} == {
        name: each["parameters"] for name, each in known.items()
    }
    costs = [found["compared"][name]["operations"] for name in ("teacher", "student", "linear")]
    assert costs == sorted(costs, reverse=True)
    assert "12 validation texts" in found["reason"]
    assert found["next_step"]


def test_a_control_that_learned_nothing_is_neither_compared_nor_recommended(finished_copy: Any, no_clock: None) -> None:
    path = finished_copy.out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stages"]["linear"]["details"]["choice"]["learned"] = False
    path.write_text(json.dumps(manifest))
    (finished_copy.out / "metrics.json").unlink()
    run = distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    metrics = json.loads((run.directory / "metrics.json").read_text())
    assert list(metrics["recommendation"]["compared"]) == ["teacher", "student", "frozen"]
    assert "The linear control has not learned the task" in metrics["verdict"]["text"]
    assert "the linear n-gram model" not in metrics["verdict"]["text"]


def test_a_committee_is_not_recommended(
    make_recipe: Callable[..., Any], tmp_path: Path, no_clock: None, finished: Any
) -> None:
    encoder = finished.recipe.teacher.model
    recipe = make_recipe(teacher={"model": [encoder, "linear"]}, evaluation={"controls": "linear"})
    run = distill(recipe, tmp_path / "run", device="cpu", cache_dir=finished.cache)
    found = run.metrics.recommendation
    assert found is not None and list(found.compared) == ["student", "linear"]
    assert "The teacher is not considered: it is a committee" in found.reason
    with pytest.raises(ModelError, match="is a committee of several models"):
        understudy.load(run, which="teacher")


def test_operations_of_an_encoder_are_those_of_its_matrix_products(tmp_path: Path) -> None:
    """Two layers of 16 numbers: four square matrices, two of 16 x 32, and attention; then pooler and head."""
    from understudy.data.tokens import tokenise
    from understudy.models.loading import load_tokenizer

    folder = write_model(tmp_path / "model", ["a", "b"], layers=2, hidden=16)
    texts = ["good film good film", "bad story bad story"]
    tokens = tokenise(texts, load_tokenizer(folder), 16)
    length = int(tokens.lengths[0])
    layer = 2 * length * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * length * length * 16
    embeddings = 3 * 16 * length  # words, positions, kinds
    assert operations(folder, tokens, texts) == 2 * layer + 2 * (16 * 16 + 16 * 2) + embeddings


def test_operations_of_a_linear_model_are_about_its_known_ngrams(finished: Any, tmp_path: Path) -> None:
    folder = finished.out / "controls" / "linear"
    tokens: Any = None
    assert operations(folder, tokens, ["жжж"]) == 0
    once, twice = (operations(folder, tokens, [text]) for text in ("good", "good good"))
    assert once == 2 * LinearModel.load(folder)._features(["good"]).nnz > 0 and twice >= once
    shutil.copytree(folder, tmp_path / "linear")
    assert operations(tmp_path / "linear", tokens, ["good"]) == once
