"""Processes that predict the same output, or are stopped or killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import killing
from stopping import ROWS, WINDOW, Job, write_texts
from understudy.cli.main import main
from understudy.inference.parts import parts_folder

NAMES = ["negative", "positive"]


def test_a_second_process_is_refused(
    job: Job, make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "predict",
        str(make_model("model", NAMES)),
        "--input",
        str(job.source),
        "--device",
        "cpu",
        "--output",
    ]
    with parts_folder(tmp_path / "out.csv"):
        assert main([*command, str(tmp_path / "out.csv")]) == 2
    assert f"another process ({os.getpid()}) is writing it" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out.csv")]) == 0


def test_interrupted(
    job: Job, make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "predict",
        str(make_model("model", NAMES)),
        "--input",
        str(job.source),
        "--device",
        "cpu",
    ]
    command += ["--output", str(tmp_path / "out.csv")]
    job.computed.stop = 2
    assert main(command) == 130
    told = capsys.readouterr().err
    assert f"{2 * WINDOW} of {ROWS} rows are done and kept" in told and "Run the same command again to resume" in told
    job.computed.stop = None
    assert main(command) == 0
    assert f"{2 * WINDOW} of {ROWS} rows were done before" in capsys.readouterr().err


@pytest.mark.acceptance
def test_killed_at_random_moments(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL, in other processes."""
    model = make_model("model", NAMES)
    source = write_texts(tmp_path / "in.csv", 2000)
    script, undisturbed, output = Path(killing.__file__), tmp_path / "undisturbed.parquet", tmp_path / "out.parquet"
    command = [sys.executable, *map(str, (script, model, source, undisturbed, output)), "4", "1", "64"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)
    assert len(parts) == 4
    assert len(set(parts)) > 1  # some work was there to resume
    assert output.read_bytes() == undisturbed.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "model", "out.parquet", "undisturbed.parquet"]
