"""Stores the finished parts of a prediction next to its output, so that the same command can resume it.

The hidden folder `.NAME.parts` holds one file of probabilities for each finished window of rows, and `work.json`, which
describes the work. A part starts with a checksum over its content, its number and the work, so a part that is cut off,
damaged or of other work is noticed. The rows themselves are not stored, because the input has them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from understudy.errors import UserError
from understudy.storage.files import fingerprint, write_file, write_json
from understudy.storage.records import load_record

log = logging.getLogger(__name__)

_OWNER = "owner"
_WORK = "work.json"
_PARTS = "[0-9]*.part"
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_NUMBER = np.dtype("<f8")
# Error codes of disks without locks, such as some network disks.
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def parts_folder(output: Path) -> Iterator[Path]:
    """Yields the folder of an output's parts, for this process alone; removes it afterwards unless it holds parts.

    Args:
        output: The file to write.

    Raises:
        UserError: Another process is writing the same output.
    """
    folder = output.with_name(f".{output.name}.parts")
    with _locked(output.with_name(f".{output.name}.lock"), output, folder / _OWNER):
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError:
            raise UserError(f"{folder} is a file; expected a folder or nothing. Remove the file.") from None
        (folder / _OWNER).write_text(str(os.getpid()), encoding="utf-8")
        try:
            yield folder
        finally:
            if not any(folder.glob(_PARTS)):
                _empty(folder)
            (folder / _OWNER).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it still holds parts
                folder.rmdir()


class Parts:
    """The finished windows of a prediction.

    Attributes:
        rows: How many rows they have in total.
    """

    def __init__(self, folder: Path, work: dict[str, Any]) -> None:
        """Reuses the parts of an earlier attempt at the same work, and removes everything else.

        Args:
            folder: From `parts_folder`.
            work: What the predictions depend on, fit for JSON; `classes` names the probabilities' columns.
        """
        self._folder = folder
        self._work = fingerprint(**work)
        self._classes = len(work["classes"])
        self.rows = 0
        earlier = _description(folder)
        if earlier != work:
            if any(folder.glob(_PARTS)):
                log.warning("%s belongs to other work and is removed: %s", folder, _difference(earlier, work))
            _empty(folder)
            write_json(folder / _WORK, work)
        for path in folder.iterdir():
            if path.name.startswith("."):  # left half written by a killed process
                path.unlink()
            elif path.match(_PARTS):
                part = self._read(path)
                if part is None:
                    log.warning("%s is damaged; its rows are computed again", path)
                    path.unlink()
                else:
                    self.rows += len(part)

    def get(self, number: int) -> np.ndarray | None:
        """Probabilities of a window, float64 of shape (rows, classes); None if it is not finished."""
        return self._read(self._path(number))

    def put(self, number: int, probabilities: np.ndarray) -> None:
        """Stores a finished window."""
        path = self._path(number)
        content = probabilities.astype(_NUMBER).tobytes()
        write_file(path, lambda temporary: temporary.write_bytes(self._checksum(path, content) + content))
        self.rows += len(probabilities)

    def clear(self) -> None:
        """Removes all parts."""
        _empty(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.part"

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            whole = path.read_bytes()
        except FileNotFoundError:
            return None
        checksum, content = whole[:_CHECKSUM_BYTES], whole[_CHECKSUM_BYTES:]
        if checksum != self._checksum(path, content):
            return None
        return np.frombuffer(content, _NUMBER).reshape(-1, self._classes)

    def _checksum(self, path: Path, content: bytes) -> bytes:
        return hashlib.sha256(f"{self._work}/{path.name}/".encode() + content).digest()


@contextmanager
def _locked(path: Path, output: Path, owner: Path) -> Iterator[None]:
    """Holds a lock, which ends with the process at the latest.

    Args:
        path: The lock's file.
        output: The file to write, for messages.
        owner: Holds the ID of the process that has the lock.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"--output {output}: another process ({_owner(owner)}) is writing it. Wait until it ends, or give another "
            "name."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s cannot be locked (%s); make sure that only one process writes it", output, error.strerror)
    try:
        yield
    finally:
        # Removed while it is held: afterwards it may be another process's. Windows removes it with the release.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "unknown"
    except OSError:
        return "unknown"


def _description(folder: Path) -> dict[str, Any] | None:
    try:
        return load_record(dict[str, Any], folder / _WORK)
    except (OSError, ValueError):
        return None


def _difference(earlier: dict[str, Any] | None, work: dict[str, Any]) -> str:
    if earlier is None:
        return "its description cannot be read"
    return f"different {', '.join(name for name in work if earlier.get(name) != work[name]) or 'options'}"


def _empty(folder: Path) -> None:
    """Removes all files but the owner's; the description goes last, because parts without it are useless."""
    for path in sorted(folder.glob("*"), key=lambda path: path.name == _WORK):
        if path.name != _OWNER:
            path.unlink()
