"""The recipe's options as flags: their help, and the recipe that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from understudy.cli.commands import COMMANDS, chosen_recipe
from understudy.cli.main import main
from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import options


@pytest.fixture
def recipe_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the recipe that `understudy run` makes of its arguments."""

    def recipe_of(*arguments: str) -> Recipe:
        found: list[Recipe] = []
        stand_in = (lambda given: found.append(chosen_recipe(given)), "a stand-in")
        monkeypatch.setitem(COMMANDS, "run", stand_in)
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
    stand_in = (lambda given: found.append((given.json, given.threads, given.device, given.recipe)), "a stand-in")
    monkeypatch.setitem(COMMANDS, "run", stand_in)
    flags = ["--json", "--threads", "2", "--device", "cpu"]
    assert main([*flags, "run", "imdb"]) == 0
    assert main(["run", *flags, "imdb"]) == 0
    assert main(["run", "imdb", *flags]) == 0
    assert main([*flags[:3], "run", "imdb", *flags[3:]]) == 0
    assert found == [(True, 2, "cpu", "imdb")] * 4
