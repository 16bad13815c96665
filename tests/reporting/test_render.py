"""Reports of real, tiny runs: written by the run, written again, and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.cli.main import main
from understudy.errors import RunDirectoryError
from understudy.evaluation.metrics import quality
from understudy.recipe.evidence import ReportOptions
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import compare, report
from understudy.run.pipeline import Run, distill
from understudy.storage.manifest import Manifest


@pytest.fixture
def run(finished: Any, tmp_path: Path) -> Path:
    shutil.copytree(finished.out, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_writes_its_report(finished: Any) -> None:
    page = Run(finished.out).page
    assert page == finished.out / "report" / "report.html"
    assert "</html>" in page.read_text(encoding="utf-8")
    assert (finished.out / "report" / "dashboard.svg").read_text(encoding="utf-8").count("<svg") == 1


def test_evidence_is_what_the_run_measured(finished: Any) -> None:
    found = Evidence.read(finished.out)
    assert found.texts is not None and len(found.texts) == len(found.labels) == 60
    for model, expected in (("teacher", found.metrics.teacher), ("linear", found.metrics.controls.linear)):
        assert expected is not None
        again = quality(found.probabilities[model], found.labels)
        assert (again.accuracy, again.f1) == (expected.accuracy, expected.f1)
        assert again.ece == pytest.approx(expected.ece)
    assert np.allclose(found.probabilities["student"].sum(axis=1), 1, atol=1e-5)


def test_a_report_is_the_same_when_it_is_written_again(run: Path) -> None:
    files = [run / "report" / name for name in ("report.html", "dashboard.png", "dashboard.svg")]
    before = [path.read_bytes() for path in files]
    shutil.rmtree(run / "report")
    assert report(run) == files[0]
    assert [path.read_bytes() for path in files] == before


def test_a_finished_run_only_writes_a_report_that_is_gone(finished_copy: Any, trained: list[str]) -> None:
    page = finished_copy.out / "report" / "report.html"
    before = page.read_bytes()
    page.unlink()
    distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert page.read_bytes() == before and trained == []


@pytest.mark.usefixtures("no_charts")
def test_what_was_rendered_by_hand_is_no_reason_to_do_anything_again(finished_copy: Any, trained: list[str]) -> None:
    report(finished_copy.out)
    before = {path: path.stat().st_mtime_ns for path in finished_copy.out.rglob("*") if path.is_file()}
    distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    after = {path: path.stat().st_mtime_ns for path in finished_copy.out.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"manifest.json", "recipe.toml"} and trained == []


@pytest.mark.usefixtures("no_charts")
def test_a_run_from_before_there_were_reports_gets_one_and_keeps_its_figures(
    finished_copy: Any, trained: list[str]
) -> None:
    manifest = json.loads((finished_copy.out / "manifest.json").read_text())
    del manifest["stages"]["report"]
    manifest["stages"]["evaluation"]["details"]["files"]["dashboard.png"] = "another picture's"
    for stage in manifest["stages"].values():
        stage["machine"] = {"processor": "another machine's"}
    (finished_copy.out / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(finished_copy.out / "report")
    before = (finished_copy.out / "metrics.json").stat().st_mtime_ns
    distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert (finished_copy.out / "metrics.json").stat().st_mtime_ns == before and trained == []
    assert "another machine&#39;s" in (finished_copy.out / "report" / "report.html").read_text()


@pytest.mark.acceptance
@pytest.mark.usefixtures("no_charts")
def test_texts_left_out_by_the_recipe_stay_out_after_a_report_with_them(finished_copy: Any) -> None:
    found = Evidence.read(finished_copy.out)
    assert found.texts is not None
    private = finished_copy.recipe.model_copy(update={"report": ReportOptions(texts=False)})
    page = finished_copy.out / "report" / "report.html"
    for _ in range(2):
        distill(private, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
        assert not [text for text in found.texts if text in page.read_text(encoding="utf-8")]
        report(finished_copy.out, texts=True)
        assert [text for text in found.texts if text in page.read_text(encoding="utf-8")]


@pytest.mark.acceptance
def test_private_texts_are_nowhere_in_a_run_that_leaves_them_out(make_recipe: Any, tmp_path: Path) -> None:
    recipe = make_recipe(report={"texts": False}, evaluation={"controls": []})
    train, test = Path(recipe.data.train), tmp_path / "test.csv"
    secret = train.read_text().splitlines()[1].rpartition(",")[0].strip('"')
    test.write_text(
        Path(recipe.data.test).read_text() + train.read_text().splitlines()[1] + "\n"
    )  # a leak, which is found
    leaky = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": str(test)})})
    distill(leaky, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    audit = json.loads((tmp_path / "run" / "manifest.json").read_text())["audit"]
    assert any(finding["rows"] for finding in audit)
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.suffix in {".json", ".html", ".md", ".toml", ".svg"}:
            assert secret not in path.read_text(encoding="utf-8"), path


@pytest.mark.usefixtures("no_charts")
def test_texts_can_be_left_out_for_good(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Evidence.read(run)
    assert found.texts is not None
    shown = [text for text in found.texts if text in (run / "report" / "report.html").read_text(encoding="utf-8")]
    assert shown
    manifest = Manifest(run / "manifest.json")
    row = {"split": "test", "row": 3, "text": found.texts[0][:80]}
    manifest.content["audit"] = [{"code": "leakage", "level": "warning", "message": "m", "count": 1, "rows": [row]}]
    manifest.save()
    assert main(["report", str(run), "--report.texts", "false", "--json"]) == 0
    assert Manifest(run / "manifest.json").content["audit"][0]["rows"] == [{"split": "test", "row": 3}]
    page = Path(json.loads(capsys.readouterr().out)["report"])
    assert not [text for text in found.texts if text in page.read_text(encoding="utf-8")]
    assert Recipe.load(run / "recipe.toml").report.texts is False
    report(run)
    assert not [text for text in found.texts if text in page.read_text(encoding="utf-8")]


@pytest.mark.usefixtures("no_charts")
def test_test_texts_that_have_gone_are_no_obstacle(run: Path, finished: Any) -> None:
    recipe = Recipe.load(run / "recipe.toml")
    moved = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": str(run / "gone.csv")})})
    (run / "recipe.toml").write_text(moved.to_toml(), encoding="utf-8")
    assert "no longer contains them" in report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["metrics.json", "predictions.parquet", "manifest.json"])
def test_an_unfinished_run_is_refused(run: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / missing).unlink()
    with pytest.raises(RunDirectoryError):
        report(run)
    assert main(["report", str(run)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_runs_are_compared(run: Path, finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", str(finished.out), str(run), "--out", str(page), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [each["run"] for each in output["runs"]] == [str(finished.out), str(run)]
    assert output["runs"][0]["against_the_first"] is None
    against = output["runs"][1]["against_the_first"]
    assert (against["accuracy"], against["p_value"]) == (0.0, 1.0)
    assert against["ci95"][0] < 0 < against["ci95"][1] == -against["ci95"][0]
    assert "Comparison of 2 runs" in page.read_text(encoding="utf-8")
    assert compare([run, finished.out], page).runs[0].folder == run


def test_one_run_is_not_compared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run)]) == 2
    assert "at least two" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["folder", "recipe.toml", "recipe.toml/page.html"])
def test_a_page_takes_nobodys_place(run: Path, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "folder").mkdir()
    before = (run / "recipe.toml").read_text()
    assert main(["compare", str(run), str(run), "--out", str(run / out)]) == 2
    assert "--out" in capsys.readouterr().err
    assert (run / "recipe.toml").read_text() == before


def test_relative_sources_start_where_the_run_did(
    run: Path, finished: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Recipe.load(run / "recipe.toml")
    test = Path(recipe.data.test)
    relative = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": test.name})})
    (run / "recipe.toml").write_text(relative.to_toml(), encoding="utf-8")
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "folder": str(test.parent)}))
    monkeypatch.chdir(run)
    assert Evidence.read(run).texts is not None
    (run / "manifest.json").write_text(json.dumps({**manifest, "folder": str(run)}))
    assert Evidence.read(run).texts is None
    assert "without them" in caplog.text


def test_a_frontier_of_another_shape_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "frontier.json").write_text(json.dumps({"schema_version": 1, "models": {"a": {"name": "a"}}, "texts": 3}))
    assert main(["report", str(run)]) == 2
    assert "frontier.json" in capsys.readouterr().err
