"""vicinal explain: what mixup does to the loss of a trained model."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from vicinal.cli.errors import known, refuse


def explain(
    model: str,
    *,
    data: str = "digits",
    target: str | None = None,
    architecture: str | None = None,
    part: Literal["train", "validation", "test"] = "train",
    alphas: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = (
        0.05,
        0.1,
        0.2,
        0.4,
        1.0,
        2.0,
        4.0,
    ),
    pairs: int = 20_000,
    exact: bool = False,
    shown: int = 8,
    seed: int = 0,
    out: Path = Path("explanation"),
) -> int:
    """Explain what mixup does to a trained model's loss, at every strength.

    Writes explanation.json, explanation.html and explanation.svg, and prints a table.

    Args:
        model: module:attribute (this runs the code of the module), or a file of weights.
        data: Data set, as in compare: a name, a file, a folder, or module:attribute.
        target: Target column of a table; by default the last one.
        architecture: For a file of weights, the reference model: cnn, mlp or linear.
        part: Which part of the split of this seed to explain.
        alphas: Strengths, the law of λ being Beta(α, α).
        pairs: Mixed examples to evaluate per strength.
        exact: Sum all pairs and take all directions; slow beyond a few hundred examples.
        shown: Examples to show for each term.
        seed: Of the split and of the pairs.
        out: Folder for the results.
    """
    import json
    from dataclasses import asdict

    import numpy as np
    import torch

    from vicinal import explanation, store
    from vicinal.data import load
    from vicinal.model_files import load_model
    from vicinal.models import MODELS
    from vicinal.report import explained

    torch.set_num_threads(1)  # for small data more threads cost more than they give
    say = Console(stderr=True)
    try:
        if architecture is not None:
            known("architecture", architecture, MODELS)
        split = load(data, seed, target=target)
        loaded = load_model(model, split, architecture)
        chosen = getattr(split, part)
        out.mkdir(parents=True, exist_ok=True)
        with Progress(console=say, disable=not say.is_terminal, transient=True) as progress:
            task = progress.add_task("explaining", total=1.0)
            found = explanation.explain(
                loaded,
                chosen.x,
                chosen.y,
                family=split.family,
                alphas=alphas,
                pairs=None if exact else pairs,
                partners=None if exact else 8,
                shown=shown,
                rng=np.random.default_rng(seed),
                progress=lambda share: progress.update(task, completed=share),
            )
    except (ValueError, TypeError, OSError) as error:
        refuse(error)
    record = store.plain(asdict(found))
    named = sorted({e["index"] for group in record["carriers"].values() for e in group})
    rows, labels = ({k: v[k].numpy() for k in named} for v in (chosen.x, chosen.y))
    store.write(out / "explanation.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    store.write(out / "explanation.html", explained.page(record, rows, labels))
    explained.figure(record).save(out / "explanation.svg")
    Console().print(explained.table(record))
    Console().print(escape(f"Figure: {out / 'explanation.html'}"), highlight=False, soft_wrap=True)
    return 0
