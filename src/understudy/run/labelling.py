"""Labels from finished models: the logits of one, from the cache where they are there, and of a committee."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.data.tokens import Tokens, tokenizer_digest
from understudy.evaluation.calibration import fit_temperature
from understudy.inference.store import Answering, StoredLogits, kept_logits, stored_logits
from understudy.models.linear import LinearModel
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.run.inputs import Encoder, Member
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.progress import progress
from understudy.storage.artifacts import folder_digest

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

        A linear model is all too sure of the texts that it was fitted on. Those it labels in five folds, each by a
        model that was fitted on the others.

        Args:
            folder: The linear model's.
            split: Which texts.
            description: Names the work in messages.
        """
        key: dict[str, Any] = {"linear": folder_digest(folder)}
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
                yield own, cross_fitted(self.corpus, self.seed)[own]
        for chunk in chunks:
            rows = missing[(missing >= row) & (missing < row + len(chunk))]
            if len(rows):
                yield rows, _log_probabilities(model, [chunk[place] for place in rows - row])
            row += len(chunk)

    def _ids(self, split: str) -> np.ndarray:
        return self.corpus.transfer_ids if split == "transfer" else getattr(self.corpus, split).ids

    def _chunks(self, split: str) -> Iterable[list[str]]:
        return self.corpus.transfer_chunks() if split == "transfer" else [getattr(self.corpus, split).texts]


@dataclass(frozen=True)
class Committee:
    """The teacher's finished models, which answer together; a teacher of one model answers as that model does.

    The answer is the mean of the log-probabilities, each member's divided by its temperature on the validation texts
    (a logarithmic opinion pool, Genest and Zidek 1986, of calibrated members, Guo et al. 2017).

    Attributes:
        members: What they are.
        folders: Where they are, one a member.
        labeller: Asks them.
        dtype: Compute type of the answers that the temperatures are fitted to.
    """

    members: tuple[Member, ...]
    folders: tuple[Path, ...]
    labeller: Labeller
    dtype: Dtype

    def encoder(self, encoder: Encoder) -> Path:
        """Where the first member is that was fine-tuned from this encoder, or the encoder itself if none was."""
        each = zip(self.members, self.folders, strict=True)
        return next((folder for member, folder in each if member.model is encoder), encoder.origin.path)

    @property
    def models(self) -> tuple[Path, ...]:
        """Folders of the models that answer here: all, or none where the answers were given."""
        each = zip(self.members, self.folders, strict=True)
        return tuple(folder for member, folder in each if not isinstance(member.model, Scores))

    @cached_property
    def temperatures(self) -> list[float]:
        """Of each member."""
        labels = self.labeller.corpus.validation.labels
        found = (
            self._member(place, "validation", self.dtype, "validation").logits for place in range(len(self.members))
        )
        return [fit_temperature(logits, labels) for logits in found]

    def logits(self, split: str, dtype: Dtype, description: str) -> StoredLogits:
        """The committee's logits for a split: log-probabilities, unless it has one member.

        Args:
            split: Which texts.
            dtype: Compute type.
            description: Names the work in messages.
        """
        if len(self.members) == 1:
            return self._member(0, split, dtype, description)
        found = [self._member(place, split, dtype, description) for place in range(len(self.members))]
        return StoredLogits(
            opinion_pool([member.logits for member in found], self.temperatures),
            sum(member.computed for member in found),
            sum(member.reused for member in found),
        )

    def _member(self, place: int, split: str, dtype: Dtype, description: str) -> StoredLogits:
        member, folder = self.members[place], self.folders[place]
        name = description if len(self.members) == 1 else f"{description}, {member.stage}"
        if isinstance(member.model, Encoder):
            return self.labeller.encoder(folder, member.model.tokens, split, dtype, name)
        if isinstance(member.model, Scores):
            return self.labeller.given(member.model, split)
        return self.labeller.linear(folder, split, name)


def opinion_pool(logits: list[np.ndarray], temperatures: list[float]) -> np.ndarray:
    """The mean of log_softmax(logits / temperature), normalised; float32 of shape (texts, classes)."""
    from scipy.special import log_softmax

    scaled = [
        log_softmax(each.astype(np.float64) / temperature, axis=1)
        for each, temperature in zip(logits, temperatures, strict=True)
    ]
    return log_softmax(np.mean(scaled, axis=0), axis=1).astype(np.float32)


def cross_fitted(corpus: Corpus, seed: int) -> np.ndarray:
    """Log-probabilities of the training texts, each from a linear model that was not fitted on it.

    Where a class has too few texts for five folds there are fewer; with one text a class there are none, and the model
    labels what it was fitted on.

    Returns:
        float32 of shape (texts, classes).
    """
    from sklearn.model_selection import StratifiedKFold

    texts, labels, classes = corpus.train.texts, corpus.train.labels, len(corpus.classes)
    # A text that stands there twice is in one fold only.
    _, first, which = np.unique(corpus.train.ids, return_index=True, return_inverse=True)
    counts = np.bincount(labels[first])
    folds = min(_FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        return _log_probabilities(LinearModel.fit(texts, labels, classes), texts)
    logits = np.empty((len(first), classes), dtype=np.float32)
    for _, fold in StratifiedKFold(folds, shuffle=True, random_state=seed).split(first, labels[first]):
        others = np.flatnonzero(~np.isin(which, fold))
        model = LinearModel.fit([texts[row] for row in others], labels[others], classes)
        logits[fold] = _log_probabilities(model, [texts[row] for row in first[fold]])
    return logits[which]


def _log_probabilities(model: LinearModel, texts: list[str]) -> np.ndarray:
    return _logarithm(model.predict_proba(texts))


def _logarithm(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, float32; nothing is less probable than 1e-12."""
    return np.log(np.maximum(probabilities, _SMALLEST)).astype(np.float32)
