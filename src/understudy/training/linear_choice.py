"""Chooses a linear model's features and penalty by cross-validation within the training texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from understudy.data.near_duplicates import Shingler, near_duplicate_groups
from understudy.data.splitting import stratified_share
from understudy.data.words import text_key
from understudy.models.linear import KINDS, FeatureSet, LinearSettings
from understudy.models.ngrams import Kind, NGrams, stacked
from understudy.models.one_vs_rest import Targets, one_vs_rest, to_probabilities

log = logging.getLogger(__name__)

_MOST_TEXTS = 5_000
_FEWEST_TEXTS = 2_000
# Each class is one more fit, so many classes get fewer texts: 150 classes have 2,000.
_MOST_OUTPUTS = 200_000
_FOLDS = 3
_PENALTIES = (1.0, 0.25, 4.0)
# A candidate that is this many standard errors behind after one fold does not see the others.
_BEHIND = 2.0
# The calibration's factor is between 1/4 and 4, and 1 with fewer texts than this.
_FEWEST_TO_CALIBRATE = 50
_WIDEST = float(np.log(4))


@dataclass(frozen=True)
class Tried:
    """One candidate.

    Attributes:
        features: Its features.
        c: Inverse strength of its penalty.
        accuracy: Cross-validated, on `folds` folds.
        folds: Folds that it was tested on; fewer for a candidate that was far behind.
    """

    features: FeatureSet
    c: float
    accuracy: float
    folds: int


@dataclass(frozen=True)
class LinearChoice:
    """The settings of a linear model, and why.

    Attributes:
        settings: What was chosen.
        accuracy: Its cross-validated accuracy; None if there were too few texts to try.
        majority: Accuracy of always answering the most frequent class, on the same texts.
        texts: Number of texts that the choice was made on.
        tried: All candidates.
    """

    settings: LinearSettings
    accuracy: float | None
    majority: float
    texts: int
    tried: tuple[Tried, ...]

    @property
    def learned(self) -> bool:
        """Whether the model was better than the majority in cross-validation, by more than one standard error."""
        if self.accuracy is None:
            return True
        error = (self.majority * (1 - self.majority) / self.texts) ** 0.5
        return bool(self.accuracy > self.majority + error)

    def record(self) -> dict[str, Any]:
        """What manifest and model folder keep of it."""
        return {**asdict(self), "tried": [asdict(each) for each in self.tried], "learned": self.learned}


def choose_settings(texts: Sequence[str], labels: np.ndarray, classes: int) -> LinearChoice:
    """Chooses features, penalty and calibration; the same texts give the same choice.

    The three feature sets are compared with C = 1, then other penalties with the best of them. At most 5,000 texts take
    part. Equal and nearly equal texts are in one fold. The scores of the chosen candidate on held-out texts decide
    the factor that calibrates its probabilities.

    Args:
        texts: Training texts.
        labels: Class indices, shape (texts,).
        classes: Number of classes.
    """
    rows = _sample(labels, classes)
    sample, truth = [texts[row] for row in rows], np.asarray(labels)[rows]
    majority = float(np.bincount(truth).max() / len(truth))
    folds = _folds(sample, truth)
    if len(np.unique(truth)) < 2 or not all(len(np.unique(truth[folds != fold])) > 1 for fold in range(_FOLDS)):
        return LinearChoice(LinearSettings(), None, majority, len(rows), ())
    trial = _Trial(sample, truth, classes, folds, {}, {})
    for features in KINDS:
        trial.run(features, _PENALTIES[0])
    best = trial.best[0]
    for c in _PENALTIES[1:]:
        trial.run(best, c)
    features, c = trial.best
    chosen = trial.results[features, c]
    for each in trial.tried:
        log.info("linear, %s, C = %g: accuracy %.4f on %d of %d folds", *asdict(each).values(), _FOLDS)
    choice = LinearChoice(LinearSettings(features, c), chosen.accuracy(truth), majority, len(rows), trial.tried)
    if not choice.learned:
        log.warning("linear: no better than the most frequent class in cross-validation")
        return choice
    return replace(choice, settings=replace(choice.settings, scale=_scale(chosen.scores, truth)))


@dataclass(frozen=True)
class _Result:
    """Scores of held-out texts, shape (texts, outputs); NaN for folds that were not tried."""

    scores: np.ndarray

    def right(self, truth: np.ndarray) -> np.ndarray:
        """1 and 0 for right and wrong answers, NaN for texts that were not asked; shape (texts,)."""
        asked = ~np.isnan(self.scores).any(axis=1)
        predicted = to_probabilities(np.where(asked[:, None], self.scores, 0)).argmax(axis=1)
        return np.where(asked, predicted == truth, np.nan)

    def accuracy(self, truth: np.ndarray) -> float:
        return float(np.nanmean(self.right(truth)))


@dataclass(frozen=True)
class _Trial:
    """Cross-validation of candidates on the same folds; features are counted once for all of them.

    Attributes:
        texts: The texts.
        truth: Their classes, shape (texts,).
        classes: Number of classes.
        folds: The fold of each text, shape (texts,).
        counted: Features by kind.
        results: By features and penalty.
    """

    texts: list[str]
    truth: np.ndarray
    classes: int
    folds: np.ndarray
    counted: dict[Kind, Any]
    results: dict[tuple[FeatureSet, float], _Result]

    @property
    def best(self) -> tuple[FeatureSet, float]:
        """The most accurate candidate that saw all folds; the first of equal ones."""
        complete = {key: found for key, found in self.results.items() if not np.isnan(found.scores).any()}
        return max(complete, key=lambda key: complete[key].accuracy(self.truth))

    @property
    def tried(self) -> tuple[Tried, ...]:
        return tuple(
            Tried(*key, found.accuracy(self.truth), len(np.unique(self.folds[~np.isnan(found.scores).any(axis=1)])))
            for key, found in self.results.items()
        )

    def run(self, features: FeatureSet, c: float) -> None:
        """Tests a candidate on every fold, or on one if it is far behind there."""
        matrix = self._matrix(features)
        binary = self.counted["binary_words"].shape[1] if "binary_words" in KINDS[features] else 0
        scores = np.full((len(self.truth), 1 if self.classes == 2 else self.classes), np.nan)
        result = _Result(scores)
        for fold in range(_FOLDS):
            held = self.folds == fold
            targets = Targets.hard(self.truth[~held], self.classes)
            weights, intercepts = one_vs_rest(matrix[np.flatnonzero(~held)], binary, targets, c)
            scores[held] = matrix[np.flatnonzero(held)] @ weights.T + intercepts
            if self._is_behind(result):
                break
        self.results[features, c] = result

    def _is_behind(self, result: _Result) -> bool:
        if not self.results:
            return False
        difference = self.results[self.best].right(self.truth) - result.right(self.truth)
        compared = difference[~np.isnan(difference)]
        return bool(compared.mean() > _BEHIND * compared.std() / len(compared) ** 0.5)

    def _matrix(self, features: FeatureSet) -> Any:
        for kind in KINDS[features]:
            if kind not in self.counted:
                self.counted[kind] = NGrams.fit(kind, self.texts)[1]
        return stacked([self.counted[kind] for kind in KINDS[features]])


def _sample(labels: np.ndarray, classes: int) -> np.ndarray:
    """The rows that take part, ascending: all of them, or a stratified sample."""
    most = min(_MOST_TEXTS, max(_FEWEST_TEXTS, _MOST_OUTPUTS // classes))
    if len(labels) <= most:
        return np.arange(len(labels))
    return np.flatnonzero(stratified_share(labels, most / len(labels), seed=0))


def _folds(texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """The fold of each text, stratified by class; equal and nearly equal texts share one."""
    shingler = Shingler()
    _, first, group = np.unique(
        near_duplicate_groups([shingler(text_key(text)) for text in texts]), return_index=True, return_inverse=True
    )
    shuffled = np.random.default_rng(0).permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    folds = np.empty(len(first), dtype=int)
    folds[order] = np.arange(len(first)) % _FOLDS
    return np.asarray(folds[group])


def _scale(scores: np.ndarray, truth: np.ndarray) -> float:
    """The factor with which the scores of held-out texts have the smallest log loss."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(truth))
    if len(truth) < _FEWEST_TO_CALIBRATE:
        return 1.0

    def loss(exponent: float) -> float:
        probabilities = to_probabilities(scores * np.exp(exponent))[rows, truth]
        return float(-np.log(np.maximum(probabilities, 1e-12)).mean())

    found = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded", options={"xatol": 0.01})
    return round(float(np.exp(found.x)), 3)
