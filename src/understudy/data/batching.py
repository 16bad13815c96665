"""Which texts meet in a training batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_POOL_BATCHES = 50


class LengthGroupedSampler(Sampler[int]):
    """Row numbers in an order in which every `batch_size` consecutive rows are of similar length.

    The rows are shuffled, cut into pools of 50 batches, sorted by length within their pool, and the batches shuffled
    again: padding is nearly gone, while members and order of the batches change every epoch. The order follows from
    `seed` and the epoch alone, so a resumed epoch repeats it exactly.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self._seed, self._epoch])
        rows = random.permutation(len(self))
        pool = self._batch_size * _POOL_BATCHES
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), pool):
            members = rows[start : start + pool]
            members = members[np.argsort(-self._lengths[members], kind="stable")]
            batches += [members[i : i + self._batch_size] for i in range(0, len(members), self._batch_size)]
        # A batch that is not full must come last, or the ones behind it would be cut elsewhere.
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for index in random.permutation(len(full)):
            yield from full[index].tolist()
        for batch in rest:
            yield from batch.tolist()
