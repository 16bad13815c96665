"""A finished classifier: texts in, labels and probabilities out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.data.tokens import Tokens
from understudy.inference.answers import check_threshold, labels_of
from understudy.runtime.hardware import Dtype
from understudy.storage.files import file_sha256, fingerprint

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

CHUNK = 1024


@dataclass(frozen=True)
class Prediction:
    """One text's answer: the label, None where no class was probable enough, and the probability of every class."""

    label: str | None
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Size:
    """Parameters, and the bytes that they take in memory."""

    parameters: int
    bytes: int


@dataclass
class CutTexts:
    """Says that texts are longer than a model takes, the first time that it happens."""

    said: bool = False

    def look_at(self, tokens: Tokens, max_length: int) -> None:
        cut = int((tokens.full_lengths > tokens.lengths).sum())
        if cut and not self.said:
            self.said = True
            log.warning("%d of %d texts are longer than %d tokens and were cut there", cut, len(tokens), max_length)


class Classifier(ABC):
    """A classifier that is ready to answer; `understudy.load` makes one.

    To scikit-learn it is an estimator that is fitted: in a `FrozenEstimator` it can be cross-validated or scored.

    Attributes:
        folder: Where it was opened.
        dtype: Compute type.
    """

    folder: Path
    dtype: Dtype

    @property
    @abstractmethod
    def classes(self) -> list[str]:
        """Their names, in the order of the probabilities' columns."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """How large the model is."""

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on beside the texts and the versions of packages, as JSON can express it."""
        files = sorted(path for path in self.folder.iterdir() if path.is_file() and path.suffix != ".md")
        return {"model": fingerprint(**{path.name: file_sha256(path) for path in files}), "dtype": self.dtype}

    @abstractmethod
    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        """Of shape (texts, classes)."""

    @property
    def classes_(self) -> np.ndarray:
        """As `classes`, the way scikit-learn names it."""
        return np.array(self.classes)

    def score(self, texts: Iterable[str], labels: Iterable[str]) -> float:
        """Share of the texts that get the given label, a class's name."""
        return float(np.mean(np.array(self.predict(texts)) == np.array(list(labels))))

    def fit(self, texts: Any, labels: Any = None) -> Classifier:
        """Changes nothing, for it is finished; scikit-learn takes only what has this method for an estimator."""
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
            texts: One string a text; a single string is refused, for its letters would be taken for texts.
        """
        names = self.classes
        return [names[index] for index in self.predict_proba(texts).argmax(axis=-1)]

    def predict_proba(self, texts: Iterable[str], advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Probabilities, float64 of shape (texts, classes); columns in the order of `classes`.

        Args:
            texts: One string a text.
            advance: Told how many more texts are done.

        Raises:
            TypeError: `texts` is a string, or holds something else than strings.
        """
        _refuse_one_string(texts)
        texts = list(texts)
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    f"expected texts as strings, got {type(text).__name__} at position {place}; leave out or fill in "
                    "missing values first"
                )
        return self._probabilities(texts, advance)

    def stream(self, texts: Iterable[str], chunk: int = CHUNK, threshold: float = 0.0) -> Iterator[Prediction]:
        """Answers in the order of `texts`.

        Args:
            texts: One string a text.
            chunk: How many of them are in memory at a time.
            threshold: A text whose top probability is below it gets no label.

        Raises:
            UserError: the threshold is not between 0 and 1.
            TypeError: as `predict_proba`.
        """
        check_threshold(threshold)
        _refuse_one_string(texts)
        names = self.classes
        for part in chunks(texts, chunk):
            probabilities = self.predict_proba(part)
            for label, row in zip(labels_of(probabilities, names, threshold), probabilities.tolist(), strict=True):
                yield Prediction(label, dict(zip(names, row, strict=True)))


def _refuse_one_string(texts: Iterable[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("expected a sequence of texts, got one string; put it into a list: [text]")


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
