"""The linear model: a strong baseline without a neural network.

Logistic regression on n-grams of words, or of words and characters; `understudy.training.linear_choice` chooses. Binary
n-grams of words are scaled by their naive Bayes log-count ratio (Wang and Manning 2012, "Baselines and Bigrams: Simple,
Good Sentiment and Topic Classification"). More than two classes are trained one against the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from understudy.errors import ModelError
from understudy.models.ngrams import Kind, NGrams, read, stacked
from understudy.models.one_vs_rest import Targets, one_vs_rest, to_probabilities
from understudy.storage.files import file_sha256, write_file, write_json
from understudy.storage.records import load_record

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FORMAT = 4
_WEIGHTS = "linear.safetensors"
_SETTINGS = "linear.json"
_NEGLIGIBLE = 1e-3

FeatureSet = Literal["nb_words", "tfidf", "stacked"]
KINDS: dict[FeatureSet, tuple[Kind, ...]] = {
    "nb_words": ("binary_words",),
    "tfidf": ("words", "characters"),
    "stacked": ("binary_words", "words", "characters"),
}


@dataclass(frozen=True)
class LinearSettings:
    """How a linear model is fitted.

    Attributes:
        features: `nb_words` are NB-weighted binary n-grams of up to three words; `tfidf` are n-grams of up to two words
            and of three to five characters; `stacked` is both.
        c: Inverse strength of the L2 penalty.
        scale: Factor for the fitted scores; it calibrates probabilities and leaves predicted labels as they are.
    """

    features: FeatureSet = "nb_words"
    c: float = 1.0
    scale: float = 1.0


DEFAULT = LinearSettings()


class LinearModel:
    """A linear classifier on case-folded n-grams."""

    def __init__(
        self,
        ngrams: Sequence[NGrams],
        weights: np.ndarray,
        intercepts: np.ndarray,
        names: Sequence[str],
        settings: LinearSettings = DEFAULT,
    ) -> None:
        """Creates a model from the parameters that `fit` found.

        Args:
            ngrams: The features, one kind after the other.
            weights: float32 of shape (outputs, features); one output for two classes, else one per class.
            intercepts: float32 of shape (outputs,).
            names: Class names.
            settings: How it was fitted.
        """
        self._ngrams = list(ngrams)
        self._weights = weights
        self._intercepts = intercepts
        self.names = list(names)
        self.settings = settings

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: np.ndarray,
        classes: int,
        sample_weight: np.ndarray | None = None,
        names: Sequence[str] | None = None,
        *,
        settings: LinearSettings = DEFAULT,
    ) -> LinearModel:
        """Trains on hard labels; the same input gives the same model.

        A class that has no text, or all of them, gets its smoothed log odds as intercept and no n-gram.

        Args:
            texts: The training texts.
            labels: Class indices, shape (texts,).
            classes: Number of classes, at least 2.
            sample_weight: Shape (texts,); a text of weight 2 counts like two texts, except for the vocabulary.
            names: Class names; their numbers by default.
            settings: Features and penalty.

        Raises:
            ValueError: There are no texts, the numbers of texts, labels and weights differ, or a label is not a class.
        """
        labels = np.asarray(labels)
        amounts = np.ones(len(texts)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if not len(texts) or labels.shape != (len(texts),) or amounts.shape != (len(texts),):
            raise ValueError(
                f"Got {len(texts)} texts, labels of shape {labels.shape} and weights of shape {amounts.shape}; "
                "expected one label and one weight per text, and at least one text."
            )
        if classes < 2 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"Got {classes} classes and labels from {labels.min()} to {labels.max()}; "
                "expected at least 2 classes and labels below their number."
            )
        return cls._fitted(texts, Targets.hard(labels, classes, amounts), names, settings)

    @classmethod
    def fit_soft(
        cls,
        texts: Iterable[str],
        probabilities: np.ndarray,
        names: Sequence[str] | None = None,
        settings: LinearSettings = DEFAULT,
    ) -> LinearModel:
        """Trains on soft labels: each text counts for each class with its probability as weight.

        This is the cross-entropy with the soft label, one class against the rest. Probabilities below 0.001 are
        ignored.

        Args:
            texts: The training texts; read once.
            probabilities: Shape (texts, classes), rows summing to 1.
            names: Class names; their numbers by default.
            settings: Features and penalty.

        Raises:
            ValueError: The numbers of rows and texts differ.
        """
        belongs = np.where(probabilities < _NEGLIGIBLE, 0.0, probabilities.astype(np.float64))
        return cls._fitted(list(texts), Targets(belongs), names, settings)

    @classmethod
    def _fitted(
        cls, texts: Sequence[str], targets: Targets, names: Sequence[str] | None, settings: LinearSettings
    ) -> LinearModel:
        if len(texts) != len(targets.belongs):
            rows = len(targets.belongs)
            raise ValueError(f"Got {len(texts)} texts and {rows} rows of labels; expected equal numbers.")
        ngrams, features = read(KINDS[settings.features], texts)
        binary = len(ngrams[0].ngrams) if ngrams[0].idf is None else 0
        weights, intercepts = one_vs_rest(features, binary, targets, settings.c)
        weights *= settings.scale
        weights, ngrams = _without_unused(weights, ngrams)
        classes = targets.belongs.shape[1]
        return cls(
            ngrams,
            np.ascontiguousarray(weights, dtype=np.float32),
            (intercepts * settings.scale).astype(np.float32),
            [str(number) for number in range(classes)] if names is None else names,
            settings,
        )

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities, float64 of shape (texts, classes), rows summing to 1; texts do not affect each other.

        With more than two classes, the one-against-the-rest probabilities are divided by their sum.
        """
        scores = self._intercepts.astype(np.float64) + np.zeros((len(texts), 1))
        if self._columns.size and len(texts):
            scores += self._features(texts) @ self._columns
        return to_probabilities(scores)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights, float64 of shape (features, outputs)."""
        return self._weights.T.astype(np.float64)

    def operations(self, texts: Sequence[str]) -> float:
        """Mean number of additions and multiplications for one of these texts."""
        if not len(texts):
            return 0.0
        return float(2 * self._features(texts).nnz / len(texts) * len(self._weights))

    def _features(self, texts: Sequence[str]) -> csr_array:
        return stacked([ngrams.features(texts) for ngrams in self._ngrams])

    @property
    def parameters(self) -> int:
        """Number of non-zero coefficients, intercepts included."""
        return int(np.count_nonzero(self._weights) + np.count_nonzero(self._intercepts))

    def save(self, folder: Path, choice: dict[str, Any] | None = None) -> None:
        """Writes `linear.safetensors`, then `linear.json` with the vocabulary and the digest of the weights.

        Args:
            folder: Where they go.
            choice: How the settings were chosen, for people; it is kept as it is.
        """
        from safetensors.numpy import save_file

        arrays = {"weights": self._weights, "intercepts": self._intercepts}
        arrays |= {f"idf_{ngrams.kind}": ngrams.idf for ngrams in self._ngrams if ngrams.idf is not None}
        write_file(folder / _WEIGHTS, lambda path: save_file(arrays, path))
        settings = {
            "format": FORMAT,
            "names": self.names,
            "settings": asdict(self.settings),
            "choice": choice or {},
            "weights_sha256": file_sha256(folder / _WEIGHTS),
            "ngrams": {ngrams.kind: ngrams.ngrams for ngrams in self._ngrams},
        }
        write_json(folder / _SETTINGS, settings)

    @classmethod
    def load(cls, folder: Path) -> LinearModel:
        """Loads a model that `save` wrote; its probabilities are identical to the last bit.

        Raises:
            ModelError: A file is missing or damaged, or the files do not belong together.
        """
        from safetensors.numpy import load_file

        for name in (_SETTINGS, _WEIGHTS):
            if not (folder / name).is_file():
                raise ModelError(
                    f"No {name} in {folder}: expected {_SETTINGS} and {_WEIGHTS}. "
                    "Give the folder of a linear model, or train it again."
                )
        saved = _read_settings(folder / _SETTINGS)
        if file_sha256(folder / _WEIGHTS) != saved.weights_sha256:
            raise ModelError(
                f"{folder / _WEIGHTS} does not match {_SETTINGS} (its SHA-256 differs): it is damaged, or from another "
                "model. Copy the folder again, or train the model again."
            )
        arrays = load_file(folder / _WEIGHTS)
        got = {name: array.shape for name, array in sorted(arrays.items())}
        if got != saved.shapes:
            raise ModelError(
                f"{folder / _WEIGHTS} holds {got}; expected {saved.shapes} for the classes and n-grams of {_SETTINGS}. "
                "Copy the folder again, or train the model again."
            )
        ngrams = [
            NGrams(kind, saved.ngrams[kind], arrays.get(f"idf_{kind}")) for kind in KINDS[saved.settings.features]
        ]
        return cls(ngrams, arrays["weights"], arrays["intercepts"], saved.names, saved.settings)


def is_linear(folder: Path) -> bool:
    """Whether a folder contains a linear model."""
    return (folder / _SETTINGS).is_file()


def _without_unused(weights: np.ndarray, ngrams: list[NGrams]) -> tuple[np.ndarray, list[NGrams]]:
    """Leaves out binary n-grams whose weights are all zero. The others count in a text's length."""
    first, *others = ngrams
    if first.idf is not None:
        return weights, ngrams
    size = len(first.ngrams)
    used = np.flatnonzero(weights[:, :size].any(axis=0))
    return np.hstack([weights[:, used], weights[:, size:]]), [first.select(used), *others]


