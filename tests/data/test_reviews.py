"""The reviews that ship with understudy: what was promised about them."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest

from understudy.data.near_duplicates import Shingler, near_duplicates

TRAITS = {"irony", "negation", "mixed", "comparison", "faint_praise", "technical", "plot"}


@pytest.fixture(scope="module")
def reviews() -> list[dict[str, Any]]:
    text = (resources.files("understudy.data") / "reviews.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def test_there_are_enough_and_they_are_balanced(reviews: list[dict[str, Any]]) -> None:
    counts = Counter((review["split"], review["label"]) for review in reviews)
    assert set(counts) == {(split, label) for split in ("train", "test") for label in ("negative", "positive")}
    assert counts["train", "negative"] == counts["train", "positive"] >= 240
    assert counts["test", "negative"] == counts["test", "positive"] == 80


def test_their_length_is_between_20_and_180_words(reviews: list[dict[str, Any]]) -> None:
    lengths = [len(review["text"].split()) for review in reviews]
    assert min(lengths) >= 20
    assert max(lengths) <= 180


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_quarter_is_hard_in_a_named_way(reviews: list[dict[str, Any]], split: str) -> None:
    chosen = [review for review in reviews if review["split"] == split]
    assert {trait for review in chosen for trait in review["traits"]} == TRAITS
    assert sum(bool(review["traits"]) for review in chosen) / len(chosen) >= 0.25


def test_train_and_test_share_no_film(reviews: list[dict[str, Any]]) -> None:
    films = defaultdict(set)
    for review in reviews:
        films[review["film"].casefold()].add(review["split"])
    assert [film for film, splits in films.items() if len(splits) > 1] == []


def test_train_and_test_share_no_eight_words_in_a_row(reviews: list[dict[str, Any]]) -> None:
    runs: dict[str, set[tuple[str, ...]]] = {"train": set(), "test": set()}
    for review in reviews:
        spoken = words(review["text"])
        runs[review["split"]] |= {tuple(spoken[start : start + 8]) for start in range(len(spoken) - 7)}
    assert runs["train"] & runs["test"] == set()


def test_no_two_are_near_duplicates(reviews: list[dict[str, Any]]) -> None:
    texts = [review["text"] for review in reviews]
    shingler = Shingler()
    shingles = [shingler(text) for text in texts]
    for parts in (2, 3, 5, 7):  # every pair is on different sides in one of these, but for a few
        sides = [[row for row in range(len(texts)) if (row % parts == 0) is side] for side in (True, False)]
        first, second = ([shingles[row] for row in side] for side in sides)
        assert near_duplicates(first, second) == {}
    # What a template would leave behind: a long run of words that two texts share.
    seen: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        spoken = words(text)
        seen.update({tuple(spoken[start : start + 12]) for start in range(len(spoken) - 11)})
    assert [run for run, count in seen.items() if count > 1] == []


def test_openings_vary(reviews: list[dict[str, Any]]) -> None:
    openings = Counter(tuple(words(review["text"])[:4]) for review in reviews)
    assert openings.most_common(1)[0][1] <= 0.005 * len(reviews)


def test_no_neighbours_come_from_a_sorted_list(reviews: list[dict[str, Any]]) -> None:
    labels = [review["label"] for review in reviews if review["split"] == "train"]
    changes = sum(before != after for before, after in pairwise(labels))
    assert 0.4 < changes / len(labels) < 0.6
