"""Mixup of embeddings in a Hugging Face Trainer: compute_loss is all that changes."""

import tempfile

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

import vicinal as vc

torch.manual_seed(0)
x = torch.randn(256, 12)
y = (x[:, 0] + x[:, 1] > 0).long()
shares = set()


class Net(nn.Module):
    """Any model whose inputs are floating values."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, inputs_embeds: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits; the loss is left to the trainer."""
        return {"logits": self.body(inputs_embeds)}


class MixupTrainer(Trainer):
    """Draws keyed by the batches of the trainer, so that a resumed run draws the same."""

    step, part = -1, 0

    def batch_number(self) -> int:
        """Batches so far; a step consists of several where gradients are accumulated."""
        self.part = self.part + 1 if self.step == self.state.global_step else 0
        self.step = self.state.global_step
        return self.step * self.args.gradient_accumulation_steps + self.part

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        """The mixed loss while training, the plain one otherwise."""
        x, y = inputs["inputs_embeds"], inputs["labels"]
        draw = None
        if model.training:
            rng = vc.draw_generator(
                self.args.seed, epoch=0, step=self.batch_number(), rank=self.args.process_index
            )
            draw = vc.Mixup(1.0)(x, y, rng)
            shares.update(draw.share.tolist())
        outputs = model(inputs_embeds=vc.mix(x, draw))
        loss = vc.mixed_loss(vc.categorical, outputs["logits"], y, draw).mean()
        return (loss, outputs) if return_outputs else loss


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, num_train_epochs=10, per_device_train_batch_size=16, learning_rate=1e-2,
        gradient_accumulation_steps=2,
        report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    data = [{"inputs_embeds": a, "labels": b} for a, b in zip(x, y, strict=True)]
    trainer = MixupTrainer(Net(), arguments, train_dataset=data)
    trainer.train()
    with torch.no_grad():
        right = trainer.model(x)["logits"].argmax(1) == y
print(f"training accuracy {float(right.float().mean()):.3f}, {len(shares)} different λ")
assert len(shares) > 0.99 * 10 * len(x)  # no batch was mixed like another; a few round alike
