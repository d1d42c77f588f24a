"""C-Mixup, for regression: partners are drawn among samples with similar targets."""

import torch
from sklearn.datasets import load_diabetes
from torch import nn

import vicinal as vc

data = load_diabetes()
x = torch.tensor(data.data / data.data.std(0), dtype=torch.float32)
y = torch.tensor((data.target - data.target.mean()) / data.target.std(), dtype=torch.float32)


def error_of(strategy: vc.Strategy | None) -> float:
    """Root mean squared error on a third of the data, in deviations of the target."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(30):
        for step, rows in enumerate(torch.randperm(300).split(32)):
            rng = vc.draw_generator(0, epoch=epoch, step=step)
            draw = None if strategy is None else strategy(x[rows], y[rows], rng)
            optimiser.zero_grad()
            vc.vicinal_losses(model, x[rows], y[rows], draw, vc.gaussian).mean().backward()
            optimiser.step()
    with torch.no_grad():
        return float((model(x[300:])[:, 0] - y[300:]).square().mean().sqrt())


errors = {
    "without mixing": error_of(None),
    "mixup": error_of(vc.Mixup(2.0)),
    "C-Mixup, σ = 0.5": error_of(vc.c_mixup(0.5)),
}
for name, error in errors.items():
    print(f"{name:18}{error:.3f}")
print("one seed: differences of this size are no claim")
assert all(error < 1 for error in errors.values())