@dataclass(frozen=True)
class _Saved:
    """What `linear.json` holds."""

    format: Literal[4]
    names: Annotated[list[str], Field(min_length=2)]
    settings: LinearSettings
    choice: dict[str, Any]
    weights_sha256: str
    ngrams: dict[Kind, list[str]]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays that belong to it."""
        outputs = 1 if len(self.names) == 2 else len(self.names)
        sizes = {kind: len(ngrams) for kind, ngrams in self.ngrams.items()}
        idf = {f"idf_{kind}": (size,) for kind, size in sizes.items() if kind != "binary_words"}
        found = {"intercepts": (outputs,), "weights": (outputs, sum(sizes.values()))}
        return dict(sorted({**idf, **found}.items()))


def _read_settings(path: Path) -> _Saved:
    found = _format(path)
    if found != FORMAT:
        raise ModelError(
            f"{path.parent} has a linear model of format {found}: expected format {FORMAT}, which this version writes. "
            "Delete the folder and run the same command again."
        )
    try:
        saved = load_record(_Saved, path)
        expected = sorted(KINDS[saved.settings.features])
        if sorted(saved.ngrams) != expected:
            raise ValueError(f"ngrams: expected {', '.join(expected)}, got {', '.join(sorted(saved.ngrams)) or 'none'}")
        for kind, ngrams in saved.ngrams.items():
            if len(set(ngrams)) != len(ngrams):
                raise ValueError(f"ngrams.{kind}: expected each one once")
    except ValueError as error:
        raise ModelError(f"{path}: {error}. Copy the folder again, or train the model again.") from None
    return saved


def _format(path: Path) -> int:
    """The format that a settings file names; the current one if it names none, because validation tells more."""
    try:
        found = json.loads(path.read_bytes())["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return FORMAT
    return found if isinstance(found, int) else FORMAT
