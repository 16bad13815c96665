"""The notebook, from its first cell to its last, in an empty folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.acceptance

NOTEBOOK = Path(__file__).parents[2] / "examples" / "walkthrough.ipynb"


def shown(notebook: Any, beginning: str) -> str:
    """All that the cell which begins like this wrote or displayed, pictures by their type."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(beginning)]
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [output.get("text", ""), *(str(data[kind]) for kind in data if kind.startswith("text/"))]
        parts += [kind for kind in data if kind.startswith("image/")]
    return "\n".join(parts)


def test_the_walkthrough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=3000, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert "[teacher]" in shown(notebook, "recipe = ")
    training = shown(notebook, "run = understudy.distill")
    assert all(stage in training for stage in ("teacher", "soft labels", "student", "no_distillation", "100%"))
    figures = shown(notebook, "run.metrics")
    assert all(found in figures for found in ("<table", "student / teacher", "distillation gain", "verdict"))
    assert "image/png" in shown(notebook, "Image(")
    assert "A triumph." in shown(notebook, "texts = ")
    assert "test texts get another label" in shown(notebook, "predictions = ")
    assert "linear model" in shown(notebook, "metrics = run.metrics")
    second = shown(notebook, "smaller = ")
    assert "teacher from the cache: True" in second
    assert "answers that the teacher had to compute anew: 0" in second
    assert "2 layers" in shown(notebook, "pd.DataFrame")
    assert (tmp_path / "runs" / "walkthrough" / "report" / "dashboard.png").is_file()
