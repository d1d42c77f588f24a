"""Mixup in a plain PyTorch loop: three lines differ from training without it."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import vicinal as vc

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
y = torch.tensor(digits.target)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)

strategy = vc.Mixup(0.2)
for epoch in range(20):
    hits = 0.0
    order = torch.randperm(1200)
    for step, rows in enumerate(order.split(64)):
        draw = strategy(x[rows], y[rows], vc.draw_generator(0, epoch=epoch, step=step))
        outputs = model(vc.mix(x[rows], draw))
        loss = vc.mixed_loss(vc.categorical, outputs, y[rows], draw).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        hits += float(vc.expected_accuracy(outputs, y[rows], draw).sum())

with torch.no_grad():
    accuracy = float((model(x[1200:]).argmax(1) == y[1200:]).float().mean())
print(f"expected accuracy while mixing {hits / 1200:.3f}, test accuracy {accuracy:.3f}")
assert accuracy > 0.85
