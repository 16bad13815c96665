"""The recipe's options as flags: their help, and the recipe that they make."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from understudy.cli.flags import age, byte_count, settings_from
from understudy.cli.main import COMMANDS, main, parsed
from understudy.cli.recipe_flags import chosen_recipe
from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import options
from understudy.run.settings import Settings


@pytest.fixture
def recipe_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the recipe that `understudy run` makes of its arguments."""

    def recipe_of(*arguments: str) -> Recipe:
        found: list[Recipe] = []
        monkeypatch.setattr(COMMANDS["run"], "run", lambda given: found.append(chosen_recipe(given)))
        assert main(["run", *arguments]) == 0
        return found[0]

    return recipe_of


@pytest.mark.parametrize("command", ["run", "frontier", "check"])
def test_help_has_every_option_of_the_recipe(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    main([command, "--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    for option in options(Recipe):
        (place,) = [number for number, line in enumerate(lines) if f"{line} ".startswith(f"{option.flag} ")]
        assert option.help in lines[place] + lines[place + 1]


def test_help_says_nothing_of_types_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    out = capsys.readouterr().out
    assert not any(ugly in out for ugly in ("JSON]", "list[", "{float", " str ", "(default: null", "==SUPPRESS=="))


def test_help_shows_a_models_name_before_how_it_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    out = capsys.readouterr().out
    assert out.index("--teacher.model") < out.index("--teacher.epochs")
    assert out.index("--distillation.temperature") < out.index("--distillation.epochs")


def test_help_shows_range_and_default(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    main(["run", "--help"])
    out = capsys.readouterr().out
    assert "[a whole number from 4 to 8192; default: 256]" in out
    assert "[required, here or in the recipe]" in out
    assert "keeps 97 %" in out


def test_without_flags_the_recipe_is_the_presets(recipe_of: Any) -> None:
    assert recipe_of() == Recipe.load("quickstart")
    assert recipe_of("imdb") == Recipe.load("imdb")


def test_flags_beat_the_file(recipe_of: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(Recipe.load("imdb").to_toml(), encoding="utf-8")
    recipe = recipe_of(str(path), "--data.train", "mine.csv", "--teacher.epochs=4", "--seed", "9")
    assert recipe == Recipe.load("imdb", data={"train": "mine.csv"}, teacher={"epochs": 4}, seed=9)


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        (["--data.labels", "a,b"], ["a", "b"]),
        (["--data.labels", '["a,b", "c"]'], ["a,b", "c"]),
        (["--data.labels", "a", "--data.labels", "b"], ["a", "b"]),
        (["--data.labels", "false,true"], ["false", "true"]),
        (["--data.labels", "none,some"], ["none", "some"]),
        (["--data.labels", "none"], None),
    ],
)
def test_labels_as_flags(flags: list[str], labels: list[str] | None, recipe_of: Any) -> None:
    assert recipe_of("imdb", *flags).data.labels == labels


def test_controls_none(recipe_of: Any) -> None:
    assert recipe_of("--evaluation.controls", "none").evaluation.controls == []


def test_none_unsets_and_is_a_choice_where_it_is_one(recipe_of: Any) -> None:
    recipe = recipe_of("--student.layers", "none", "--student.model", "small", "--teacher.class_weights", "none")
    assert (recipe.student.layers, recipe.student.model, recipe.teacher.class_weights) == (None, "small", "none")


def test_a_value_keeps_its_text(recipe_of: Any) -> None:
    assert recipe_of("--description", '{"a": 1}').description == '{"a": 1}'
    assert recipe_of("--data.text", "none").data.text == "none"


def test_a_truth_value(recipe_of: Any) -> None:
    assert recipe_of("--evaluation.texts", "true").evaluation.texts is True


def test_the_environment_is_not_a_source_of_options(recipe_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seed", "SEED", "teacher.epochs", "data.train", "name", "NAME"):
        monkeypatch.setenv(name, "7")
    assert recipe_of() == Recipe.load("quickstart")


def test_common_flags_stand_before_or_after_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[Any, ...]] = []

    def run(given: argparse.Namespace) -> None:
        found.append((given.json, given.threads, given.device, given.recipe))

    monkeypatch.setattr(COMMANDS["run"], "run", run)
    flags = ["--json", "--threads", "2", "--device", "cpu"]
    assert main([*flags, "run", "imdb"]) == 0
    assert main(["run", *flags, "imdb"]) == 0
    assert main(["run", "imdb", *flags]) == 0
    assert main([*flags[:3], "run", "imdb", *flags[3:]]) == 0
    assert found == [(True, 2, "cpu", "imdb")] * 4


@pytest.mark.parametrize("command", ["run", "frontier", "check"])
def test_help_shows_the_commands_own_flags_before_the_recipes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([command, "--help"])
    out = capsys.readouterr().out
    places = [out.index(words) for words in ("--cache-dir", "common flags", "--json", "recipe options")]
    sections = [out.index(f"\n{section} options:") for section in ("recipe", "data", "teacher", "student")]
    assert places + sections[1:] == sorted(places + sections[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_flags_of_the_hardware_where_they_have_an_effect(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {
        **{name: {"--device", "--threads", "--engine"} for name in ("run", "frontier", "predict", "evaluate")},
        "export": {"--threads"},
        "benchmark": {"--device", "--threads"},
    }
    assert main([command, "--help"]) == 0
    words = set(capsys.readouterr().out.split())
    assert words & {"--device", "--threads", "--engine"} == listed.get(command, set())
    assert "--json" in words


def test_flags_without_an_effect_are_accepted() -> None:
    options = parsed(["recipes", "--device", "cpu", "--threads", "2", "--engine", "pytorch"])
    assert (options.device, options.threads, options.engine) == ("cpu", 2, "pytorch")


def test_only_the_chosen_commands_flags_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    for name, command in COMMANDS.items():
        monkeypatch.setattr(command, "add_flags", lambda _, name=name: built.append(name))
    assert main(["recipes"]) == 0
    assert built == ["recipes"]


# Settings


def test_settings_are_those_of_the_flags() -> None:
    flags = ["--device", "cuda:1", "--threads", "3", "--engine", "openvino", "--cache-dir", "c", "--overwrite"]
    found = settings_from(parsed(["run", *flags, "--report-to", "mlflow"]))
    assert found == Settings("cuda:1", 3, "openvino", Path("c"), True, "mlflow")


def test_settings_of_a_command_without_such_flags_are_the_defaults() -> None:
    assert settings_from(parsed(["recipes"])) == Settings()


# Ages and sizes


@pytest.mark.parametrize(("value", "hours"), [("12h", 12), ("30d", 720), ("2w", 336), ("1.5d", 36), ("0d", 0)])
def test_an_age(value: str, hours: int) -> None:
    assert age(value) == timedelta(hours=hours)


@pytest.mark.parametrize("value", ["", "30", "d", "-1d", "3 years", "1e3d", "9" * 400 + "d"])
def test_what_is_no_age(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected hours, days or weeks"):
        age(value)


@pytest.mark.parametrize(
    ("value", "count"), [("5GB", 5 * 10**9), ("500mb", 5 * 10**8), ("1.5 kB", 1500), ("0GB", 0), ("2TB", 2 * 10**12)]
)
def test_a_size(value: str, count: int) -> None:
    assert byte_count(value) == count


@pytest.mark.parametrize("value", ["", "5", "GB", "-5GB", "5GiB", "much", "9" * 400 + "GB"])
def test_what_is_no_size(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a size such as 500MB or 5GB"):
        byte_count(value)
