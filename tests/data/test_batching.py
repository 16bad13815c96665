from __future__ import annotations

import numpy as np
import pytest
from accelerate import skip_first_batches
from torch.utils.data import DataLoader

from understudy.data.batching import LengthGroupedSampler

LENGTHS = np.random.default_rng(0).integers(5, 200, 2003)


def order(seed: int = 0, epoch: int = 0, batch_size: int = 8, lengths: np.ndarray = LENGTHS) -> list[int]:
    sampler = LengthGroupedSampler(lengths, batch_size, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def waste(rows: list[int], batch_size: int) -> float:
    """Share of a padded epoch that is padding."""
    batches = [LENGTHS[rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]
    padded = sum(batch.max() * len(batch) for batch in batches)
    return 1 - LENGTHS.sum() / padded


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 400, 401, 2003])
@pytest.mark.parametrize("epoch", [0, 3])
def test_every_row_once_an_epoch(size: int, epoch: int) -> None:
    rows = order(epoch=epoch, lengths=LENGTHS[:size])
    assert sorted(rows) == list(range(size))
    assert len(LengthGroupedSampler(LENGTHS[:size], 8, 0)) == size


def test_same_seed_and_epoch_same_order() -> None:
    assert order(seed=3, epoch=2) == order(seed=3, epoch=2)


def test_another_epoch_or_seed_another_order() -> None:
    orders = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_other_texts_meet_in_another_epoch() -> None:
    def batches(epoch: int) -> set[frozenset[int]]:
        rows = order(epoch=epoch)
        return {frozenset(rows[start : start + 8]) for start in range(0, len(rows), 8)}

    assert len(batches(0) & batches(1)) < 5


def test_an_earlier_iteration_does_not_change_the_order() -> None:
    sampler = LengthGroupedSampler(LENGTHS, 8, 0)
    assert list(sampler) == list(sampler)


def test_batches_are_of_similar_length() -> None:
    random = np.random.default_rng(1).permutation(len(LENGTHS)).tolist()
    assert waste(random, 8) > 0.35
    assert waste(order(), 8) < 0.05


def test_batches_do_not_come_sorted_by_length() -> None:
    rows = order()
    means = [LENGTHS[rows[start : start + 8]].mean() for start in range(0, 2000, 8)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


@pytest.mark.parametrize("epoch", range(5))
def test_the_batch_that_is_not_full_comes_last(epoch: int) -> None:
    """Otherwise the cuts of eight behind it would run across two groups."""
    rows = order(epoch=epoch, lengths=np.arange(29))  # one pool: lengths 28 to 21, 20 to 13, 12 to 5, and 4 to 0
    cuts = [sorted(rows[start : start + 8]) for start in range(0, 29, 8)]
    assert cuts[-1] == [0, 1, 2, 3, 4]
    assert sorted(cuts[:-1]) == [list(range(5, 13)), list(range(13, 21)), list(range(21, 29))]


@pytest.mark.parametrize("epoch", [0, 1, 4])
@pytest.mark.parametrize("skipped", [1, 100, 250])
def test_skipping_batches_goes_on_where_an_epoch_was_left(epoch: int, skipped: int) -> None:
    """As Trainer resumes: a new loader without the first batches, which is then told the epoch."""
    loader = DataLoader(range(len(LENGTHS)), batch_size=8, sampler=LengthGroupedSampler(LENGTHS, 8, 0))
    rest = skip_first_batches(loader, skipped)
    rest.batch_sampler.batch_sampler.sampler.set_epoch(epoch)
    assert [row for batch in rest for row in batch.tolist()] == order(epoch=epoch)[8 * skipped :]
