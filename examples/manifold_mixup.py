"""Manifold Mixup at named layers of your own model; the model is not changed."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import vicinal as vc


class Net(nn.Module):
    """A network with a skip connection, as someone may have written it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 48)
        self.block = nn.Sequential(nn.ReLU(), nn.Linear(48, 48))
        self.head = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = self.stem(x)
        return self.head(torch.relu(h + self.block(h)))


digits = load_digits()
x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
torch.manual_seed(0)
model = Net()
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
strategy = vc.ManifoldMixup(("", "stem", "block"))  # "" is the input
used = set()
for epoch in range(20):
    for step, rows in enumerate(torch.randperm(1200).split(64)):
        draw = strategy(x[rows], y[rows], vc.draw_generator(0, epoch=epoch, step=step))
        used.add(draw.layer(model))
        optimiser.zero_grad()
        vc.vicinal_losses(model, x[rows], y[rows], draw, vc.categorical).mean().backward()
        optimiser.step()

with torch.no_grad():
    accuracy = float((model(x[1200:]).argmax(1) == y[1200:]).float().mean())
print(f"mixed at {sorted(used)}, test accuracy {accuracy:.3f}")
assert accuracy > 0.85
try:
    draw = vc.ManifoldMixup(("steem",))(x[:4], y[:4], np.random.default_rng(0))
    vc.vicinal_losses(model, x[:4], y[:4], draw, vc.categorical)
except ValueError as error:
    print(error)
