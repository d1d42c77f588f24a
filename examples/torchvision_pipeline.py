"""CutMix after torchvision transforms, in place of torchvision's own MixUp and CutMix."""

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

import vicinal as vc

transform = v2.Compose(
    [v2.RandomHorizontalFlip(), v2.RandomCrop(32, padding=4), v2.ToDtype(torch.float32, scale=True)]
)
strategy = vc.mixup_or_cutmix()
torch.manual_seed(0)
images = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8)
x, y = torch.stack([transform(image) for image in images]), torch.arange(16) % 4
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                      nn.Linear(8, 4))  # fmt: skip
draw = strategy(x, y, np.random.default_rng(0))
loss = vc.vicinal_losses(model, x, y, draw, vc.categorical).mean()
loss.backward()
print(f"loss {float(loss.detach()):.3f}")
