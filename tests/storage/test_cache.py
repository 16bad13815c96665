"""The cache folder: what is listed, and what pruning removes and leaves alone."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from caches import DAY, KINDS, age, key, make, strange
from conftest import Finished
from understudy.errors import UserError
from understudy.storage.cache import Listing, cache_folders, list_cache, prune
from understudy.storage.usage import marker, note_use, used_by

MONTH = timedelta(days=30)


def found(listing: Listing) -> dict[str, str]:
    return {entry.path.name: entry.kind for entry in listing.entries}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


# Listing


def test_entries_of_every_kind(cache: Path) -> None:
    for number, kind in enumerate(KINDS):
        make(cache, kind, number, days=number + 1, size=1000 + number)
    listing = list_cache(cache)
    assert [entry.kind for entry in listing.entries] == list(KINDS)  # the last used first
    assert [entry.bytes for entry in listing.entries] == [1000, 1001, 1002, 1003]
    assert listing.bytes == 4006
    for number, entry in enumerate(listing.entries):
        assert abs(time.time() - entry.last_used.timestamp() - (number + 1) * DAY) < 60


def test_what_the_code_writes_is_known(cache: Path, tmp_path: Path) -> None:
    """Each stage's entry is one that pruning knows, and its use is noted with the run."""
    import numpy as np
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    from understudy.data.tokens import text_ids, tokenise_cached
    from understudy.inference.store import kept_logits

    backend = Tokenizer(WordLevel({"good": 0, "[UNK]": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    texts, run = ["good film", "bad"], tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text("{}")
    ids = text_ids(texts)
    for _ in range(2):  # made, and found
        with used_by(run):
            tokenise_cached([texts], ids, tokenizer, 8, cache)
            kept_logits({"model": "m"}, ids, 2, lambda rows: [(rows, np.zeros((len(rows), 2), np.float32))], cache)
    listing = list_cache(cache)
    assert sorted(entry.kind for entry in listing.entries) == ["logits", "tokens"]
    assert all(entry.runs == (str(run),) for entry in listing.entries)
    assert len(prune(cache, older_than=timedelta(0), force=True).removed) == 2
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_all_that_a_run_leaves_is_known_and_noted(finished: Finished) -> None:
    entries = list_cache(finished.cache).entries
    assert {entry.kind for entry in entries} == set(KINDS)
    assert all(marker(entry.path).is_file() for entry in entries)


def test_only_runs_that_exist_are_named(cache: Path, tmp_path: Path) -> None:
    entry = make(cache, "teachers")
    for name in ("gone", "here"):
        with used_by(tmp_path / name):
            note_use(entry)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "manifest.json").write_text("{}")
    assert list_cache(cache).entries[0].runs == (str(tmp_path / "here"),)


def test_a_cache_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert list_cache(tmp_path / "none").entries == ()
    assert prune(tmp_path / "none", older_than=MONTH).removed == ()
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file, but a cache is a folder"):
        list_cache(tmp_path / "file")


# What is not known is kept


def test_what_is_not_known_is_other_and_kept(cache: Path) -> None:
    places, mine = strange(cache), make(cache, "teachers")
    assert found(list_cache(cache)) == {**{path.name: "other" for path in places}, mine.name: "teachers"}
    pruned = prune(cache, older_than=timedelta(0), larger_than=0, force=True)
    assert [entry.path for entry in pruned.removed] == [mine]
    assert all(path.exists() for path in places) and not mine.exists()


def test_what_is_not_known_does_not_count_for_the_size(cache: Path) -> None:
    strange(cache)
    make(cache, "teachers", size=1000)
    assert prune(cache, larger_than=1000).removed == ()


def test_links_are_not_followed(cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    outside = [make(elsewhere, "teachers", 1), make(elsewhere, "logits", 2), make(elsewhere, "tokens", 3)]
    mine = make(cache, "teachers", 9)
    (mine / "model" / "link").symlink_to(outside[0])
    age(mine, 60)
    (cache / "teachers" / key(1)).symlink_to(outside[0])
    (cache / "logits").symlink_to(elsewhere / "logits")
    (cache / "tokens").mkdir()
    (cache / "tokens" / outside[2].name).symlink_to(outside[2])
    for link in (cache / "teachers" / key(1), cache / "logits", cache / "tokens" / outside[2].name):
        age(link, 60)
    kinds = found(list_cache(cache))
    assert kinds == {mine.name: "teachers", key(1): "other", "logits": "other", outside[2].name: "other"}
    assert prune(cache, older_than=timedelta(0), force=True).freed < 2000
    assert not mine.exists()
    assert all(path.exists() for path in outside)
    assert (outside[0] / "model" / "model.safetensors").stat().st_size == 998


def test_a_cache_that_is_a_link_is_pruned(cache: Path, tmp_path: Path) -> None:
    make(cache, "teachers")
    (tmp_path / "link").symlink_to(cache)
    assert len(prune(tmp_path / "link", older_than=MONTH).removed) == 1


@pytest.mark.parametrize(
    "name",
    [f"teachers/.12ab34cd-new-{key(1)}", f"logits/.12ab34cd-old-{key(1)}", f"tokens/.12ab34cd-{key(1)}.arrow"],
)
def test_what_an_interrupted_process_left(name: str, cache: Path) -> None:
    path = cache / name
    path.parent.mkdir(parents=True)
    if name.startswith("tokens"):
        path.write_text("half")
    else:
        path.mkdir()
        (path / "anything").write_text("half")
    assert found(list_cache(cache)) == {path.name: "unfinished"}
    assert [entry.path for entry in prune(cache, larger_than=0).in_use] == [path]  # somebody may be writing it
    age(path, 2)
    assert [entry.path for entry in prune(cache, larger_than=0).removed] == [path]
    assert not path.exists()


# Folders of others


def test_the_folders_are_those_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "sets"))
    folders = cache_folders(tmp_path)
    assert folders["understudy"] == tmp_path
    assert folders["Hugging Face datasets"] == tmp_path / "sets"
    assert folders["Hugging Face Hub"].name == "hub"
