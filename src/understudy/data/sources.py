"""Reading labelled and unlabelled texts from wherever they are.

`read` collects a source into one `Table`; `stream` goes through a file in chunks, for sources that do not fit in memory.
Nothing is guessed: columns are named, bytes are UTF-8, and a value is missing only where the file leaves it out.
"""

from __future__ import annotations

import glob
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 8192
_COMPRESSION = (".gz", ".bz2", ".xz", ".zst", ".zip")
_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_ACL_IMDB_CLASSES = ("neg", "pos")
_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+)?:[\w.\[\]%-]+$")


@dataclass(frozen=True)
class Table:
    """Texts as they came, before labels are numbered.

    Attributes:
        source: What the user named.
        texts: One string a row; a missing text is the empty string.
        labels: One value a row: string, int, float, or None where it is missing. None when there is no label column.
        classes: Names that the source itself gives to its integer labels.
    """

    source: str
    texts: list[str]
    labels: list[Any] | None = None
    classes: list[str] | None = field(default=None)

    def __len__(self) -> int:
        return len(self.texts)


def read(source: str, text: str = "text", label: str | None = "label") -> Table:
    """Reads a whole source.

    Args:
        source: See `understudy.recipe.DataOptions`.
        text: Name of the text column.
        label: Name of the label column; None reads texts only.

    Raises:
        DataError: the source does not exist, a column is missing, or its bytes are not what its name says.
        HubUnreachable: it is a Hub dataset, not in the local cache, and the Hub does not answer.
    """
    if source.startswith("reviews:"):
        return _shipped_reviews(source, with_labels=label is not None)
    archive, _, split = source.partition(":")
    if archive.endswith((".tar.gz", ".tgz", ".tar")) or (Path(archive) / "train" / "pos").is_dir():
        return _acl_imdb(Path(archive), split, source, with_labels=label is not None)
    if not _names_files(source):
        if _HUB_NAME.match(source):
            from understudy.data.hub import read_hub_dataset

            return read_hub_dataset(source, text, label)
        raise DataError(_no_such_source(source))

    texts: list[str] = []
    labels: list[Any] = []
    classes = None
    for path in source_files(source):
        classes = _parquet_classes(path, label) or classes
        for chunk in _chunks(path, [text] if label is None else [text, label]):
            texts += ["" if value is None else str(value) for value in _column(chunk, text)]
            if label is not None:
                labels += _column(chunk, label)
    return Table(source, texts, labels if label is not None else None, classes)


def stream(source: str, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yields a file source in frames of at most `CHUNK_ROWS` rows, with all or the named columns, in order."""
    for path in source_files(source):
        yield from _chunks(path, columns)


def source_files(source: str) -> list[Path]:
    """The files that a path or glob names, sorted.

    Raises:
        DataError: there are none, or one has a format that understudy does not read.
    """
    paths = [Path(source)] if Path(source).is_file() else [Path(found) for found in sorted(glob.glob(source))]
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise DataError(_no_such_source(source))
    for path in paths:
        file_format(path)
    return paths


def file_format(path: Path) -> str:
    """`csv`, `tsv`, `jsonl` or `parquet`, by the file's name, which may end in a compression's suffix."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSION:
        suffixes.pop()
    known = _FORMATS.get(suffixes[-1] if suffixes else "")
    if known is None:
        raise DataError(
            f"{path}: expected a file that ends in {', '.join(sorted(_FORMATS))} (and perhaps {', '.join(_COMPRESSION)})."
        )
    return known


def _no_such_source(source: str) -> str:
    return (
        f"No data at '{source}': expected a csv, tsv, jsonl or parquet file, a glob of them, aclImdb_v1.tar.gz:train, "
        "a Hub dataset with its split (stanfordnlp/imdb:train), or reviews:train. Check the path."
    )


def _names_files(source: str) -> bool:
    path = Path(source)
    return (
        path.exists() or glob.has_magic(source) or any(s.lower() in {*_FORMATS, *_COMPRESSION} for s in path.suffixes)
    )


def _chunks(path: Path, columns: list[str] | None) -> Iterator[pd.DataFrame]:
    import pandas as pd
    import pyarrow as pa

    kind = file_format(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty: expected a header and rows.")
        if kind == "parquet":
            yield from _parquet_chunks(path, columns)
        elif kind == "jsonl":
            with pd.read_json(path, lines=True, chunksize=CHUNK_ROWS, dtype=False, convert_dates=False) as reader:
                for chunk in reader:
                    yield _select(chunk, columns, path)
        else:
            separator = "\t" if kind == "tsv" else ","
            # Every cell is read as text: no "NA" becomes a missing value and no "01" a number.
            with pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values={column: [""] for column in columns or []},
                encoding="utf-8-sig",
                chunksize=CHUNK_ROWS,
            ) as reader:
                for chunk in reader:
                    yield _select(chunk, columns, path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start} of a block: {error.reason}). Convert it, for example with: "
            f"iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}"
        ) from None
    except (ValueError, pa.ArrowException, EOFError, OSError) as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read as {kind}: {detail}. Check the file, or its name's ending.") from None


