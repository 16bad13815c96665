"""Keys: what decides a result, and with what it is computed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.inference import store
from understudy.recipe.recipe import Recipe
from understudy.run import keys
from understudy.run.finished import Finished, differences
from understudy.run.keys import Key
from understudy.run.pipeline import distill
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest

MakeRecipe = Callable[..., Recipe]


def test_the_cache_asks_for_all_and_a_run_for_what_was_asked() -> None:
    one, other = Key("a", {"versions": {"torch": "1"}}), Key("a", {"versions": {"torch": "2"}})
    assert one.asked == other.asked and one.entry != other.entry
    assert Key("b", one.made_with).entry != one.entry


def test_what_differs_is_said_in_words() -> None:
    before = {"dtype": "fp32", "versions": {"torch": "1", "numpy": "3"}, "threads": 2, "code": 1}
    now = {"dtype": "bf16", "versions": {"torch": "2", "numpy": "3"}, "threads": 2, "code": 1, "device": "cpu"}
    assert differences(before, now) == ["device None (now cpu)", "dtype fp32 (now bf16)", "torch 1 (now 2)"]
    assert differences(now, now) == []


@pytest.fixture
def other_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if PyTorch had been upgraded."""
    found = keys.versions
    for module in (keys, store):
        monkeypatch.setattr(
            module, "versions", lambda names: found(names) | ({"torch": "9.9"} if "torch" in names else {})
        )


def test_a_finished_run_stays_with_other_versions_and_says_so(
    finished_copy: Any, no_clock: None, trained: list[str], other_versions: None, caplog: pytest.LogCaptureFixture
) -> None:
    before = (finished_copy.out / "metrics.json").read_bytes()
    with caplog.at_level(logging.INFO):
        distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert trained == [] and (finished_copy.out / "metrics.json").read_bytes() == before
    for stage in ("teacher", "student", "no_distillation", "evaluation"):
        assert f"{stage}: already finished, and kept; it was made with torch " in caplog.text
    assert "(now 9.9)" in caplog.text and "linear: already finished\n" in caplog.text


def test_another_run_directory_does_not_take_the_teacher_of_other_versions(
    finished_copy: Any, tmp_path: Path, no_clock: None, trained: list[str], other_versions: None
) -> None:
    distill(finished_copy.recipe, tmp_path / "second", device="cpu", cache_dir=finished_copy.cache)
    assert trained == ["teacher", "student", "no_distillation"]


def test_other_threads_are_said_and_nothing_more(
    finished_copy: Any, no_clock: None, trained: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = finished_copy.out / "manifest.json"
    content = json.loads(path.read_text())
    for stage in content["stages"].values():
        stage["machine"]["threads"] = 77
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.INFO):
        distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert trained == [] and "teacher: already finished, and kept; it was made with threads 77 (now " in caplog.text


def test_a_changed_precision_trains_the_student_again(
    finished_copy: Any, no_clock: None, trained: list[str], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(distillation={"precision": "bf16"})
    distill(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert trained == ["student", "no_distillation"]


@pytest.mark.parametrize(("dropout", "other"), [(None, True), (0.1, True), (0.0, False)])
def test_the_attention_kernel_counts_where_it_draws_masks(
    dropout: float | None, other: bool, make_recipe: MakeRecipe, finished: Any
) -> None:
    def made(attention: str) -> Key:
        options = make_recipe(distillation={"attention_dropout": dropout, "attention": attention}).distillation
        asked = str(keys._asked_options(options, set()))
        return Key(asked, keys._training(options, finished.out / "teacher", keys.Hardware("cpu", 1)))

    assert (made("eager") != made("sdpa")) is other


def test_our_own_code_counts(monkeypatch: pytest.MonkeyPatch, make_recipe: MakeRecipe, finished: Any) -> None:
    options, hardware = make_recipe().distillation, keys.Hardware("cpu", 1)
    before = keys._training(options, finished.out / "teacher", hardware)
    monkeypatch.setitem(keys.CODE, "training", keys.CODE["training"] + 1)
    assert keys._training(options, finished.out / "teacher", hardware) != before


def test_the_manifest_says_with_what_every_stage_was_made(finished: Any) -> None:
    manifest = Manifest(RunDirectory(finished.out).manifest)
    for stage in ("teacher", "student", "no_distillation", "soft_labels", "evaluation"):
        assert manifest.details(stage)["made_with"]["versions"]["torch"]
    assert manifest.details("soft_labels")["engine"] == "pytorch"
    assert manifest.details("linear")["made_with"]["versions"]["scikit-learn"]
    assert Finished(RunDirectory(finished.out), manifest).manifest.threads("teacher")
