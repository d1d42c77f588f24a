"""Draws made by the workers of a DataLoader: the same as in the loop, for any number of them."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import vicinal as vc


def train(workers: int) -> list[float]:
    """The losses of two epochs."""
    digits = load_digits(n_class=4)
    data = TensorDataset(
        torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    )
    order = RandomSampler(data, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(
        vc.loading.Keyed(data),
        batch_sampler=vc.loading.KeyedBatches(BatchSampler(order, 64, drop_last=False)),
        collate_fn=vc.loading.Collate(vc.Mixup(1.0), seed=0),
        num_workers=workers,
    )
    torch.manual_seed(0)
    model = nn.Linear(64, 4)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        for x, y, draw in loader:
            loss = vc.vicinal_losses(model, x, y, draw, vc.categorical).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    return losses


if __name__ == "__main__":
    alone, two = train(0), train(2)
    assert alone == two
    print(f"{len(two)} steps, loss {two[0]:.3f} to {two[-1]:.3f}, the same with 0 and 2 workers")
