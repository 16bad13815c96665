"""Datasets from the Hugging Face Hub, through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from understudy.data.files import CHUNK_ROWS
from understudy.data.tables import Table, choose_columns, text_of, unlabelled_as_none
from understudy.errors import DataError, HubUnreachable, MissingExtra
from understudy.storage.hub import first_line, hub_failure, require_hub


def read_hub_dataset(source: str, text: str, label: str | None) -> Table:
    """Reads `owner/name:split` or `owner/name:configuration:split`; what is cached needs no Hub.

    Raises:
        DataError: there is no such dataset, split or column.
        HubUnreachable: it is not cached, and the Hub does not answer.
    """
    datasets, dataset = _opened(source, [text] if label is None else [text, label])
    texts = [text_of(value, source, row) for row, value in enumerate(dataset[text], start=1)]
    if label is None:
        return Table(source, texts)
    feature = dataset.features[label]
    classes = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return Table(source, texts, unlabelled_as_none(list(dataset[label]), classes), classes)


def stream_hub_dataset(source: str, text: str) -> Iterator[list[str]]:
    """Yields the texts of a dataset in chunks, in order; `datasets` maps its files into memory.

    Raises:
        DataError: there is no such dataset, split or column.
        HubUnreachable: it is not cached, and the Hub does not answer.
    """
    _, dataset = _opened(source, [text])
    row = 1
    for chunk in dataset.select_columns([text]).iter(CHUNK_ROWS):
        yield [text_of(value, source, place) for place, value in enumerate(chunk[text], start=row)]
        row += len(chunk[text])


def _opened(source: str, columns: list[str]) -> tuple[Any, Any]:
    """The module `datasets`, and the dataset, which has these columns."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "distill", f"Reading {source} from the Hub") from None
    name, *configuration, split = source.split(":")
    if name in datasets.packaged_modules._PACKAGED_DATASETS_MODULES:
        raise DataError(
            f"'{source}': {name} is a file format here, not a dataset. Name the files, such as data/*.{name}."
        )
    dataset = _find(datasets, source, name, configuration, split)
    choose_columns(columns, dataset.column_names, source)
    return datasets, dataset


def _find(datasets: Any, source: str, name: str, configuration: list[str], split: str) -> Any:
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    with _offline(datasets):
        try:
            return datasets.load_dataset(name, *configuration, split=split)
        except Exception as error:  # whatever is not whole in the cache is asked of the Hub
            cached = _wrong_part(source, error)
    try:
        require_hub(
            name,
            "files instead (csv, tsv, jsonl, parquet, or aclImdb_v1.tar.gz:train for IMDb)",
            datasets.config.HF_DATASETS_CACHE,
        )
    except HubUnreachable as error:
        raise (cached or error) from None
    try:
        return datasets.load_dataset(name, *configuration, split=split)
    except datasets.exceptions.DatasetNotFoundError:
        raise DataError(
            f"No dataset '{name}' on the Hub (or it is private or gated; then log in with: hf auth login)."
        ) from None
    except (HTTPError, ConnectionError, LocalEntryNotFoundError) as error:
        failure = hub_failure(source, error)
        raise (failure if isinstance(failure, HubUnreachable) else DataError(str(failure))) from None
    except Exception as error:  # a dataset's files raise whatever their reader raises
        raise _wrong_part(source, error) or DataError(
            f"{source} cannot be loaded: {first_line(error.__cause__ or error)}. "
            "Download its files and name them instead."
        ) from error


def _wrong_part(source: str, error: Exception) -> DataError | None:
    """The error for a split or configuration that a dataset has not, if `error` says so."""
    message = first_line(error)
    if not isinstance(error, ValueError) or not message.startswith(("Unknown split", "BuilderConfig", "Config name")):
        return None
    return DataError(
        f"{source}: {message.rstrip('.')}. Write owner/name:split or owner/name:configuration:split, as in "
        "stanfordnlp/imdb:train."
    )


@contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Keeps `datasets` from asking the Hub, and from saying that it does not."""
    from huggingface_hub import constants

    was_offline = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    verbosity = datasets.logging.get_verbosity()
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = was_offline
        datasets.logging.set_verbosity(verbosity)
