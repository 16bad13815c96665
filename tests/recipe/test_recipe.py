"""The recipe: presets, reading, merging, writing. What its errors say is in test_recipe_errors.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import RecipeError
from understudy.recipe.base import AUTO, settled
from understudy.recipe.recipe import Recipe, presets
from understudy.run.auto import FOLLOWING

PRESETS = ["imdb", "imdb-1k", "imdb-compact", "imdb-minilm", "quickstart"]

MINIMAL: dict[str, Any] = {"data": {"train": "a.csv", "test": "b.csv"}, "student": {"layers": 3}}

TOML = '[data]\ntrain = "a.csv"\ntest = "b.csv"\n[student]\nlayers = 3\n'


def with_options(**overrides: Any) -> Recipe:
    return Recipe.from_mapping({**MINIMAL, **overrides})


def test_the_presets_are_listed_by_name() -> None:
    assert list(presets()) == PRESETS
    assert all(recipe.name == name and recipe.description for name, recipe in presets().items())


def test_imdb_is_the_published_experiment() -> None:
    recipe = Recipe.load("imdb")
    assert recipe.teacher.model == "google-bert/bert-base-uncased"
    assert recipe.student.model == "distilbert/distilbert-base-uncased"
    assert recipe.student.layers is None
    assert (recipe.teacher.epochs, recipe.distillation.epochs) == (1, 1)
    assert (recipe.teacher.learning_rate, recipe.distillation.learning_rate) == (2e-5, 2e-5)
    assert (recipe.teacher.batch_size, recipe.distillation.batch_size) == (16, 16)
    assert (recipe.distillation.objective, recipe.distillation.temperature, recipe.distillation.alpha) == ("kl", 2, 0.5)
    assert (recipe.data.train, recipe.data.test) == ("stanfordnlp/imdb:train", "stanfordnlp/imdb:test")
    assert (recipe.data.validation, recipe.data.max_length, recipe.data.labels) == (1000, 512, ["neg", "pos"])


def test_quickstart_needs_only_what_ships_with_understudy() -> None:
    recipe = Recipe.load()
    assert (recipe.data.train, recipe.data.test) == ("reviews:train", "reviews:test")
    assert recipe.teacher.model == "sentence-transformers/all-MiniLM-L6-v2"
    assert (recipe.student.layers, recipe.student.model) == (3, None)


def test_imdb_minilm_takes_three_layers_at_256_tokens() -> None:
    recipe = Recipe.load("imdb-minilm")
    assert (recipe.student.layers, recipe.data.max_length, recipe.data.validation) == (3, 256, 1000)
    assert (recipe.teacher.epochs, recipe.distillation.epochs) == (1, 1)


def test_imdb_1k_has_a_thousand_labels_and_learns_from_all_other_reviews() -> None:
    data = Recipe.load("imdb-1k").data
    assert (data.labelled, data.unlabelled, data.train) == (
        1000,
        "stanfordnlp/imdb:unsupervised",
        "stanfordnlp/imdb:train",
    )


def test_imdb_compact_is_taught_by_a_committee() -> None:
    recipe = Recipe.load("imdb-compact")
    assert recipe.teacher.members == ["sentence-transformers/all-MiniLM-L6-v2", "linear"]
    assert (recipe.student.layers, recipe.student.vocabulary) == (4, 10_000)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_keep_the_controls_that_they_had(name: str) -> None:
    assert Recipe.load(name).evaluation.controls == ["no_distillation", "linear"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_writes_every_value_of_its_training_out(name: str) -> None:
    recipe = Recipe.load(name)
    assert not FOLLOWING & {option for option, value in recipe.flat().items() if value == AUTO}
    assert recipe.teacher.head == recipe.distillation.head == "initial"
    left_out = {"checkpoint_steps", "precision", "attention", "attention_dropout", "revision", "scores"}
    for section in (recipe.teacher, recipe.distillation):
        assert set(type(section).model_fields) - section.model_fields_set <= left_out


def test_options_that_follow_the_data_are_automatic_by_default() -> None:
    values = with_options().flat()
    assert {option for option in FOLLOWING if values[option] == AUTO} == FOLLOWING


def test_an_automatic_option_takes_a_value_from_a_flag() -> None:
    recipe = with_options(teacher={"epochs": "3", "learning_rate": "1e-4"}, data={**MINIMAL["data"], "max_length": 64})
    assert (recipe.teacher.epochs, recipe.teacher.learning_rate, recipe.data.max_length) == (3, 1e-4, 64)
    assert recipe.teacher.batch_size == AUTO


def test_a_value_is_settled_and_auto_is_not() -> None:
    assert settled(3) == 3
    with pytest.raises(ValueError, match="still auto"):
        settled(AUTO)


def test_a_presets_name_beats_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imdb").write_text('name = "mine"\n' + TOML)
    monkeypatch.chdir(tmp_path)
    assert Recipe.load("imdb").name == "imdb"
    assert Recipe.load("./imdb").name == "mine"
    assert Recipe.load(Path("imdb")).name == "mine"


def test_a_path_does_not_reach_into_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="No recipe"):
        Recipe.load("../recipes/imdb")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TOML.encode())
    assert Recipe.load(path).data.train == "a.csv"


def test_options_beat_the_file_one_by_one() -> None:
    recipe = Recipe.load("imdb", data={"train": "mine.csv"}, seed=7, teacher={"epochs": 4})
    assert (recipe.data.train, recipe.data.test) == ("mine.csv", "stanfordnlp/imdb:test")
    assert (recipe.seed, recipe.teacher.epochs, recipe.teacher.learning_rate) == (7, 4, 2e-5)


def test_loading_with_options_leaves_the_preset_as_it_was() -> None:
    Recipe.load("imdb", seed=7)
    assert Recipe.load("imdb").seed == 0


def test_none_unsets_what_the_file_gave() -> None:
    recipe = Recipe.load("quickstart", student={"layers": "none", "model": "small"})
    assert (recipe.student.layers, recipe.student.model) == (None, "small")
    assert Recipe.load("imdb", data={"labels": "none"}).data.labels is None


def test_none_is_an_ordinary_choice_where_it_is_one() -> None:
    assert with_options(teacher={"class_weights": "none"}).teacher.class_weights == "none"
    assert with_options(data={**MINIMAL["data"], "label": "none"}).data.label == "none"


@pytest.mark.parametrize("given", ["neg,pos", "neg, pos", '["neg", "pos"]', ["neg", "pos"]])
def test_labels_from_a_list_or_a_text(given: Any) -> None:
    assert with_options(data={**MINIMAL["data"], "labels": given}).data.labels == ["neg", "pos"]


def test_labels_that_look_like_something_else_stay_texts() -> None:
    assert with_options(data={**MINIMAL["data"], "labels": "false,true"}).data.labels == ["false", "true"]
    assert with_options(data={**MINIMAL["data"], "labels": "1,2"}).data.labels == ["1", "2"]
    assert with_options(data={**MINIMAL["data"], "labels": "none,some"}).data.labels == ["none", "some"]


def test_json_keeps_a_comma_in_a_label() -> None:
    assert with_options(data={**MINIMAL["data"], "labels": '["a,b", "c"]'}).data.labels == ["a,b", "c"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("none", []),
        (["none"], []),
        ([], []),
        ("linear", ["linear"]),
        ("linear,no_distillation", ["no_distillation", "linear"]),
        (["linear", "linear"], ["linear"]),
    ],
)
def test_controls(given: Any, meant: list[str]) -> None:
    assert with_options(evaluation={"controls": given}).evaluation.controls == meant


@pytest.mark.parametrize(
    ("given", "meant"),
    [("0.2", 0.2), ("1000", 1000), (0.5, 0.5), (1, 1), ("dev.csv", "dev.csv"), ("reviews:test", "reviews:test")],
)
def test_validation_is_a_share_a_count_or_a_source(given: Any, meant: Any) -> None:
    found = with_options(data={**MINIMAL["data"], "validation": given}).data.validation
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("first", "first"), ("0,2,5", [0, 2, 5]), ([0, 2, 5], [0, 2, 5]), ("[0, 2, 5]", [0, 2, 5])],
)
def test_which_layers_is_a_word_or_numbers(given: Any, meant: Any) -> None:
    assert Recipe.load("quickstart", student={"from_layers": given}).student.from_layers == meant


@pytest.mark.parametrize("given", ["frist", "0,1", [2, 1, 0], [0, 0, 1], [-1, 0, 1], [0, 1, True], "0,x,2", []])
def test_layers_that_cannot_be(given: Any) -> None:
    with pytest.raises(RecipeError, match="student"):
        Recipe.load("quickstart", student={"from_layers": given})


def test_which_layers_needs_how_many() -> None:
    with pytest.raises(RecipeError, match=r"student\.from_layers is 'first', but student\.layers is missing"):
        Recipe.load("quickstart", student={"layers": "none", "model": "m", "from_layers": "first"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [("a/b", ["a/b"]), (["a/b"], ["a/b"]), ("a/b,linear", ["a/b", "linear"]), (["a", "a"], ["a", "a"])],
)
def test_a_teacher_is_a_model_or_several(given: Any, meant: list[str]) -> None:
    assert Recipe.load("quickstart", teacher={"model": given}).teacher.members == meant


@pytest.mark.parametrize("given", ["linear", "linear,linear,a", [], ""])
def test_a_teacher_has_an_encoder_and_one_linear_model_at_most(given: Any) -> None:
    with pytest.raises(RecipeError, match=r"teacher\.model: expected a model, or several"):
        Recipe.load("quickstart", teacher={"model": given})


def test_a_revision_belongs_to_one_model() -> None:
    with pytest.raises(RecipeError, match=r"teacher\.model names 2 models"):
        Recipe.load("quickstart", teacher={"model": ["a", "b"], "revision": "main"})


@pytest.mark.parametrize(("given", "meant"), [("1000", 1000), ("0.04", 0.04), (2, 2), ("none", None)])
def test_labelled_is_a_share_or_a_count(given: Any, meant: Any) -> None:
    assert Recipe.load("quickstart", data={"labelled": given}).data.labelled == meant


@pytest.mark.parametrize("given", [0, 1, -0.5, 1.0, "all"])
def test_labelled_is_nothing_else(given: Any) -> None:
    with pytest.raises(RecipeError, match=r"data\.labelled"):
        Recipe.load("quickstart", data={"labelled": given})


def test_the_student_takes_the_recipes_seed_unless_it_has_its_own() -> None:
    assert with_options(seed=5).student_seed == 5
    assert with_options(seed=5, student={"layers": 3, "seed": 0}).student_seed == 0


def test_repeats_have_the_seeds_after_the_students() -> None:
    assert with_options(seed=5).student_seeds == [5]
    assert with_options(seed=5, seeds=3).student_seeds == [5, 6, 7]
    recipe = with_options(seed=5, seeds=2, student={"layers": 3, "seed": 0})
    assert recipe.student_seeds == [0, 1]
    assert set(recipe.with_student_seed(1).differences(recipe)) == {"student.seed"}
    assert recipe.with_student_seed(1).student_seed == 1


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe.load().seed = 3  # type: ignore[misc]


def test_differences_are_named_with_both_values() -> None:
    one, other = Recipe.load("imdb"), Recipe.load("imdb", seed=3, data={"labels": ["a", "b"]}, student={"seed": 1})
    assert one.differences(other) == {
        "seed": (0, 3),
        "data.labels": (["neg", "pos"], ["a", "b"]),
        "student.seed": (None, 1),
    }
    assert one.differences(one) == {}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_written_and_read_is_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(Recipe.load(name).to_toml(), encoding="utf-8")
    assert Recipe.load(path) == Recipe.load(name)


def test_what_is_written_holds_every_default_but_no_none() -> None:
    text = with_options().to_toml()
    assert "warmup = 0.1" in text
    assert 'temperature = "auto"' in text
    assert "attention_dropout" not in text
    assert text.index("[teacher]\nmodel = ") < text.index("[student]\nlayers = 3")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
AWKWARD = st.sampled_from(['"', "\\", "\n", "\r\n", "\x00", "\x7f", "\x85", "\u2028", "'''", "é", "😀", "a = 1", ""])
SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


OPTIONS = st.fixed_dictionaries(
    {
        "description": TEXTS | AWKWARD,
        "seed": st.integers(0, 2**32 - 1),
        "data": st.fixed_dictionaries(
            {
                "train": TEXTS | AWKWARD,
                "test": st.just("b.csv"),
                "labels": st.none() | st.lists(TEXTS | AWKWARD, min_size=2, max_size=4, unique=True),
                "validation": SHARES | st.integers(1, 10**12) | st.just("dev.csv"),
            }
        ),
        "teacher": st.fixed_dictionaries({"learning_rate": SHARES, "attention_dropout": st.none() | SHARES}),
        "evaluation": st.fixed_dictionaries(
            {"texts": st.booleans(), "controls": st.lists(st.sampled_from(["linear", "no_distillation"]))}
        ),
    }
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(options=OPTIONS)
def test_any_recipe_written_and_read_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]
) -> None:
    recipe = with_options(**options)
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8", newline="")
    assert Recipe.load(path) == recipe
