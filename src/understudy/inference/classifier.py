"""A finished classifier: texts in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.artifacts import RunDirectory
from understudy.data.tokens import tokenise
from understudy.errors import MissingExtra, ModelError
from understudy.hardware import Dtype, Hardware, detect
from understudy.inference.logits import predict_logits, softmax

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CHUNK = 1024
_LONGEST = 512


@dataclass(frozen=True)
class Prediction:
    """One text's answer: the label, and the probability of every class."""

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Classifier:
    """A classifier that is ready to answer; `understudy.load` makes one.

    Attributes:
        classes: Their names, in the order of the probabilities' columns.
        max_length: Tokens after which a text is cut.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    hardware: Hardware
    dtype: Dtype
    max_length: int

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        precision: str = "fp32",
    ) -> Classifier:
        """Opens a Hugging Face folder, or a run directory's student.

        Args:
            path: The folder.
            device: `cpu`, `cuda`, `mps`; by default the best there is.
            threads: PyTorch's CPU threads.
            precision: Compute type: `fp32` gives what `transformers` gives, `auto` the hardware's fastest.

        Raises:
            ModelError: there is no classifier at `path`.
        """
        try:
            from understudy.models.loading import classifier_labels, load_classifier, load_tokenizer, resolve
        except ImportError:
            raise MissingExtra("transformers", "distill", "Opening a PyTorch model") from None

        folder = Path(path).expanduser()
        run = RunDirectory(folder)
        if run.is_run():
            if not run.student.is_dir():
                raise ModelError(f"The run {path} has no student yet. Finish it first: understudy run --out {path}")
            folder = run.student
        elif not folder.is_dir():
            raise ModelError(f"No model at '{path}': expected a run directory or a Hugging Face folder.")
        origin = resolve(str(folder.absolute()))
        if classifier_labels(origin.path) is None:
            raise ModelError(f"{path} is an encoder, not a text classifier. Fine-tune it first: understudy run.")
        hardware = detect(device, threads)
        model = load_classifier(origin.path).to(hardware.device)
        tokenizer = load_tokenizer(origin.path)
        positions = getattr(model.config, "max_position_embeddings", _LONGEST)
        longest = min(tokenizer.model_max_length, positions)
        return cls(model, tokenizer, hardware, hardware.dtype(precision), longest)

    @property
    def classes(self) -> list[str]:
        return [self.model.config.id2label[index] for index in range(self.model.config.num_labels)]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text.

        Args:
            texts: One string a text; a single string is refused, for its letters would be taken for texts.
        """
        names = self.classes
        return [names[index] for index in self.predict_proba(texts).argmax(axis=-1)] if len(texts) else []

    def predict_proba(self, texts: Sequence[str], advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Probabilities, float64 of shape (texts, classes); columns in the order of `classes`.

        Args:
            texts: One string a text.
            advance: Told how many more texts are done.

        Raises:
            TypeError: `texts` is a string, or holds something else than strings.
        """
        if isinstance(texts, str):
            raise TypeError("expected a sequence of texts, got one string; write predict([text])")
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("expected texts as strings; leave out or fill in missing values first")
        tokens = tokenise(list(texts), self.tokenizer, self.max_length)
        return softmax(predict_logits(self.model, tokens, self._pad_id, self.hardware, self.dtype, advance))

    def stream(self, texts: Iterable[str], chunk: int = _CHUNK) -> Iterator[Prediction]:
        """Answers in the order of `texts`, holding only `chunk` of them in memory at a time."""
        names = self.classes
        for part in _chunks(texts, chunk):
            for row in self.predict_proba(part):
                yield Prediction(names[int(row.argmax())], dict(zip(names, row.tolist(), strict=True)))

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
