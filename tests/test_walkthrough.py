"""The notebook is clean and speaks of what there is; `tests/acceptance` runs it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any, get_type_hints

import nbformat
import pytest

import understudy
from understudy.evaluation.results import Metrics
from understudy.run.pipeline import Run

NOTEBOOK = Path(__file__).parent.parent / "examples" / "walkthrough.ipynb"

# What the notebook's variables are.
KINDS: dict[str, Any] = {"run": Run, "smaller": Run, "metrics": Metrics, "found": Metrics}


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook: Any) -> str:
    """All cells in one; lines for IPython itself are left out."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line.replace("%pip", "pass  #") for source in sources for line in source.splitlines()]
    return "\n".join(lines)


def path(node: ast.Attribute) -> list[str]:
    """`run.metrics.student` as a list; empty where it starts with something else than a name."""
    before = node.value
    if isinstance(before, ast.Name):
        return [before.id, node.attr]
    return [*path(before), node.attr] if isinstance(before, ast.Attribute) and path(before) else []


def follow(kind: Any, names: list[str]) -> None:
    for name in names:
        hints = get_type_hints(kind) if isinstance(kind, type) else {}
        found = getattr(kind, name, None)
        assert found is not None or name in hints, f"{kind} has no {name}"
        wrapped = getattr(found, "func", None) or getattr(found, "fget", None)  # cached or not, a property
        kind = hints.get(name) or (get_type_hints(wrapped)["return"] if wrapped else found)
        kind = next((option for option in getattr(kind, "__args__", ()) if option is not type(None)), kind)


def test_it_is_a_valid_notebook_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not any(cell.metadata for cell in notebook.cells)


def test_text_stands_between_the_steps(notebook: Any) -> None:
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert kinds.count("markdown") >= 8


def test_the_first_cell_installs_only_where_understudy_is_missing(notebook: Any) -> None:
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    condition, install = first.splitlines()[-2:]
    assert condition.startswith('if importlib.util.find_spec("understudy") is None:')
    assert install.startswith("    %pip install")


def test_every_name_of_understudy_is_there(notebook: Any) -> None:
    tree = ast.parse(code(notebook))
    paths = [found for node in ast.walk(tree) if isinstance(node, ast.Attribute) and (found := path(node))]
    used = {name for first, name, *_ in paths if first == "understudy"}
    assert used == {"Recipe", "examine", "distill"}
    assert used <= set(understudy.__all__)
    for first, *names in paths:
        if first in KINDS:
            follow(KINDS[first], names)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("understudy"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize(
    ("kind", "name"), [(Run, "teachers"), (Run, "metrics.studentt"), (Metrics, "controls.linear.size")]
)
def test_a_name_that_is_not_there_would_be_noticed(kind: Any, name: str) -> None:
    with pytest.raises(AssertionError, match=r"has no (teachers|studentt|size)"):
        follow(kind, name.split("."))


def test_its_recipes_are_recipes(notebook: Any) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(code(notebook)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"
    ]
    recipes = [
        understudy.Recipe.load(
            *map(ast.literal_eval, call.args),
            **{str(option.arg): ast.literal_eval(option.value) for option in call.keywords},
        )
        for call in calls
    ]
    assert [(recipe.name, recipe.student.layers) for recipe in recipes] == [
        ("walkthrough", 3),
        ("walkthrough-small", 2),
    ]
    assert recipes[0].teacher == recipes[1].teacher and recipes[0].data == recipes[1].data
