"""Which texts meet in a training batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_POOL_BATCHES = 50


class TokenBudgetSampler(Sampler[np.ndarray]):
    """Batches of row numbers that hold about the same number of tokens each, in texts of nearly equal length.

    The rows are shuffled and cut into pools; each pool is sorted by length and cut where equal shares of its tokens
    end; then the batches of all pools are shuffled. Hardly anything is padding and steps cost about the same, while
    members and order of the batches change every epoch. A batch of short texts holds more of them than one of long
    texts, `batch_size` on average.

    The number of batches is the same in every epoch, and divisible by `ranks` unless there are fewer texts than ranks.
    Everything follows from `seed` and the epoch alone, so a resumed epoch repeats its batches exactly.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, ranks: int = 1) -> None:
        """Takes what an epoch's batches depend on.

        Args:
            lengths: Tokens of each text, shape (texts,).
            batch_size: Texts in a batch, on average.
            seed: Of the shuffling.
            ranks: Processes that share the batches; each takes every `ranks`-th.
        """
        self._lengths = lengths
        self._batches = batch_count(len(lengths), batch_size, ranks)
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._batches

    @property
    def mean_texts(self) -> float:
        """Texts in a batch, on average."""
        return len(self._lengths) / len(self)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self._seed, self._epoch])
        rows = random.permutation(len(self._lengths))
        pools = max(1, round(len(self) / _POOL_BATCHES))
        counts = [len(part) for part in np.array_split(np.arange(len(self)), pools)]
        # In proportion to its batches, so that even a small pool has a text for each of them.
        cuts = np.cumsum(counts[:-1]) * len(rows) // max(1, len(self))
        batches: list[np.ndarray] = []
        for members, count in zip(np.split(rows, cuts), counts, strict=True):
            members = members[np.argsort(-self._lengths[members], kind="stable")]
            batches += np.split(members, _cuts(self._lengths[members], count))
        for index in random.permutation(len(self)):
            yield batches[index]


def batch_count(texts: int, batch_size: int, ranks: int = 1) -> int:
    """Batches in an epoch: as many as with `batch_size` texts in each, rounded up to a multiple of `ranks`.

    Where there are too few texts to give every batch one, there are as many batches as texts allow.
    """
    wanted = -(-texts // (batch_size * ranks)) * ranks
    return min(wanted, max(texts // ranks * ranks, min(texts, ranks)))


def _cuts(lengths: np.ndarray, batches: int) -> np.ndarray:
    """Where to cut texts of these lengths into that many batches of nearly equal tokens, none of them empty."""
    ends = np.cumsum(lengths)
    shares = ends[-1] * np.arange(1, batches) / batches if batches > 1 else np.empty(0)
    cuts = np.searchsorted(ends - lengths / 2, shares)
    # A text may be longer than a share: what follows then begins one text later, and leaves one for each batch behind.
    ahead = np.arange(1, batches)
    cuts = np.maximum.accumulate(np.maximum(cuts - ahead, 0)) + ahead
    return np.minimum(cuts, len(lengths) - batches + ahead)
