"""Reads the official IMDb distribution, `aclImdb_v1.tar.gz` or its unpacked folder."""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from understudy.data.tables import Table
from understudy.errors import DataError

_CLASSES = ("neg", "pos")
_BLOCK = 2**20


def read_acl_imdb(archive: Path, split: str, source: str, with_labels: bool) -> Table:
    """Reads one split.

    Args:
        archive: The archive, or its unpacked folder.
        split: `train`, `test` or `unsup`.
        source: What the user wrote, for messages.
        with_labels: Whether to read the labels, too.

    Raises:
        DataError: There is no such split or file, or it is damaged.
    """
    if split not in ("train", "test", "unsup"):
        raise DataError(
            f"'{source}': the IMDb distribution has the splits train, test and unsup. "
            f"Write {archive}:train, for example."
        )
    if not archive.exists():
        raise DataError(f"No file {archive}: expected aclImdb_v1.tar.gz or its unpacked folder aclImdb.")
    folders = {"unsup": None} if split == "unsup" else dict(zip(_CLASSES, _CLASSES, strict=True))
    found: dict[str, list[tuple[str, str]]] = {folder: [] for folder in folders}
    place = re.compile(rf"(?:^|/){'train' if split == 'unsup' else split}/({'|'.join(folders)})/([^/]+\.txt)$")
    entries = _tar_entries(archive, place) if archive.is_file() else _folder_entries(archive, place)
    for folder, name, content in entries:
        try:
            found[folder].append((name, content.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{archive}: {folder}/{name} is not UTF-8 ({error.reason}). Download the IMDb distribution again."
            ) from None
    rows = [(text, folders[folder]) for folder in folders for _, text in sorted(found[folder])]
    if not rows:
        raise DataError(f"{archive} has no {split}/{'|'.join(folders)}/*.txt: expected the official IMDb distribution.")
    labels = [label for _, label in rows] if with_labels and split != "unsup" else None
    return Table(source, [text for text, _ in rows], labels)


def _tar_entries(archive: Path, place: re.Pattern[str]) -> Iterator[tuple[str, str, bytes]]:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                match = place.search(member.name)
                if match and member.isfile():
                    file = tar.extractfile(member)
                    yield match[1], match[2], (file or io.BytesIO()).read()
            # tarfile mistakes a damaged header for the end, and never reads as far as gzip's checksum.
            while tar.fileobj and (rest := tar.fileobj.read(_BLOCK)):
                if rest.strip(b"\0"):
                    raise tarfile.ReadError("damaged in the middle")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive} cannot be read as a tar archive: {error}. Download it again.") from None


def _folder_entries(folder: Path, place: re.Pattern[str]) -> Iterator[tuple[str, str, bytes]]:
    for path in folder.glob("*/*/*.txt"):
        match = place.search(path.as_posix())
        if match:
            yield match[1], match[2], path.read_bytes()
