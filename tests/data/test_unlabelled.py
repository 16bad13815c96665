"""Unlabelled texts: which are left out, that they stream, and what the corpus makes of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.data.corpus import build_corpus
from understudy.data.labels import NO_LABEL
from understudy.data.sources import stream
from understudy.data.tables import Table
from understudy.data.tokens import text_ids
from understudy.data.unlabelled import select_unlabelled
from understudy.errors import DataError
from understudy.recipe.data import DataOptions


def chunks(*lists: list[str]) -> Any:
    return lambda: iter(lists)


def tables(train: int = 40) -> dict[str, Table]:
    return {
        "train": Table("train.csv", [f"train {row}" for row in range(train)], ["neg", "pos"] * (train // 2)),
        "test": Table("test.csv", [f"test {row}" for row in range(8)], ["neg", "pos"] * 4),
    }


def options(**changes: Any) -> DataOptions:
    return DataOptions(**{"train": "train.csv", "test": "test.csv", "text": "text", "validation": 0.25, **changes})


def listed(source: Iterable[list[str]]) -> list[str]:
    return [text for chunk in source for text in chunk]


def test_what_is_left_out_and_that_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    others = {"test": text_ids(["t1", "t2"]), "train": text_ids(["l"])}
    with caplog.at_level(logging.INFO, "understudy"):
        found = select_unlabelled(chunks(["a", "t1", " "], ["b", "a", "l", "t1"]), others)
    assert listed(found.chunks()) == ["a", "b"]
    assert found.ids.tolist() == text_ids(["a", "b"]).tolist()
    assert found.left_out == {"empty": 1, "in test": 2, "in train": 1, "repeated": 1}
    assert "unlabelled: 2 texts; left out: 1 empty, 2 in test, 1 in train, 1 repeated" in caplog.text


def test_nothing_left(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"0 of 2 texts without a label remain \(2 in test\)"):
        select_unlabelled(chunks(["t", "t"]), {"test": text_ids(["t"])})
    with pytest.raises(DataError, match=r"0 of 0 texts without a label remain \(the source is empty\)"):
        select_unlabelled(chunks(), {})


@pytest.mark.parametrize("later", [(["a"],), (["a", "b"], ["c"]), (), (["b", "a"],), (["a", "c"],)])
def test_a_source_that_changes_is_noticed(later: tuple[list[str], ...]) -> None:
    passes = iter([[["a", "b"]], list(later)])
    found = select_unlabelled(lambda: next(passes), {})
    with pytest.raises(DataError, match="The unlabelled texts changed during the run"):
        listed(found.chunks())


def test_the_transfer_texts_are_the_labelled_ones_and_then_the_others(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("text\nmore 0\ntest 3\nmore 1\ntrain 5\n")
    corpus = build_corpus(tables(), options(unlabelled=str(tmp_path / "more.csv")), seed=0)
    texts = listed(corpus.transfer_chunks())
    assert texts == [*corpus.train.texts, "more 0", "more 1"]
    assert corpus.transfer_ids.tolist() == text_ids(texts).tolist()
    assert corpus.transfer_labels.tolist() == [*corpus.train.labels.tolist(), NO_LABEL, NO_LABEL]
    assert corpus.digest != build_corpus(tables(), options(), seed=0).digest


def test_without_unlabelled_texts_the_transfer_texts_are_the_training_texts() -> None:
    corpus = build_corpus(tables(), options(), seed=0)
    assert listed(corpus.transfer_chunks()) == corpus.train.texts
    assert corpus.transfer_labels.tolist() == corpus.train.labels.tolist()


@pytest.mark.parametrize("wanted", [20, 0.5])
def test_some_keep_their_labels_and_the_rest_joins_the_unlabelled(wanted: Any) -> None:
    corpus = build_corpus(tables(), options(labelled=wanted, validation=4), seed=0)
    assert (len(corpus.train), len(corpus.validation)) == (16, 4)
    assert np.bincount(corpus.train.labels).tolist() == [8, 8]
    assert corpus.unlabelled is not None
    everything = [*listed(corpus.transfer_chunks()), *corpus.validation.texts]
    assert sorted(everything) == sorted(tables()["train"].texts)
    again = build_corpus(tables(), options(labelled=wanted, validation=4), seed=0)
    other = build_corpus(tables(), options(labelled=wanted, validation=4), seed=1)
    assert corpus.train.texts == again.train.texts != other.train.texts


@pytest.mark.parametrize("wanted", [40, 50, 0.01])
def test_too_many_or_too_few_labels_to_keep(wanted: Any) -> None:
    with pytest.raises(DataError, match=f"data.labelled = {wanted}, but train.csv has 40 texts"):
        build_corpus(tables(), options(labelled=wanted), seed=0)


# Streams


def test_a_file_streams_in_chunks_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.data.files.CHUNK_ROWS", 2)
    for name, rows in (("a", range(5)), ("b", range(5, 7))):
        (tmp_path / f"{name}.csv").write_text("text\n" + "".join(f"text {row}\n" for row in rows))
    found = list(stream(str(tmp_path / "*.csv")))
    assert [len(chunk) for chunk in found] == [2, 2, 1, 2]
    assert listed(found) == [f"text {row}" for row in range(7)]


def test_the_shipped_reviews_and_the_imdb_distribution_stream(tmp_path: Path) -> None:
    assert len(listed(stream("reviews:test"))) == 160
    folder = tmp_path / "aclImdb"
    for place, text in (("train/pos/0_9.txt", "good"), ("train/unsup/0_0.txt", "more"), ("train/unsup/1_0.txt", "it")):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    assert listed(stream(f"{folder}:unsup")) == ["more", "it"]


def test_bad_sources_and_cells(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No data at 'gone\.csv'"):
        listed(stream("gone.csv"))
    (tmp_path / "a.csv").write_text("review\nx\n")
    with pytest.raises(DataError, match="has no column 'text'"):
        listed(stream(str(tmp_path / "a.csv")))
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n{"text": ["y"]}\n')
    with pytest.raises(DataError, match="row 2: expected a string as text, got list"):
        listed(stream(str(tmp_path / "b.jsonl")))
    with pytest.raises(DataError, match="files and folders have no splits"):
        listed(stream(f"{tmp_path / 'a.csv'}:train"))


def test_copies_of_held_out_texts_are_left_out() -> None:
    long = " ".join(f"word{number}" for number in range(40))
    source = chunks(["The  first test text", f"{long}!! Indeed", "another text", "THE SECOND ONE"])
    found = select_unlabelled(source, {"test": text_ids(["The first test text"])}, [long, "The second one."])
    assert listed(found.chunks()) == ["another text"]
    assert found.left_out == {"in test": 1, "nearly equal to a validation or test text": 2}
