"""A whole run: which files it leaves, and whether their figures are what the predictions say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from understudy.cli import main as cli
from understudy.recipe.recipe import Recipe
from understudy.run.pipeline import Run, distill

FILES = {"recipe.toml", "manifest.json", "metrics.json", "predictions.parquet"}
MODELS = ["teacher", "student", "no_distillation", "linear", "frozen"]


@pytest.fixture(scope="module")
def predictions(finished: Any) -> pd.DataFrame:
    return pd.read_parquet(finished.out / "predictions.parquet")


@pytest.fixture(scope="module")
def metrics(finished: Any) -> dict[str, Any]:
    return json.loads((finished.out / "metrics.json").read_text())


def right(predictions: pd.DataFrame, model: str) -> np.ndarray:
    return (predictions[f"{model}_label"] == predictions["label"]).to_numpy()


def f1(predictions: pd.DataFrame, model: str) -> float:
    claimed, true = predictions[f"{model}_label"] == "positive", predictions["label"] == "positive"
    return 2 * (claimed & true).sum() / (claimed.sum() + true.sum())


# What is written


def test_a_run_leaves_the_files_of_the_contract(finished: Any) -> None:
    names = {path.name for path in finished.out.iterdir()}
    assert names == FILES | {"teacher", "student", "controls", "report"}
    assert {path.name for path in (finished.out / "report").iterdir()} == {
        "dashboard.png",
        "dashboard.svg",
        "report.html",
    }
    assert (finished.out / "report" / "dashboard.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (finished.out / "controls").iterdir()} == {"no_distillation", "linear", "frozen"}


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_models_are_hugging_face_folders(finished: Any, model: str) -> None:
    names = {path.name for path in (finished.out / model).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    tokenizer = json.loads((finished.out / model / "tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == 16


def test_the_student_has_some_of_the_teachers_layers(finished: Any) -> None:
    layers = {
        model: json.loads((finished.out / model / "config.json").read_text())["num_hidden_layers"]
        for model in ("teacher", "student")
    }
    assert layers == {"teacher": 4, "student": 2}


def test_the_recipe_can_be_loaded_again(finished: Any) -> None:
    assert Recipe.load(finished.out / "recipe.toml") == finished.recipe


def test_the_manifest_says_what_was_done_and_with_what(finished: Any) -> None:
    manifest = json.loads((finished.out / "manifest.json").read_text())
    controls = ["no_distillation", "linear", "frozen"]
    stages = ["data", "teacher", "soft_labels", "student", *controls, "evaluation", "report"]
    assert list(manifest["stages"]) == stages
    assert all(stage["fingerprint"] for stage in manifest["stages"].values())
    assert manifest["stages"]["data"]["details"] == {"texts": {"train": 108, "validation": 12, "test": 60}}
    assert {"python", "torch", "transformers", "numpy"} <= manifest["versions"].keys()
    assert manifest["classes"] == ["negative", "positive"]
    assert "tiny_test" in {finding["code"] for finding in manifest["audit"]}
    assert manifest["models"]["teacher"]["name"] == finished.recipe.teacher.model
    assert len(manifest["models"]["teacher"]["sha256"]) == 64
    assert manifest["models"]["student"] is None
    assert manifest["machine"]["device"] == "cpu"


def test_nothing_is_written_behind_the_manifest(finished: Any) -> None:
    last = max((path for path in finished.out.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    assert last.name == "manifest.json"


# Predictions


def test_predictions_have_a_column_for_every_answer(predictions: pd.DataFrame) -> None:
    expected = ["id", "label"]
    for model in MODELS:
        expected += [f"{model}_label", f"{model}_probability_negative", f"{model}_probability_positive"]
    assert list(predictions.columns) == expected
    assert len(predictions) == 60


@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_those_with_the_highest_probability(predictions: pd.DataFrame, model: str) -> None:
    probabilities = predictions[[f"{model}_probability_negative", f"{model}_probability_positive"]].to_numpy()
    assert np.allclose(probabilities.sum(axis=1), 1)
    names = np.array(["negative", "positive"])
    assert (names[probabilities.argmax(axis=1)] == predictions[f"{model}_label"]).all()
    assert predictions[f"{model}_label"].nunique() == 2


def test_predictions_hold_the_test_labels_in_order(predictions: pd.DataFrame, finished: Any) -> None:
    test = pd.read_csv(finished.recipe.data.test)
    assert (predictions["label"] == test["label"]).all()
    assert predictions["id"].is_unique


@pytest.mark.parametrize("model", ["teacher", "student"])
def test_saved_models_give_the_predictions(predictions: pd.DataFrame, finished: Any, model: str) -> None:
    texts = pd.read_csv(finished.recipe.data.test)["text"].tolist()
    classifier = getattr(Run(finished.out), model)
    expected = predictions[[f"{model}_probability_negative", f"{model}_probability_positive"]].to_numpy()
    assert np.allclose(classifier.predict_proba(texts), expected, atol=1e-6)
    assert classifier.predict(texts) == predictions[f"{model}_label"].tolist()


# Figures, recomputed from the predictions


def test_accuracy_and_f1(predictions: pd.DataFrame, metrics: dict[str, Any]) -> None:
    found = {**metrics, **metrics["controls"]}
    for model in MODELS:
        assert found[model]["accuracy"] == pytest.approx(right(predictions, model).mean())
        assert found[model]["f1"] == pytest.approx(f1(predictions, model))


def test_agreement_and_retention(predictions: pd.DataFrame, metrics: dict[str, Any]) -> None:
    same = predictions["teacher_label"] == predictions["student_label"]
    assert metrics["agreement"] == pytest.approx(same.mean())
    accuracy = right(predictions, "student").mean() / right(predictions, "teacher").mean()
    assert metrics["retention"]["accuracy"] == pytest.approx(accuracy)
    assert metrics["retention"]["f1"] == pytest.approx(f1(predictions, "student") / f1(predictions, "teacher"))
    low, high = metrics["retention"]["accuracy_ci95"]
    assert low <= accuracy <= high


def test_distillation_gain(predictions: pd.DataFrame, metrics: dict[str, Any]) -> None:
    student, control = right(predictions, "student"), right(predictions, "no_distillation")
    gain = metrics["distillation_gain"]
    assert gain["accuracy"] == pytest.approx(student.mean() - control.mean())
    better, worse = int((student & ~control).sum()), int((control & ~student).sum())
    assert better + worse > 0, "the fixture should make models that differ"
    assert gain["p_value"] == pytest.approx(binomtest(better, better + worse).pvalue)
    assert gain["ci95"][0] <= gain["accuracy"] <= gain["ci95"][1]


def test_sizes(metrics: dict[str, Any], finished: Any) -> None:
    from safetensors import safe_open

    for model in ("teacher", "student"):
        path = finished.out / model / "model.safetensors"
        with safe_open(path, "np") as file:
            assert metrics[model]["parameters"] == sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118
        assert metrics[model]["bytes"] == path.stat().st_size
    fraction = metrics["student"]["parameters"] / metrics["teacher"]["parameters"]
    assert metrics["parameter_fraction"] == pytest.approx(fraction)
    assert metrics["efficiency_ratio"] == pytest.approx(metrics["retention"]["accuracy"] / fraction)


def test_metrics_have_the_keys_of_the_contract(metrics: dict[str, Any]) -> None:
    assert metrics["schema_version"] == 1
    assert metrics["speed"]["max_length"] == 16
    assert set(metrics["seconds"]) == {"data", "teacher", "soft_labels", *MODELS[1:], "evaluation"}
    assert metrics["verdict"]["code"] in ("replace", "inconclusive", "keep_teacher")
    assert f"{metrics['retention']['accuracy']:.1%}" in metrics["verdict"]["text"]


# Reading a run


def test_a_run_is_opened_by_its_directory(finished: Any, metrics: dict[str, Any]) -> None:
    run = Run(str(finished.out))  # type: ignore[arg-type]
    assert run.metrics.student.accuracy == metrics["student"]["accuracy"]
    assert run.recipe == finished.recipe
    assert run.report == finished.out / "report"


def test_the_command_line_runs_a_recipe(
    make_recipe: Callable[..., Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str], no_clock: None
) -> None:
    recipe = tmp_path / "my.toml"
    recipe.write_text(make_recipe(evaluation={"controls": []}).to_toml())
    arguments = ["run", str(recipe), "--out", str(tmp_path / "out"), "--cache-dir", str(tmp_path / "cache"), "--json"]
    assert cli.main([*arguments, "--evaluation.texts", "true", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["run"] == str(tmp_path / "out")
    assert result["student"] == json.loads((tmp_path / "out" / "metrics.json").read_text())["student"]
    assert "tiny_test: test has 60 texts" in err
    assert "text" in pd.read_parquet(tmp_path / "out" / "predictions.parquet").columns


def test_warnings_of_the_audit_are_logged(
    make_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture, no_clock: None
) -> None:
    with caplog.at_level(logging.WARNING, "understudy"):
        distill(make_recipe(evaluation={"controls": []}), tmp_path / "run", cache_dir=tmp_path / "cache")
    assert [record.message for record in caplog.records if record.message.startswith("tiny_test: ")]
