"""The answers of finished models for the texts of a run, from the cache where they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import Tokens, tokenizer_digest
from understudy.inference.store import Answering, StoredLogits, kept_logits, stored_logits
from understudy.models.linear import DEFAULT, LinearModel, LinearSettings
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.run.keys import fitted_with
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.progress import progress
from understudy.storage.files import folder_digest

_FOLDS = 5
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Labeller:
    """Answers for the texts of one run.

    Attributes:
        corpus: Has the texts; a split is `validation`, `test`, or `transfer`, what the student learns from.
        max_length: Tokens after which a text is cut.
        hardware: Where to compute.
        cache: The cache folder.
        seed: Of the folds in which the linear model labels its own training texts.
    """

    corpus: Corpus
    max_length: int
    hardware: Hardware
    cache: Path
    seed: int

    def encoder(
        self, folder: Path, tokens: dict[str, Tokens], split: str, dtype: Dtype, description: str
    ) -> StoredLogits:
        """The logits of a Hugging Face folder for a split.

        Args:
            folder: A sequence classifier.
            tokens: By split, from the folder's tokenizer.
            split: Which texts.
            dtype: Compute type.
            description: Names the work in messages.
        """
        tokenizer = load_tokenizer(folder)
        answering = Answering(
            folder_digest(folder),
            tokenizer_digest(tokenizer),
            self.max_length,
            tokenizer.pad_token_id,
            self.hardware,
            dtype,
        )
        model, ids = load_classifier(folder), self._ids(split)
        return stored_logits(model, tokens[split], ids, answering, cache=self.cache, description=description)

    def linear(self, folder: Path, split: str, description: str) -> StoredLogits:
        """The log-probabilities of a linear model for a split.

        A linear model is overconfident on the texts that it was fitted on. It labels those in five folds: each fold is
        labelled by a model that was fitted on the others.

        Args:
            folder: The linear model's.
            split: Which texts.
            description: Names the work in messages.
        """
        key: dict[str, Any] = {"linear": folder_digest(folder), **fitted_with()}
        if split == "transfer":
            key |= {"folds": _FOLDS, "seed": self.seed, "train": self.corpus.train.digest}
        ids = self._ids(split)

        def compute(missing: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            with progress(description, len(missing)) as advance:
                for rows, logits in self._linear_parts(LinearModel.load(folder), split, missing):
                    yield rows, logits
                    advance(len(rows))

        return kept_logits(key, ids, len(self.corpus.classes), compute, self.cache)

    def given(self, scores: Scores, split: str) -> StoredLogits:
        """The log-probabilities of a teacher whose answers were given, for a split."""
        ids = self._ids(split)
        return StoredLogits(_logarithm(scores.lookup(ids)), 0, len(np.unique(ids)))

    def _linear_parts(
        self, model: LinearModel, split: str, missing: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the split that are missing, and their log-probabilities."""
        chunks = iter(self._chunks(split))
        row = 0
        if split == "transfer":
            row = len(next(chunks))
            own = missing[missing < row]
            if len(own):
                yield own, cross_fitted(self.corpus, self.seed, model.settings)[own]
        for chunk in chunks:
            rows = missing[(missing >= row) & (missing < row + len(chunk))]
            if len(rows):
                yield rows, _log_probabilities(model, [chunk[place] for place in rows - row])
            row += len(chunk)

    def _ids(self, split: str) -> np.ndarray:
        return self.corpus.transfer_ids if split == "transfer" else getattr(self.corpus, split).ids

    def _chunks(self, split: str) -> Iterable[list[str]]:
        return self.corpus.transfer_chunks() if split == "transfer" else [getattr(self.corpus, split).texts]


def cross_fitted(corpus: Corpus, seed: int, settings: LinearSettings = DEFAULT) -> np.ndarray:
    """Log-probabilities of the training texts, each from a linear model that was not fitted on it.

    If a class has too few texts for five folds, there are fewer. If a class has a single text, there are none, and the
    model labels the texts that it was fitted on.

    Args:
        corpus: Has the texts.
        seed: Of the folds.
        settings: Of the linear models.

    Returns:
        float32 of shape (texts, classes).
    """
    from sklearn.model_selection import StratifiedKFold

    texts, labels, classes = corpus.train.texts, corpus.train.labels, len(corpus.classes)
    # A text that occurs twice is in one fold only.
    _, first, which = np.unique(corpus.train.ids, return_index=True, return_inverse=True)
    counts = np.bincount(labels[first])
    folds = min(_FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        return _log_probabilities(LinearModel.fit(texts, labels, classes, settings=settings), texts)
    logits = np.empty((len(first), classes), dtype=np.float32)
    for _, fold in StratifiedKFold(folds, shuffle=True, random_state=seed).split(first, labels[first]):
        others = np.flatnonzero(~np.isin(which, fold))
        model = LinearModel.fit([texts[row] for row in others], labels[others], classes, settings=settings)
        logits[fold] = _log_probabilities(model, [texts[row] for row in first[fold]])
    return logits[which]


def _log_probabilities(model: LinearModel, texts: list[str]) -> np.ndarray:
    return _logarithm(model.predict_proba(texts))


def _logarithm(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, float32; probabilities below 1e-12 count as 1e-12."""
    logarithms: np.ndarray = np.log(np.maximum(probabilities, _SMALLEST)).astype(np.float32)
    return logarithms
