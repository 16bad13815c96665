"""What every engine does: it computes the logits of a finished model, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]

# Padded tokens in one batch: enough to fill the caches of two cores.
CPU_BUDGET = 4096


class Engine(ABC):
    """A model that is ready to compute logits.

    Attributes:
        name: Which engine it is.
        classes: Columns of the logits.
        budget: Padded tokens that make a good batch.
        step: Batches are padded to multiples of it. It is above 1 where each new length costs a compilation.
    """

    name: str
    classes: int
    budget: int
    step: int = 1

    @abstractmethod
    def forward(self, batch: Batch) -> np.ndarray:
        """Logits, float32 of shape (texts, classes), for `input_ids` and `attention_mask` of shape (texts, tokens)."""

    def forward_each(self, batches: Iterable[Batch], count: int) -> Iterator[np.ndarray]:
        """The logits of many batches, in their order.

        Args:
            batches: As `forward` takes them; only a few are read ahead.
            count: How many there are.
        """
        yield from map(self.forward, batches)

    def computing(self) -> AbstractContextManager[object]:
        """Returns a context to enter once around many batches."""
        return nullcontext()


def made_up(config: Any, lengths: tuple[int, ...]) -> Batch:
    """A padded batch of random texts.

    Args:
        config: The model's; it gives the vocabulary and the padding token.
        lengths: Tokens of each text.
    """
    random = np.random.default_rng(0)
    padding = int(config.pad_token_id or 0)
    ids = np.full((len(lengths), max(lengths)), padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    words = np.delete(np.arange(config.vocab_size), padding)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.choice(words, length)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}
