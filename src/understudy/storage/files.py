"""Files that appear whole or not at all, and the digests of files.

A file is written next to its place, synced, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def fingerprint(**parts: Any) -> str:
    """Digest of named parts that JSON can express; the same parts give the same digest on every machine."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Digest of what makes a model: its weights, config and tokenizer, or given scores; not its model card."""
    kinds = {".safetensors", ".json", ".txt", ".model", ".parquet"}
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return fingerprint(**{path.name: file_sha256(path) for path in files})


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON; a number that is not finite is a defect and raises `ValueError`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object], scratch: Path | None = None) -> None:
    """Lets `write` fill a temporary file, then moves it to `path`, which is never half written.

    The temporary name ends like `path`, for writers that go by the suffix.

    Args:
        path: The file.
        write: Fills the temporary one.
        scratch: The folder for the temporary file, on the same disk; by default it lies beside `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (scratch or path.parent) / f".{secrets.token_hex(4)}-{path.name}"
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path` that takes its place, whole, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    temporary, old = (path.with_name(f".{token}-{kind}-{path.name}") for kind in ("new", "old"))
    temporary.mkdir()
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")]:
            _sync(file)
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    _sync(path.parent)


def copy_folder(source: Path, target: Path) -> None:
    with write_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
