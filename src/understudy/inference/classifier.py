"""A finished classifier: texts in, labels and probabilities out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.tokens import Tokens
from understudy.errors import ModelError
from understudy.inference.answers import check_threshold, labels_of
from understudy.inference.opened import Opened, OpenOptions, model_files
from understudy.inference.texts import named_labels, one_dimensional, strings
from understudy.runtime.hardware import Dtype
from understudy.storage.files import file_sha256, fingerprint

log = logging.getLogger(__name__)

CHUNK = 1024


@dataclass(frozen=True)
class Prediction:
    """The prediction for one text.

    Attributes:
        label: The predicted class; None if no class is probable enough.
        probabilities: Of every class, by name.
    """

    label: str | None
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Size:
    """How many parameters a model has, and how many bytes they take in memory."""

    parameters: int
    bytes: int


@dataclass
class CutTexts:
    """Warns once that texts are longer than the model reads.

    Attributes:
        said: Whether the warning was given.
    """

    said: bool = False

    def look_at(self, tokens: Tokens, max_length: int) -> None:
        cut = int((tokens.full_lengths > tokens.lengths).sum())
        if cut and not self.said:
            self.said = True
            log.warning("%d of %d texts are longer than %d tokens and were cut there", cut, len(tokens), max_length)


class Classifier(ABC):
    """A classifier that is ready to predict; `understudy.load` opens one.

    It can be given wherever the path of a model is expected. For scikit-learn it is a fitted estimator: in a
    `FrozenEstimator` it can be cross-validated or scored.

    Threads may share it. A pickle or a copy opens the folder again, and so does a forked process where it must.

    Attributes:
        folder: Where the model is.
        dtype: Compute type.
        opened: How it was opened.
    """

    folder: Path
    dtype: Dtype
    opened: Opened

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    @abstractmethod
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the probabilities' columns."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """How large the model is."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the predictions depend on, besides the texts and the versions of packages; fit for JSON.

        Raises:
            ModelError: The folder changed after the model was opened.
        """
        self.opened.check(self.folder)
        files = {path.name: file_sha256(path) for path in model_files(self.folder)}
        return {"model": fingerprint(**files), "dtype": self.dtype}

    def __reduce__(self) -> tuple[Callable[..., Classifier], tuple[Any, ...]]:
        """A pickle holds the folder's path, the options and the model's fingerprint, not the weights.

        Raises:
            ModelError: The folder changed after the model was opened.
        """
        return _opened_again, (str(self.folder.absolute()), self.opened.options, self.identity["model"])

    @abstractmethod
    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        """Probabilities, float64 of shape (texts, classes)."""

    @property
    def classes_(self) -> np.ndarray:
        """The same as `classes`, under scikit-learn's name."""
        return np.array(self.classes)

    def score(self, texts: Iterable[str], labels: Iterable[str]) -> float:
        """Accuracy: the share of the texts whose predicted class has the given name.

        Args:
            texts: One string per text; at least one.
            labels: One class name per text.

        Raises:
            TypeError: As `predict_proba`, also for the labels.
            ValueError: As `predict_proba`; there are no texts, not one label per text, or a label is not a class.
        """
        given = strings(texts)
        wanted = named_labels(labels, self.classes, len(given))
        return float(np.mean(self.predict_proba(given).argmax(axis=-1) == wanted))

    def fit(self, texts: Any, labels: Any = None) -> Classifier:
        """Does nothing, because the model is trained; scikit-learn requires the method of every estimator."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(string=True, two_d_array=False),
        )

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The most probable class of each text.

        Args:
            texts: One string per text.

        Raises:
            TypeError: As `predict_proba`.
            ValueError: As `predict_proba`.
        """
        names = self.classes
        return [names[index] for index in self.predict_proba(texts).argmax(axis=-1)]

    def predict_proba(self, texts: Iterable[str], advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Probabilities, float64 of shape (texts, classes); columns in the order of `classes`.

        Args:
            texts: One string per text.
            advance: Called with the number of texts that were just finished.

        Raises:
            TypeError: `texts` is one string, a data frame, a mapping or a set, or holds something that is not a string.
            ValueError: `texts` is an array that does not have one dimension.
        """
        return self._probabilities(strings(texts), advance)

    def stream(self, texts: Iterable[str], chunk: int = CHUNK, threshold: float = 0.0) -> Iterator[Prediction]:
        """Yields predictions in the order of `texts`.

        Args:
            texts: One string per text.
            chunk: How many texts are in memory at a time.
            threshold: A text whose top probability is below it gets no label.

        Raises:
            UserError: The threshold is not between 0 and 1.
            TypeError: As `predict_proba`.
            ValueError: As `predict_proba`.
        """
        check_threshold(threshold)
        names = self.classes
        for part in batched(one_dimensional(texts, "texts"), chunk):
            probabilities = self.predict_proba(part)
            for label, row in zip(labels_of(probabilities, names, threshold), probabilities.tolist(), strict=True):
                yield Prediction(label, dict(zip(names, row, strict=True)))


def _opened_again(folder: str, options: OpenOptions, model: str) -> Classifier:
    """The classifier that was pickled."""
    from understudy.inference.opening import open_classifier

    if not Path(folder).is_dir():
        raise ModelError(
            f"The pickled classifier was opened from {folder}, which is not here. A pickle holds only the path of "
            "the model; copy the folder there."
        )
    classifier = open_classifier(folder, **options)
    if classifier.identity["model"] != model:
        raise ModelError(
            f"{folder} no longer holds the model that was pickled. Open it with understudy.load and pickle it again."
        )
    return classifier


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`; the last one may be shorter."""
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
