"""Reports of real, tiny runs: written by the run, written again, and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.cli import main
from understudy.errors import RunDirectoryError
from understudy.evaluation.metrics import quality
from understudy.pipeline import Run, distill
from understudy.recipe import Recipe
from understudy.report.evidence import Evidence
from understudy.reporting import compare, report


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


def test_texts_can_be_left_out_for_good(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Evidence.read(run)
    assert found.texts is not None
    shown = [text for text in found.texts if text in (run / "report" / "report.html").read_text(encoding="utf-8")]
    assert shown
    assert main(["report", str(run), "--report.texts", "false", "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["report"])
    assert not [text for text in found.texts if text in page.read_text(encoding="utf-8")]
    assert Recipe.load(run / "recipe.toml").report.texts is False
    report(run)
    assert not [text for text in found.texts if text in page.read_text(encoding="utf-8")]


def test_test_texts_that_have_gone_are_no_obstacle(run: Path, finished: Any) -> None:
    recipe = Recipe.load(run / "recipe.toml")
    moved = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": str(run / "gone.csv")})})
    (run / "recipe.toml").write_text(moved.to_toml(), encoding="utf-8")
    assert "no longer holds them" in report(run).read_text(encoding="utf-8")


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
    assert output["runs"][1]["against_the_first"] == {"accuracy": 0.0, "ci95": [0.0, 0.0], "p_value": 1.0}
    assert "2 runs beside each other" in page.read_text(encoding="utf-8")
    assert compare([run, finished.out], page).runs[0].folder == run


def test_one_run_is_not_compared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run)]) == 2
    assert "at least two" in capsys.readouterr().err
