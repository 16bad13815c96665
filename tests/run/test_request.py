"""What the public functions may be given: recipes, data files, and data in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import understudy
from understudy.errors import DataError, RecipeError, RunDirectoryError, UserError
from understudy.recipe.arguments import as_arguments
from understudy.recipe.recipe import Recipe
from understudy.run.checks import check_place, remove_run
from understudy.run.pipeline import distill, examine
from understudy.run.request import Arguments, asked, settings_of
from understudy.run.settings import Settings, SettingsArguments
from understudy.storage.layout import RunDirectory

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def frames(make_recipe: MakeRecipe) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test data with columns of other names."""
    data = make_recipe().data
    train, test = (
        pd.read_csv(path).rename(columns={"text": "message", "label": "team"}) for path in (data.train, data.test)
    )
    return train, test


# What is asked for


def test_a_recipe_is_left_as_it_is(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    assert asked(recipe, {}).recipe is recipe
    assert asked("imdb", {}).recipe == Recipe.load("imdb")


def test_a_file_is_run_with_the_settings_of_the_quickstart() -> None:
    request = asked("mails/tickets 2.csv.gz", {"test": Path("held-out.csv"), "label": "team"})
    quickstart = Recipe.load("quickstart")
    assert request.recipe.name == "tickets-2" and not request.in_memory
    data = request.recipe.data
    assert (data.train, data.test, data.text, data.label) == ("mails/tickets 2.csv.gz", "held-out.csv", "text", "team")
    assert request.recipe.teacher == quickstart.teacher and request.recipe.student == quickstart.student


def test_a_hub_name_is_data_and_a_preset_is_none() -> None:
    assert asked("owner/tickets:train", {"test": "owner/tickets:test"}).recipe.name == "tickets"
    assert asked("reviews:train", {"test": "reviews:test"}).recipe.data.train == "reviews:train"
    with pytest.raises(RecipeError, match="No recipe 'nosuch'"):
        asked("nosuch", {})
    with pytest.raises(TypeError, match="got 5; pass a recipe"):
        asked(5, {})


@pytest.mark.parametrize("given", ["tickets.csv", {"text": ["a"], "label": ["b"]}])
def test_training_data_needs_test_data(given: Any) -> None:
    with pytest.raises(UserError, match=r"but no test data\. Pass it as test="):
        asked(given, {})
    with pytest.raises(TypeError, match="training data twice"):
        asked(given, {"train": given, "test": given})


def test_data_arguments_beat_a_recipe(make_recipe: MakeRecipe) -> None:
    request = asked(make_recipe(), {"test": {"text": ["a"], "label": ["x"]}, "text": "body", "validation": 0.2})
    assert set(request.in_memory) == {"test"}
    assert (request.recipe.data.text, request.recipe.data.validation) == ("body", 0.2)
    with pytest.raises(RecipeError, match=r"data\.validation"):
        asked(make_recipe(), {"validation": 7.5})


def test_settings_whole_or_one_by_one() -> None:
    assert settings_of(None, {"threads": 2, "text": "body"}) == Settings(threads=2)
    settings = Settings(device="cpu")
    assert settings_of(settings, {"text": "body"}) is settings
    with pytest.raises(TypeError, match="got settings and threads; give one or the other"):
        settings_of(settings, {"threads": 2})
    with pytest.raises(TypeError, match="unexpected argument thread; expected some of train,"):
        settings_of(None, {"thread": 2})


def test_the_keyword_arguments_are_the_settings_fields() -> None:
    fields = {name: field.type for name, field in Settings.__dataclass_fields__.items()}
    assert set(SettingsArguments.__annotations__) == set(fields)
    assert set(SettingsArguments.__annotations__) < set(Arguments.__annotations__)


# Data in memory


def test_the_files_go_when_what_follows_fails(tmp_path: Path) -> None:
    request = asked({"text": ["a", "b"], "label": ["x", "y"]}, {"test": {"text": ["c"], "label": ["x"]}})
    with pytest.raises(ZeroDivisionError), request.written_to(tmp_path / "run" / "data") as recipe:
        assert Path(recipe.data.train).is_file() and Path(recipe.data.test).is_file()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_frames_is_the_run_on_their_files(
    frames: tuple[pd.DataFrame, pd.DataFrame], make_recipe: MakeRecipe, tmp_path: Path, finished: Any, no_clock: None
) -> None:
    train, test = frames

    def again(test: pd.DataFrame) -> understudy.Run:
        arguments = {"train": train, "test": test, "text": "message", "label": "team"}
        return distill(make_recipe(), tmp_path / "run", **arguments, device="cpu", cache_dir=finished.cache)

    run = again(test)
    wanted = understudy.Run(finished.out).metrics
    assert run.metrics.teacher == wanted.teacher and run.metrics.student == wanted.student
    assert os.fspath(run) == str(tmp_path / "run")
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "run" / "data").iterdir())
    assert kept == ["test", "train"]
    before = run.metrics
    assert again(test).metrics == before
    with pytest.raises(RunDirectoryError, match=r"data\.test"):
        again(test.iloc[:40])
    assert len(list((tmp_path / "run" / "data").iterdir())) == 2


