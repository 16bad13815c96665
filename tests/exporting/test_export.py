"""Exporting: what is written, where, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import understudy
from understudy.cli.main import main
from understudy.errors import DataError, ModelError, UserError
from understudy.exporting import export as module
from understudy.exporting.export import Export, export
from understudy.exporting.limits import Limits
from understudy.inference.exported import ExportManifest
from understudy.inference.opening import open_classifier
from understudy.storage.files import folder_digest

TEXTS = ["good film", "bad", "the story is dull and the film was awful", "", "never seen words", "very great " * 40]

Made = Callable[..., Export]


@pytest.mark.parametrize("format", ["openvino", pytest.param("onnx", marks=pytest.mark.acceptance)])
def test_fp32_predicts_what_pytorch_predicts(format: str, exported: Made, finished: Any) -> None:
    wanted = open_classifier(finished.out, device="cpu").predict_proba(TEXTS)
    found = understudy.load(exported("fp32", format).folder).predict_proba(TEXTS)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("format", ["openvino", pytest.param("onnx", marks=pytest.mark.acceptance)])
def test_int8_is_smaller_and_close_to_the_model(format: str, exported: Made, finished: Any) -> None:
    whole, small = exported("fp32", format), exported("int8", format)
    weights = {"openvino": "openvino_model.bin", "onnx": "model.onnx"}[format]
    saved = (whole.folder / weights).stat().st_size - (small.folder / weights).stat().st_size
    assert saved > {"openvino": 0.6, "onnx": 0.4}[format] * whole.manifest.parameters * 4  # bytes in fp32
    wanted = open_classifier(finished.out, device="cpu").predict_proba(TEXTS)
    found = open_classifier(small.folder).predict_proba(TEXTS)
    assert 0 < np.abs(found - wanted).max() < 0.35


def test_int8_predictions_do_not_depend_on_the_batch(exported: Made) -> None:
    classifier = open_classifier(exported("int8").folder, precision="fp32")
    together = classifier.predict_proba(TEXTS * 6)
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(together[: len(TEXTS)], alone, atol=1e-5)


def test_the_manifest_says_what_the_export_is(exported: Made, finished: Any) -> None:
    found = exported("int8")
    manifest = ExportManifest.read(found.folder)
    assert manifest == found.manifest
    assert (manifest.classes, manifest.max_length, manifest.pad_id) == (["negative", "positive"], 16, 0)
    assert manifest.source == {
        "model": str(finished.out / "student"),
        "digest": folder_digest(finished.out / "student"),
    }
    assert manifest.quantisation is not None and manifest.quantisation["texts"] == 108
    assert manifest.gate is not None and manifest.gate["texts"] == manifest.gate["judged"] == 12
    assert manifest.gate["searched"] == 0
    assert set(manifest.versions) >= {"understudy", "transformers", "torch", "openvino", "nncf"}
    assert exported("fp32").manifest.quantisation is None


def test_quantisation_and_comparison_never_see_the_test_texts(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.exporting.texts import ExportTexts
    from understudy.storage.layout import RunDirectory

    texts = ExportTexts.of_run(RunDirectory(finished.out), ["negative", "positive"])
    rows = (Path(finished.recipe.data.train)).read_text().splitlines()[1:]
    trained_on = {row.rpartition(",")[0] for row in rows}
    assert set(texts.quantisation.texts) | set(texts.validation.texts) <= trained_on
    assert not set(texts.quantisation.texts) & set(texts.validation.texts)


@pytest.mark.acceptance
def test_the_teacher_of_a_run_is_exported_next_to_the_student(finished_copy: Any) -> None:
    found = export(finished_copy.out / "teacher")
    assert found.folder == finished_copy.out / "export" / "teacher-fp32"
    assert found.comparison is not None and found.comparison.flips == 0


@pytest.mark.parametrize(
    "model, precision, format, name",
    [
        ("", "int8", "openvino", "int8"),
        ("student", "fp32", "openvino", "fp32"),
        ("", "fp32", "onnx", "onnx-fp32"),
        ("students/3", "int8", "onnx", "students-3-onnx-int8"),
    ],
)
def test_the_default_place_is_in_the_run(model: str, precision: Any, format: Any, name: str, finished: Any) -> None:
    folder, run = module._located(finished.out / model, "student")
    assert run is not None and run.root == finished.out
    assert module._target(folder, run, precision, format, None) == finished.out / "export" / name


@pytest.mark.usefixtures("converted")
def test_a_classifier_can_be_given_for_its_folder(finished: Any, tmp_path: Path) -> None:
    found = export(open_classifier(finished.out, device="cpu"), out=tmp_path / "out")
    assert found.manifest.source["model"] == str(finished.out / "student")


@pytest.mark.usefixtures("converted")
def test_an_export_replaces_an_export_and_nothing_else(finished: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = export(finished.out, out=out)
    assert export(finished.out, out=out).manifest.files == first.manifest.files
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="exists, and is not an export or holds other files"):
        export(finished.out, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").is_file()


@pytest.mark.acceptance
@pytest.mark.usefixtures("converted")
def test_a_folder_outside_of_a_run_needs_a_place_and_for_int8_texts(
    finished: Any, tmp_path: Path, anything_goes: Limits
) -> None:
    shutil.copytree(finished.out / "student", tmp_path / "student")
    with pytest.raises(UserError, match="is not part of a run, so the export has no default folder"):
        export(tmp_path / "student")
    assert export(tmp_path / "student", out=tmp_path / "fp32").comparison is None
    with pytest.raises(DataError, match=r"no quantisation texts\. Name a source: --data"):
        export(tmp_path / "student", "int8", out=tmp_path / "int8")
    source = finished.recipe.data.train
    found = export(tmp_path / "student", "int8", out=tmp_path / "int8", data=source, limits=anything_goes)
    assert found.manifest.quantisation is not None and found.comparison is not None
    assert (found.manifest.quantisation["source"], found.manifest.quantisation["texts"]) == (source, 40)
    assert found.comparison.texts == 80


def test_models_that_run_without_pytorch_are_not_exported(finished: Any, exported: Made, tmp_path: Path) -> None:
    for model, reason in (
        (finished.out / "controls" / "linear", "is a linear model and needs no export"),
        (exported("fp32").folder, "is not a PyTorch model"),
    ):
        with pytest.raises(ModelError, match=reason):
            export(model, out=tmp_path / "out")


@pytest.mark.acceptance
def test_a_static_student_can_be_exported(make_model: Callable[..., Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from understudy.models.students import static_student

    folder = make_model("encoder")
    static_student(folder, ["a", "b"], seed=0).save_pretrained(tmp_path / "static")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "static")
    found = export(tmp_path / "static", out=tmp_path / "out")
    wanted = open_classifier(tmp_path / "static", device="cpu").predict_proba(TEXTS)
    np.testing.assert_allclose(open_classifier(found.folder).predict_proba(TEXTS), wanted, atol=1e-5)


@pytest.mark.usefixtures("converted")
def test_changed_texts_are_refused(finished_copy: Any, tmp_path: Path) -> None:
    recipe = finished_copy.out / "recipe.toml"
    changed = tmp_path / "train.csv"
    changed.write_text(Path(finished_copy.recipe.data.train).read_text() + "a new row,positive\n")
    recipe.write_text(recipe.read_text().replace(finished_copy.recipe.data.train, str(changed)))
    with pytest.raises(DataError, match=r"have changed since the run.*--data"):
        export(finished_copy.out, out=tmp_path / "out")


@pytest.mark.usefixtures("converted")
def test_a_folder_with_other_files_is_not_replaced(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export(finished.out, out=tmp_path / "out").folder
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="or holds other files"):
        export(finished.out, out=out)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert export(finished.out, out=".").folder == tmp_path / "empty"


def test_exports_of_a_replaced_student_are_removed(finished_copy: Any, exported: Made, no_clock: None) -> None:
    run = finished_copy.out
    shutil.copytree(exported("fp32").folder, run / "export" / "fp32")
    understudy.distill(finished_copy.recipe, run, device="cpu", cache_dir=finished_copy.cache)
    assert (run / "export" / "fp32").is_dir()  # nothing was trained again
    student = finished_copy.recipe.student.model_copy(update={"seed": 5})
    other = finished_copy.recipe.model_copy(update={"student": student})
    understudy.distill(other, run, device="cpu", cache_dir=finished_copy.cache)
    assert not (run / "export" / "fp32").exists()


@pytest.mark.acceptance
def test_exporting_reports_to_nobody(
    finished: Any, tmp_path: Path, anything_goes: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = pytest.importorskip("openvino_telemetry.main")
    monkeypatch.delenv("CI", raising=False)
    sent: list[Any] = []
    monkeypatch.setattr("openvino_telemetry.utils.sender.TelemetrySender.send", lambda *sending: sent.append(sending))
    monkeypatch.setattr(telemetry.Telemetry, "_SingletonMetaClass__single_instance", None)
    export(finished.out, "int8", out=tmp_path / "out", limits=anything_goes)
    assert sent == []


# The command


@pytest.mark.usefixtures("converted")
def test_export_on_the_command_line(finished: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(finished.out), "--out", str(tmp_path / "out"), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["export"] == str(tmp_path / "out")
    assert json.loads(out)["gate"]["flips"] == 0
    assert "label flips" in err and "documents / s" in err


def test_the_texts_may_be_in_memory() -> None:
    from understudy.exporting.texts import ExportTexts

    frame = pd.DataFrame({"message": [f"text {row}" for row in range(9)], "team": ["a", "b", "a"] * 3})
    texts = ExportTexts.of_source(frame, "message", "team", ["a", "b"], "model")
    assert (len(texts.quantisation), len(texts.validation)) == (3, 6)
    assert texts.record()["source"] == "pandas DataFrame in memory"
    with pytest.raises(DataError, match=r"has no column 'text'.*Choose the columns with text= and label="):
        ExportTexts.of_source(frame, "text", "team", ["a", "b"], "model")
