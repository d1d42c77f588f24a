"""The worst case against closed forms and AutoAttack; its books, budget, resumption, refusals."""

import json
import os
from io import BytesIO

import numpy as np
import pytest
import torch
from torch import nn

from norms import NORMS, dual, length
from vicinal.maths.losses import bernoulli, bernoullis, categorical, gaussian, gaussians
from vicinal.robustness.attacks import ensemble
from vicinal.robustness.attacks.ensemble import Stage
from vicinal.robustness.attacks.worst import worst_case

THETA = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch):
    monkeypatch.setattr("vicinal.robustness.attacks.square.QUERIES", 100)


def linear(x):
    return x @ THETA


def data(n=40):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (linear(x) > 0).long()
    y[:4] = 1 - y[:4]
    return x, y


def trained(seed=0):
    """A small network on three rings of points, four classes with the middle."""
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(300, 2, generator=g)
    y = ((x - 0.5).norm(dim=1) * 5.5).long().clamp(max=3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval(), x[:80], y[:80]


@pytest.mark.parametrize("norm", NORMS)
def test_several_labels_break_where_the_first_of_them_does(norm):
    """In a linear model label k turns at its distance from the boundary: |f_k| / dual norm."""
    x, y = data()
    weights = torch.stack([THETA, torch.tensor([0.2, 0.1, -1.0], dtype=torch.float64)], 1)
    labels = torch.stack([y, (x @ weights[:, 1] > 0).long()], 1)
    far = torch.stack([dual(column, norm) for column in weights.T])
    expected = ((2 * labels - 1) * (x @ weights) <= 0.2 * far).any(1)
    assert 0.2 < expected.double().mean() < 0.8
    model = lambda x: x @ weights
    found = worst_case(model, x, labels, 0.2, norm=norm, bounds=None, family=bernoullis)
    assert found.success.equal(expected)
    moved = worst_case(
        model, x, x @ weights, 0.2, norm=norm, bounds=None, family=gaussians, tolerance=1e6
    )
    assert not moved.success.any()


def test_several_values_break_where_their_distance_passes_the_tolerance():
    """Orthogonal columns of lengths 2 and 1: within an l2 ball the most is 2 eps."""
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    y = x @ weights + torch.linspace(0, 1, 20, dtype=torch.float64)[:, None] * weights[0]
    reached = (x @ weights - y).norm(dim=1) + 2 * 0.2
    for tolerance in (0.3, 1.0, 1.5):
        found = worst_case(
            lambda x: x @ weights, x, y, 0.2,
            norm="l2", bounds=None, family=gaussians, tolerance=tolerance,
        )  # fmt: skip
        assert found.success.equal(reached > tolerance)


@pytest.mark.parametrize("norm", NORMS)
def test_one_logit_and_two_classes_match_the_closed_form(norm):
    x, y = data()
    expected = (2 * y - 1) * linear(x) <= 0.2 * dual(THETA, norm)
    one = worst_case(linear, x, y, 0.2, norm=norm, bounds=None, family=bernoulli)
    two = lambda x: torch.stack([-linear(x) / 2, linear(x) / 2], 1)
    for found in (one, worst_case(two, x, y, 0.2, norm=norm, bounds=None)):
        assert found.success.equal(expected)
        assert found.accuracy.value == pytest.approx(float((~expected).double().mean()))
        assert found.complete
        assert found.refused == 0
        assert found.by[:4] == ("clean",) * 4
        assert found.x[~expected].equal(x[~expected])
        assert found.x[:4].equal(x[:4])
        delta = found.x - x
        assert (length(delta, norm) <= 0.2 + 1e-9).all()
        assert (~bernoulli.correct(linear(found.x), y)).equal(expected)


def test_values_break_beyond_the_tolerance():
    x, _ = data()
    y = linear(x) + 0.1 * torch.arange(40)
    expected = 0.1 * torch.arange(40) + 0.2 * float(THETA.abs().sum()) > 2.05
    found = worst_case(linear, x, y, 0.2, bounds=None, family=gaussian, tolerance=2.05)
    assert found.success.equal(expected)
    with pytest.raises(ValueError, match="has no classes: say with tolerance"):
        worst_case(linear, x, y, 0.2, bounds=None, family=gaussian)


def test_books_add_up_and_go_from_cheap_to_dear():
    model, x, y = trained()
    found = worst_case(model, x, y, 0.03)
    clean = found.by.count("clean")
    assert found.accounts[0].tried == len(x) - clean
    for before, after in zip(found.accounts, found.accounts[1:], strict=False):
        assert after.tried == before.tried - before.broken
    for account in found.accounts:
        assert account.broken == found.by.count(account.attack)
        assert (account.passes > 0) == (account.tried > 0)
    assert clean + sum(a.broken for a in found.accounts) == int(found.success.sum())
    passes = [stage.passes for stage in ensemble.stages("linf", None)[:-1]]
    assert passes == sorted(passes)


@pytest.mark.parametrize("norm", NORMS)
def test_never_weaker_than_autoattack(norm):
    pyautoattack = pytest.importorskip("pyautoattack")
    flat, x, y = trained()
    model, x = nn.Sequential(nn.Flatten(), flat), x[:, None, None]  # it takes images only
    ours = worst_case(model, x, y, 0.04, norm=norm)
    published = pyautoattack.AutoAttack(
        model,
        # its Square needs wider images in l2 and l1
        attacks=["apgd-ce", "apgd-t", "fab-t", *(["square"] if norm == "linf" else [])],
        version="custom",
        norm={"linf": "Linf", "l2": "L2", "l1": "L1"}[norm],
        eps=0.04,
        seed=0,
    )
    for attack in (published.apgd, published.fab, published.apgd_targeted):
        attack.n_restarts, attack.n_iter = 1, 50
    published.apgd_targeted.n_target_classes = published.fab.n_target_classes = 3
    published.square.n_queries = 300
    published.apgd.use_largereps = published.apgd_targeted.use_largereps = norm == "l1"
    z = published.run_standard_evaluation(x, y, batch_size=100)
    z = z[0] if isinstance(z, tuple) else z
    theirs = (model(z).argmax(1) != y).detach()
    assert 0.2 < theirs.double().mean() < 0.9
    assert ours.success.sum() >= theirs.sum()


@pytest.mark.parametrize("norm", NORMS)
def test_never_weaker_than_foolbox(norm):
    foolbox = pytest.importorskip("foolbox")
    model, x, y = trained()
    kinds = {"linf": "LinfPGD", "l2": "L2PGD", "l1": "SparseL1DescentAttack"}
    attack = getattr(foolbox.attacks, kinds[norm])(steps=100)
    theirs = attack(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilons=[0.04])[2][0]
    ours = worst_case(model, x, y, 0.04, norm=norm)
    assert not (theirs & ~ours.success).any()


def test_what_an_attack_claims_is_verified(monkeypatch):
    """Claims outside the ball, outside the box, not finite, or not broken are refused."""
    x, y = torch.full((4, 3), 0.9, dtype=torch.float64), torch.ones(4, dtype=torch.long)

    def liar(f, within, aim, rng):
        z = within.x.clone()
        z[0] -= 0.9  # far away
        z[1, 1] += 0.11  # within eps, outside the box
        z[2] = torch.nan
        return z, torch.ones(4, dtype=torch.bool)  # and the last is not broken

    monkeypatch.setattr(
        "vicinal.robustness.attacks.worst.stages", lambda norm, twin: (Stage("liar", 1, liar),)
    )
    found = worst_case(lambda x: x @ THETA.abs(), x, y, 0.2, family=bernoulli)
    assert not found.success.any()
    assert found.refused == 4
    assert found.accounts[0].broken == 0
    assert found.x.equal(x)


def test_undefined_outputs_count_as_not_attacked():
    def model(x):
        return torch.where((x[:, 0] < 2.9) | (x[:, 0] == 3), x[:, 1], torch.nan)

    x = torch.tensor([[3.0, 1.0], [0.0, 1.0], [0.0, 0.05]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="for 1 examples: 0. They count as not attacked"):
        found = worst_case(model, x, torch.tensor([1, 1, 1]), 0.09, bounds=None, family=bernoulli)
    assert found.undefined == (0,)
    assert found.success.tolist() == [False, False, True]
    assert found.accuracy.value == 0.5


def test_budgets_stop_it_with_what_was_found():
    model, x, y = trained()
    whole = worst_case(model, x, y, 0.03)
    part = worst_case(model, x, y, 0.03, passes=30)
    assert whole.complete
    assert not part.complete
    assert part.success.any()
    assert not (part.success & ~whole.success).any()
    assert not worst_case(model, x, y, 0.03, seconds=1e-9).complete
    for name in ("seconds", "passes"):
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            worst_case(model, x, y, 0.03, **{name: float("nan")})


def test_progress_rises_to_one():
    model, x, y = trained()
    told = []
    worst_case(model, x, y, 0.03, progress=lambda share, left: told.append((share, left)))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1] == (1.0, 0.0)
    assert all(left >= 0 for _, left in told)


def test_a_killed_run_goes_on_to_the_same_end(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "BATCH", 64)
    model, x, y = trained()
    told = []
    whole = worst_case(
        model,
        x,
        y,
        0.03,
        rng=np.random.default_rng(1),
        progress=lambda *shares: told.append(shares),
    )
    file = tmp_path / "attack.npz"

    def killed(share, left):
        raise KeyboardInterrupt

    batches = 0
    for _ in range(20):
        try:
            again = worst_case(
                model, x, y, 0.03, rng=np.random.default_rng(1), resume=file, progress=killed
            )
            break
        except KeyboardInterrupt:
            batches += 1
    assert batches == len(told) > len(whole.accounts)
    assert again.x.equal(whole.x)
    assert again.by == whole.by
    assert [a.passes for a in again.accounts] == [a.passes for a in whole.accounts]
    assert os.listdir(tmp_path) == ["attack.npz"]
    with pytest.raises(ValueError, match="holds an attack on other data"):
        worst_case(model, x, y, 0.02, resume=file)
    with pytest.raises(ValueError, match="holds an attack on another model"):
        worst_case(trained(1)[0], x, y, 0.03, resume=file)


def altered(content, **changes):
    """The file of an attack with other arrays, or other things said."""
    with np.load(BytesIO(content), allow_pickle=False) as stored:
        arrays = dict(stored)
    said = json.loads(str(arrays["said"]))
    for key, value in changes.items():
        (said if key in said else arrays)[key] = value
    buffer = BytesIO()
    np.savez(buffer, **arrays | {"said": json.dumps(said)})
    return buffer.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "other": lambda content: b"garbage",
    "short": lambda content: content[:-100],
    "bit": lambda content: content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1])
    + content[len(content) // 2 + 1 :],
    **{
        f"{key}={value!r}"[:40]: lambda content, key=key, value=value: altered(
            content, **{key: value}
        )
        for key, value in (
            ("stage", -1), ("stage", 1.5), ("stage", "1"), ("stage", 10**6), ("refused", -1),
            ("refused", None), ("seed", "x"), ("accounts", 3), ("accounts", [[0, 0, 0]] * 2),
            ("accounts", [[0, 0, -1, 0.0]] * 2), ("accounts", [["a", 0, 0, 0.0]] * 2),
            ("by", np.zeros(3, dtype=np.int64)), ("by", np.full(40, 99)), ("done", np.zeros(40)),
            ("x", np.zeros((40, 1))), ("name", 3),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_an_attack_is_set_aside_and_the_attack_done_again(damage, tmp_path):
    model, x, y = trained()
    x, y = x[:40], y[:40]
    file = tmp_path / "attack.npz"
    options = {"passes": 40, "resume": file}
    whole = worst_case(model, x, y, 0.03, rng=np.random.default_rng(1), **options)
    content = file.read_bytes()
    file.write_bytes(DAMAGES[damage](content))
    with pytest.warns(UserWarning, match=r"attack.npz could not be read .*set aside"):
        again = worst_case(model, x, y, 0.03, rng=np.random.default_rng(1), **options)
    assert again.by == whole.by
    assert again.x.equal(whole.x)
    assert {path.name for path in tmp_path.iterdir()} == {"attack.npz", "attack.npz.unreadable-1"}


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_an_attack_does_not_go_on_from_what_is_no_file(make, tmp_path):
    model, x, y = trained()
    make(tmp_path / "attack")
    with pytest.raises(ValueError, match="attack is a (folder|pipe), and an attack resumes from"):
        worst_case(model, x, y, 0.03, resume=tmp_path / "attack")


def test_a_twin_breaks_what_its_gradients_show():
    model, x, y = trained()
    hidden = lambda x: model(x).detach().round()
    with pytest.warns(UserWarning, match="follow gradients did nothing"):
        alone = worst_case(hidden, x, y, 0.03, passes=50)
    with pytest.warns(UserWarning, match="follow gradients did nothing"):
        found = worst_case(hidden, x, y, 0.03, passes=50, twin=model)
    assert not alone.gradients
    assert not found.gradients
    account = {a.attack: a for a in found.accounts}["transfer"]
    assert account.broken > 0
    assert found.success.sum() >= alone.success.sum()


def test_models_that_draw_at_random_are_recognised_and_reported():
    x, y = data(10)
    model = lambda x: linear(x + 0.01 * torch.randn_like(x))
    found = worst_case(model, x, y, 0.2, bounds=None, family=bernoulli)
    assert found.draws == 16
    expected = (2 * y - 1) * linear(x) <= 0.2 * float(THETA.abs().sum())
    clear = ((2 * y - 1) * linear(x) - 0.2 * float(THETA.abs().sum())).abs() > 0.1
    assert found.success[clear].equal(expected[clear])
    assert worst_case(linear, x, y, 0.2, bounds=None, family=bernoulli).draws == 0


def test_the_same_seed_gives_the_same_points_and_no_global_state_is_used():
    model, x, y = trained()
    torch.manual_seed(0)
    a = worst_case(model, x, y, 0.03, rng=np.random.default_rng(0))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    b = worst_case(model, x, y, 0.03, rng=np.random.default_rng(0))
    assert a.x.equal(b.x)
    assert torch.get_rng_state().equal(before)
    assert all(p.grad is None for p in model.parameters())


def test_bad_input(unchecked):
    model, x, y = trained()
    for eps in (8, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
            worst_case(model, x, y, eps)
    with pytest.raises(ValueError, match="leave the bounds"):
        worst_case(model, x + 3, y, 0.1)
    with pytest.raises(ValueError, match="use vicinal.bernoulli"):
        worst_case(lambda x: x[:, :1], x, y, 0.1, family=categorical)
    with pytest.raises(ValueError, match="as many examples"):
        worst_case(model, x, y[:3], 0.1)
    with pytest.raises(TypeError, match="family must be"):
        worst_case(model, x, y, 0.1, family=nn.functional.cross_entropy)
