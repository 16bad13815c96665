"""Finds near-duplicate texts: hashed word shingles, compared by Jaccard similarity.

The method is from A. Broder, "On the resemblance and containment of documents" (1997). A text is the set of its runs
of five consecutive words, and two texts are similar if these sets overlap. Two sets are compared exactly only if their
sketches (the sixteen smallest hashes) share a hash. So the cost is linear in the number of texts, not quadratic.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
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
_BLOCK = 4096  # texts whose candidates are found at once
# Chinese and Japanese have no spaces between words, so each of their characters counts as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Shingler:
    """Turns texts into sets of hashed shingles; use one `Shingler` for all texts to compare."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._known: dict[str, NDArray[np.uint64]] = {}

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """Hashes of the distinct shingles, ascending; case and punctuation are ignored.

        A text shorter than a shingle has one shingle of all its words. A text without words has none, so ":)" and ":("
        are not duplicates. The sets are kept, so each text is read once.
        """
        if text not in self._known:
            self._known[text] = self.read(text)
        return self._known[text]

    def read(self, text: str) -> NDArray[np.uint64]:
        """The same, but the set is not kept: for texts that are streamed."""
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


class References:
    """Shingle sets to compare others with, indexed by the hashes of their sketches."""

    def __init__(self, sets: Sequence[NDArray[np.uint64]]) -> None:
        hashes, owners = _sketches(sets)
        order = np.argsort(hashes, kind="stable")
        self._sets = sets
        self._hashes, self._owners = hashes[order], owners[order]
        self._sizes = np.array([len(shingles) for shingles in sets], dtype=np.int64)

    def similar(self, one: NDArray[np.uint64], reference: int) -> bool:
        return _jaccard(one, self._sets[reference]) >= THRESHOLD

    def candidates(self, texts: Sequence[NDArray[np.uint64]], first: int | None = None) -> Iterator[tuple[int, int]]:
        """At most `_CANDIDATES` pairs per text, likeliest first: those whose sketches share the rarest hashes.

        Args:
            texts: Shingle sets, from the same `Shingler` as the references.
            first: Place of the first text among the references, if the texts are references themselves; each is then
                paired with earlier ones only.
        """
        for start in range(0, len(texts), _BLOCK):
            pairs = self._block(texts[start : start + _BLOCK], None if first is None else first + start)
            yield from ((start + text, reference) for text, reference in pairs)

    def _block(self, texts: Sequence[NDArray[np.uint64]], first: int | None) -> list[tuple[int, int]]:
        hashes, owners = _sketches(texts)
        begin = np.searchsorted(self._hashes, hashes, side="left")
        sharing = np.searchsorted(self._hashes, hashes, side="right") - begin
        taken = np.minimum(sharing, _BUCKET)
        within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        text = np.repeat(owners, taken)
        reference = self._owners[np.repeat(begin, taken) + within]
        rarity = np.repeat(1 / np.maximum(sharing, 1), taken)

        # The size of the smaller set divided by that of the larger is an upper bound of the similarity.
        sizes = np.array([len(shingles) for shingles in texts], dtype=np.int64)[text]
        other = self._sizes[reference]
        possible = np.minimum(sizes, other) >= THRESHOLD * np.maximum(sizes, other)
        if first is not None:
            possible &= reference < first + text

        number = len(self._sizes)
        pairs, which = np.unique(text[possible] * number + reference[possible], return_inverse=True)
        text, reference = np.divmod(pairs, max(number, 1))
        likeliest = np.lexsort((-np.bincount(which, weights=rarity[possible], minlength=len(pairs)), text))
        text, reference = text[likeliest], reference[likeliest]
        rank = np.arange(len(text)) - np.searchsorted(text, text)
        kept = rank < _CANDIDATES
        return list(zip(text[kept].tolist(), reference[kept].tolist(), strict=True))


def near_duplicates(
    texts: Sequence[NDArray[np.uint64]], references: References | Sequence[NDArray[np.uint64]]
) -> dict[int, int]:
    """Finds a near duplicate of each text among the references.

    Args:
        texts: Shingle sets, from the same `Shingler` as `references`.
        references: Shingle sets to compare with.

    Returns:
        Maps indices of `texts` to indices of `references` with a Jaccard similarity of at least `THRESHOLD`.
    """
    known = references if isinstance(references, References) else References(references)
    found: dict[int, int] = {}
    for text, reference in known.candidates(texts):
        if text not in found and known.similar(texts[text], reference):
            found[text] = reference
    return found


def near_duplicate_groups(texts: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """Groups near duplicates, and the near duplicates of these.

    Args:
        texts: Shingle sets from one `Shingler`.

    Returns:
        Group numbers from 0 in the order of the groups' first texts, shape (texts,).
    """
    parents = list(range(len(texts)))

    def root(text: int) -> int:
        while parents[text] != text:
            parents[text] = text = parents[parents[text]]
        return text

    known = References(texts)
    for text, reference in known.candidates(texts, first=0):
        one, other = root(text), root(reference)
        if one != other and known.similar(texts[text], reference):
            parents[max(one, other)] = min(one, other)
    roots = np.array([root(text) for text in range(len(texts))], dtype=np.int64)
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


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
