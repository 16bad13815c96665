"""The quickstart with the packaged encoder, whole, as `make quickstart` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance


def test_the_quickstart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "understudy", "run", "quickstart", "--json"]
    command += ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["teacher"]["parameters"] == 22_713_986
    assert metrics["student"]["parameters"] == 17_390_594
    assert metrics["teacher"]["accuracy"] > 0.8
    assert metrics["student"]["accuracy"] > 0.75
    assert metrics["verdict"]["code"].upper() in done.stderr
    for name in ("recipe.toml", "manifest.json", "metrics.json", "predictions.parquet", "report/dashboard.png"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert json.loads(again.stdout) == metrics
    assert again.stderr.count("already finished") == 6
