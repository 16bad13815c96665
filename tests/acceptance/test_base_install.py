"""The base install, without any extra, runs an export."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]


def test_the_base_install_runs_an_export(finished: Any, tmp_path: Path) -> None:
    from understudy.exporting.export import export

    folder = export(finished.out, out=tmp_path / "export").folder
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    project = tmp_path / "project"  # a copy, in which building may leave what it likes
    shutil.copytree(ROOT / "src", project / "src")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    install = [binaries / "python", "-m", "pip", "install", "--quiet", project]
    subprocess.run(install, check=True, timeout=600)
    listed = subprocess.run([binaries / "python", "-m", "pip", "list"], capture_output=True, text=True, check=True)
    installed = {line.split()[0] for line in listed.stdout.splitlines()}
    assert {"openvino", "tokenizers", "numpy"} <= installed
    assert not {"torch", "transformers", "scikit-learn", "scipy"} & installed

    command = [binaries / "understudy", "predict", folder]
    answer = subprocess.run([*command, "good film", "--json"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["label"] in ("negative", "positive")

    source = Path(finished.recipe.data.test)
    files = ["--input", source, "--output", tmp_path / "answers.parquet"]
    bulk = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert bulk.returncode == 0, bulk.stderr
    assert (tmp_path / "answers.parquet").stat().st_size > 0

    untrained = subprocess.run(
        [binaries / "understudy", "run", "quickstart"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert untrained.returncode == 2
    assert "pip install '.[distill]'" in untrained.stderr
    assert "Traceback" not in untrained.stderr
