"""Reads labelled and unlabelled texts from any source.

`read` loads a source into one `Table`; `stream` yields the texts of a source that need not fit in memory.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from understudy.data.acl_imdb import read_acl_imdb
from understudy.data.blocks import values_in
from understudy.data.decoding import COMPRESSIONS
from understudy.data.files import (
    FORMATS,
    blocks,
    chunks,
    class_names,
    file_format,
    parquet_classes,
    parquet_schema,
)
from understudy.data.tables import Table, text_of, unlabelled_as_none
from understudy.errors import DataError
from understudy.recipe.wording import suggestion

_TAR = (".tar.gz", ".tgz", ".tar")
_HUB_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_HUB_NAME = re.compile(rf"^{_HUB_PART}(/{_HUB_PART})?(:[\w.-]+)?:[\w.+-]+$")
_HUB_REPOSITORY = re.compile(rf"^{_HUB_PART}/{_HUB_PART}$")


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
    """Whether a name has the form of a source: a data file or glob, a Hub dataset, or our reviews."""
    name = _expanded(name)
    by_suffix = Path(name).suffix.lower() in {*FORMATS, *COMPRESSIONS}
    own = name.startswith("reviews:") or _is_acl_imdb(name)
    hub = not os.path.exists(name) and (_HUB_NAME.match(name) or _HUB_REPOSITORY.match(name))
    return own or by_suffix or glob.has_magic(name) or bool(hub)


def split_sources(source: str) -> dict[str, str]:
    """The splits of a source that is named without one, as sources by their names; empty for any other source.

    Raises:
        DataError: the Hub has no such dataset.
        HubUnreachable: as `read`.
    """
    name = _expanded(source)
    if _is_acl_imdb(name) and ":" not in name:
        return {split: f"{source}:{split}" for split in ("train", "test")}
    if _names_files(name) or not _HUB_REPOSITORY.match(name):
        return {}
    from understudy.data.hub import split_names

    return {split: f"{source}:{split}" for split in split_names(source)}


@dataclass(frozen=True)
class ColumnBlock:
    """Consecutive rows of a source with all their columns.

    Attributes:
        values: By column; all lists have the same length.
        classes: Class names that the source gives to the integers of a column, by column.
    """

    values: dict[str, list[Any]]
    classes: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), []))


def has_columns(source: str) -> bool:
    """Whether a source has columns to choose from, unlike our reviews and the IMDb distribution."""
    source = _expanded(source)
    return not (source.startswith("reviews:") or _is_acl_imdb(source))


def column_blocks(source: str) -> Iterator[ColumnBlock]:
    """Yields a source's rows with all columns, in order; it is not loaded into memory.

    Args:
        source: One that has columns.

    Raises:
        DataError: as `read`.
        HubUnreachable: as `read`.
    """
    source = _expanded(source)
    if _names_files(source):
        for path in source_files(source):
            schema = parquet_schema(path)
            for block in blocks(path):
                named = {name: schema is not None and class_names(schema, name) for name in block.columns}
                values = dict(zip(block.columns, values_in(block.columns), strict=True))
                yield ColumnBlock(values, {name: names for name, names in named.items() if names})
    else:
        _require_hub_name(source)
        from understudy.data.hub import hub_column_blocks

        for values, classes in hub_column_blocks(source):
            yield ColumnBlock(values, classes)


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
        return read_acl_imdb(Path(name), split, source, with_labels=label is not None)
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
    folder, name = os.path.split(source)
    there = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
    close = suggestion(name, [each for each in there if Path(each).suffix.lower() in {*FORMATS, *COMPRESSIONS}])
    return (
        f"No data at '{source}': expected a csv, tsv, jsonl or parquet file, a glob of them, aclImdb_v1.tar.gz:train, "
        "a Hub dataset with its split (stanfordnlp/imdb:train), or reviews:train"
        f"{close or '. Check the path.'}"
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
