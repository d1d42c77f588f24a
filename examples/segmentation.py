"""Images and their masks of class ids, mixed with one draw; unlabelled pixels do not count."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import vicinal as vc

IGNORED = 255
torch.manual_seed(0)
n, size = 96, 24
rows = torch.arange(size)
centre, radius = torch.rand(n, 2) * size, 4 + 6 * torch.rand(n)
distance = (rows[None, :, None] - centre[:, 0, None, None]) ** 2 + (
    rows[None, None, :] - centre[:, 1, None, None]
) ** 2
mask = (distance < radius[:, None, None] ** 2).long()
image = mask[:, None].float() + 0.5 * torch.randn(n, 1, size, size)
mask[:, :2] = IGNORED

model = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 2, 5, padding=2))
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
pixelwise = partial(F.cross_entropy, reduction="none")
for epoch in range(8):
    strategy = vc.CutMix() if epoch % 2 else vc.GMix()
    for step, batch in enumerate(torch.randperm(64).split(16)):
        x, y = image[batch], mask[batch]
        draw = strategy(x, y, vc.draw_generator(0, epoch=epoch, step=step))
        outputs = model(vc.mix(x, draw))
        loss = vc.dense_loss(pixelwise, outputs, y, draw, ignore_index=IGNORED).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

with torch.no_grad():
    hit = model(image[64:]).argmax(1) == mask[64:]
accuracy = float(hit[mask[64:] != IGNORED].float().mean())
print(f"pixels told right: {accuracy:.3f}")
assert accuracy > 0.9
