"""Logits of many texts, in batches by length, and their probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from understudy.data.tokens import Tokens, length_batches, pad
from understudy.inference.engine import Engine


def predict_logits(
    engine: Engine, tokens: Tokens, pad_id: int, advance: Callable[[int], None] | None = None, longest: int = 0
) -> np.ndarray:
    """Logits of every text, in the order of `tokens`.

    Args:
        engine: Computes them.
        tokens: One entry a text.
        pad_id: The padding token.
        advance: Called with the number of texts that were just finished.
        longest: Batches are padded to a multiple of the engine's step, at most to this many tokens. By default they
            are padded to their longest text.

    Returns:
        float32 of shape (texts, classes).
    """
    logits = np.empty((len(tokens), engine.classes), dtype=np.float32)
    stepped = np.minimum(-(-tokens.lengths // engine.step) * engine.step, longest)
    widths = np.maximum(tokens.lengths, stepped)
    chosen = list(length_batches(widths, engine.budget))
    batches = (pad(tokens, rows, pad_id, to=int(widths[rows[0]])) for rows in chosen)
    with engine.computing():
        for rows, found in zip(chosen, engine.forward_each(batches, len(chosen)), strict=True):
            logits[rows] = found
            if advance is not None:
                advance(len(rows))
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64 of the shape of `logits`."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probabilities
