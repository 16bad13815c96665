"""A finished classifier: texts in, labels and probabilities out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.artifacts import RunDirectory, file_sha256, fingerprint
from understudy.data.tokens import Tokens, tokenise
from understudy.errors import MissingExtra, ModelError, UserError
from understudy.hardware import Dtype, Hardware, detect
from understudy.inference.answers import check_threshold, labels_of
from understudy.inference.engines import Engine, open_engine
from understudy.inference.logits import predict_logits, softmax
from understudy.models.linear import LinearModel, is_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_CHUNK = 1024
_LONGEST = 512
_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        precision: str | None = None,
        engine: str | None = None,
    ) -> Classifier:
        """Opens a Hugging Face folder, an export, a linear model, or a run directory's student.

        Args:
            path: The folder.
            device: `cpu`, `cuda`, `mps`; by default the best there is.
            threads: CPU threads; PyTorch has one number for the whole process, the last that was asked for.
            precision: Compute type: `fp32` gives what `transformers` gives, `auto` the hardware's fastest. By default
                `auto` for an int8 export, where it is the type of what is not quantised, and `fp32` for all else.
            engine: `pytorch`, `openvino` or `auto`: OpenVINO on a CPU where the precision is bf16 and the model's
                logits agree. It takes seconds to open, which pays for many texts. An export has an engine of its own.

        Raises:
            ModelError: there is no single-label classifier at `path`.
            UserError: there is no such device, precision or engine.
        """
        if precision is not None and precision not in _PRECISIONS:
            raise UserError(f"precision = {precision!r}: expected one of {', '.join(_PRECISIONS)}.")
        from understudy.inference.exported import ExportedClassifier, is_exported

        folder = _model_folder(path)
        if is_exported(folder):
            return ExportedClassifier.open(folder, device, threads, precision, engine)
        if is_linear(folder):
            return LinearClassifier(LinearModel.load(folder), folder)
        return TransformersClassifier.open(folder, path, device, threads, precision or "fp32", engine)

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

    def stream(self, texts: Iterable[str], chunk: int = _CHUNK, threshold: float = 0.0) -> Iterator[Prediction]:
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
        for part in _chunks(texts, chunk):
            probabilities = self.predict_proba(part)
            for label, row in zip(labels_of(probabilities, names, threshold), probabilities.tolist(), strict=True):
                yield Prediction(label, dict(zip(names, row, strict=True)))


@dataclass(frozen=True)
class TransformersClassifier(Classifier):
    """An encoder in a Hugging Face folder.

    Attributes:
        max_length: Tokens after which a text is cut.
    """

    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    hardware: Hardware
    dtype: Dtype
    max_length: int
    cut: CutTexts = field(default_factory=CutTexts, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        folder: Path,
        path: str | Path,
        device: str | None,
        threads: int | None,
        precision: str,
        engine: str | None,
    ) -> TransformersClassifier:
        """As `Classifier.load`, for a folder that messages call `path`."""
        try:
            from understudy.models.loading import load_classifier, load_config, load_tokenizer, longest_input, resolve
        except ImportError:
            raise MissingExtra("transformers", "distill", "Opening a PyTorch model") from None

        origin = resolve(str(folder.absolute()))
        _require_classifier(load_config(origin.path), path)
        hardware = detect(device, threads, engine)
        dtype = hardware.dtype(precision)
        model = load_classifier(origin.path)
        tokenizer = load_tokenizer(origin.path)
        # A tokenizer that knows no limit says 1e30.
        longest = min(tokenizer.model_max_length, longest_input(model.config) or _LONGEST)
        return cls(folder, model, tokenizer, hardware, dtype, longest)

    @property
    def classes(self) -> list[str]:
        config: Any = self.model.config
        return [config.id2label[index] for index in range(config.num_labels)]

    @property
    def size(self) -> Size:
        parameters = list(self.model.parameters())
        return Size(
            sum(each.numel() for each in parameters), sum(each.numel() * each.element_size() for each in parameters)
        )

    @property
    def identity(self) -> dict[str, Any]:
        computed = {"device": self.hardware.kind, "engine": self.hardware.engine_for(self.dtype)}
        return {**super().identity, **computed}

    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        tokens = tokenise(texts, self.tokenizer, self.max_length)
        self.cut.look_at(tokens, self.max_length)
        return softmax(predict_logits(self._engine, tokens, self._pad_id, advance, self.max_length))

    @cached_property
    def _engine(self) -> Engine:
        return open_engine(self.model, self.hardware, self.dtype)

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)


@dataclass(frozen=True)
class LinearClassifier(Classifier):
    """A linear model on n-grams; it reads whole texts."""

    model: LinearModel
    folder: Path
    dtype: Dtype = "fp32"

    @property
    def classes(self) -> list[str]:
        return self.model.names

    @property
    def size(self) -> Size:
        return Size(self.model.parameters, sum(path.stat().st_size for path in self.folder.iterdir()))

    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        parts = []
        for part in _chunks(texts, _CHUNK):
            parts.append(self.model.predict_proba(part))
            if advance is not None:
                advance(len(part))
        return np.concatenate([np.empty((0, self.model.classes)), *parts])


def _model_folder(path: str | Path) -> Path:
    """The folder of a model, or of a run's student."""
    folder = Path(path).expanduser()
    run = RunDirectory(folder)
    if run.is_run():
        if not run.student.is_dir():
            raise ModelError(f"The run {path} has no student yet. Finish it first: understudy run --out {path}")
        return run.student
    if not folder.is_dir():
        raise ModelError(f"No model at '{path}': expected a run directory, a Hugging Face folder or an export.")
    return folder


def _require_classifier(config: Any, path: str | Path) -> None:
    if not any(str(name).endswith("ForSequenceClassification") for name in config.architectures or []):
        raise ModelError(f"{path} is an encoder, not a text classifier. Fine-tune it first: understudy run.")
    if config.problem_type not in (None, "single_label_classification") or config.num_labels < 2:
        raise ModelError(
            f"{path} has problem_type = {config.problem_type} and {config.num_labels} outputs; expected a classifier "
            "that gives a text one label out of two or more. Multi-label classification and regression are not "
            "supported."
        )


def _refuse_one_string(texts: Iterable[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("expected a sequence of texts, got one string; put it into a list: [text]")


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
