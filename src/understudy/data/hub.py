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
    """Reads `owner/name:split` or `owner/name:configuration:split`; a cached dataset needs no Hub.

    Raises:
        DataError: The dataset, split or column does not exist.
        HubUnreachable: The dataset is not cached, and the Hub does not answer.
    """
    datasets, dataset = _opened(source, [text] if label is None else [text, label])
    texts = [text_of(value, source, row) for row, value in enumerate(dataset[text], start=1)]
    if label is None:
        return Table(source, texts)
    feature = dataset.features[label]
    classes = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return Table(source, texts, unlabelled_as_none(list(dataset[label]), classes), classes)


def stream_hub_dataset(source: str, text: str) -> Iterator[list[str]]:
    """Yields the texts of a dataset in chunks, in order; `datasets` memory-maps its files.

    Raises:
        DataError: The dataset, split or column does not exist.
        HubUnreachable: The dataset is not cached, and the Hub does not answer.
    """
    _, dataset = _opened(source, [text])
    row = 1
    for chunk in dataset.select_columns([text]).iter(CHUNK_ROWS):
        yield [text_of(value, source, place) for place, value in enumerate(chunk[text], start=row)]
        row += len(chunk[text])


def _opened(source: str, columns: list[str]) -> tuple[Any, Any]:
    """The module `datasets`, and the dataset, which is known to have these columns."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "distill", f"Reading {source} from the Hub") from None
    name, *configuration, split = source.split(":")
    if name in datasets.packaged_modules._PACKAGED_DATASETS_MODULES:
        raise DataError(
            f"'{source}': {name} is a file format, not a dataset. Give the files instead, such as data/*.{name}."
        )
    dataset = _find(datasets, source, name, configuration, split)
    choose_columns(columns, dataset.column_names, source)
    return datasets, dataset


def _find(datasets: Any, source: str, name: str, configuration: list[str], split: str) -> Any:
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    with _offline(datasets):
        try:
            return datasets.load_dataset(name, *configuration, split=split)
        except Exception as error:  # anything incomplete in the cache is requested from the Hub
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
            f"The Hub has no dataset '{name}'. If it is private or gated, log in with: hf auth login."
        ) from None
    except (HTTPError, ConnectionError, LocalEntryNotFoundError) as error:
        failure = hub_failure(source, error)
        raise (failure if isinstance(failure, HubUnreachable) else DataError(str(failure))) from None
    except Exception as error:  # readers of damaged files raise all kinds of errors
        raise _wrong_part(source, error) or DataError(
            f"{source} cannot be loaded: {first_line(error.__cause__ or error)}. "
            "Download its files and give their names instead."
        ) from error


def _wrong_part(source: str, error: Exception) -> DataError | None:
    """The error for a split or configuration that does not exist, if `error` means that; else None."""
    message = first_line(error)
    if not isinstance(error, ValueError) or not message.startswith(("Unknown split", "BuilderConfig", "Config name")):
        return None
    return DataError(
        f"{source}: {message.rstrip('.')}. Write owner/name:split or owner/name:configuration:split, as in "
        "stanfordnlp/imdb:train."
    )


@contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Keeps `datasets` from contacting the Hub, and from logging that it does not."""
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