def _parquet_chunks(path: Path, columns: list[str] | None) -> Iterator[pd.DataFrame]:
    import pandas as pd
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    _require(columns, file.schema_arrow.names, path)
    for batch in file.iter_batches(CHUNK_ROWS, columns=columns):
        # Through Python values: an integer column with a hole in it stays integers and None.
        yield pd.DataFrame({name: pd.Series(batch[name].to_pylist(), dtype=object) for name in batch.schema.names})


def _select(chunk: pd.DataFrame, columns: list[str] | None, path: Path) -> pd.DataFrame:
    _require(columns, [str(name) for name in chunk.columns], path)
    return chunk if columns is None else chunk[columns]


def _require(columns: list[str] | None, present: list[str], path: Path) -> None:
    missing = [column for column in columns or [] if column not in present]
    if missing:
        raise DataError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; its columns are: {', '.join(present)}. "
            "Name the right ones with --data.text and --data.label."
        )


def _column(chunk: pd.DataFrame, name: str) -> list[Any]:
    import pandas as pd

    column = chunk[name]
    return [None if missing else value for value, missing in zip(column.tolist(), pd.isna(column), strict=True)]


def _parquet_classes(path: Path, label: str | None) -> list[str] | None:
    """Class names that `datasets` stored in a parquet file's schema."""
    if label is None or file_format(path) != "parquet":
        return None
    import json

    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return list(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _shipped_reviews(source: str, with_labels: bool) -> Table:
    import json

    split = source.partition(":")[2]
    if split not in ("train", "test"):
        raise DataError(f"No data at '{source}': the shipped reviews have the splits reviews:train and reviews:test.")
    lines = (resources.files("understudy.data") / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    return Table(source, [row["text"] for row in rows], [row["label"] for row in rows] if with_labels else None)


def _acl_imdb(archive: Path, split: str, source: str, with_labels: bool) -> Table:
    if split not in ("train", "test", "unsup"):
        raise DataError(
            f"'{source}': the IMDb distribution has the splits train, test and unsup; write {archive}:train."
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
            raise DataError(f"{archive}: {folder}/{name} is not UTF-8 ({error.reason}).") from None
    rows = [(text, folders[folder]) for folder in folders for _, text in sorted(found[folder])]
    if not rows:
        raise DataError(
            f"{archive} holds no {split}/{'|'.join(folders)}/*.txt: expected the official IMDb distribution."
        )
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
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read as a tar archive: {error}. Download it again.") from None


def _folder_entries(folder: Path, place: re.Pattern[str]) -> Iterator[tuple[str, str, bytes]]:
    for path in folder.glob("*/*/*.txt"):
        match = place.search(path.as_posix())
        if match:
            yield match[1], match[2], path.read_bytes()
