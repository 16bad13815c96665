"""The cache folder: what is kept there, which runs use it, and how old work is removed.

    teachers/KEY/    linear/KEY/    logits/KEY/    tokens/KEY.arrow

Whatever else lies there is listed as `other` and never removed.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Literal, cast

from understudy.errors import UserError
from understudy.storage.layout import RunDirectory
from understudy.storage.usage import MARKER, marker, runs_of

log = logging.getLogger(__name__)

Kind = Literal["teachers", "linear", "logits", "tokens", "unfinished", "other"]
_KINDS = ("teachers", "linear", "logits", "tokens")

RECENT = timedelta(days=1)
"""What was used within this time is kept: a run may be reading it."""

_KEY = "[0-9a-f]{32}"
_MODEL = re.compile(rf"model|training\.json|\.[0-9a-f]{{8}}-.+|{re.escape(MARKER)}")
# What an entry that is a folder may hold. A dot begins what is still being written.
_CONTENTS = {
    "teachers": _MODEL,
    "linear": _MODEL,
    "logits": re.compile(rf"[0-9a-f]{{64}}\.npy|key\.json|fallback\.json|\.[0-9a-f]{{8}}-.+|{re.escape(MARKER)}"),
}
_TOKENS = re.compile(rf"({_KEY})\.(arrow|sha256|{re.escape(MARKER)})")
# What `storage.files` leaves if it is killed while it writes, and `prune` if it is killed while it removes.
_UNFINISHED = re.compile(rf"\.[0-9a-f]{{8}}-(new-|old-)?{_KEY}(\..+)?")


@dataclass(frozen=True)
class Entry:
    """Something in the cache.

    Attributes:
        kind: Its folder; `unfinished` for what an interrupted process left, `other` for what understudy does not know.
        path: The folder or file.
        bytes: Its size.
        last_used: When it was made or found for the last time.
        runs: Directories of the runs that use it and still exist.
    """

    kind: Kind
    path: Path
    bytes: int
    last_used: datetime
    runs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        last_used = self.last_used.isoformat(timespec="seconds")
        return {**vars(self), "path": str(self.path), "last_used": last_used, "runs": list(self.runs)}


@dataclass(frozen=True)
class Listing:
    """What a cache folder holds, the last used first."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        entries = [entry.to_json() for entry in self.entries]
        return {"cache": str(self.folder), "bytes": self.bytes, "entries": entries}


@dataclass(frozen=True)
class Pruned:
    """What `prune` did.

    Attributes:
        folder: The cache folder.
        removed: The entries that are gone.
        in_use: Entries that would be gone, but were used within the last day.
        failed: Entries that could not be removed.
    """

    folder: Path
    removed: tuple[Entry, ...]
    in_use: tuple[Entry, ...]
    failed: tuple[Entry, ...]

    @property
    def freed(self) -> int:
        """In bytes."""
        return sum(entry.bytes for entry in self.removed)

    def to_json(self) -> dict[str, Any]:
        found = {name: [entry.to_json() for entry in getattr(self, name)] for name in ("removed", "in_use", "failed")}
        return {"cache": str(self.folder), "freed": self.freed, **found}


def list_cache(cache: Path) -> Listing:
    """Lists a cache folder; one that does not exist is empty.

    Raises:
        UserError: It is a file.
    """
    if not cache.exists():
        return Listing(cache, ())
    if not cache.is_dir():
        raise UserError(f"{cache} is a file, but a cache is a folder. Give another --cache-dir.")
    entries = sorted(_entries(cache), key=lambda entry: entry.last_used, reverse=True)
    return Listing(cache, tuple(entries))


def prune(
    cache: Path, *, older_than: timedelta | None = None, larger_than: int | None = None, force: bool = False
) -> Pruned:
    """Removes old work from a cache folder. A run that needs it does it again; finished runs need none of it.

    Args:
        cache: The cache folder.
        older_than: Remove what was not used for this time.
        larger_than: Then remove what was not used for the longest time, until the rest has at most so many bytes.
        force: Whether to remove also what was used within the last day.

    Raises:
        UserError: Neither limit is given, or the cache is a file.
    """
    if older_than is None and larger_than is None:
        raise UserError("Pruning needs a limit. Give --older-than, such as 30d, or --larger-than, such as 5GB.")
    listing = list_cache(cache)
    now = datetime.now(UTC)
    chosen = _chosen([entry for entry in listing.entries if entry.kind != "other"], now, older_than, larger_than)
    removed, in_use, failed = [], [], []
    for entry in chosen:
        # Looked at again: a run may have found it since.
        if not force and (_looked_at(entry.kind, entry.path) or entry).last_used > now - RECENT:
            in_use.append(entry)
        elif _remove(entry):
            removed.append(entry)
        else:
            failed.append(entry)
    return Pruned(cache, tuple(removed), tuple(in_use), tuple(failed))


