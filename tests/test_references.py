"""The files and names that the documentation mentions exist."""

from __future__ import annotations

import ast
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "understudy"
PAGES = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
_FILE = re.compile(r"([\w./-]+\.py)(?:::([\w.]+))?")
_DOTTED = re.compile(r"understudy(?:\.[A-Za-z_]\w*)+")
_FILES_OF_RUNS = {"understudy.json"}


def code_in(page: str) -> Iterator[str]:
    """The inline code of a page."""
    tokens = MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text(encoding="utf-8"))
    for token in tokens:
        yield from (child.content for child in token.children or [] if child.type == "code_inline")


def found(name: str) -> list[Path]:
    """The files with this name or path, in the project or in the package."""
    if "/" in name:
        return [path for path in (ROOT / name, PACKAGE / name) if path.is_file()]
    return [path for folder in ("src", "tests", "benchmarks", "docs") for path in (ROOT / folder).rglob(name)]


def defines(file: Path, name: str) -> bool:
    """Whether a module defines a name: a function, a class, a variable, or, with a dot, a member of a class."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for part in name.split("."):
        nodes = [node for node in body if part in _names(node)]
        if not nodes:
            return False
        body = getattr(nodes[0], "body", [])
    return True


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


@pytest.mark.parametrize("page", PAGES)
def test_files_and_their_names_exist(page: str) -> None:
    for code in code_in(page):
        for file, name in _FILE.findall(code):
            files = found(file)
            assert files, f"{page}: no file {file}"
            assert not name or defines(files[0], name), f"{page}: {file} does not define {name}"


@pytest.mark.parametrize("page", PAGES)
def test_dotted_names_exist(page: str) -> None:
    for code in code_in(page):
        name = _DOTTED.match(code)
        if name is not None and name[0] not in _FILES_OF_RUNS:
            pkgutil.resolve_name(name[0])


def test_a_wrong_reference_is_noticed() -> None:
    file = PACKAGE / "run" / "stages.py"
    assert found("run/stages.py") == [file] and not found("run/no_such_file.py") and not found("no_such_file.py")
    assert defines(file, "Stages.execute") and defines(file, "log") and defines(file, "Stages.manifest")
    assert not defines(file, "Stages.no_such_method") and not defines(file, "execute")


def test_the_rooms_are_listed_from_the_top_floor_down() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## The rooms")[2].partition("\n## ")[0]
    assert re.findall(r"(?m)^\| `(\w+)` \|", section) == contract["layers"][1:]  # `__main__` is no room
