"""Mixup in a LightningModule: the draw is keyed by epoch and batch."""

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import vicinal as vc


class Module(lightning.LightningModule):
    """A classifier trained with Mixup or CutMix, or any other strategy."""

    def __init__(self, strategy: vc.Strategy | None) -> None:
        super().__init__()
        self.strategy = strategy
        self.model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The mixed loss of one batch."""
        x, y = batch
        rng = vc.draw_generator(0, epoch=self.current_epoch, step=index, rank=self.global_rank)
        draw = None if self.strategy is None else self.strategy(x, y, rng)
        return vc.vicinal_losses(self.model, x, y, draw, vc.categorical).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on all parameters."""
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


torch.manual_seed(0)
x = torch.randn(256, 12)
y = (x[:, 0] + x[:, 1] > 0).long()
module = Module(vc.RegMixup(10.0))
trainer = lightning.Trainer(
    max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)  # fmt: skip
trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True))
with torch.no_grad():
    right = module.model(x).argmax(1) == y
print(f"training accuracy {float(right.float().mean()):.3f}")
