from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from accelerate import skip_first_batches
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, DataLoader

from understudy.data.batching import TokenBudgetSampler, batch_count

LENGTHS = np.random.default_rng(0).integers(5, 200, 2003)


def epoch_of(
    epoch: int = 0, seed: int = 0, batch_size: int = 8, lengths: np.ndarray = LENGTHS, ranks: int = 1
) -> list[list[int]]:
    sampler = TokenBudgetSampler(lengths, batch_size, seed, ranks)
    sampler.set_epoch(epoch)
    return [batch.tolist() for batch in sampler]


def padded(batches: list[list[int]], lengths: np.ndarray = LENGTHS) -> np.ndarray:
    """Tokens of each batch, padding included."""
    return np.array([lengths[batch].max() * len(batch) for batch in batches])


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 400, 401, 2003])
@pytest.mark.parametrize("epoch", [0, 3])
def test_every_row_once_an_epoch_and_no_batch_empty(size: int, epoch: int) -> None:
    batches = epoch_of(epoch, lengths=LENGTHS[:size])
    assert sorted(row for batch in batches for row in batch) == list(range(size))
    assert all(batches)
    assert len(batches) == len(TokenBudgetSampler(LENGTHS[:size], 8, 0)) == -(-size // 8)


@pytest.mark.parametrize(("batch_size", "ranks"), list(product([1, 3, 8, 700], [1, 2, 3, 8])))
def test_every_epoch_has_as_many_batches_and_every_rank_its_share(batch_size: int, ranks: int) -> None:
    counts = {len(epoch_of(epoch, batch_size=batch_size, ranks=ranks)) for epoch in range(4)}
    assert counts == {batch_count(len(LENGTHS), batch_size, ranks)}
    assert counts.pop() % ranks == 0


@pytest.mark.parametrize(
    ("texts", "batch_size", "ranks", "expected"),
    [(0, 8, 1, 0), (1, 8, 1, 1), (16, 8, 1, 2), (17, 8, 1, 3), (17, 8, 2, 4), (5, 1, 2, 4), (1, 1, 4, 1), (9, 4, 4, 4)],
)
def test_how_many_batches_there_are(texts: int, batch_size: int, ranks: int, expected: int) -> None:
    assert batch_count(texts, batch_size, ranks) == expected


def test_same_seed_and_epoch_same_batches() -> None:
    assert epoch_of(2, seed=3) == epoch_of(2, seed=3)


def test_another_epoch_or_seed_other_batches() -> None:
    assert len({str(epoch_of(epoch, seed)) for seed in range(3) for epoch in range(3)}) == 9


def test_other_texts_meet_in_another_epoch() -> None:
    first, second = ({frozenset(batch) for batch in epoch_of(epoch)} for epoch in range(2))
    assert len(first & second) < 5


def test_an_earlier_iteration_does_not_change_the_batches() -> None:
    sampler = TokenBudgetSampler(LENGTHS, 8, 0)
    assert [batch.tolist() for batch in sampler] == [batch.tolist() for batch in sampler]


def test_batches_are_of_similar_length() -> None:
    random = np.array_split(np.random.default_rng(1).permutation(len(LENGTHS)), 251)
    assert 1 - LENGTHS.sum() / padded([part.tolist() for part in random]).sum() > 0.35
    assert 1 - LENGTHS.sum() / padded(epoch_of()).sum() < 0.05


def test_batches_hold_equal_numbers_of_tokens() -> None:
    tokens = np.array([LENGTHS[batch].sum() for batch in epoch_of()])
    texts = np.array([len(batch) for batch in epoch_of()])
    assert tokens.std() / tokens.mean() < 0.1
    assert texts.std() / texts.mean() > 0.5  # which batches of equally many texts would not need
    assert texts.mean() == pytest.approx(8, abs=0.1)


def test_batches_do_not_come_sorted_by_length() -> None:
    means = [LENGTHS[batch].mean() for batch in epoch_of()]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_a_text_that_is_longer_than_a_batch_has_room() -> None:
    lengths = np.array([5000, 4000, *[3] * 10])
    for epoch in range(5):
        batches = epoch_of(epoch, batch_size=2, lengths=lengths)
        assert len(batches) == 6 and all(batches)
        assert sorted(row for batch in batches for row in batch) == list(range(12))


@pytest.mark.parametrize("epoch", [0, 1, 4])
@pytest.mark.parametrize("skipped", [1, 100, 250])
def test_skipping_batches_goes_on_where_an_epoch_was_left(epoch: int, skipped: int) -> None:
    """As Trainer resumes: a new loader without the first batches, which is then told the epoch."""

    class Rows:
        def __getitem__(self, rows: np.ndarray) -> list[int]:
            return rows.tolist()

    loader = DataLoader(Rows(), sampler=TokenBudgetSampler(LENGTHS, 8, 0), collate_fn=lambda items: items[0])  # type: ignore[arg-type,var-annotated]
    rest = skip_first_batches(loader, skipped)
    rest.batch_sampler.batch_sampler.sampler.set_epoch(epoch)
    assert list(rest) == epoch_of(epoch)[skipped:]


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch_in_equal_steps(ranks: int) -> None:
    """As accelerate deals the batches out: none twice, none left out, as many for each rank."""
    sampler = TokenBudgetSampler(LENGTHS, 8, 0, ranks)
    shares = [
        [batch[0].tolist() for batch in BatchSamplerShard(BatchSampler(sampler, 1, False), ranks, rank)]  # type: ignore[union-attr]
        for rank in range(ranks)
    ]
    assert {len(share) for share in shares} == {len(sampler) // ranks}
    dealt = [list(step) for step in zip(*shares, strict=True)]
    assert [batch for step in dealt for batch in step] == epoch_of(ranks=ranks)
