"""N-gram features of texts: binary word n-grams, and tf-idf of word and character n-grams.

In scripts without spaces between words, such as Chinese or Thai, each character counts as a word. Runs of characters
never cross white space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from understudy.data.words import folded, words

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Kind = Literal["binary_words", "words", "characters"]

_LARGE = 10_000
# Of a text's tf-idf vector. C = 1 then suits it, as it suits binary n-grams.
_LENGTH = 20**0.5
_LENGTHS: dict[Kind, tuple[int, int]] = {"binary_words": (1, 3), "words": (1, 2), "characters": (3, 5)}


@dataclass(frozen=True, eq=False)
class NGrams:
    """The n-grams of one kind that a model reads, with their weights in tf-idf.

    `binary_words` are runs of one to three words, 1 where they occur. `words` (one or two words) and `characters`
    (three to five) have sublinear term frequency times idf, with the same length in each text.

    Attributes:
        kind: What is counted.
        ngrams: The vocabulary; words are joined by one space.
        idf: Inverse document frequencies, float32 of shape (ngrams,); None for `binary_words`.
    """

    kind: Kind
    ngrams: list[str]
    idf: np.ndarray | None = None

    @classmethod
    def fit(cls, kind: Kind, texts: Sequence[str]) -> tuple[NGrams, csr_array]:
        """Finds the n-grams of texts.

        An n-gram must occur in 2 texts, or in 3 if there are 10,000 texts or more.

        Returns:
            The n-grams, and the features of the texts, float64 of shape (texts, ngrams).
        """
        number = len(texts)
        counts, names = _all_counts(kind, texts)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        kept = np.flatnonzero(frequency >= min(2 if number < _LARGE else 3, number))
        idf = None
        if kind != "binary_words":
            idf = (np.log((1 + number) / (1 + frequency[kept])) + 1).astype(np.float32)
        found = cls(kind, [names[place] for place in kept], idf)
        return found, found._weighted(counts[:, kept])

    def features(self, texts: Sequence[str]) -> csr_array:
        """The features of texts, float64 of shape (texts, ngrams); texts do not affect each other."""
        from scipy.sparse import csr_array

        if not self.ngrams or not len(texts):
            return csr_array((len(texts), len(self.ngrams)))
        return self._weighted(_counted(self.kind, texts, self._vectorizer)[0])

    def select(self, places: np.ndarray) -> NGrams:
        """The n-grams at some places; not for tf-idf, where all n-grams share in a text's length."""
        return NGrams(self.kind, [self.ngrams[place] for place in places])

    @cached_property
    def _vectorizer(self) -> Any:
        """Counts n-grams; created once, because indexing the vocabulary takes longer than counting a text."""
        return _vectorizer(self.kind, vocabulary=self.ngrams)

    def _weighted(self, counts: csr_array) -> csr_array:
        from scipy.sparse import csr_array
        from sklearn.preprocessing import normalize

        counts.sort_indices()  # sums are then the same for a text alone and among others
        if self.idf is None:
            counts.data[:] = 1
            return counts
        if not self.ngrams:  # scikit-learn refuses a matrix without columns
            return counts
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return csr_array(normalize(counts, copy=False)) * _LENGTH


def read(kinds: Sequence[Kind], texts: Sequence[str]) -> tuple[list[NGrams], csr_array]:
    """Finds the n-grams of several kinds in texts.

    Returns:
        The n-grams of each kind, and the features of the texts, one kind after the other.
    """
    found = [NGrams.fit(kind, texts) for kind in kinds]
    return [ngrams for ngrams, _ in found], stacked([features for _, features in found])


def stacked(parts: Sequence[csr_array]) -> csr_array:
    """Features side by side."""
    from scipy.sparse import csr_array, hstack

    return parts[0] if len(parts) == 1 else csr_array(hstack(parts, format="csr"))


def _all_counts(kind: Kind, texts: Sequence[str]) -> tuple[csr_array, list[str]]:
    """The counts of all n-grams in the texts, and their names, in order."""
    from scipy.sparse import csr_array

    try:
        return _counted(kind, texts, _vectorizer(kind))
    except ValueError as error:
        if not str(error).startswith("empty vocabulary"):
            raise
        return csr_array((len(texts), 0)), []


def _counted(kind: Kind, texts: Sequence[str], vectorizer: Any) -> tuple[csr_array, list[str]]:
    """The counts of n-grams in texts, and the n-grams; a vectoriser without a vocabulary is fitted first."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    apply = vectorizer.fit_transform if vectorizer.vocabulary is None else vectorizer.transform
    if kind != "characters":
        counts = csr_array(apply(texts))
    else:
        # No run of characters crosses white space, so each distinct string between white space is read once.
        strings = CountVectorizer(analyzer=_strings, dtype=np.float64)
        try:
            occurrences = csr_array(strings.fit_transform(texts))
        except ValueError:  # no text has a character
            return csr_array((len(texts), len(vectorizer.vocabulary or []))), []
        counts = csr_array(occurrences @ csr_array(apply(strings.get_feature_names_out())))
    return counts, vectorizer.get_feature_names_out().tolist() if vectorizer.vocabulary is None else []


def _strings(text: str) -> list[str]:
    return folded(text).split()


def _vectorizer(kind: Kind, **options: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    options |= {"ngram_range": _LENGTHS[kind], "dtype": np.float64}
    if kind == "characters":
        return CountVectorizer(analyzer="char_wb", lowercase=False, **options)
    binary = kind == "binary_words"
    return CountVectorizer(preprocessor=folded, tokenizer=words, token_pattern=None, binary=binary, **options)
