"""The machine and its caches as people see them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from understudy.reporting.machine_table import ago, show_cache, show_diagnosis, show_pruned
from understudy.runtime.doctor import CacheFolder, Device, Diagnosis, EngineCheck
from understudy.runtime.limits import Cores, Memory
from understudy.runtime.packages import Need
from understudy.storage.cache import Entry, Kind, Listing, Pruned

NOW = datetime.now(UTC)
FOUND = Diagnosis(
    understudy="0.1.0",
    python="3.11.7",
    system="Linux",
    processor="Fast [x86]",
    cores=Cores(8, 4, 1.5),
    memory=Memory(16 * 10**9, 8 * 10**9, None),
    devices=(Device("cpu", "Fast [x86]", None, ("bf16", "fp32")), Device("cuda:0", "Big", 80 * 10**9, ())),
    engines=(EngineCheck("pytorch", False, "not installed: torch"),),
    needs=(
        Need("numpy", ">=1.26", "", "2.0", True),
        Need("torch", ">=2.6", "distill", None, False),
        Need("scipy", ">=1.11", "distill", "1.0", False),
        Need("ruff", "", "dev", None, False),
    ),
    caches=(CacheFolder("understudy", "/cache", 1500), CacheFolder("Hugging Face Hub", "/hub", None)),
)


def entry(kind: Kind = "teachers", days: float = 3, path: Path | None = None, runs: tuple[str, ...] = ()) -> Entry:
    return Entry(
        kind, path or Path("/cache") / kind / ("ab" * 16), 5000, datetime.now(UTC) - timedelta(days=days), runs
    )


def lines(show: Callable[[Any, Console], None], content: object) -> list[str]:
    out = io.StringIO()
    show(content, Console(file=out, width=100))
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_a_diagnosis() -> None:
    shown = lines(show_diagnosis, FOUND)
    for line in (
        "understudy 0.1.0",
        "processor Fast [x86]",
        "cores 1.5 usable (8 in the machine, 4 by affinity, a quota of 1.5)",
        "memory 16.0 GB, 8.0 GB available, no cgroup limit",
        "device cpu Fast [x86]; compute types: bf16, fp32",
        "device cuda:0 Big, 80.0 GB; compute types: unknown",
        "engine pytorch not installed: torch",
        "cache, understudy 1.5 kB, /cache",
        "cache, Hugging Face Hub does not exist, /hub",
        "numpy 2.0 >=1.26 base",
        "torch missing >=2.6 distill",
        "base nothing",
        "distill torch>=2.6, scipy>=1.11",
        "dev ruff",
    ):
        assert line in shown


def test_a_cache() -> None:
    listing = Listing(Path("/cache"), (entry(runs=("/runs/a", "/runs/b")), entry("other", 0, path=Path("/cache/x"))))
    shown = lines(show_cache, listing)
    assert "teachers abababababab 5.0 kB 3 days ago /runs/a, /runs/b" in shown
    assert "other x 5.0 kB now -" in shown
    assert shown[-1] == "2 entries, 10.0 kB in /cache"


def test_an_empty_cache() -> None:
    assert lines(show_cache, Listing(Path("/cache"), ())) == ["/cache is empty."]


def test_what_was_pruned() -> None:
    shown = lines(show_pruned, Pruned(Path("/cache"), (entry(),), (entry(days=0), entry(days=0)), (entry("linear"),)))
    assert "teachers abababababab 5.0 kB 3 days ago -" in shown
    assert shown[-3:] == [
        "Removed 1 entry from /cache: 5.0 kB freed.",
        "Kept 2 entries used within the last day. --force removes these too.",
        "Could not remove 1 entry.",
    ]


def test_nothing_was_pruned() -> None:
    assert lines(show_pruned, Pruned(Path("/c"), (), (), ())) == ["Removed 0 entries from /c: 0 B freed."]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "now"), (59, "now"), (60, "1 minute ago"), (7200, "2 hours ago"), (90_000, "1 day ago"), (-100, "now")],
)
def test_ago(seconds: int, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words
