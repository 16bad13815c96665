"""What `import understudy` promises."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import understudy
from understudy.runtime.packages import DISTRIBUTION

ROOT = Path(__file__).parent.parent


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
    assert understudy.__all__ == ["Recipe", "Run", "UnderstudyError", *functions]
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


def test_the_version_is_the_changelogs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    headings = [
        line.split()[1].strip("[]")
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    released = [heading for heading in headings if heading.lower() != "unreleased"]
    assert project["version"] == version(DISTRIBUTION)
    assert released[:1] == [project["version"]]
