"""What `import understudy` promises, and what type checkers and the documentation say about it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
import typing
from importlib.metadata import version
from pathlib import Path

import pytest

import understudy
from understudy.runtime.packages import DISTRIBUTION

ROOT = Path(__file__).parent.parent
FUNCTIONS = [name for name in understudy.__all__ if name.islower()]
API_PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"(?m)^::: (\S+)$", API_PAGE)


def test_the_exports_are_these_in_alphabetical_order() -> None:
    functions = [
        "benchmark",
        "compare",
        "distill",
        "evaluate",
        "examine",
        "export",
        "frontier",
        "load",
        "push",
        "report",
    ]
    assert understudy.__all__ == ["Limits", "Recipe", "Run", "Settings", "UnderstudyError", *functions]
    assert sorted(understudy.__all__) == understudy.__all__ == dir(understudy)


@pytest.mark.parametrize("name", understudy.__all__)
def test_every_export_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(understudy, name))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'understudy' has no attribute 'distil'"):
        understudy.distil  # noqa: B018


def test_importing_leaves_the_heavy_packages_alone() -> None:
    heavy = ["torch", "transformers", "datasets", "pandas", "pyarrow", "sklearn", "matplotlib", "pydantic_settings"]
    code = f"import sys, understudy; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_name_and_version_are_those_of_the_project_and_its_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    headings = [
        line.split()[1].strip("[]")
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    released = [heading for heading in headings if heading.lower() != "unreleased"]
    assert project["name"] == DISTRIBUTION
    assert project["version"] == version(DISTRIBUTION)
    assert released[:1] == [project["version"]]


# Type checkers read the imports, the runtime reads a table


def imported(nodes: list[ast.stmt]) -> dict[str, str]:
    """The names that statements import from understudy, with their places."""
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    own = [node for node in imports if (node.module or "").startswith("understudy.")]
    return {name.asname or name.name: f"{node.module}:{name.name}" for node in own for name in node.names}


def test_type_checkers_see_what_the_runtime_resolves() -> None:
    body = ast.parse(inspect.getsource(understudy)).body
    (block,) = [node for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    lazy, eager = imported(block.body), imported(body)
    assert lazy == {name: f"understudy.{place}" for name, place in understudy._PLACES.items()}
    assert set(lazy) | set(eager) - {"missing_extra"} == set(understudy.__all__)
    for name, place in lazy.items():
        assert getattr(understudy, name) is pkgutil.resolve_name(place)


MODULES = [module.name for module in pkgutil.walk_packages(understudy.__path__, "understudy.")]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "understudy.__main__"])
def test_a_module_defines_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, each) for each in getattr(module, "__all__", []))


# The API page


def test_the_api_page_has_an_entry_for_every_public_name() -> None:
    assert {f"understudy.{name}" for name in understudy.__all__} <= set(ENTRIES)


def test_the_api_page_has_an_entry_for_every_result() -> None:
    results = [typing.get_type_hints(getattr(understudy, name))["return"] for name in FUNCTIONS]
    own = {f"{each.__module__}.{each.__qualname__}" for each in results if each.__module__.startswith("understudy.")}
    assert own - {"understudy.run.pipeline.Run"} <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_of_the_api_page_is_stale(entry: str) -> None:
    module, _, name = entry.rpartition(".")
    assert module != "understudy" or name in [*understudy.__all__, "errors"]
    assert inspect.getdoc(pkgutil.resolve_name(entry))


def test_members_on_the_api_page_exist() -> None:
    for entry, members in re.findall(r"(?m)^::: (\S+)\n    options:\n      members: \[(.+)\]$", API_PAGE):
        for member in members.split(", "):
            assert inspect.getdoc(inspect.getattr_static(pkgutil.resolve_name(entry), member)), f"{entry}.{member}"
