from __future__ import annotations

import random

import numpy as np
import pytest

from understudy.data.near_duplicates import Shingler, near_duplicate_groups, near_duplicates

WORDS = [f"word{number}" for number in range(5000)]


def prose(seed: int, words: int = 100) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def match(texts: list[str], references: list[str]) -> dict[int, int]:
    shingler = Shingler()
    references_shingled = [shingler(reference) for reference in references]
    return near_duplicates([shingler(text) for text in texts], references_shingled)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" :) ... !", 0),
        ("one", 1),
        ("one two three four", 1),
        ("one two three four five", 1),
        ("one two three four five six", 2),
        ("a b c d e a b c d e", 5),
        ("六字のことば", 2),
    ],
)
def test_number_of_shingles(text: str, count: int) -> None:
    assert len(Shingler()(text)) == count


def test_shingles_ascend() -> None:
    shingles = Shingler()(" ".join(prose(0)))
    assert (np.diff(shingles.astype(object)) > 0).all()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Great movie!", "great MOVIE", True),
        ("Straße", "STRASSE", True),
        ("great movie", "movie great", False),
        ("great movie", "great great movie", False),
        ("great", "great great", False),
        ("one two three four five", "one two three four", False),
        (":)", ":(", False),
    ],
)
def test_short_texts_match_by_their_words(one: str, other: str, same: bool) -> None:
    assert match([one], [other]) == ({0: 0} if same else {})


# Of 96 runs of five words, a changed word in the middle takes five: (96 - 5n) / (96 + 5n).
@pytest.mark.parametrize(("changed", "found"), [(1, True), (3, True), (4, False), (8, False)])
def test_threshold_is_a_jaccard_similarity_of_0_7(changed: int, found: bool) -> None:
    for seed in range(20):
        original = prose(seed)
        copy = list(original)
        for number in range(changed):
            copy[10 + 10 * number] = f"changed{number}"
        assert match([" ".join(copy)], [" ".join(original)]) == ({0: 0} if found else {}), seed


def test_order_of_sentences_does_not_count() -> None:
    words = prose(1, words=200)
    assert match([" ".join(words[100:] + words[:100])], [" ".join(words)]) == {0: 0}


def test_indices_are_those_of_text_and_reference() -> None:
    texts = [" ".join(prose(seed)) for seed in (1, 2, 3)]
    references = [" ".join(prose(seed)) for seed in (9, 3, 8, 1)]
    assert match([text + " indeed" for text in texts], references) == {0: 3, 2: 1}


@pytest.mark.parametrize(("texts", "references"), [([], []), (["some text"], []), ([], ["some text"]), ([""], [""])])
def test_nothing_to_compare(texts: list[str], references: list[str]) -> None:
    assert match(texts, references) == {}


def test_boilerplate_makes_no_match_and_hides_none() -> None:
    notice = prose(0, words=100)
    references = [" ".join(notice + prose(seed)) for seed in range(1, 301)]
    copy = [*notice, *prose(250)[:-1], "altered"]
    stranger = notice + prose(999)
    assert match([" ".join(copy), " ".join(stranger)], references) == {0: 249}


def test_a_large_family_of_copies_is_found() -> None:
    template = prose(0)
    references = [" ".join([*template, f"number{number}"]) for number in range(200)]
    texts = [" ".join([*template, f"other{number}"]) for number in range(200)]
    assert sorted(match(texts, references)) == list(range(200))


@pytest.mark.parametrize("closest", [0, 1, 2])
def test_the_closest_reference_is_taken(closest: int) -> None:
    words = prose(0)
    references = [" ".join([*words[:-20], *prose(seed, words=10)]) for seed in (1, 2)]
    references.insert(closest, " ".join([*words[:-1], "altered"]))
    assert match([" ".join(words)], references) == {0: closest}


def test_references_that_share_half_do_not_hide_the_whole() -> None:
    for seed in range(0, 80, 4):
        first, second, *others = (prose(seed + number) for number in range(4))
        references = [" ".join(first + others[0]), " ".join(second + others[1]), " ".join(first + second)]
        assert match([" ".join([*first, *second, "indeed"])], references) == {0: 2}, seed


def test_a_stranger_with_a_rare_passage_does_not_hide_a_large_family() -> None:
    for seed in range(0, 60, 3):
        template, tail, other = prose(seed), prose(seed + 1, words=20), prose(seed + 2)
        references = [" ".join([*template, f"number{number}"]) for number in range(30)] + [" ".join(other + tail)]
        found = match([" ".join(template + tail)], references)
        assert list(found) == [0] and found[0] < 30, seed


def groups(texts: list[str]) -> list[int]:
    shingler = Shingler()
    return near_duplicate_groups([shingler(text) for text in texts]).tolist()


def test_groups_are_near_duplicates_and_theirs() -> None:
    words = prose(0, 100)
    chain = [" ".join(words[start : start + 60]) for start in range(0, 40, 8)]  # each is similar to the next only
    other = " ".join(prose(1))
    assert match([chain[0]], [chain[-1]]) == {}
    assert groups([other, *chain, "one two", other + " again", "One, two."]) == [0, 1, 1, 1, 1, 1, 2, 0, 2]


def test_groups_of_nothing() -> None:
    assert groups([]) == []
    assert groups(["", ":)", "a"]) == [0, 1, 2]


def test_many_copies_are_one_group() -> None:
    text = " ".join(prose(0))
    assert set(groups([f"{text} {row}" for row in range(200)])) == {0}
