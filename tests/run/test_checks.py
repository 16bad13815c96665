"""What is refused before a run begins, and that nothing is touched then."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.cli import main as cli
from understudy.data.audit import Audit
from understudy.errors import DataError, ModelError, RunDirectoryError, UserError
from understudy.recipe.recipe import Recipe
from understudy.run import checks as preparation
from understudy.run import inputs as materials
from understudy.run.keys import Key
from understudy.run.pipeline import distill, examine
from understudy.run.settings import Settings
from understudy.runtime.hardware import Hardware
from understudy.storage.layout import RunDirectory

pytestmark = pytest.mark.usefixtures("no_clock")

MakeRecipe = Callable[..., Recipe]


def contents(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def refused(recipe: Recipe, finished: Any, **options: Any) -> str:
    """The message of a refusal that leaves the run directory as it was."""
    before = contents(finished.out)
    with pytest.raises(RunDirectoryError) as error:
        distill(recipe, finished.out, device="cpu", cache_dir=finished.cache, **options)
    assert contents(finished.out) == before
    return str(error.value)


# Run directories


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data": {"max_length": 12}}, "data.max_length: 12 here, 16 there"),
        ({"data": {"validation": 0.2}}, "data.validation: 0.2 here, 0.1 there"),
        ({"teacher": {"epochs": 2}}, "teacher.epochs: 2 here, 1 there"),
        ({"seed": 3}, "seed: 3 here, 0 there"),
    ],
    ids=str,
)
def test_other_data_or_teacher_is_refused(
    finished: Any, make_recipe: MakeRecipe, changes: dict[str, Any], line: str
) -> None:
    message = refused(make_recipe(**changes), finished)
    assert line in message
    assert "run of 'tiny'" in message
    assert "--overwrite" in message


def test_every_option_that_is_refused_is_named(finished: Any, make_recipe: MakeRecipe) -> None:
    changes = {"data": {"max_length": 12}, "teacher": {"epochs": 2}, "distillation": {"epochs": 2}}
    message = refused(make_recipe(**changes), finished)
    assert "data.max_length" in message
    assert "teacher.epochs" in message
    assert "distillation.epochs" not in message


def test_other_texts_under_the_same_name_are_refused(
    finished: Any, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = materials.read_tables

    def edited(options: Any) -> Any:
        tables = read(options)
        tables["test"].texts[0] += " good"
        return tables

    monkeypatch.setattr(materials, "read_tables", edited)
    message = refused(finished.recipe, finished)
    assert "the texts or labels behind them changed" in message


def test_another_teacher_under_the_same_name_is_refused(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.run.members.teacher_key", lambda *_: Key("another"))
    assert "model, scores or data behind them changed" in refused(finished.recipe, finished)


def test_overwrite_replaces_a_run(finished_copy: Any, make_recipe: MakeRecipe) -> None:
    (finished_copy.out / "notes.txt").write_text("mine")
    recipe = make_recipe(data={"max_length": 12}, evaluation={"controls": []})
    run = distill(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache, overwrite=True)
    assert run.recipe == recipe
    assert run.metrics.speed.max_length == 16  # of the stand-in
    tokenizer = json.loads((finished_copy.out / "student" / "tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == 12
    assert not (finished_copy.out / "controls").exists()
    assert (finished_copy.out / "notes.txt").read_text() == "mine"


def test_overwrite_replaces_a_run_whose_manifest_is_damaged(finished_copy: Any, make_recipe: MakeRecipe) -> None:
    (finished_copy.out / "manifest.json").write_text("{")
    assert "manifest" in refused(finished_copy.recipe, finished_copy)
    recipe = make_recipe(evaluation={"controls": []})
    assert distill(recipe, finished_copy.out, cache_dir=finished_copy.cache, overwrite=True).metrics.student


def test_what_cannot_begin_overwrites_nothing(
    finished: Any, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(finished.out)
    monkeypatch.setattr(preparation.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"has 0\.0 GB left"):
        distill(make_recipe(seed=3), finished.out, device="cpu", cache_dir=finished.cache, overwrite=True)
    with pytest.raises(DataError, match="No data at"):
        distill(make_recipe(data={"test": "gone.csv"}), finished.out, cache_dir=finished.cache, overwrite=True)
    assert contents(finished.out) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_something_else_is_refused(finished: Any, tmp_path: Path, overwrite: bool) -> None:
    folder = SimpleNamespace(out=tmp_path / "thesis", cache=finished.cache)
    folder.out.mkdir()
    (folder.out / "chapter.txt").write_text("It was a dark night.")
    message = refused(finished.recipe, folder, overwrite=overwrite)
    assert "chapter.txt" in message
    assert "Give another folder" in message


@pytest.mark.parametrize("name", ["note.txt", "note.txt/run"])
def test_a_file_is_no_run_directory(finished: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"note\.txt is a file; expected a folder"):
        distill(finished.recipe, tmp_path / name, cache_dir=finished.cache)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_empty_folder_is_welcome(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    preparation.check_place(RunDirectory(tmp_path))
    assert preparation.check_recipe(RunDirectory(tmp_path), make_recipe(), overwrite=False) == []


# Data that cannot be trained on: one message, exit status 2, nothing left behind


GOOD = "good film,positive\nbad film,negative\n" * 20
BROKEN = {
    "one class": (b"text,label\n" + b"good film,positive\n" * 20, "one_class"),
    "no such column": (b"review,label\n" + GOOD.encode(), "has no column 'text'"),
    "missing labels": (b"text,label\n" + GOOD.encode() + b"fine film,\n", "missing_labels"),
    "empty": (b"", "is empty"),
    "header only": (b"text,label\n", "has no rows"),
    "latin-1": (b"text,label\n" + GOOD.encode() + "a café,positive\n".encode("latin-1"), "not UTF-8"),
}


@pytest.mark.parametrize(("content", "expected"), BROKEN.values(), ids=BROKEN)
def test_broken_training_data(
    content: bytes, expected: str, make_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.csv").write_bytes(content)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(make_recipe(data={"train": str(tmp_path / "broken.csv")}).to_toml())
    arguments = ["run", str(recipe), "--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("understudy: ") == 1
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_class_that_only_the_test_set_has(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\n" + GOOD + "a film,neutral\n")
    with pytest.raises(DataError, match=r"unseen_test_class.*'neutral'"):
        distill(make_recipe(data={"test": str(tmp_path / "test.csv")}), tmp_path / "run", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


# Models that cannot take part


def test_texts_longer_than_the_teacher_can_take(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_length = 65, but .*encoder reads at most 64 tokens"):
        distill(make_recipe(data={"max_length": 65}), tmp_path / "run", cache_dir=tmp_path / "cache")


def test_texts_longer_than_the_student_can_take(
    make_recipe: MakeRecipe, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    student = make_model("student")
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8}))
    with pytest.raises(UserError, match=r"max_length = 16, but .*student reads at most 8 tokens"):
        distill(make_recipe(student={"model": str(student)}), tmp_path / "run", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_more_layers_than_the_teacher_has(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"student\.layers = 5"):
        distill(make_recipe(student={"layers": 5}), tmp_path / "run", cache_dir=tmp_path / "cache")


def test_a_gpu_that_trainer_would_not_take(
    monkeypatch: pytest.MonkeyPatch, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    monkeypatch.setattr("understudy.run.settings.detect", lambda *_: Hardware("cuda:1", 2))
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=1"):
        distill(make_recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("section", ["teacher", "distillation"])
def test_attention_that_a_model_does_not_take(
    section: str, monkeypatch: pytest.MonkeyPatch, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    monkeypatch.setattr("understudy.run.checks.supports_per_text", lambda config: False)
    recipe = make_recipe(**{section: {"attention": "per_text"}})
    with pytest.raises(UserError, match="attention = per_text does not work with a model of this family"):
        distill(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("section", ["teacher", "distillation", "evaluation"])
def test_fp16_on_a_cpu(section: str, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fp16"):
        distill(make_recipe(**{section: {"precision": "fp16"}}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


# The data audit and what is ahead


def test_the_doctor_reports_errors_without_raising(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\n" + "good film,positive\n" * 20)
    found = examine(make_recipe(data={"train": str(tmp_path / "one.csv")}), tmp_path / "cache")
    assert "one_class" in {finding.code for finding in found.errors}


def test_the_doctor_says_how_much_is_cut(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    found = examine(make_recipe(data={"max_length": 8}), tmp_path / "cache")
    assert isinstance(found, Audit)
    cut = [finding.message for finding in found.notes if finding.code == "truncated_texts"]
    assert cut[0].startswith("train: 108 texts of 108 (100.0%) cut after 8 tokens")
    assert cut[1].startswith("test: 60 texts of 60")


def test_what_is_ahead_is_said(make_recipe: MakeRecipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = make_recipe()
    gathered = materials.gather(recipe, tmp_path / "cache")
    with caplog.at_level(logging.INFO, "understudy"):
        preparation.announce(recipe, gathered, RunDirectory(tmp_path / "run"), Settings("cpu", 1))
    assert "tiny: 108 train, 12 validation, 60 test texts, 2 classes; about " in caplog.text


def test_a_teacher_that_is_there_is_not_counted(finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    estimate = preparation.estimate

    def spy(works: Any, *rest: Any) -> Any:
        seen.append(works[0].trained)
        return estimate(works, *rest)

    monkeypatch.setattr(preparation, "estimate", spy)
    gathered = materials.gather(finished.recipe, finished.cache)
    for out, afresh in ((finished.out, False), (finished.out, True), (tmp_path / "new", False)):
        preparation.announce(finished.recipe, gathered, RunDirectory(out), Settings("cpu", 1, overwrite=afresh))
    assert seen[0] == 0
    assert seen[1] == seen[2] == gathered.encoder.tokens["train"].total


def test_repeats_are_counted(finished: Any, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    estimate = preparation.estimate

    def spy(works: Any, *rest: Any) -> Any:
        seen.append([work.trained for work in works])
        return estimate(works, *rest)

    monkeypatch.setattr(preparation, "estimate", spy)
    gathered = materials.gather(finished.recipe, finished.cache)
    for changes in ({"seeds": 3}, {"seeds": 2, "evaluation": {"controls": []}}):
        preparation.announce(make_recipe(**changes), gathered, RunDirectory(finished.out), Settings("cpu", 1))
    tokens = gathered.student_tokens["train"].total
    assert seen == [[0, *[tokens] * 6], [0, *[tokens] * 2]]
