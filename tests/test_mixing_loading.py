"""The same draws in the loop as in the workers of a loader, and no λ twice."""

import itertools

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    get_worker_info,
)

from vicinal.maths.randomness import draw_generator
from vicinal.mixing.loading import Collate, Keyed, KeyedBatches
from vicinal.mixing.mixup import Mixup


def test_no_lambda_comes_twice():
    keys = itertools.product(range(4), range(5), range(3), range(3))
    lam = {
        float(draw_generator(0, epoch=e, step=s, rank=r, worker=w).random()) for e, s, r, w in keys
    }
    assert len(lam) == 4 * 5 * 3 * 3


def batches_of(workers, epochs=2, **options):
    data = TensorDataset(torch.arange(22.0)[:, None], torch.arange(22) % 3)
    order = RandomSampler(data, generator=torch.Generator().manual_seed(5))
    sampler = KeyedBatches(BatchSampler(order, 4, drop_last=False))
    loader = DataLoader(
        Keyed(data),
        batch_sampler=sampler,
        collate_fn=Collate(Mixup(1.0), seed=3, **options),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    assert len(loader) == 6
    return [list(loader) for _ in range(epochs)]


def test_workers_draw_what_the_loop_draws():
    runs = [batches_of(workers) for workers in (0, 1, 2)]
    seen = set()
    for epoch, step in itertools.product(range(2), range(6)):
        x, y, _ = runs[0][epoch][step]
        loop = Mixup(1.0)(x, y, draw_generator(3, epoch=epoch, step=step))
        for run in runs:
            other_x, other_y, other = run[epoch][step]
            assert other_x.equal(x)
            assert other_y.equal(y)
            assert other.share.equal(loop.share)
            assert other.partner.equal(loop.partner)
        seen.update(loop.share.tolist())
    assert len(seen) == 44  # no λ twice, in either epoch
    assert not batches_of(0, rank=1)[0][0][2].share.equal(runs[0][0][0][2].share)


def test_a_resumed_run_goes_on_at_its_epoch():
    sampler = KeyedBatches([[0, 1], [2]])
    sampler.set_epoch(7)
    assert list(sampler) == [[(7, 0, 0), (7, 0, 1)], [(7, 1, 2)]]
    assert next(iter(sampler)) == [(8, 0, 0), (8, 0, 1)]
    collated = Collate(None, seed=0)([(0, 0, (torch.zeros(1), 1))])
    assert collated[2] is None
    with pytest.raises(TypeError, match="generator has no length"):
        len(KeyedBatches(b for b in [[0]]))


class Stream(IterableDataset):
    """Batches that each worker numbers itself, as streams from disk do."""

    def __iter__(self):
        info = get_worker_info()
        worker = 0 if info is None else info.id
        for step in range(3):
            rng = draw_generator(7, epoch=0, step=step, worker=worker)
            yield worker, step, Mixup(1.0)(torch.zeros(4, 1), torch.zeros(4), rng).share


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_that_number_their_own_steps_share_no_lambda(workers):
    found = list(DataLoader(Stream(), batch_size=None, num_workers=workers))
    assert len(found) == 3 * max(workers, 1)
    assert len({float(lam) for _, _, share in found for lam in share}) == 4 * len(found)
    for worker, step, share in found:
        rng = draw_generator(7, epoch=0, step=step, worker=worker)
        assert Mixup(1.0)(torch.zeros(4, 1), torch.zeros(4), rng).share.equal(share)
