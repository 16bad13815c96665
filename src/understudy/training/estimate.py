"""What a run will take, roughly, before it starts: time from a short matrix product and the models' sizes, and disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from understudy.hardware import Dtype, Hardware, torch_dtype

# Share of the matrix-product peak that training and inference reach; small encoders on a CPU, measured.
_EFFICIENCY = 0.55
_MATRIX = {"cpu": 1024, "cuda": 8192, "mps": 2048}


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes, both rough."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Work:
    """Passes of one model over texts.

    Attributes:
        config: The model's config; `layers` overrides its number of layers.
        trained: Tokens that go forward and backward.
        scored: Tokens that only go forward.
        length: Mean tokens a text, for the attention's quadratic part.
    """

    config: Any
    layers: int
    trained: int
    scored: int
    length: float

    @property
    def _inner(self) -> int:
        """Width of the feed-forward layers; DistilBERT has a name of its own for it."""
        return getattr(self.config, "intermediate_size", None) or getattr(
            self.config, "hidden_dim", 4 * self.config.hidden_size
        )

    @property
    def operations(self) -> float:
        hidden = self.config.hidden_size
        per_token = 2 * self.layers * (4 * hidden**2 + 2 * hidden * self._inner + 2 * self.length * hidden)
        return per_token * (3 * self.trained + self.scored)

    @property
    def parameters(self) -> int:
        hidden = self.config.hidden_size
        return self.config.vocab_size * hidden + self.layers * (4 * hidden**2 + 2 * hidden * self._inner)


def estimate(works: list[Work], hardware: Hardware, dtype: Dtype) -> Estimate:
    """Adds up the operations and divides by what a matrix product reaches now.

    On disk each model stands with its optimiser's two moments in up to three checkpoints, then alone.
    """
    rate = _matrix_rate(hardware, dtype) * _EFFICIENCY
    largest = max(work.parameters for work in works)
    return Estimate(
        sum(work.operations for work in works) / rate,
        4 * (sum(work.parameters for work in works) + 3 * 3 * largest),
    )


def _matrix_rate(hardware: Hardware, dtype: Dtype) -> float:
    """Floating-point operations a second of one large matrix product."""
    import torch

    size = _MATRIX[hardware.kind]
    a = torch.ones(size, size, dtype=torch_dtype(dtype), device=hardware.device)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
