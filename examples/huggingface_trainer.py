"""Mixup of embeddings in a Hugging Face Trainer: compute_loss is all that changes."""

import tempfile

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

import vicinal as vc

torch.manual_seed(0)
x = torch.randn(256, 12)
y = (x[:, 0] + x[:, 1] > 0).long()


class Net(nn.Module):
    """Any model whose inputs are floating values."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, inputs_embeds: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits; the loss is left to the trainer."""
        return {"logits": self.body(inputs_embeds)}


class MixupTrainer(Trainer):
    """Draws keyed by the step of the trainer, so that a resumed run draws the same."""

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        """The mixed loss while training, the plain one otherwise."""
        x, y = inputs["inputs_embeds"], inputs["labels"]
        rng = vc.draw_generator(
            self.args.seed, epoch=0, step=self.state.global_step, rank=self.args.process_index
        )
        draw = vc.Mixup(0.2)(x, y, rng) if model.training else None
        outputs = model(inputs_embeds=vc.mix(x, draw))
        loss = vc.mixed_loss(vc.categorical, outputs["logits"], y, draw).mean()
        return (loss, outputs) if return_outputs else loss


with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, num_train_epochs=10, per_device_train_batch_size=32, learning_rate=1e-2,
        report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    data = [{"inputs_embeds": a, "labels": b} for a, b in zip(x, y, strict=True)]
    trainer = MixupTrainer(Net(), arguments, train_dataset=data)
    trainer.train()
    with torch.no_grad():
        right = trainer.model(x)["logits"].argmax(1) == y
print(f"training accuracy {float(right.float().mean()):.3f}")
