"""What attacks cost, in ratios measured in turns: python benchmarks/attacks.py."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import vicinal as vc
from vicinal.attacks.worst import worst_case

REPEATS, STEPS, EPS = 7, 20, 8 / 255


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 16 * 16, 10),
    )  # fmt: skip


def wide() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 128, 3, padding=1, stride=2), nn.ReLU(),
        nn.Conv2d(128, 256, 3, padding=1, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(256 * 8 * 8, 10),
    )  # fmt: skip


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Shortest time of each, in turns, so that a busy moment does not fall on one alone."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(REPEATS + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if repeat:
                found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def passes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """As many forward and backward passes to the input as PGD makes steps, and nothing else."""
    for _ in range(STEPS):
        leaf = x.detach().requires_grad_()
        torch.autograd.grad(vc.categorical(model(leaf), y).sum(), leaf)


def peers(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The same attack of those libraries that are installed."""
    found: dict[str, Callable[[], object]] = {}
    try:
        import foolbox

        attack = foolbox.attacks.LinfPGD(steps=STEPS, random_start=False)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        found["foolbox"] = lambda: attack(wrapped, x, y, epsilons=EPS)
    except ImportError:
        pass
    try:
        import torchattacks

        other = torchattacks.PGD(model, eps=EPS, alpha=2.5 * EPS / STEPS, steps=STEPS)
        found["torchattacks"] = lambda: other(x, y)
    except ImportError:
        pass
    return found


def pgd() -> None:
    print(f"PGD-{STEPS}, in the time of {STEPS} forward and backward passes   bar <= 1.05")
    for name, model in (("small CNN", small()), ("wide CNN", wide())):
        model = model.eval()
        x, y = torch.rand(64, 3, 32, 32), torch.randint(10, (64,))
        others = peers(model, x, y)
        base, ours, *rest = seconds(
            partial(passes, model, x, y),
            partial(vc.pgd, model, x, y, EPS, steps=STEPS),
            *others.values(),
        )
        written = [f"{peer} {t / base:.2f}" for peer, t in zip(others, rest, strict=True)]
        print(f"  {name:10} vicinal {ours / base:.2f}   {'   '.join(written)}")


def trained_on_digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    from vicinal.data import load
    from vicinal.models import cnn

    split = load("digits", 0)
    model = cnn((1, 8, 8), 10)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(25):
        for rows in torch.randperm(len(split.train)).split(64):
            optimizer.zero_grad()
            vc.categorical(model(split.train.x[rows]), split.train.y[rows]).mean().backward()
            optimizer.step()
    return model.eval().requires_grad_(False), split.test.x[:100], split.test.y[:100]


def ensemble() -> None:
    model, x, y = trained_on_digits()
    print("\nworst_case on 100 digits, small CNN   bar <= 0.6 of pyautoattack, no higher accuracy")
    for norm, eps in (("linf", 0.06), ("l2", 0.4)):
        start = time.perf_counter()
        found = worst_case(model, x, y, eps, norm=norm)
        ours = time.perf_counter() - start
        line = f"  {norm:5} eps {eps}: accuracy {found.accuracy.value:.2f} in {ours:.1f} s"
        try:
            import pyautoattack
        except ImportError:
            print(line)
            continue
        published = pyautoattack.AutoAttack(
            model, eps=eps, norm={"linf": "Linf", "l2": "L2"}[norm], seed=0
        )
        start = time.perf_counter()
        z = published.run_standard_evaluation(x, y)[0]
        theirs = time.perf_counter() - start
        accuracy = float((model(z).argmax(1) == y).double().mean())
        print(f"{line}; pyautoattack {accuracy:.2f} in {theirs:.1f} s: {ours / theirs:.2f}")
        for account in found.accounts:
            print(
                f"    {account.attack:15} tried {account.tried:3} broke {account.broken:3} "
                f"{account.passes:7} passes {account.seconds:5.1f} s"
            )


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pgd()
    ensemble()
