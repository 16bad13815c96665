"""What a recipe's errors say: every problem at once, what was expected, what was given, in a user's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from understudy.errors import RecipeError
from understudy.recipe.recipe import Recipe, presets
from understudy.recipe.wording import Option, options

TRAIN = next(option.help for option in options(Recipe) if option.name == "data.train")
VALID: dict[str, Any] = {"data": {"train": "a.csv", "test": "b.csv"}, "student": {"layers": 3}}


def message(content: dict[str, Any]) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_mapping(content)
    return str(caught.value)


def problem(dotted: str, value: Any) -> str:
    """The one line that a valid recipe with this option gets."""
    section, _, name = dotted.rpartition(".")
    content = {**VALID, section: {**VALID.get(section, {}), name: value}} if section else {**VALID, name: value}
    first, *lines = message(content).splitlines()
    assert first == "1 problem in the recipe:"
    assert len(lines) == 1
    return lines[0].strip()


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("teacher.epochs", "many", "expected a whole number from 1, or auto, got 'many'"),
        ("teacher.epochs", 1.5, "expected a whole number from 1, or auto, got 1.5"),
        ("teacher.epochs", True, "expected a whole number from 1, or auto, got true"),
        ("teacher.epochs", 0, "expected a whole number from 1, or auto, got 0"),
        ("teacher.epochs", [1], "expected a whole number from 1, or auto, got [1]"),
        ("teacher.epochs", {"first": 1}, "expected a whole number from 1, or auto, got a table"),
        ("teacher.learning_rate", 2, "expected a number above 0, at most 1, or auto, got 2"),
        ("teacher.learning_rate", "2e-5x", "expected a number above 0, at most 1, or auto, got '2e-5x'"),
        ("teacher.max_grad_norm", float("inf"), "expected a number above 0, got inf"),
        ("teacher.warmup", float("nan"), "expected a number from 0, below 1, got nan"),
        ("teacher.attention_dropout", 1, "expected a number from 0, below 1, or none, got 1"),
        ("teacher.schedule", "step", "expected one of linear, cosine, constant, got 'step'"),
        ("teacher.model", 5, "expected a model, or several, of which one may be linear, got 5"),
        ("data.max_length", 9000, "expected a whole number from 4 to 8192, or auto, got 9000"),
        ("data.text", None, "expected text, got none"),
        ("data.labels", ["a", "a"], "expected two or more different names, or none, got ['a', 'a']"),
        ("data.labels", "only", "expected two or more different names, or none, got 'only'"),
        ("data.labels", "[a", "expected two or more different names, or none, got '[a'"),
        ("data.labels", [0, 1], "expected two or more different names, or none, got 0"),
        ("evaluation.texts", "maybe", "expected true or false, got 'maybe'"),
        (
            "evaluation.controls",
            "linear,bayes",
            "expected some of no_distillation, linear, frozen, or none for no control, got 'bayes'",
        ),
        ("student.seed", -1, "expected a whole number from 0 to 4294967295, or none, got -1"),
        ("seed", 2**32, "expected a whole number from 0 to 4294967295, got 4294967296"),
        ("seeds", 0, "expected a whole number from 1, got 0"),
        ("name", "a/b", "expected letters, digits, '.', '_' and '-', a letter or digit first, got 'a/b'"),
    ],
)
def test_a_wrong_value(option: str, value: Any, text: str) -> None:
    assert problem(option, value) == f"{option}: {text}"


def test_scores_stand_beside_one_encoder() -> None:
    several = message({**VALID, "teacher": {"model": ["a", "linear"], "scores": "scores.csv"}})
    assert "teacher: teacher.scores is 'scores.csv', but teacher.model names 2 models; expected the one" in several
    linear = message({**VALID, "teacher": {"model": "linear", "scores": "scores.csv"}})
    assert "teacher.model: expected a model, or several, of which one may be linear, got 'linear'" in linear


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.0, 2.5, "1.5", "0", True, None, ["dev.csv"], float("nan")])
def test_a_wrong_validation_is_one_problem_whatever_its_type(value: Any) -> None:
    assert "expected auto, a share between 0 and 1, a number of texts from 1, or a source, got" in problem(
        "data.validation", value
    )


def test_a_long_value_is_cut() -> None:
    assert problem("seed", "9" * 500 + "x").endswith("999...")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("student.layer", "no such option; did you mean student.layers?"),
        ("teacher.learning-rate", "no such option; did you mean teacher.learning_rate?"),
        ("student.temperature", "no such option; did you mean distillation.temperature?"),
        ("student.epochs", "no such option; did you mean teacher.epochs or distillation.epochs?"),
        ("student.zzz", "no such option; [student] has model, revision, layers, from_layers, vocabulary, seed"),
        ("temperature", "no such option; did you mean distillation.temperature?"),
        ("techer", "no such option; did you mean teacher?"),
        ("zzz", "no such option; the tables are data, teacher, student, distillation, evaluation, frontier, report"),
    ],
)
def test_an_unknown_option_comes_with_what_was_meant(option: str, text: str) -> None:
    assert problem(option, 3) == f"{option}: {text}"


def test_an_unknown_table() -> None:
    assert problem("techer", {"epochs": 1}) == "techer: no such option; did you mean teacher?"


def test_everything_is_reported_at_once() -> None:
    text = message(
        {
            "seed": "x",
            "data": {"test": "b.csv", "validation": 2.5},
            "teacher": {"epoch": 3, "epochs": 0},
            "student": {"layers": 0},
            "extra": 1,
        }
    )
    assert text.splitlines() == [
        "7 problems in the recipe:",
        "  seed: expected a whole number from 0 to 4294967295, got 'x'",
        f"  data.train: required: {TRAIN}",
        "  data.validation: expected auto, a share between 0 and 1, a number of texts from 1, or a source, got 2.5",
        "  teacher.epochs: expected a whole number from 1, or auto, got 0",
        "  teacher.epoch: no such option; did you mean teacher.epochs?",
        "  student.layers: expected a whole number from 1, or none, got 0",
        "  extra: no such option; the tables are data, teacher, student, distillation, evaluation, frontier, report",
    ]


def test_an_empty_recipe_names_what_it_needs() -> None:
    assert message({}).splitlines()[1:] == [
        f"  data.train: required: {TRAIN}",
        "  student: required: The small model. Give either `model` or `layers`.",
    ]


@pytest.mark.parametrize(
    ("student", "text"),
    [
        ({}, "expected one of student.model and student.layers, got neither"),
        (
            {"model": "small", "layers": 3},
            "expected one of student.model and student.layers, got both ('small' and 3). "
            "Leave one out; --student.layers none removes the one in the file",
        ),
        (
            {"layers": 3, "revision": "main"},
            "student.revision is 'main', but student.model is missing. Give both, or leave the revision out",
        ),
    ],
)
def test_the_student_comes_from_one_place(student: dict[str, Any], text: str) -> None:
    assert message({**VALID, "student": student}).splitlines()[1] == f"  student: {text}"


@pytest.mark.parametrize(("value", "words"), [("a.csv", "'a.csv'"), ([{}], "[{}]"), (3, "3"), (True, "true")])
@pytest.mark.parametrize("section", ["data", "teacher", "student"])
def test_a_section_that_is_no_table(section: str, value: Any, words: str) -> None:
    text = message({**VALID, section: value})
    assert text.splitlines()[1:] == [f"  {section}: expected a table of options under [{section}], got {words}"]


@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}]])
@pytest.mark.parametrize("option", options(Recipe), ids=lambda option: option.name)
def test_every_option_says_what_it_takes(option: Option, value: Any) -> None:
    found = problem(option.name, value)
    assert found.startswith(f"{option.name}: expected {option.takes}, got ")
    assert "Input should" not in found


def test_the_message_says_whose_problem_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('seed = "x"\n[data]\ntrain = "a.csv"\ntest = "b.csv"\n[student]\nlayers = 3\n')
    with pytest.raises(RecipeError, match=rf"^1 problem in recipe '{path}':\n  seed: "):
        Recipe.load(path)
    with pytest.raises(RecipeError, match=r"^1 problem in recipe 'imdb' with the options given:\n  seed: "):
        Recipe.load("imdb", seed="x")


def load_error(path: Path | str) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path)
    return str(caught.value)


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[data]\ntrain = a.csv\n")
    assert load_error(path).startswith(f"{path} is not valid TOML: ")
    assert "line 2" in load_error(path)


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes('description = "caf\xe9"'.encode("latin-1"))
    expected = f"{path} is not UTF-8 text (byte 18): expected a TOML file. Save it again as UTF-8."
    assert load_error(path) == expected


def test_a_folder(tmp_path: Path) -> None:
    assert load_error(tmp_path) == f"{tmp_path} is a folder: expected a TOML file or a preset. Give a file."
    (tmp_path / "recipe.toml").touch()
    assert load_error(tmp_path).endswith(f"Give {tmp_path / 'recipe.toml'}.")


def test_no_such_recipe() -> None:
    known = f"there is no such file, and the presets are {', '.join(presets())}"
    assert load_error("imbd") == f"No recipe 'imbd': {known}; did you mean imdb?"
    assert load_error("missing.toml") == f"No recipe 'missing.toml': {known}."


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recipe.toml"
    path.touch()

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    assert load_error(path) == f"{path} cannot be read: Permission denied. Give a readable TOML file."


@pytest.mark.parametrize("place", [{"seed": 2**32 - 2}, {"student": {"layers": 3, "seed": 2**32 - 2}}])
def test_more_seeds_than_there_are(place: dict[str, Any]) -> None:
    Recipe.from_mapping({**VALID, "seeds": 2, **place})
    text = message({**VALID, "seeds": 3, **place})
    assert text.splitlines()[1:] == [
        "  student: seeds is 3, counted from 4294967294, but the largest seed is 4294967295. Choose fewer seeds, "
        "or a smaller student.seed"
    ]