def test_the_doctor_takes_frames(frames: tuple[pd.DataFrame, pd.DataFrame], finished: Any) -> None:
    train, test = frames

    def leaked(test: pd.DataFrame) -> list[int | None]:
        arguments: dict[str, Any] = {"train": train, "test": test, "text": "message", "label": "team"}
        found = examine(finished.recipe, finished.cache, **arguments)
        return [finding.count for finding in found.findings if finding.code == "leaked_texts"]

    assert leaked(test) == []
    assert leaked(pd.concat([test, train.iloc[:3]])) == [3]


@pytest.mark.parametrize("spelling", [lambda run: run, lambda run: run.parent / "." / run.name, os.path.relpath])
def test_overwriting_keeps_the_next_runs_data_and_other_files(
    spelling: Any, tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    run = RunDirectory(tmp_path / "run")
    names = ["train-0123456789abcdef", "test-0123456789abcdef", "train-fedcba9876543210", "mine"]
    files = [run.data / f"{name}.parquet" for name in names]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    data = {"train": str(Path(spelling(run.root)) / "data" / files[0].name), "test": str(files[1])}
    remove_run(run, keep=make_recipe(data=data))
    assert [path.exists() for path in files] == [True, True, False, True]


def test_the_doctor_refuses_arguments_that_it_would_ignore(make_recipe: MakeRecipe) -> None:
    with pytest.raises(TypeError, match="unexpected argument device"):
        examine(make_recipe(), device="cpu")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="got settings and cache_dir"):
        examine(make_recipe(), "cache", settings=Settings())


def test_a_call_that_was_killed_after_it_wrote_its_data_can_be_repeated(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.data.mkdir(parents=True)
    (run.data / "train-0123456789abcdef.parquet").write_bytes(b"")
    check_place(run)
    (run.data / "mine.csv").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match="is not empty"):
        check_place(run)


# Errors in the words of the call


def test_errors_name_arguments_and_the_data_in_memory(tmp_path: Path) -> None:
    data = pd.DataFrame({"message": ["a", "b"], "team": ["x", "y"]})
    with pytest.raises(DataError) as caught:
        distill(data, tmp_path / "run", test=data, text="nope", label="team", cache_dir=tmp_path / "cache")
    assert str(caught.value) == (
        "The training data (DataFrame) has no column 'nope'; its columns are: message, team. Choose the columns with "
        "text= and label=."
    )
    request = asked(data, {"test": {"message": ["c"], "team": ["x"]}, "text": "message", "label": "team"})
    words = r"^2 rows: the test data \(dict\) row 3, the training data \(DataFrame\) row 4$"
    with pytest.raises(DataError, match=words), request.written_to(tmp_path / "data") as written:
        raise DataError(f"2 rows: {written.data.test} row 3, {written.data.train} row 4")


def test_findings_do_not_name_temporary_files(tmp_path: Path) -> None:
    data = {"text": ["a", "b"], "label": ["x", "x"]}
    found = examine(data, tmp_path, test=data)
    assert found.errors and not [each for each in found.findings if "parquet" in each.message or "--" in each.message]


def test_errors_about_a_recipe_keep_its_words(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--data\.text$"), asked(make_recipe(), {}).written_to(tmp_path):
        raise DataError("--data.text")


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("Choose it with --data.label.", "Choose it with label=."),
        ("--out runs/x is not empty. Give another --out.", "out=runs/x is not empty. Give another out=."),
        ("Give --overwrite or another --cache-dir", "Give overwrite=True or another cache_dir="),
        ("A larger --data.max_length keeps more.", "A larger data.max_length keeps more."),
        ("pip install --force-reinstall 'a--data.text'", "pip install --force-reinstall 'a--data.text'"),
    ],
)
def test_flags_become_arguments(flags: str, arguments: str) -> None:
    assert as_arguments(flags) == arguments
