"""A long prediction that is killed ten times, at random moments, loses and repeats no row."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import killing
from conftest import WORDS
from understudy.inference.bulk import WINDOW

pytestmark = pytest.mark.acceptance

ROWS = 100_000


@pytest.mark.parametrize(("output", "seed"), [("parquet", 1), ("jsonl", 2)])
def test_killed_ten_times(output: str, seed: int, make_model: Callable[..., Path], tmp_path: Path) -> None:
    model, source = make_model("model", ["negative", "positive"]), tmp_path / "in.parquet"
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(ROWS)]
    pq.write_table(pa.table({"id": range(ROWS), "text": texts}), source)
    undisturbed, disturbed = tmp_path / f"undisturbed.{output}", tmp_path / f"out.{output}"
    script = Path(killing.__file__)
    command = [sys.executable, *map(str, (script, model, source, undisturbed, disturbed, 10, seed, WINDOW))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 10
    assert done.stderr.count("rows were done before") > 3
    assert disturbed.read_bytes() == undisturbed.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model", source.name, undisturbed.name, disturbed.name}
