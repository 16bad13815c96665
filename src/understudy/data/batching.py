"""Training batches: which texts share one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_POOL_BATCHES = 50


class TokenBudgetSampler(Sampler[np.ndarray]):
    """Batches of row numbers with about the same number of tokens each, and texts of similar length.

    The rows are shuffled and split into pools. Each pool is sorted by length and split into batches with equal shares
    of its tokens. Then the batches of all pools are shuffled. So there is little padding and all steps cost about the
    same, but the members and the order of the batches change every epoch. A batch has `batch_size` texts on average:
    more if they are short, fewer if they are long.

    The number of batches is the same in every epoch, and divisible by `ranks` unless there are fewer texts than ranks.
    The batches depend on `seed` and the epoch alone, so a resumed epoch repeats them exactly.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, ranks: int = 1) -> None:
        """Sets up the sampler.

        Args:
            lengths: Tokens of each text, shape (texts,).
            batch_size: Texts per batch, on average.
            seed: Seed of the shuffling.
            ranks: Processes that share the batches; each takes every `ranks`-th batch.
        """
        self._lengths = lengths
        self._batches = batch_count(len(lengths), batch_size, ranks)
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._batches

    @property
    def mean_texts(self) -> float:
        """Texts per batch, on average."""
        return len(self._lengths) / len(self)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng([self._seed, self._epoch])
        rows = random.permutation(len(self._lengths))
        pools = max(1, round(len(self) / _POOL_BATCHES))
        counts = [len(part) for part in np.array_split(np.arange(len(self)), pools)]
        # In proportion to the batches, so that even a small pool has a text for each of its batches.
        cuts = np.cumsum(counts[:-1]) * len(rows) // max(1, len(self))
        batches: list[np.ndarray] = []
        for members, count in zip(np.split(rows, cuts), counts, strict=True):
            members = members[np.argsort(-self._lengths[members], kind="stable")]
            batches += np.split(members, _cuts(self._lengths[members], count))
        for index in random.permutation(len(self)):
            yield batches[index]


def batch_count(texts: int, batch_size: int, ranks: int = 1) -> int:
    """Batches per epoch: `texts / batch_size`, rounded up to a multiple of `ranks`.

    With too few texts to fill every batch, there are as many batches as the texts allow.
    """
    wanted = -(-texts // (batch_size * ranks)) * ranks
    return min(wanted, max(texts // ranks * ranks, min(texts, ranks)))


def _cuts(lengths: np.ndarray, batches: int) -> np.ndarray:
    """Where to split texts of these lengths into batches with nearly equal numbers of tokens; no batch is empty."""
    ends = np.cumsum(lengths)
    shares = ends[-1] * np.arange(1, batches) / batches if batches > 1 else np.empty(0)
    cuts = np.searchsorted(ends - lengths / 2, shares)
    # A text may be longer than a share: the next batch then starts one text later, and a text is left for each batch.
    ahead = np.arange(1, batches)
    cuts = np.maximum.accumulate(np.maximum(cuts - ahead, 0)) + ahead
    return np.minimum(cuts, len(lengths) - batches + ahead)