def cache_folders(cache: Path) -> dict[str, Path]:
    """The cache folders that work with understudy fills: its own, and Hugging Face's for models and data sets."""
    found = {"understudy": cache}
    try:
        from huggingface_hub import constants
    except ImportError:
        return found
    datasets = os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets"
    return {**found, "Hugging Face Hub": Path(constants.HF_HUB_CACHE), "Hugging Face datasets": Path(datasets)}


def _chosen(
    entries: list[Entry], now: datetime, older_than: timedelta | None, larger_than: int | None
) -> Iterator[Entry]:
    """The entries beyond the limits, the last used last."""
    left = sum(entry.bytes for entry in entries)
    for entry in sorted(entries, key=lambda entry: entry.last_used):
        old = older_than is not None and now - entry.last_used > older_than
        if old or (larger_than is not None and left > larger_than):
            left -= entry.bytes
            yield entry


def _entries(cache: Path) -> Iterator[Entry]:
    for place in sorted(cache.iterdir()):
        if place.name in _KINDS and _is_folder(place):
            found = _tokens(place) if place.name == "tokens" else _folders(place)
        else:
            found = iter([("other", place)])
        yield from filter(None, (_looked_at(kind, path) for kind, path in found))


def _folders(folder: Path) -> Iterator[tuple[Kind, Path]]:
    """Where each entry is a folder."""
    for place in sorted(folder.iterdir()):
        if _UNFINISHED.fullmatch(place.name):
            yield "unfinished", place
        elif re.fullmatch(_KEY, place.name) and _is_folder(place) and _holds_only(place, _CONTENTS[folder.name]):
            yield cast(Kind, folder.name), place
        else:
            yield "other", place


def _tokens(folder: Path) -> Iterator[tuple[Kind, Path]]:
    """Where each entry is a file; others that begin with its key belong to it."""
    keys = set()
    for place in sorted(folder.iterdir()):
        found = _TOKENS.fullmatch(place.name)
        if found and not place.is_symlink() and place.is_file():
            keys.add(found[1])
        else:
            yield "unfinished" if _UNFINISHED.fullmatch(place.name) else "other", place
    for key in sorted(keys):
        yield "tokens", folder / f"{key}.arrow"


def _looked_at(kind: Kind, path: Path) -> Entry | None:
    """An entry with its size and last use; None if it is gone."""
    found = [status for part in _parts(kind, path) for status in _statuses(part)]
    if not found:
        return None
    size = sum(status.st_size for status in found if not S_ISDIR(status.st_mode))
    last_used = datetime.fromtimestamp(max(status.st_mtime for status in found), UTC)
    runs = runs_of(marker(path)) if kind in _KINDS else []
    return Entry(kind, path, size, last_used, tuple(run for run in runs if RunDirectory(Path(run)).is_run()))


def _parts(kind: Kind, path: Path) -> list[Path]:
    """The files and folders that an entry consists of."""
    return [path, path.with_suffix(".sha256"), path.with_suffix(f".{MARKER}")] if kind == "tokens" else [path]


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Of a file, or of a folder and all in it; links are not followed."""
    places = [str(path)]
    if _is_folder(path):
        places += [os.path.join(place, name) for place, *names in os.walk(path) for name in chain(*names)]
    for place in places:
        with suppress(OSError):  # gone in the meantime
            yield os.lstat(place)


def _remove(entry: Entry) -> bool:
    """Removes an entry; False if the system refuses. Readers see it whole or not at all: it is renamed first."""
    try:
        for part in _parts(entry.kind, entry.path):
            if not (part.exists() or part.is_symlink()):
                continue
            doomed = part.with_name(f".{secrets.token_hex(4)}-old-{part.name.rpartition('-')[2]}")
            part.rename(doomed)
            if _is_folder(doomed):
                shutil.rmtree(doomed)
            else:
                doomed.unlink()
    except OSError as error:
        log.warning("%s cannot be removed: %s", entry.path, error.strerror or error)
        return False
    return True


def _holds_only(folder: Path, names: re.Pattern[str]) -> bool:
    return all(names.fullmatch(place.name) for place in folder.iterdir())


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
