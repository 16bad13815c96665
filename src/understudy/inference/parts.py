"""What an unfinished prediction keeps beside its output, so that the same command goes on where it was stopped.

The hidden folder `.NAME.parts` holds one file of probabilities for each finished window of rows, and `work.json`, which
says whose they are. A part begins with a checksum over its content, its number and the work: one that is cut off,
damaged or of other work does not pass for whole. The rows themselves are not kept, for the input has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from understudy.errors import UserError
from understudy.storage.files import fingerprint, write_file, write_json
from understudy.storage.records import load_record

log = logging.getLogger(__name__)

_LOCK = "lock"
_WORK = "work.json"
_PARTS = "[0-9]*.part"
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_NUMBER = np.dtype("<f8")


@contextmanager
def parts_folder(output: Path) -> Iterator[Path]:
    """Yields the folder of an output's parts, for this process alone; afterwards it is removed unless it holds some.

    Args:
        output: The file that is to be written.

    Raises:
        UserError: another process works on the same output.
    """
    folder = output.with_name(f".{output.name}.parts")
    lock = _locked(folder, output)
    try:
        yield folder
    finally:
        if not any(folder.glob(_PARTS)):
            _empty(folder)
        # Last, for whoever finds no lock may take the folder for its own.
        (folder / _LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # parts are kept in it, or the next process has come
            folder.rmdir()
        lock.close()


class Parts:
    """The finished windows of a piece of work.

    Attributes:
        rows: How many rows they have together.
    """

    def __init__(self, folder: Path, work: dict[str, Any]) -> None:
        """Takes over what an earlier try left, if it did the same work, and removes everything else.

        Args:
            folder: From `parts_folder`.
            work: What the answers depend on, as JSON can express it; `classes` names the probabilities' columns.
        """
        self._folder = folder
        self._work = fingerprint(**work)
        self._classes = len(work["classes"])
        self.rows = 0
        earlier = _description(folder)
        if earlier != work:
            if any(folder.glob(_PARTS)):
                log.warning("%s was kept of other work and is removed: %s", folder, _difference(earlier, work))
            _empty(folder)
            write_json(folder / _WORK, work)
        for path in folder.iterdir():
            if path.name.startswith("."):  # what a killed process was writing
                path.unlink()
            elif path.match(_PARTS):
                part = self._read(path)
                if part is None:
                    log.warning("%s is damaged; its rows are computed again", path)
                    path.unlink()
                else:
                    self.rows += len(part)

    def get(self, number: int) -> np.ndarray | None:
        """Probabilities of a window, float64 of shape (rows, classes); None where it is not finished."""
        return self._read(self._path(number))

    def put(self, number: int, probabilities: np.ndarray) -> None:
        """Keeps a finished window."""
        path = self._path(number)
        content = probabilities.astype(_NUMBER).tobytes()
        write_file(path, lambda temporary: temporary.write_bytes(self._checksum(path, content) + content))
        self.rows += len(probabilities)

    def clear(self) -> None:
        """Removes all parts, for they have served, or cannot."""
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


def _locked(folder: Path, output: Path) -> IO[str]:
    """The lock's open file; closing it, or the end of the process, however it ends, gives the lock back."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / _LOCK).open("a+", encoding="utf-8")
        except FileNotFoundError:  # its former owner has just removed the folder
            continue
        except FileExistsError:
            raise UserError(f"{folder} is a file: expected a folder there, or nothing. Remove it.") from None
        if not _lock(file):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise UserError(
                f"--output {output}: another process ({owner}) is working on it. Wait for its end, or give another "
                "name."
            )
        if _is_at(file, folder / _LOCK):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file
        file.close()  # its former owner removed it in between, so that it locks nothing


def _lock(file: IO[str]) -> bool:
    """Locks a file unless another process has; where there are no locks, nothing is done."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some network disks
        log.warning("%s cannot be locked (%s); see that only one process works on it", file.name, error.strerror)
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _description(folder: Path) -> dict[str, Any] | None:
    try:
        return load_record(dict[str, Any], folder / _WORK)
    except (OSError, ValueError):
        return None


def _difference(earlier: dict[str, Any] | None, work: dict[str, Any]) -> str:
    if earlier is None:
        return "its description cannot be read"
    return f"not the same {', '.join(name for name in work if earlier.get(name) != work[name]) or 'options'}"


def _empty(folder: Path) -> None:
    """Removes all but the lock; the parts first, lest they stay behind without what says whose they are."""
    for path in sorted(folder.glob("*"), key=lambda path: path.name == _WORK):
        if path.name != _LOCK:
            path.unlink()
