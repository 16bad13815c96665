"""A finished run whose linear model was written by an earlier version: what still works, and what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import understudy
from understudy.errors import ModelError
from understudy.run.pipeline import distill
from understudy.storage.files import folder_digest


@pytest.fixture
def earlier(finished_copy: Any, no_clock: None) -> Any:
    """The run, with a linear control of format 2."""
    folder: Path = finished_copy.out / "controls" / "linear"
    settings = json.loads((folder / "linear.json").read_text())
    (folder / "linear.json").write_text(json.dumps({**settings, "format": 2}))
    manifest = json.loads((finished_copy.out / "manifest.json").read_text())
    manifest["stages"]["linear"]["details"]["digest"] = folder_digest(folder)
    (finished_copy.out / "manifest.json").write_text(json.dumps(manifest))
    return finished_copy


def test_the_run_stays_and_its_report_and_student_are_there(earlier: Any, trained: list[str]) -> None:
    before = (earlier.out / "metrics.json").read_bytes()
    distill(earlier.recipe, earlier.out, device="cpu", cache_dir=earlier.cache)
    understudy.report(earlier.out)
    assert understudy.evaluate(earlier.out, earlier.recipe.data.test).texts == 60
    assert trained == [] and (earlier.out / "metrics.json").read_bytes() == before


def test_what_needs_the_model_says_what_to_do_and_that_helps(earlier: Any, trained: list[str]) -> None:
    other = earlier.recipe.model_copy(
        update={"evaluation": earlier.recipe.evaluation.model_copy(update={"resamples": 100})}
    )
    with pytest.raises(ModelError, match=r"format 2: expected format .* Delete the folder and run") as caught:
        distill(other, earlier.out, device="cpu", cache_dir=earlier.cache)
    assert str(earlier.out / "controls" / "linear") in str(caught.value)
    shutil.rmtree(earlier.out / "controls" / "linear")
    distill(other, earlier.out, device="cpu", cache_dir=earlier.cache)
    assert trained == [] and (earlier.out / "metrics.json").is_file()
