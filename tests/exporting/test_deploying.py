"""docs/deploying.md: its code runs as it stands, and all of it gives the same labels."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.exporting.export import Export
from understudy.inference.classifier import Classifier

pytestmark = pytest.mark.acceptance  # the exports take their time

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
TEXTS = ["A triumph.", "Two hours I will not get back."]


@pytest.fixture
def quickstart(finished: Any, exported: Callable[..., Export], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run that the page speaks of, made of the finished one."""
    run = tmp_path / "runs" / "quickstart"
    shutil.copytree(finished.out, run)
    shutil.copytree(exported("int8").folder, run / "export" / "int8")
    shutil.copytree(exported("fp32", "onnx").folder, run / "export" / "onnx-fp32")
    monkeypatch.chdir(tmp_path)
    return run


def test_every_block_runs_and_agrees(quickstart: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    int8, fp32 = (Classifier.load(quickstart / "export" / name).predict(TEXTS) for name in ("int8", "onnx-fp32"))
    assert lines[0] == str(int8)
    assert lines[2:4] == [str(int8), str(fp32)]
    assert fp32[0] in lines[4]
