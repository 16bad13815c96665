"""Finds near-duplicate texts: hashed word shingles, compared by Jaccard similarity.

The method is from A. Broder, "On the resemblance and containment of documents" (1997). A text is the set of its runs
of five consecutive words, and two texts are similar if these sets overlap. Two sets are compared exactly only if their
sketches (the sixteen smallest hashes) share a hash. So the cost is linear in the number of texts, not quadratic.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHINGLE_WORDS = 5
THRESHOLD = 0.7
"""Jaccard similarity from which two texts count as nearly the same."""

_SKETCH = 16  # at the threshold, the chance that two sketches share nothing is about 0.3 ** 16
_BUCKET = 20  # references considered per hash; boilerplate would give many more
_CANDIDATES = 10  # references that a text is compared with exactly
# Chinese and Japanese have no spaces between words, so each of their characters counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Shingler:
    """Turns texts into sets of hashed shingles; use one `Shingler` for all texts to compare."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """Hashes of the distinct shingles, ascending; case and punctuation are ignored.

        A text shorter than a shingle has one shingle of all its words. A text without words has none, so ":)" and ":("
        are not duplicates.
        """
        words = _WORD.findall(text.casefold())
        if not words:
            return np.empty(0, dtype=np.uint64)
        numbers = np.fromiter(map(self._numbers.__getitem__, words), dtype=np.uint64, count=len(words))
        width = min(SHINGLE_WORDS, len(words))
        count = len(words) - width + 1
        hashes = np.ones(count, dtype=np.uint64)  # not zeros: one and two of word number 0 would have the same hash
        for offset in range(width):
            hashes = hashes * _BASE + numbers[offset : offset + count]
        return np.unique(_mixed(hashes))


def near_duplicates(texts: Sequence[NDArray[np.uint64]], references: Sequence[NDArray[np.uint64]]) -> dict[int, int]:
    """Finds a near duplicate of each text among the references.

    Args:
        texts: Shingle sets, from the same `Shingler` as `references`.
        references: Shingle sets to compare with.

    Returns:
        Maps indices of `texts` to indices of `references` with a Jaccard similarity of at least `THRESHOLD`.
    """
    found: dict[int, int] = {}
    for text, reference in _candidates(texts, references):
        if text not in found and _jaccard(texts[text], references[reference]) >= THRESHOLD:
            found[text] = reference
    return found


def _candidates(texts: Sequence[NDArray[np.uint64]], references: Sequence[NDArray[np.uint64]]) -> list[tuple[int, int]]:
    """At most `_CANDIDATES` pairs per text, likeliest first: those whose sketches share the rarest hashes."""
    hashes, owners = _sketches(texts)
    known, known_owners = _sketches(references)
    order = np.argsort(known, kind="stable")
    known, known_owners = known[order], known_owners[order]

    first = np.searchsorted(known, hashes, side="left")
    sharing = np.searchsorted(known, hashes, side="right") - first
    taken = np.minimum(sharing, _BUCKET)
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    text = np.repeat(owners, taken)
    reference = known_owners[np.repeat(first, taken) + within]
    rarity = np.repeat(1 / np.maximum(sharing, 1), taken)

    # The size of the smaller set divided by that of the larger is an upper bound of the similarity.
    sizes = np.array([len(shingles) for shingles in texts], dtype=np.int64)[text]
    other = np.array([len(shingles) for shingles in references], dtype=np.int64)[reference]
    possible = np.minimum(sizes, other) >= THRESHOLD * np.maximum(sizes, other)

    pairs, which = np.unique(text[possible] * len(references) + reference[possible], return_inverse=True)
    text, reference = np.divmod(pairs, max(len(references), 1))
    likeliest = np.lexsort((-np.bincount(which, weights=rarity[possible], minlength=len(pairs)), text))
    text, reference = text[likeliest], reference[likeliest]
    rank = np.arange(len(text)) - np.searchsorted(text, text)
    kept = rank < _CANDIDATES
    return list(zip(text[kept].tolist(), reference[kept].tolist(), strict=True))


def _sketches(sets: Sequence[NDArray[np.uint64]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The smallest hashes of all sets in one array, and the index of the set that each belongs to."""
    sketches = [shingles[:_SKETCH] for shingles in sets]
    owners = np.repeat(np.arange(len(sets)), [len(sketch) for sketch in sketches])
    return np.concatenate([np.empty(0, dtype=np.uint64), *sketches]), owners


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al. 2014): mixes all bits, so that the order of hashes is random."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
