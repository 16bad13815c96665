"""A finished run whose linear model was written by an earlier version: what still works, and what is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

import understudy
from understudy.errors import ModelError
from understudy.models import linear
from understudy.run.pipeline import distill

WRITTEN = linear.FORMAT


@pytest.fixture
def earlier(finished_copy: Any, no_clock: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The run, as a version sees it whose linear models have the next format."""
    monkeypatch.setattr(linear, "FORMAT", WRITTEN + 1)
    return finished_copy


def test_the_run_stays_and_its_report_and_student_are_there(earlier: Any, trained: list[str]) -> None:
    before = (earlier.out / "metrics.json").read_bytes()
    distill(earlier.recipe, earlier.out, device="cpu", cache_dir=earlier.cache)
    understudy.report(earlier.out)
    assert understudy.evaluate(earlier.out, earlier.recipe.data.test).texts == 60
    assert trained == [] and (earlier.out / "metrics.json").read_bytes() == before


def test_what_needs_the_model_says_what_to_do_and_that_helps(
    earlier: Any, trained: list[str], make_recipe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, folder = make_recipe(evaluation={"resamples": 100}), earlier.out / "controls" / "linear"
    expected = rf"format {WRITTEN}: expected format {WRITTEN + 1}.* Delete the folder and run the same command again"
    with pytest.raises(ModelError, match=expected) as caught:
        distill(other, earlier.out, device="cpu", cache_dir=earlier.cache)
    assert str(folder) in str(caught.value)
    shutil.rmtree(folder)
    monkeypatch.setattr(linear, "FORMAT", WRITTEN)  # the format that this version can read again
    distill(other, earlier.out, device="cpu", cache_dir=earlier.cache)
    assert trained == [] and folder.is_dir() and (earlier.out / "metrics.json").is_file()
