"""The machine and its caches for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from understudy.reporting import formats
from understudy.reporting.terminal import print_wide
from understudy.runtime.doctor import CacheFolder, Device, Diagnosis
from understudy.runtime.limits import Cores, Memory
from understudy.storage.cache import Entry, Listing, Pruned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 120
"""The least number of columns where there is no terminal to ask."""

_UNKNOWN = "unknown"
_KEY_SHOWN = 12


def show_diagnosis(found: Diagnosis, console: Console) -> None:
    """Prints what a machine has.

    Args:
        found: What `diagnose` found.
        console: Where to print. Without a terminal the text is plain and at least `PLAIN_WIDTH` columns wide.
    """
    from rich.console import Group

    rows = [
        ("understudy", found.understudy or "not installed: it runs from a source tree"),
        ("python", found.python),
        ("system", found.system),
        ("processor", found.processor),
        ("cores", _cores(found.cores)),
        ("memory", _memory(found.memory)),
        *((f"device {device.name}", _device(device)) for device in found.devices),
        *((f"engine {engine.name}", engine.details) for engine in found.engines),
        *((f"cache, {cache.name}", f"{_size(cache)}, {cache.path}") for cache in found.caches),
    ]
    packages = [
        (need.name, need.installed or "missing", need.versions or "any", need.extra or "base")
        for need in found.needs
        if need.extra != "dev"
    ]
    extras = [
        (name, ", ".join(need.name + need.versions for need in missing) or "nothing")
        for name, missing in found.extras.items()
    ]
    tables = (
        _table((), rows),
        _table(("package", "installed", "expected", "needed by"), packages),
        _table(("extra", "missing"), extras),
    )
    print_wide(Group(*tables), console, PLAIN_WIDTH, end="")


def show_cache(found: Listing, console: Console) -> None:
    """Prints what a cache folder holds, the last used first.

    Args:
        found: The listing.
        console: Where to print, as in `show_diagnosis`.
    """
    from rich.console import Group
    from rich.text import Text

    if not found.entries:
        console.print(Text(f"{found.folder} is empty."))
        return
    total = Text(f"{_counted(len(found.entries))}, {formats.size(found.bytes)} in {found.folder}")
    print_wide(Group(_entries(found.entries), total), console, PLAIN_WIDTH)


def show_pruned(found: Pruned, console: Console) -> None:
    """Prints what was removed from a cache folder, and what was kept although it is beyond the limits.

    Args:
        found: What `prune` did.
        console: Where to print, as in `show_diagnosis`.
    """
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"Removed {_counted(len(found.removed))} from {found.folder}: {formats.size(found.freed)} freed.")]
    if found.in_use:
        lines.append(Text(f"Kept {_counted(len(found.in_use))} used within the last day. --force removes these too."))
    if found.failed:
        lines.append(Text(f"Could not remove {_counted(len(found.failed))}."))
    tables = [_entries(found.removed)] if found.removed else []
    print_wide(Group(*tables, *lines), console, PLAIN_WIDTH)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago something was, in the largest unit that fits: `5 minutes ago`, `3 days ago`."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "now"


def _entries(entries: Iterable[Entry]) -> Table:
    rows = [
        (
            entry.kind,
            entry.path.name if entry.kind == "other" else entry.path.stem[:_KEY_SHOWN],
            formats.size(entry.bytes),
            ago(entry.last_used),
            ", ".join(entry.runs) or "-",
        )
        for entry in entries
    ]
    return _table(("kind", "entry", "size", "last used", "runs"), rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(headings))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _cores(cores: Cores) -> str:
    quota = "no quota" if cores.quota is None else f"a quota of {cores.quota:g}"
    return f"{cores.usable:g} usable ({cores.machine} in the machine, {cores.affinity} by affinity, {quota})"


def _memory(memory: Memory) -> str:
    limit = "no cgroup limit" if memory.limit is None else f"limit {formats.size(memory.limit)}"
    return f"{_bytes(memory.total)}, {_bytes(memory.available)} available, {limit}"


def _device(device: Device) -> str:
    parts = [device.model, *([] if device.memory is None else [formats.size(device.memory)])]
    types = ", ".join(device.compute_types) or _UNKNOWN
    return f"{', '.join(parts)}; compute types: {types}"


def _size(cache: CacheFolder) -> str:
    return "does not exist" if cache.bytes is None else formats.size(cache.bytes)


def _bytes(count: int | None) -> str:
    return _UNKNOWN if count is None else formats.size(count)


def _counted(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"
