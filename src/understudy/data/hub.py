"""Datasets from the Hugging Face Hub, through `datasets`."""

from __future__ import annotations

from typing import Any

from understudy.data.sources import Table
from understudy.errors import DataError, HubUnreachable, MissingExtra


def read_hub_dataset(source: str, text: str, label: str | None) -> Table:
    """Reads `owner/name:split` or `owner/name:configuration:split`; what is cached needs no Hub.

    Raises:
        DataError: there is no such dataset, split or column.
        HubUnreachable: it is not cached, and the Hub does not answer.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "distill", f"Reading {source} from the Hub") from None
    from understudy.models.loading import require_hub

    name, *configuration, split = source.split(":")
    dataset = _cached(datasets, name, configuration, split)
    if dataset is None:
        require_hub(name, "files instead (csv, tsv, jsonl, parquet, or aclImdb_v1.tar.gz:train for IMDb)")
        dataset = _load(datasets, source, name, configuration, split)
    for column in [text] if label is None else [text, label]:
        if column not in dataset.column_names:
            raise DataError(
                f"{source} has no column '{column}'; its columns are: {', '.join(dataset.column_names)}. "
                "Name the right ones with --data.text and --data.label."
            )
    texts = ["" if value is None else str(value) for value in dataset[text]]
    if label is None:
        return Table(source, texts)
    feature = dataset.features[label]
    classes = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    # ClassLabel's -1 stands for "no label", as in the test splits of benchmarks.
    labels = [None if classes and value == -1 else value for value in dataset[label]]
    return Table(source, texts, labels, classes)


def _cached(datasets: Any, name: str, configuration: list[str], split: str) -> Any:
    """The dataset from the local cache, or None."""
    from huggingface_hub import constants

    was_offline = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        return datasets.load_dataset(name, *configuration, split=split)
    except Exception:  # whatever is not whole in the cache is asked of the Hub
        return None
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = was_offline


def _load(datasets: Any, source: str, name: str, configuration: list[str], split: str) -> Any:
    try:
        return datasets.load_dataset(name, *configuration, split=split)
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError):
        raise DataError(
            f"No dataset '{name}' on the Hub (or it is private or gated; then log in with: hf auth login)."
        ) from None
    except ValueError as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]} Write owner/name:split, as in stanfordnlp/imdb:train.")
    except ConnectionError as error:
        raise HubUnreachable(f"{source} could not be downloaded: {error}. Try again, or give files instead.") from None
