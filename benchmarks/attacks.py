"""What attacks cost and find, beside other libraries, measured in turns.

    python benchmarks/attacks.py

The times of PGD are told in passes to the input; foolbox, torchattacks and
adversarial-robustness-toolbox run the same attack, pyautoattack the ensemble. Those that are not
installed are left out.
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import vicinal as vc
from vicinal.robustness.attacks.worst import worst_case

REPEATS, RUNS, STEPS, EPS = 7, 2, 20, 8 / 255


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


def seconds(*calls: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Shortest time of each, in turns, so that a busy moment does not fall on one alone.

    In seconds of the processor, on one thread: what waits for its turn does not count.
    """
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            if repeat:  # the first warms up
                found.append(time.process_time() - start)
    return [min(found) for found in times]


def passes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """As many forward and backward passes to the input as PGD makes steps, and nothing else."""
    for _ in range(STEPS):
        leaf = x.detach().requires_grad_()
        torch.autograd.grad(vc.categorical(model(leaf), y).sum(), leaf)


Attack = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def peers(model: nn.Module, shape: tuple[int, ...], eps: float) -> dict[str, Attack]:
    """The same attack of those libraries that are installed: as many steps of the same length."""
    found: dict[str, Attack] = {"vicinal": lambda x, y: vc.pgd(model, x, y, eps, steps=STEPS)}
    size = 2.5 * eps / STEPS
    try:
        import foolbox

        attack = foolbox.attacks.LinfPGD(steps=STEPS, abs_stepsize=size, random_start=False)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        found["foolbox"] = lambda x, y: attack(wrapped, x, y, epsilons=eps)[1]
    except ImportError:
        pass
    try:
        import torchattacks

        found["torchattacks"] = torchattacks.PGD(
            model, eps=eps, alpha=size, steps=STEPS, random_start=False
        )
    except ImportError:
        pass
    try:
        from art.attacks.evasion import ProjectedGradientDescent
        from art.estimators.classification import PyTorchClassifier

        estimator = PyTorchClassifier(
            model, nn.CrossEntropyLoss(), shape, 10, clip_values=(0, 1), device_type="cpu"
        )
        toolbox = ProjectedGradientDescent(
            estimator, eps=eps, eps_step=size, max_iter=STEPS, batch_size=1000, verbose=False
        )
        found["art"] = lambda x, y: torch.from_numpy(toolbox.generate(x.numpy(), y.numpy()))
    except ImportError:
        pass
    return found


def pgd() -> None:
    print(f"PGD-{STEPS}, in the time of {STEPS} forward and backward passes   bar <= 1.05")
    for name, model in (("small CNN", small()), ("wide CNN", wide())):
        model = model.eval()
        x, y = torch.rand(64, 3, 32, 32), torch.randint(10, (64,))
        attacks = peers(model, (3, 32, 32), EPS)
        base, *times = seconds(
            partial(passes, model, x, y), *(partial(a, x, y) for a in attacks.values())
        )
        written = [f"{peer} {t / base:.2f}" for peer, t in zip(attacks, times, strict=True)]
        print(f"  {name:10} {'   '.join(written)}")


def found_by_pgd(model: nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float) -> None:
    """Accuracy that is left, how far the points went, and what else the attack changed."""
    print(f"\nPGD-{STEPS} on {len(x)} digits, small CNN, linf {eps}: what is left and what changed")
    for name, attack in peers(model, tuple(x.shape[1:]), eps).items():
        model.train()
        for parameter in model.parameters():
            parameter.grad = None
        before = torch.get_rng_state()
        z = attack(x, y)
        changed = {
            "mode": not model.training,
            "parameter gradients": any(p.grad is not None for p in model.parameters()),
            "random state": not torch.get_rng_state().equal(before),
        }
        accuracy = float((model.eval()(z).argmax(1) == y).double().mean())
        far, out = float((z - x).abs().max()) / eps, not bool(((z >= 0) & (z <= 1)).all())
        told = ", ".join([what for what, hit in changed.items() if hit]) or "nothing"
        print(
            f"  {name:13} accuracy {accuracy:.3f}   largest step {far:.4f} eps"
            f"{'   leaves the box' if out else ''}   changed: {told}"
        )


def trained_on_digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    from vicinal.data import load
    from vicinal.models.reference import cnn

    split = load("digits", 0)
    model = cnn((1, 8, 8), 10)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(25):
        for rows in torch.randperm(len(split.train)).split(64):
            optimizer.zero_grad()
            vc.categorical(model(split.train.x[rows]), split.train.y[rows]).mean().backward()
            optimizer.step()
    return model.eval(), split.test.x[:100], split.test.y[:100]


def autoattack(model: nn.Module, norm: str, eps: float) -> Attack | None:
    try:
        import pyautoattack
    except ImportError:
        return None
    kind = {"linf": "Linf", "l2": "L2"}[norm]
    attack = pyautoattack.AutoAttack(model, eps=eps, norm=kind, seed=0)
    return lambda x, y: attack.run_standard_evaluation(x, y)[0]


def ensemble(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    model.eval().requires_grad_(False)
    print("\nworst_case on 100 digits, small CNN   bar <= 0.6 of pyautoattack, no higher accuracy")
    for norm, eps in (("linf", 0.06), ("l2", 0.4)):
        published = autoattack(model, norm, eps)
        attacks = [lambda: worst_case(model, x, y, eps, norm=norm)]  # noqa: B023
        attacks += [] if published is None else [lambda: published(x, y)]  # noqa: B023
        found, times = attacks[0](), seconds(*attacks, repeats=RUNS)
        print(
            f"  {norm:5} eps {eps}: accuracy {found.accuracy.value:.2f} in {times[0]:.2f} s", end=""
        )
        if published is not None:
            accuracy = float((model(published(x, y)).argmax(1) == y).double().mean())
            ratio = times[0] / times[1]
            print(f"; pyautoattack {accuracy:.2f} in {times[1]:.2f} s: {ratio:.2f}", end="")
        print()
        for account in found.accounts:
            print(
                f"    {account.attack:15} tried {account.tried:3} broke {account.broken:3} "
                f"{account.passes:7} passes {account.seconds:5.1f} s"
            )


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pgd()
    digits = trained_on_digits()
    found_by_pgd(*digits, 0.06)
    ensemble(*digits)
