"""Several labels per example: the loss is any function to one value per example."""

import torch
import torch.nn.functional as F
from sklearn.datasets import make_multilabel_classification
from torch import Tensor, nn

import vicinal as vc

features, labels = make_multilabel_classification(600, n_features=20, n_classes=5, random_state=0)
x = torch.tensor(features, dtype=torch.float32)
x = (x - x.mean(0)) / x.std(0)
y = torch.tensor(labels, dtype=torch.float32)


def binary(outputs: Tensor, y: Tensor) -> Tensor:
    """The sum over labels of the binary cross-entropy, one value per example."""
    return F.binary_cross_entropy_with_logits(outputs, y, reduction="none").sum(1)


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5))
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
for epoch in range(30):
    for step, rows in enumerate(torch.randperm(400).split(50)):
        draw = vc.Mixup(0.4)(x[rows], y[rows], vc.draw_generator(0, epoch=epoch, step=step))
        optimiser.zero_grad()
        vc.vicinal_losses(model, x[rows], y[rows], draw, binary).mean().backward()
        optimiser.step()

with torch.no_grad():
    right = ((model(x[400:]) > 0) == (y[400:] > 0.5)).float().mean()
print(f"labels told right: {float(right):.3f}")
assert right > 0.75
