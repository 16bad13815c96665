"""How many cores and how much memory this process may use: the machine's, less what affinity and cgroups take away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Cores:
    """CPU cores.

    Attributes:
        machine: Of the machine.
        affinity: Those that the process may run on.
        quota: CPU time that its cgroup allows, in cores; None without a limit.
    """

    machine: int
    affinity: int
    quota: float | None

    @property
    def usable(self) -> float:
        """Cores' worth of time that the process can get."""
        return self.affinity if self.quota is None else min(self.affinity, self.quota)

    @property
    def threads(self) -> int:
        """Threads that all have a core of their own; at least 1."""
        return max(1, int(self.usable))


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes.

    Attributes:
        total: Of the machine; None if unknown.
        available: What programs can still take without swapping; None if unknown.
        limit: What the cgroup allows; None without a limit.
    """

    total: int | None
    available: int | None
    limit: int | None


def cores() -> Cores:
    """The cores of this machine and this process."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    return Cores(machine, affinity, cpu_quota())


def memory() -> Memory:
    """The memory of this machine and this process."""
    known = _meminfo()
    total, limit = known.get("MemTotal"), memory_limit()
    if total is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Version 1 has no word for "no limit": it gives a number that no machine has.
    if limit is not None and total is not None and limit >= total:
        limit = None
    return Memory(total, known.get("MemAvailable"), limit)


def cpu_quota(cgroups: Path = _CGROUPS, own: Path = _OWN) -> float | None:
    """The lowest CPU limit of the process's cgroup and those above it, in cores; None without one."""
    found = []
    for folder in _folders("cpu", cgroups, own):
        two = _words(folder / "cpu.max")  # version 2: "200000 100000", or "max 100000"
        one = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")  # version 1; -1 for no limit
        for words in (two, one):
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
                found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)


def memory_limit(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int | None:
    """The lowest memory limit of the process's cgroup and those above it, in bytes; None without one."""
    folders = list(_folders("memory", cgroups, own))
    words = [_words(folder / name) for folder in folders for name in ("memory.max", "memory.limit_in_bytes")]
    return min((int(each[0]) for each in words if each and each[0].isdecimal()), default=None)


def _folders(controller: str, cgroups: Path, own: Path) -> Iterator[Path]:
    """The folders that may limit the process, in both versions: its own cgroup's and all above it.

    In a container `/proc/self/cgroup` may name a path of the host, which is not there; then the root counts.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        for top in [cgroups / controllers, cgroups / controller] if controllers else [cgroups, cgroups / "unified"]:
            place = top / path.lstrip("/")
            yield from (each for each in (place, *place.parents) if each == top or top in each.parents)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []


def _meminfo() -> dict[str, int]:
    """`/proc/meminfo` in bytes; empty where there is none."""
    found = {}
    try:
        lines = _MEMORY.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found
