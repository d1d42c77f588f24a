"""Models of timm, torchvision and Hugging Face by name: for any number of classes and channels.

The weights are new, drawn from torch's random state: a study compares ways of training, and weights
that were trained elsewhere would have seen its test data, or their like. Nothing is downloaded but
the configuration of a model of Hugging Face that is named by neither its kind nor a folder.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vicinal.machine.names import near

EXTRAS = {"timm": "timm", "torchvision": "vision", "hf": "hf"}
"""Which extra installs a library."""


def library_model(source: str, name: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """A model of a library, with new weights.

    Args:
        source: a key of EXTRAS.
        name: what the library calls it. Of Hugging Face the kind of a model that classifies images,
            such as vit or resnet, a folder with its config.json, or a name on the hub.
        shape: channels, height and width of an image.
        outputs: how many numbers it gives for one image.

    Raises:
        ValueError: if the library is not installed, does not know the model, or cannot make it for
            such images.
    """
    makers: dict[str, Callable[..., nn.Module]]
    makers = {"timm": _timm, "torchvision": _torchvision, "hf": _hugging_face}
    try:
        return makers[source](name, shape, outputs)
    except ImportError as error:
        raise ValueError(
            f"{source}:{name} needs a library that is not installed ({error}): "
            f'pip install "vicinal[{EXTRAS[source]}]".'
        ) from error
    except Exception as error:  # the libraries raise many kinds
        first = str(error).strip().split("\n")[0]
        raise ValueError(
            f"cannot make {source}:{name} for {outputs} outputs and images of "
            f"{' × '.join(map(str, shape))}: {type(error).__name__}: {first}"
        ) from error


def _known(name: str, names: Iterable[str]) -> None:
    names = list(names)
    if name not in names:
        found = ", ".join(near(name, names, 3)) or "none"
        raise LookupError(f"there is no model of this name. Near: {found}.")


def _timm(name: str, shape: tuple[int, int, int], outputs: int) -> nn.Module:
    import timm

    _known(name, timm.list_models())
    options = {"num_classes": outputs, "in_chans": shape[0]}
    try:  # transformers need to know the size
        model: nn.Module = timm.create_model(name, img_size=shape[1:], **options)
    except TypeError:
        model = timm.create_model(name, **options)
    return model


def _torchvision(name: str, shape: tuple[int, int, int], outputs: int) -> nn.Module:
    from torchvision import models

    _known(name, models.list_models(module=models))
    options: dict[str, Any] = {"weights": None, "num_classes": outputs}
    if name.startswith("vit_"):
        if shape[1] != shape[2]:
            raise ValueError("its images must be square.")
        options["image_size"] = shape[1]
    if name in ("googlenet", "inception_v3"):  # in training they give more than logits
        options |= {"aux_logits": False, "init_weights": True}
    model: nn.Module = models.get_model(name, **options)
    if shape[0] == 3:
        return model
    if shape[0] == 1:
        return nn.Sequential(Grey(), model)
    raise ValueError("models of torchvision take 1 channel or 3.")


class Grey(nn.Module):
    """Images of one channel as images of three, all alike."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, 1, h, w) in, (n, 3, h, w) out."""
        return x.expand(-1, 3, -1, -1)


def _hugging_face(name: str, shape: tuple[int, int, int], outputs: int) -> nn.Module:
    from transformers import AutoConfig, AutoModelForImageClassification
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    channels, height, width = shape
    size = height if height == width else (height, width)
    options = {"num_labels": outputs, "num_channels": channels, "image_size": size}
    if Path(name).is_dir() or "/" in name:
        config = AutoConfig.from_pretrained(name, **options)
    else:
        _known(name, CONFIG_MAPPING)
        config = AutoConfig.for_model(name, **options)
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, int) and (height % patch or width % patch):
        raise ValueError(
            f"its patches of {patch}×{patch} do not divide {height}×{width}, so it would not see "
            "the rest. Save a config.json with another patch_size in a folder, and pass hf:FOLDER."
        )
    maker: Any = AutoModelForImageClassification
    model: nn.Module = maker.from_config(config)
    return model
