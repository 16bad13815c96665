"""The options in words, on a model made for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from understudy.recipe.recipe import Recipe
from understudy.recipe.wording import Takes, documentation, options, sections, suggestion

Share = Annotated[float, Field(ge=0, lt=1)]


class _Inner(BaseModel):
    """Inside.

    More about it.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    share: Share | None = None
    """Some
    share."""
    size: Annotated[int, Field(ge=4, le=8)]
    rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    most: Annotated[int, Field(le=3)] = 3
    free: int = 0
    choice: Literal["a", "b"] = "a"
    switch: bool = False
    special: Annotated[int | str, Takes("this or that", "THIS|THAT")] = 1
    names: Annotated[list[str], Takes("names", "NAME,...")] = ["x", "y"]


class _Outer(BaseModel):
    inner: _Inner
    title: str = ""


FOUND = {option.name: option for option in options(_Outer)}


def test_the_top_comes_first_then_the_tables_in_their_order() -> None:
    assert list(FOUND)[:3] == ["title", "inner.share", "inner.size"]
    assert list(sections(_Outer)) == ["inner"]


@pytest.mark.parametrize(
    ("name", "takes", "metavar"),
    [
        ("title", "text", "TEXT"),
        ("inner.share", "a number from 0, below 1, or none", "NUMBER"),
        ("inner.size", "a whole number from 4 to 8", "INTEGER"),
        ("inner.rate", "a number above 0, at most 1", "NUMBER"),
        ("inner.most", "a whole number, at most 3", "INTEGER"),
        ("inner.free", "a whole number", "INTEGER"),
        ("inner.choice", "one of a, b", "{a,b}"),
        ("inner.switch", "true or false", "true|false"),
        ("inner.special", "this or that", "THIS|THAT"),
        ("inner.names", "names", "NAME,..."),
    ],
)
def test_what_an_option_takes(name: str, takes: str, metavar: str) -> None:
    assert (FOUND[name].takes, FOUND[name].metavar) == (takes, metavar)
    assert FOUND[name].flag == f"--{name} {metavar}"


@pytest.mark.parametrize(
    ("name", "default", "words"),
    [
        ("title", "", "empty"),
        ("inner.share", None, "none"),
        ("inner.rate", 5e-5, "5e-05"),
        ("inner.switch", False, "false"),
        ("inner.names", ["x", "y"], "x,y"),
        ("inner.free", 0, "0"),
    ],
)
def test_defaults(name: str, default: Any, words: str) -> None:
    assert (FOUND[name].default, FOUND[name].default_words, FOUND[name].required) == (default, words, False)


def test_a_required_option_has_no_default() -> None:
    assert FOUND["inner.size"].required


def test_help_is_one_line() -> None:
    assert FOUND["inner.share"].help == "Some share."


def test_documentation_is_the_docstring_without_its_indentation() -> None:
    assert documentation(_Inner) == "Inside.\n\nMore about it."


def test_a_suggestion_only_where_something_is_close() -> None:
    assert suggestion("epoch", ["epochs", "seed"]) == "; did you mean epochs?"
    assert suggestion("zzz", ["epochs", "seed"]) == ""


def test_every_option_of_the_recipe_has_help() -> None:
    assert [option.name for option in options(Recipe) if not option.help] == []


def test_a_sections_own_options_stand_before_those_of_the_training() -> None:
    names = [option.name for option in options(Recipe)]
    assert names.index("teacher.model") < names.index("teacher.epochs")
    assert names.index("distillation.objective") < names.index("distillation.epochs")
