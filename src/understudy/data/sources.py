"""Reads labelled and unlabelled texts from any source.

`read` loads a source into one `Table`; `stream` yields the texts of a source that need not fit in memory.
"""

from __future__ import annotations

import glob
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from understudy.data.decoding import COMPRESSIONS
from understudy.data.files import FORMATS, chunks, file_format, parquet_classes
from understudy.data.tables import Table, text_of, unlabelled_as_none
from understudy.errors import DataError

_ACL_IMDB_CLASSES = ("neg", "pos")
_BLOCK = 2**20
_TAR = (".tar.gz", ".tgz", ".tar")
_HUB_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_HUB_NAME = re.compile(rf"^{_HUB_PART}(/{_HUB_PART})?(:[\w.-]+)?:[\w.+-]+$")


@dataclass(frozen=True)
class HubDataset:
    """The parts of a source that is a dataset on the Hub."""

    name: str
    configuration: str | None
    split: str


def hub_dataset(source: str) -> HubDataset | None:
    """The Hub dataset that a source names; None for files and for the reviews that ship with understudy."""
    source = _expanded(source)
    if source.startswith("reviews:") or _is_acl_imdb(source) or _names_files(source) or not _HUB_NAME.match(source):
        return None
    name, *configuration, split = source.split(":")
    return HubDataset(name, configuration[0] if configuration else None, split)


def is_source(name: str) -> bool:
    """Whether a name has the form of a source: a data file or glob, a Hub dataset with its split, or our reviews."""
    name = _expanded(name)
    by_suffix = Path(name).suffix.lower() in {*FORMATS, *COMPRESSIONS}
    own = name.startswith("reviews:") or _is_acl_imdb(name)
    return own or by_suffix or glob.has_magic(name) or _HUB_NAME.match(name) is not None


def read(source: str, text: str = "text", label: str | None = "label") -> Table:
    """Reads a whole source.

    Args:
        source: See `understudy.recipe.data.DataOptions`.
        text: Name of the text column.
        label: Name of the label column; None reads texts only.

    Raises:
        DataError: The source does not exist, a column is missing, or the content does not match the file's name.
        HubUnreachable: The Hub dataset is not in the local cache, and the Hub does not answer.
    """
    source = _expanded(source)
    if source.startswith("reviews:"):
        return _shipped_reviews(source, with_labels=label is not None)
    if _is_acl_imdb(source):
        name, _, split = source.partition(":")
        return _acl_imdb(Path(name), split, source, with_labels=label is not None)
    if _names_files(source):
        return _read_files(source, text, label)
    _require_hub_name(source)
    from understudy.data.hub import read_hub_dataset

    return read_hub_dataset(source, text, label)


def stream(source: str, text: str = "text") -> Iterator[list[str]]:
    """Yields a source's texts in chunks, in order; files and Hub datasets are not loaded into memory.

    Args:
        source: See `understudy.recipe.data.DataOptions`.
        text: Name of the text column.

    Raises:
        DataError: As `read`, during the iteration.
        HubUnreachable: As `read`, during the iteration.
    """
    source = _expanded(source)
    if source.startswith("reviews:") or _is_acl_imdb(source):
        yield read(source, text, label=None).texts
    elif _names_files(source):
        for path in source_files(source):
            row = 0
            for chunk in chunks(path, [text]):
                yield [text_of(value, path, row + place) for place, value in enumerate(chunk[text], start=1)]
                row += len(chunk[text])
    else:
        _require_hub_name(source)
        from understudy.data.hub import stream_hub_dataset

        yield from stream_hub_dataset(source, text)


def source_files(source: str) -> list[Path]:
    """The files that match a path or glob, sorted.

    Raises:
        DataError: No file matches, or one has an unsupported format.
    """
    source = _expanded(source)
    found = [source] if os.path.isfile(source) else sorted(glob.glob(source))
    paths = [Path(path) for path in found if os.path.isfile(path)]
    if not paths and os.path.isdir(source):
        raise DataError(f"'{source}' is a folder: expected files. Give a glob, such as {source}/*.csv.")
    if not paths:
        raise DataError(_no_such_source(source))
    for path in paths:
        file_format(path)
    return paths


def _expanded(source: str) -> str:
    """The source with the home folder for `~`, unless a file has that very name."""
    return source if not source.startswith("~") or os.path.exists(source) else os.path.expanduser(source)


def _no_such_source(source: str) -> str:
    return (
        f"No data at '{source}': expected a csv, tsv, jsonl or parquet file, a glob of them, aclImdb_v1.tar.gz:train, "
        "a Hub dataset with its split (stanfordnlp/imdb:train), or reviews:train. Check the path."
    )


def _is_acl_imdb(source: str) -> bool:
    name = source.partition(":")[0]
    return name.endswith(_TAR) or any(os.path.isdir(Path(name, part, "pos")) for part in ("train", "test"))


def _require_hub_name(source: str) -> None:
    name = source.partition(":")[0]
    if _names_files(name):
        files = f"a glob, such as {name}/*.csv" if os.path.isdir(name) else name
        raise DataError(f"No data at '{source}': files and folders have no splits. Give {files}.")
    if not _HUB_NAME.match(source):
        raise DataError(_no_such_source(source))


def _names_files(source: str) -> bool:
    # os.path, because pathlib raises an error for names that are too long to exist.
    return os.path.exists(source) or glob.has_magic(source) or Path(source).suffix.lower() in {*FORMATS, *COMPRESSIONS}


def _read_files(source: str, text: str, label: str | None) -> Table:
    texts: list[str] = []
    labels: list[Any] = []
    classes: list[str] | None = None
    for path in source_files(source):
        names = None if label is None else parquet_classes(path, label)
        if names and classes and names != classes:
            raise DataError(
                f"{path} has the classes {', '.join(names)}, but earlier files have {', '.join(classes)}: expected "
                "the same names in the same order. Write all files from one dataset."
            )
        classes = names or classes
        before = len(texts)
        for chunk in chunks(path, [text] if label is None else [text, label]):
            for value in chunk[text]:
                texts.append(text_of(value, path, len(texts) - before + 1))
            if label is not None:
                labels += unlabelled_as_none(chunk[label], names)
    return Table(source, texts, labels if label is not None else None, classes)


def _shipped_reviews(source: str, with_labels: bool) -> Table:
    split = source.partition(":")[2]
    if split not in ("train", "test"):
        raise DataError(f"No data at '{source}': expected reviews:train or reviews:test.")
    with (resources.files("understudy.data") / "reviews.jsonl").open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == split]
    return Table(source, [row["text"] for row in rows], [row["label"] for row in rows] if with_labels else None)


def _acl_imdb(archive: Path, split: str, source: str, with_labels: bool) -> Table:
    if split not in ("train", "test", "unsup"):
        raise DataError(
            f"'{source}': the IMDb distribution has the splits train, test and unsup. "
            f"Write {archive}:train, for example."
        )
    if not archive.exists():
        raise DataError(f"No file {archive}: expected aclImdb_v1.tar.gz or its unpacked folder aclImdb.")
    folders = {"unsup": None} if split == "unsup" else dict(zip(_ACL_IMDB_CLASSES, _ACL_IMDB_CLASSES, strict=True))
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
