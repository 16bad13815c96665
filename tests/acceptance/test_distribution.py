"""The source distribution and the wheel are complete, and the wheel works where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from understudy.recipe.files import packaged_files

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "understudy"
DATA = sorted(
    path.relative_to(PACKAGE.parent).as_posix()
    for path in PACKAGE.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


def run(*command: Any, **settings: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built from a copy of the project."""
    folder = tmp_path_factory.mktemp("distributions")
    project = folder / "project"
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "tests", project / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", project)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("understudy_distill-*.whl")
    return wheel


def test_twine_accepts_them(distributions: Path, wheel: Path) -> None:
    (source,) = distributions.glob("understudy_distill-*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)


def test_there_is_data_to_ship() -> None:
    assert {"understudy/py.typed", "understudy/data/reviews.jsonl"} <= set(DATA)
    assert any(name.startswith("understudy/reporting/templates/") for name in DATA)
    assert {f"understudy/recipe/presets/{name}.toml" for name in packaged_files()} <= set(DATA)


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {name for name in names if not name.startswith("understudy_distill-")} == modules | set(DATA)


def test_the_source_distribution_holds_the_same(distributions: Path) -> None:
    (source,) = distributions.glob("understudy_distill-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2].removeprefix("src/") for name in archive.getnames()}
    assert set(DATA) <= names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_the_installed_wheel_answers(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    binaries = tmp_path / "venv" / "bin"
    run(sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-deps", wheel)
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))

    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    place = run(binaries / "python", "-c", "import understudy; print(understudy.__file__)", cwd=tmp_path, env=alone)
    assert place.stdout.startswith(str(packages))
    version = run(binaries / "understudy", "--version", cwd=tmp_path, env=alone)
    assert version.stdout == f"understudy {wheel.name.split('-')[1]}\n"
    assert "quickstart" in run(binaries / "understudy", "recipes", cwd=tmp_path, env=alone).stdout
