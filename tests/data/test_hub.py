from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_hub import CARD, TOKEN, FakeHub, ask


@pytest.fixture(scope="module")
def imdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset as the Hub has it: parquet files with ClassLabel names, and a card."""
    import datasets

    folder = tmp_path_factory.mktemp("imdb")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = {
        "train": {"text": ["Dull.", "Fine."], "label": [0, 1]},
        "test": {"text": ["So so.", None], "label": [-1, 1]},
    }
    for split, columns in rows.items():
        (folder / "plain_text").mkdir(exist_ok=True)
        path = folder / "plain_text" / f"{split}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def read(hub: FakeHub, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Reads sources in a fresh process: of each its table, or its error and message."""

    def call(*sources: str | list[Any], endpoint: str = hub.url, **environment: str) -> list[dict[str, Any]]:
        calls = [
            ("understudy.data.sources", "read", source if isinstance(source, list) else [source]) for source in sources
        ]
        outcomes = ask(endpoint, tmp_path / "home", *calls, **environment)
        return [outcome.get("result") or outcome for outcome in outcomes]

    return call


Read = Callable[..., list[dict[str, Any]]]


def test_class_names_and_both_splits(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    train, test, unlabelled = read("owner/imdb:train", "owner/imdb:plain_text:test", ["owner/imdb:train", "text", None])
    assert train == {
        "source": "owner/imdb:train",
        "texts": ["Dull.", "Fine."],
        "labels": [0, 1],
        "classes": ["neg", "pos"],
    }
    assert (test["texts"], test["labels"]) == (["So so.", ""], [None, 1])
    assert (unlabelled["texts"], unlabelled["labels"], unlabelled["classes"]) == (["Dull.", "Fine."], None, None)


def test_splits_and_columns_of_a_dataset_that_is_named_without_its_split(
    hub: FakeHub, imdb: Path, tmp_path: Path
) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    splits, missing, columns = ask(
        hub.url,
        tmp_path / "home",
        ("understudy.data.sources", "split_sources", ["owner/imdb"]),
        ("understudy.data.sources", "split_sources", ["owner/nothing"]),
        ("understudy.data.columns", "find_columns", ["owner/imdb:train"]),
    )
    assert splits["result"] == {"train": "owner/imdb:train", "test": "owner/imdb:test"}
    assert missing["error"] == "DataError"
    assert missing["message"].startswith("There is no file 'owner/nothing', so it names a Hub dataset. The Hub has no")
    assert columns["result"] == ["text", "label"]


@pytest.mark.acceptance
def test_what_is_cached_needs_no_hub(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    (first,) = read("owner/imdb:train")
    hub.requests.clear()
    (again,) = read("owner/imdb:train")
    assert hub.requests == []
    (offline,) = read("owner/imdb:train", HF_HUB_OFFLINE="1")
    hub.stop()
    (alone,) = read("owner/imdb:train")
    assert first == again == offline == alone


@pytest.mark.acceptance
def test_what_is_not_there(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    split, configuration, text, label, dataset = read(
        "owner/imdb:validation",
        "owner/imdb:fancy:train",
        ["owner/imdb:train", "review", "label"],
        ["owner/imdb:train", "text", "stars"],
        "owner/nothing:train",
    )
    assert {found["error"] for found in (split, configuration, text, label, dataset)} == {"DataError"}
    assert "Unknown split \"validation\". Should be one of ['train', 'test']" in split["message"]
    assert "'fancy' not found. Available: ['plain_text']" in configuration["message"]
    assert "no column 'review'; its columns are: text, label" in text["message"]
    assert "no column 'stars'; its columns are: text, label" in label["message"]
    assert "The Hub has no dataset 'owner/nothing'" in dataset["message"]


@pytest.mark.acceptance
def test_a_wrong_split_of_a_cached_dataset_is_named_without_the_hub(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    read("owner/imdb:train")
    hub.stop()
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        (refused,) = read("owner/imdb:validation", **environment)
        assert refused["error"] == "DataError"
        assert "Should be one of ['train', 'test']" in refused["message"]


@pytest.mark.acceptance
@pytest.mark.parametrize("access", ["private", "gated"])
def test_private_and_gated_datasets_need_a_token(hub: FakeHub, imdb: Path, read: Read, access: str) -> None:
    hub.add("owner/imdb", imdb, kind="datasets", private=access == "private", gated=access == "gated")
    (refused,) = read("owner/imdb:train")
    assert refused["error"] == "DataError"
    assert "private or gated, log in with: hf auth login" in refused["message"]
    (table,) = read("owner/imdb:train", HF_TOKEN=TOKEN)
    assert table["labels"] == [0, 1]


@pytest.mark.acceptance
def test_a_wrong_token_is_named(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    (refused,) = read("owner/imdb:train", HF_TOKEN="hf_wrong")
    assert refused["error"] == "DataError"
    assert "refuses the access token" in refused["message"]


@pytest.mark.acceptance
def test_offline_and_not_cached(hub: FakeHub, imdb: Path, read: Read) -> None:
    hub.add("owner/imdb", imdb, kind="datasets")
    (refused,) = read("owner/imdb:train", HF_HUB_OFFLINE="1")
    assert refused["error"] == "HubUnreachable"
    assert "HF_HUB_OFFLINE forbids" in refused["message"] and "Give files instead" in refused["message"]
    assert hub.requests == []


def test_no_hub_in_reach(read: Read, tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    (refused,) = read("owner/imdb:train", endpoint=endpoint)
    assert refused["error"] == "HubUnreachable"
    assert endpoint in refused["message"] and str(tmp_path / "home" / "datasets") in refused["message"]


@pytest.mark.acceptance
def test_a_hub_that_is_down_is_asked_once(hub: FakeHub, read: Read) -> None:
    hub.status = 503
    (refused,) = read("owner/imdb:train")
    assert refused["error"] == "HubUnreachable"
    assert len(hub.requests) == 1


@pytest.mark.acceptance
def test_a_dataset_without_data_or_with_a_script_or_damaged(hub: FakeHub, tmp_path: Path, read: Read) -> None:
    for name, file in (("empty", "README.md"), ("script", "script.py"), ("damaged", "train.parquet")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("nothing")
        hub.add(f"owner/{name}", tmp_path / name, kind="datasets")
    for refused in read("owner/empty:train", "owner/script:train", "owner/damaged:train"):
        assert refused["error"] == "DataError"
        assert "cannot be loaded: " in refused["message"] and "Download its files" in refused["message"]


def test_a_file_format_is_no_dataset(read: Read, hub: FakeHub) -> None:
    (refused,) = read("csv:train")
    assert refused["error"] == "DataError"
    assert "csv is a file format, not a dataset" in refused["message"]
    assert hub.requests == []


@pytest.mark.acceptance
def test_texts_that_are_no_strings(hub: FakeHub, tmp_path: Path, read: Read) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.jsonl").write_text('{"text": ["a", "b"], "label": 1}\n')
    hub.add("owner/lists", tmp_path / "lists", kind="datasets")
    (refused,) = read("owner/lists:train")
    assert refused["error"] == "DataError"
    assert "owner/lists:train row 1: expected a string as text, got list" in refused["message"]
