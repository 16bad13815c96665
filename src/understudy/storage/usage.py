"""Which runs use a cache entry, and when it was last used: noted in a small file, the entry's marker."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path

from understudy.storage.files import write_json
from understudy.storage.records import load_record

log = logging.getLogger(__name__)

MARKER = "used.json"
_MOST_RUNS = 100


@dataclass(frozen=True)
class _Marker:
    runs: list[str]


_user: ContextVar[Path | None] = ContextVar("understudy_cache_user", default=None)


@contextmanager
def used_by(run: Path) -> Iterator[None]:
    """Within the block `note_use` names this run.

    Args:
        run: The run directory.
    """
    before = _user.set(run.absolute())
    try:
        yield
    finally:
        _user.reset(before)


def note_use(entry: Path) -> None:
    """Notes that a cache entry is used now. A failure to write the note is not an error: the work goes on.

    Args:
        entry: A folder or a file of the cache; nothing is noted if it does not exist.
    """
    run = _user.get()
    try:
        if not entry.exists():
            return
        path = marker(entry)
        before = runs_of(path)
        runs = before if run is None else [*(each for each in before if each != str(run)), str(run)]
        if runs == before and path.is_file():
            os.utime(path)
        else:
            write_json(path, asdict(_Marker(runs[-_MOST_RUNS:])))
    except (OSError, ValueError) as error:  # a cache that cannot be written, a path that is not UTF-8
        log.debug("%s: its use was not noted: %s", entry, error)


def marker(entry: Path) -> Path:
    """The file that notes the uses of an entry: inside a folder, next to a file."""
    return entry / MARKER if entry.is_dir() else entry.with_suffix(f".{MARKER}")


def runs_of(path: Path) -> list[str]:
    """The runs that a marker names, the last user last; none if there is no marker or it is damaged."""
    try:
        return load_record(_Marker, path).runs
    except (OSError, ValueError):
        return []
