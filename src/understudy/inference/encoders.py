"""A classifier in a Hugging Face folder, run by PyTorch or OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.data.tokens import tokenise
from understudy.errors import MissingExtra, ModelError
from understudy.inference.classifier import Classifier, CutTexts, Size
from understudy.inference.engine import Engine
from understudy.inference.engines import open_engine
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.opened import Opened
from understudy.runtime.hardware import Dtype, Hardware, detect, limit_after_fork
from understudy.runtime.sharing import per_process

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LONGEST = 512


@dataclass(frozen=True, eq=False)
class TransformersClassifier(Classifier):
    """An encoder with a classification head, in a Hugging Face folder.

    Attributes:
        folder: Where the model is.
        model: The PyTorch model.
        tokenizer: Its tokenizer.
        hardware: Where to compute.
        dtype: Compute type.
        max_length: Tokens after which a text is cut.
        opened: How it was opened.
        cut: Warns once about texts that are cut.
    """

    folder: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    hardware: Hardware
    dtype: Dtype
    max_length: int
    opened: Opened
    cut: CutTexts = field(default_factory=CutTexts, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path, opened: Opened) -> TransformersClassifier:
        """As `open_classifier`."""
        try:
            from understudy.models.loading import load_classifier, load_config, load_tokenizer, longest_input, resolve
        except ImportError:
            raise MissingExtra("transformers", "distill", "Opening a PyTorch model") from None

        origin = resolve(str(folder.absolute()))
        _require_classifier(load_config(origin.path), folder)
        options = opened.options
        hardware = detect(options.get("device"), options.get("threads"), options.get("engine"))
        dtype = hardware.dtype(options.get("precision") or "fp32")
        model = load_classifier(origin.path)
        tokenizer = load_tokenizer(origin.path)
        # A tokenizer without a limit has 1e30.
        longest = min(tokenizer.model_max_length, longest_input(model.config) or _LONGEST)
        return cls(folder, model, tokenizer, hardware, dtype, longest, opened)

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

    @per_process
    def _engine(self) -> Engine:
        limit_after_fork(self.hardware.kind)
        return open_engine(self.model, self.hardware, self.dtype)

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)


def _require_classifier(config: Any, folder: Path) -> None:
    if not any(str(name).endswith("ForSequenceClassification") for name in config.architectures or []):
        raise ModelError(f"{folder} is an encoder, not a text classifier. Fine-tune it first: understudy run.")
    if config.problem_type not in (None, "single_label_classification") or config.num_labels < 2:
        raise ModelError(
            f"{folder} has problem_type = {config.problem_type} and {config.num_labels} outputs. Expected a classifier "
            "that picks one of two or more labels; multi-label classification and regression are not supported."
        )
