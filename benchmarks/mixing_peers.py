"""Other libraries' mixing behind one signature, whichever of them are installed.

Each peer maps (x, y, classes) to a mixed batch and soft labels (n, classes). Some overwrite x.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Peer = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def peers() -> dict[str, Peer]:
    """Peers by name; those that cannot be imported are left out."""
    found: dict[str, Peer] = {"the widespread snippet": snippet}
    for maker in (timm, torchvision, kornia, monai, keras):
        try:
            found |= maker()
        except (ImportError, RuntimeError, OSError) as error:
            print(f"left out: {maker.__name__} ({type(error).__name__})")
    return found


def snippet(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """What most training scripts contain, after mixup-cifar10."""
    lam = np.random.beta(1.0, 1.0)  # noqa: NPY002
    index = torch.randperm(len(x))
    mixed = lam * x + (1 - lam) * x[index, :]
    labels = F.one_hot(y, classes).to(x.dtype)
    return mixed, lam * labels + (1 - lam) * labels[index]


def timm() -> dict[str, Peer]:
    module = _timm_mixup()

    def peer(mixup: float, cutmix: float, mode: str) -> Peer:
        def run(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
            mixer = module.Mixup(mixup, cutmix, mode=mode, label_smoothing=0.0, num_classes=classes)
            mixed, labels = mixer(x, y)
            return mixed, labels

        return run

    return {
        "timm Mixup, per batch": peer(1.0, 0.0, "batch"),
        "timm Mixup, per sample": peer(1.0, 0.0, "elem"),
        "timm CutMix, per batch": peer(0.0, 1.0, "batch"),
        "timm CutMix, per sample": peer(0.0, 1.0, "elem"),
    }


def _timm_mixup() -> ModuleType:
    """The one module of timm that is needed; it does not need torchvision, timm itself does."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        raise ImportError("timm")
    path = Path(spec.origin).parent / "data" / "mixup.py"
    alone = importlib.util.spec_from_file_location("timm_data_mixup", path)
    if alone is None or alone.loader is None:
        raise ImportError("timm.data.mixup")
    module = importlib.util.module_from_spec(alone)
    alone.loader.exec_module(module)
    return module


def torchvision() -> dict[str, Peer]:
    from torchvision.transforms import v2

    def peer(kind: Any) -> Peer:
        def run(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
            mixed, labels = kind(alpha=1.0, num_classes=classes)(x, y)
            return mixed, labels

        return run

    return {"torchvision MixUp": peer(v2.MixUp), "torchvision CutMix": peer(v2.CutMix)}


def kornia() -> dict[str, Peer]:
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    def peer(kind: Any, lam_is_own: bool) -> Peer:
        mixer = kind(p=1.0, data_keys=["input", "class"])

        def run(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
            mixed, labels = mixer(x, y)
            own, other, lam = labels.reshape(-1, 3).T
            one_hot = F.one_hot(torch.stack([own, other]).long(), classes).to(x.dtype)
            share = (lam if lam_is_own else 1 - lam)[:, None].to(x.dtype)
            return mixed, share * one_hot[0] + (1 - share) * one_hot[1]

        return run

    return {
        "kornia MixUpV2": peer(RandomMixUpV2, lam_is_own=False),
        # by default it returns the area cut, and says so since 0.9; the paper's λ is the rest
        "kornia CutMixV2, λ as cut area": peer(RandomCutMixV2, lam_is_own=False),
        "kornia CutMixV2, λ as in paper": peer(RandomCutMixV2, lam_is_own=True),
    }


def monai() -> dict[str, Peer]:
    from monai.transforms import CutMix, MixUp

    def peer(kind: Any) -> Peer:
        def run(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
            one_hot = F.one_hot(y, classes).to(x.dtype)
            mixed, labels = kind(batch_size=len(x), alpha=1.0)(x, one_hot)
            return mixed, labels

        return run

    return {"MONAI MixUp": peer(MixUp), "MONAI CutMix": peer(CutMix)}


def keras() -> dict[str, Peer]:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from keras.layers import CutMix, MixUp

    def peer(kind: Any) -> Peer:
        mixer = kind(1.0, data_format="channels_last")

        def run(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
            one_hot = F.one_hot(y, classes).to(x.dtype)
            mixed = mixer({"images": x.movedim(1, -1), "labels": one_hot}, training=True)
            return mixed["images"].movedim(-1, 1), mixed["labels"]

        return run

    return {"keras MixUp": peer(MixUp), "keras CutMix": peer(CutMix)}
