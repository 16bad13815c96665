"""Cores and memory that a process may use, by the files of both versions of cgroups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from understudy.runtime import limits
from understudy.runtime.limits import Cores, cores, cpu_quota, memory, memory_limit


def write(place: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """The tree of cgroups with some files, and the process's own line."""
    for name, content in files.items():
        path = place / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (place / "own").write_text(own)
    return place / "cgroup", place / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "200000 100000", "a/b/cpu.max": "800000 100000"}, 2.0),
        ("0::/host/only\n", {"cpu.max": "50000 100000\n"}, 0.5),
        (
            "4:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("4:cpu,cpuacct:/a\n", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("4:cpuset:/\n", {"cpu.max": "150000 100000"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("", {}, None),
        ("0::/../../etc\n", {"cpu.max": "150000 100000"}, 1.5),
    ],
)
def test_the_quota_of_the_cpu(own: str, files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    assert cpu_quota(*write(tmp_path, own, files)) == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/a\n", {"a/memory.max": "max\n", "memory.max": "2000000\n"}, 2_000_000),
        ("0::/a\n", {"a/memory.max": "1000\n", "memory.max": "2000000\n"}, 1000),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": "5000\n"}, 5000),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {}, None),
    ],
)
def test_the_limit_of_memory(own: str, files: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    assert memory_limit(*write(tmp_path, own, files)) == expected


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "none") is None
    assert memory_limit(tmp_path / "none", tmp_path / "none") is None


def test_usable_cores_are_the_fewest() -> None:
    assert Cores(8, 4, None).usable == 4
    assert Cores(8, 4, 1.5).usable == 1.5
    assert Cores(8, 4, 16.0).usable == 4
    assert [Cores(8, 4, quota).threads for quota in (None, 1.5, 0.5)] == [4, 1, 1]


def test_the_cores_of_this_process() -> None:
    found = cores()
    assert found.machine == os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        assert found.affinity == len(os.sched_getaffinity(0))
    assert 0 < found.usable <= found.machine


def test_a_limit_above_the_machines_memory_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16 kB\nMemAvailable:  8 kB\nHugePages_Total:  0\n")
    monkeypatch.setattr(limits, "_MEMORY", meminfo)
    monkeypatch.setattr(limits, "memory_limit", lambda: 2**63 - 4096)
    assert memory() == limits.Memory(16 * 1024, 8 * 1024, None)
    monkeypatch.setattr(limits, "memory_limit", lambda: 9 * 1024)
    assert memory() == limits.Memory(16 * 1024, 8 * 1024, 9 * 1024)
