from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from understudy.data.tokens import (
    Tokens,
    length_batches,
    pad,
    text_ids,
    tokenise,
    tokenise_cached,
    tokenizer_digest,
)

CLS, SEP = 2, 3
TEXTS = ["good film", "", "a very bad story and the film was awful", "unknown good", "good " * 40]


@pytest.fixture
def folder(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def cached(texts: list[str], tokenizer: Any, cache: Path, max_length: int = 8) -> Tokens:
    return tokenise_cached([texts], text_ids(texts), tokenizer, max_length, cache)


def files(cache: Path) -> list[Path]:
    return sorted((cache / "tokens").glob("*.arrow"))


def same(a: Tokens, b: Tokens) -> bool:
    pairs = [(a.ids, b.ids), (a.offsets, b.offsets), (a.full_lengths, b.full_lengths)]
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


# ids of texts


def test_equal_texts_share_an_id_and_others_do_not() -> None:
    ids = text_ids(["a", "b", "a", "A", "", "a "])
    assert ids[0] == ids[2]
    assert len(set(ids.tolist())) == 5
    assert ids.dtype == np.dtype("S32")


def test_the_id_of_a_text_never_changes() -> None:
    """Stored logits are found by it."""
    assert text_ids(["", "naïve"]).tolist() == [
        b"cae66941d9efbd404e4d88758ea67670",
        b"7b633f5f88cb0dd8617039f481fe52e9",
    ]


def test_unpaired_surrogates_have_ids_of_their_own() -> None:
    ids = text_ids(["\ud800", "\udfff", "?", "\ufffd"])
    assert len(set(ids.tolist())) == 4


# tokenise


def test_tokens_are_the_tokenizers(tokenizer: Any) -> None:
    tokens = tokenise(TEXTS, tokenizer, 64)
    assert [tokens[row].tolist() for row in range(len(TEXTS))] == tokenizer(TEXTS)["input_ids"]
    assert len(tokens) == len(TEXTS)
    assert tokens.lengths.tolist() == [len(ids) for ids in tokenizer(TEXTS)["input_ids"]]


def test_a_cut_text_keeps_its_special_tokens(tokenizer: Any) -> None:
    tokens = tokenise(TEXTS, tokenizer, 6)
    for row, whole in enumerate(tokenizer(TEXTS)["input_ids"]):
        expected = whole if len(whole) <= 6 else [*whole[:5], SEP]
        assert tokens[row].tolist() == expected
    assert tokens[4][0] == CLS and len(tokens[4]) == 6


@pytest.mark.parametrize("max_length", [4, 5, 11, 12, 41, 42, 43, 64])
def test_full_lengths_are_those_without_a_cut(tokenizer: Any, max_length: int) -> None:
    tokens = tokenise(TEXTS, tokenizer, max_length)
    assert tokens.full_lengths.tolist() == [len(ids) for ids in tokenizer(TEXTS)["input_ids"]]


def test_an_empty_text_has_only_special_tokens(tokenizer: Any) -> None:
    assert tokenise([""], tokenizer, 8)[0].tolist() == [CLS, SEP]


def test_no_texts(tokenizer: Any) -> None:
    tokens = tokenise([], tokenizer, 8)
    assert len(tokens) == 0 and tokens.ids.dtype == np.int32 and tokens.offsets.tolist() == [0]


def test_more_texts_than_one_chunk(tokenizer: Any) -> None:
    texts = [("good " * (number % 7)).strip() for number in range(2500)]
    tokens = tokenise(texts, tokenizer, 64)
    assert tokens.lengths.tolist() == [number % 7 + 2 for number in range(2500)]


def test_an_unpaired_surrogate_is_tokenised_as_a_question_mark(tokenizer: Any) -> None:
    tokens = tokenise(["good \ud800 film", "good ? film"], tokenizer, 8)
    assert tokens[0].tolist() == tokens[1].tolist()


# select, pad, batches


def test_select_takes_rows_in_their_order(tokenizer: Any) -> None:
    tokens = tokenise(TEXTS, tokenizer, 8)
    chosen = tokens.select(np.array([4, 0, 4]))
    assert [chosen[row].tolist() for row in range(3)] == [tokens[row].tolist() for row in (4, 0, 4)]
    assert chosen.full_lengths.tolist() == tokens.full_lengths[[4, 0, 4]].tolist()
    assert chosen.ids.dtype == np.int32


def test_select_nothing(tokenizer: Any) -> None:
    assert len(tokenise(TEXTS, tokenizer, 8).select(np.array([], dtype=np.int64))) == 0


def test_pad_fills_up_to_the_longest(tokenizer: Any) -> None:
    batch = pad(tokenise(["good film", "", "bad"], tokenizer, 8), [2, 0], pad_id=9)
    assert batch["input_ids"].tolist() == [[CLS, 6, SEP, 9], [CLS, 5, 7, SEP]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == np.int64


def test_pad_to_a_given_length(tokenizer: Any) -> None:
    tokens = tokenise(["good film", ""], tokenizer, 8)
    assert pad(tokens, [0, 1], 0, to=8)["input_ids"].shape == (2, 8)
    assert pad(tokens, [0, 1], 0, to=2)["input_ids"].shape == (2, 4)  # never cuts


@pytest.mark.parametrize("budget", [1, 50, 199, 200, 1000, 10**6])
def test_length_batches_cover_each_row_once_within_the_budget(budget: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 500)
    batches = list(length_batches(lengths, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in batches)
    longest = [lengths[rows].max() for rows in batches]
    assert longest == sorted(longest, reverse=True)


def test_length_batches_are_as_full_as_the_budget_allows() -> None:
    assert [rows.tolist() for rows in length_batches(np.array([2, 4, 3, 2]), 8)] == [[1, 2], [0, 3]]


def test_no_lengths_no_batches() -> None:
    assert list(length_batches(np.array([], dtype=np.int64), 8)) == []


# the cache


def test_the_cache_gives_back_what_went_in(tokenizer: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = cached(TEXTS, tokenizer, tmp_path)
    again = cached(TEXTS, tokenizer, tmp_path)
    assert same(first, again) and same(first, tokenise(TEXTS, tokenizer, 8))
    assert len(files(tmp_path)) == 1
    assert not caplog.records


def test_the_second_time_nothing_is_tokenised(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(TEXTS, tokenizer, tmp_path)
    monkeypatch.setattr("understudy.data.tokens.tokenise", None)
    assert len(cached(TEXTS, tokenizer, tmp_path)) == len(TEXTS)


def test_the_cache_is_memory_mapped(tokenizer: Any, tmp_path: Path) -> None:
    cached(TEXTS, tokenizer, tmp_path)
    tokens = cached(TEXTS, tokenizer, tmp_path)
    assert not tokens.ids.flags.owndata and not tokens.ids.flags.writeable
    path = str(files(tmp_path)[0])
    assert path in Path("/proc/self/maps").read_text()


def test_other_texts_length_or_tokenizer_another_file(
    tokenizer: Any, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    other = AutoTokenizer.from_pretrained(make_model("other", words=["film", "good"]))
    cached(TEXTS, tokenizer, tmp_path)
    cached(TEXTS[::-1], tokenizer, tmp_path)
    cached([*TEXTS[:-1], "good"], tokenizer, tmp_path)
    cached(TEXTS, tokenizer, tmp_path, max_length=9)
    cached(TEXTS, other, tmp_path)
    assert len(files(tmp_path)) == 5
    assert same(cached(TEXTS, other, tmp_path), tokenise(TEXTS, other, 8))


def test_a_tokenizers_digest_does_not_depend_on_its_use(tokenizer: Any, folder: Path) -> None:
    before = tokenizer_digest(tokenizer)
    tokenise(TEXTS, tokenizer, 8)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=5)
    assert tokenizer_digest(tokenizer) == before == tokenizer_digest(AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("suffix", [".arrow", ".sha256"])
def test_a_flipped_bit_anywhere_is_never_used(tokenizer: Any, tmp_path: Path, suffix: str) -> None:
    """Not even opened: a flipped bit in Arrow's own addresses can end the process."""
    right = cached(TEXTS, tokenizer, tmp_path)
    path = files(tmp_path)[0].with_suffix(suffix)
    content = path.read_bytes()
    rolls = random.Random(0)
    for position in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rolls.randrange(8)
        path.unlink()  # a new file, for the old one may be mapped
        path.write_bytes(damaged)
        assert same(cached(TEXTS, tokenizer, tmp_path), right), position
        assert path.read_bytes() == content, position


def test_without_its_checksum_a_file_is_made_again(tokenizer: Any, tmp_path: Path) -> None:
    right = cached(TEXTS, tokenizer, tmp_path)
    checksum = files(tmp_path)[0].with_suffix(".sha256")
    checksum.unlink()
    assert same(cached(TEXTS, tokenizer, tmp_path), right)
    assert checksum.is_file()


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_made_again(
    tokenizer: Any, tmp_path: Path, kept: float, caplog: pytest.LogCaptureFixture
) -> None:
    right = cached(TEXTS, tokenizer, tmp_path)
    path = files(tmp_path)[0]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(kept * len(content))])
    with caplog.at_level(logging.WARNING):
        assert same(cached(TEXTS, tokenizer, tmp_path), right)
    assert "damaged" in caplog.text
    assert path.read_bytes() == content


def test_the_file_of_other_texts_under_this_name_is_not_used(tokenizer: Any, tmp_path: Path) -> None:
    cached(TEXTS, tokenizer, tmp_path)
    wrong = files(tmp_path)[0]
    cached(["good", "bad"], tokenizer, tmp_path)
    right = next(path for path in files(tmp_path) if path != wrong)
    wrong.replace(right)
    wrong.with_suffix(".sha256").replace(right.with_suffix(".sha256"))
    assert cached(["good", "bad"], tokenizer, tmp_path)[1].tolist() == [CLS, 6, SEP]
