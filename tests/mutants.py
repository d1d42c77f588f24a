"""Swap signs and factors, where this field goes wrong, and demand that a test fails.

Run by hand, as it takes some minutes: ``python tests/mutants.py``. A mutant that survives is a
test that is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = [  # (file, what stands there, what it becomes, the tests that must notice)
    ("maths/laws.py", "(self.beta / (total + 1))", "(self.beta / total)", "test_laws.py"),
    (
        "maths/laws.py",
        "recurrence(self.alpha, self.beta, count)",
        "recurrence(self.beta, self.alpha, count)",
        "test_laws.py",
    ),
    (
        "maths/laws.py",
        "return Beta(self.alpha + 1, self.alpha)",
        "return Beta(self.alpha, self.alpha)",
        "test_laws.py",
    ),
    (
        "maths/laws.py",
        "rng.random(size) < lam, lam, 1 - lam",
        "rng.random(size) < lam, 1 - lam, lam",
        "test_laws.py",
    ),
    (
        "maths/losses.py",
        "(p * centred.square()).sum(-1)",
        "(p * v.square()).sum(-1)",
        "test_losses.py",
    ),
    (
        "maths/losses.py",
        "torch.sigmoid(f) * torch.sigmoid(-f)",
        "torch.sigmoid(f)",
        "test_losses.py",
    ),
    (
        "maths/losses.py",
        "return (self._mean(f) - y)",
        "return (y - self._mean(f))",
        "test_losses.py",
    ),
    ("mixing/cutting.py", "1 - volume(", "volume(", "test_mixing.py"),
    ("mixing/cutting.py", "- size // 2", "- size // 3", "test_mixing_shares.py"),
    (
        "mixing/draw.py",
        "(draw.partner, 1 - draw.share)",
        "(draw.partner, draw.share)",
        "test_mixing.py",
    ),
    (
        "mixing/apply.py",
        "other.lerp_(_at(x, draw.own_place, slice(None)), keep)",
        "other.lerp_(_at(x, draw.own_place, slice(None)), 1 - keep)",
        "test_mixing.py",
    ),
    (
        "mixing/apply.py",
        "own = _at(x[rows], draw.own_place, rows)",
        "own = x[rows]",
        "test_mixing.py",
    ),
    ("mixing/apply.py", "shares / total, 1.0", "shares, 1.0", "test_mixing.py"),
    (
        "mixing/cutting.py",
        "side = root((1 - lam) * self.r, sides)",
        "side = root(lam * self.r, sides)",
        "test_mixing_strategies.py",
    ),
    (
        "mixing/cutting.py",
        "(2 * offset + 1) * length",
        "(2 * offset + 2) * length",
        "test_mixing_strategies.py",
    ),
    (
        "mixing/fmix.py",
        "kept = np.floor(lam * pixels",
        "kept = np.floor((1 - lam) ** 2 * pixels",
        "test_mixing_shares.py",
    ),
    ("mixing/fmix.py", "frequency**-decay", "frequency ** (1 - decay)", "test_mixing_shares.py"),
    (
        "mixing/gridmix.py",
        "< along(lam[:, None], 0, len(sides))",
        "< 1 - along(lam[:, None], 0, len(sides)) ** 2",
        "test_mixing_shares.py",
    ),
    ("mixing/gaussian.py", "np.pi / _squared", "2 / _squared", "test_mixing_shares.py"),
    ("mixing/gaussian.py", ".neg_().add_(1)", "", "test_mixing.py"),
    (
        "mixing/graph_cut.py",
        "cost - around[:, :, None] * a * (m - a)",
        "cost + around[:, :, None] * a * (m - a)",
        "test_mixing_puzzle.py",
    ),
    (
        "mixing/graph_cut.py",
        "chain[:, :, :-1].ravel()], [chain[:, :, 1:]",
        "chain[:, :, 1:].ravel()], [chain[:, :, :-1]",
        "test_mixing_puzzle.py",
    ),
    ("mixing/blocks.py", "shape)[::-1].copy()", "shape).copy()", "test_mixing_puzzle.py"),
    ("mixing/blocks.py", "step.sum(0) / 2", "step.sum(1) / 2", "test_mixing_puzzle.py"),
    (
        "mixing/blocks.py",
        "(step[0, 1] + step[1, 0] - step[0, 0]",
        "(step[0, 1] + step[0, 0] - step[1, 0]",
        "test_mixing_puzzle.py",
    ),
    ("mixing/blocks.py", "shown[went] = came", "shown[came] = went", "test_mixing_puzzle.py"),
    (
        "mixing/puzzle.py",
        "shown < 1), (salient, shown > 0)",
        "shown > 0), (salient, shown < 1)",
        "test_mixing_puzzle.py",
    ),
    (
        "mixing/puzzle.py",
        "* (1 - lam[:, None]) ** (m - a)",
        "* (1 - lam[:, None]) ** a",
        "test_mixing_puzzle.py",
    ),
    ("mixing/hidden.py", "handle.remove()", "pass", "test_mixing_objectives.py"),
    (
        "mixing/noisy.py",
        "2 * rng.random(shape, dtype=np.float32) - 1",
        "2 * rng.random(shape, dtype=np.float32)",
        "test_mixing_objectives.py",
    ),
    ("mixing/noisy.py", "rng.beta(2, 5)", "rng.beta(5, 2)", "test_mixing_objectives.py"),
    (
        "mixing/regmixup.py",
        "loss(clean, y) + self",
        "loss(mixed, y) + self",
        "test_mixing_objectives.py",
    ),
    ("mixing/mixupe.py", "self.eta * 2 * Beta", "self.eta * Beta", "test_mixing_objectives.py"),
    (
        "mixing/mixupe.py",
        "(part.mean(0, keepdim=True) - part)",
        "(part - part.mean(0, keepdim=True))",
        "test_mixing_objectives.py",
    ),
    (
        "mixing/mit.py",
        "(a * f2 - b * f1) / gap",
        "(a * f2 + b * f1) / gap",
        "test_mixing_objectives.py",
    ),
    (
        "mixing/mit.py",
        "np.minimum(b[1], 1 - b[1])",
        "np.minimum(b[0], 1 - b[0])",
        "test_mixing_objectives.py",
    ),
    (
        "mixing/remix.py",
        "(ratio <= 1 / self.kappa) & (1 - lam < self.tau)",
        "(ratio <= 1 / self.kappa) & (lam < self.tau)",
        "test_mixing_strategies.py",
    ),
    ("mixing/kway.py", "ends[:, -1] = 1 / unit", "pass", "test_mixing.py"),
    (
        "mixing/saliency.py",
        "np.unravel_index(found, sides)",
        "np.unravel_index(found, sides[::-1])",
        "test_mixing_objectives.py",
    ),
    (
        "mixing/label_kernel.py",
        "kernel = np.exp(-((ordered[found] - labels[chunk]) ** 2) / 2)",
        "kernel = np.exp(-((ordered[found] - labels[chunk]) ** 2))",
        "test_mixing_pairing.py",
    ),
    (
        "mixing/pairing.py",
        "np.where(place < first, place, place + size)",
        "np.where(place <= first, place, place + size)",
        "test_mixing_pairing.py",
    ),
    ("mixing/cutting.py", "length > 1 else np.ones", "length else np.ones", "test_mixing_axes.py"),
    ("mixing/gaussian.py", "part ** (2 / axes)", "part**2", "test_mixing_axes.py"),
    (
        "mixing/apply.py",
        "torch.where(keep == 1, own",
        "torch.where(keep < 0, own",
        "test_mixing_exact.py",
    ),
    ("mixing/layers.py", "units = _opened(units)", "pass", "test_mixing_layers.py"),
    ("mixing/layers.py", "Runs(1, True)", "Runs(2, True)", "test_mixing_layers.py"),
    ("mixing/pairing.py", "np.roll(order, -size)", "order", "test_mixing_pairing.py"),
    ("mixing/pairing.py", "maximize=True", "maximize=False", "test_mixing_pairing.py"),
    (
        "mixing/choice.py",
        "p = (self.stop - time) / self.fade",
        "p = 1 - (self.stop - time) / self.fade",
        "test_mixing_choice.py",
    ),
    ("mixing/targets.py", "(other, 1 - keep)]", "(other, keep)]", "test_mixing_targets.py"),
    (
        "mixing/targets.py",
        "weight = weight + here",
        "weight = weight + share * torch.ones_like(values)",
        "test_mixing_targets.py",
    ),
    (
        "mixing/metrics.py",
        "argmax(1, keepdim=True)",
        "argmin(1, keepdim=True)",
        "test_mixing_targets.py",
    ),
    (
        "mixing/loading.py",
        "epoch, self.epoch = self.epoch, self.epoch + 1",
        "epoch = self.epoch",
        "test_mixing_choice.py",
    ),
    (
        "explanation/pairs/every.py",
        "return lam * own + (1 - lam) * other",
        "return lam * other + (1 - lam) * own",
        "test_risk.py",
    ),
    ("explanation/pairs/every.py", "return 2 * float(", "return float(", "test_risk.py"),
    (
        "explanation/pairs/linear.py",
        "linear = (point**2 + (1 - point) ** 2) * own",
        "linear = point * own",
        "test_risk.py",
    ),
    ("explanation/pairs/linear.py", "< SMALLEST", "< 0", "test_risk.py"),
    ("explanation/pairs/linear.py", "50 * torch.finfo", "1e7 * torch.finfo", "test_risk.py"),
    (
        "explanation/pairs/sampled.py",
        "- plan.known)",
        ")",
        "test_risk.py",
    ),
    (
        "explanation/pairs/sampled.py",
        "((i, j, lam), (j, i, 1 - lam))",
        "((i, j, lam), (j, i, lam))",
        "test_risk.py",
    ),
    ("maths/small_samples.py", "/ len(means) ** 0.5", "/ len(means)", "test_small_samples.py"),
    ("explanation/terms.py", "slope=2 * spread", "slope=spread", "test_taylor.py"),
    (
        "explanation/terms.py",
        "-centred(x), None, cloud",
        "centred(x), None, cloud",
        "test_taylor.py",
    ),
    (
        "explanation/terms.py",
        "spread / 2 * (residual + found.cloud[1])",
        "spread / 2 * residual",
        "test_taylor.py",
    ),
    (
        "explanation/terms.py",
        "scale = law.spread / self.spread",
        "scale = self.spread / law.spread",
        "test_expansions.py",
    ),
    (
        "explanation/derivatives/streams.py",
        "second = 2 * multiply(a.first, b.first)",
        "second = multiply(a.first, b.first)",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/streams.py",
        "second = second + 2 * a.value * a.second",
        "second = second + a.value * a.second",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/streams.py",
        "out[-1].addcmul_(slope, a.second)",
        "out[-1].addcmul_(slope, a.value)",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/products.py",
        "w = u.square().sum(0)",
        "w = -u.square().sum(0)",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/products.py",
        "return add(a, b, alpha=-alpha)",
        "return add(a, b, alpha=alpha)",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/elementwise.py",
        "density * (2 - a.square())",
        "density * (1 - a.square())",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/backward.py",
        "residual = residual + bend",
        "residual = residual - bend",
        "test_derivatives.py",
    ),
    (
        "explanation/derivatives/differences.py",
        "ahead - 2 * centre + behind",
        "ahead - centre",
        "test_derivatives.py",
    ),
    ("explanation/derivatives/forward.py", "or target.aliased:", ":", "test_derivatives.py"),
    (
        "explanation/expansions/shrunk.py",
        "[0.5, 0.5, -1.0]",
        "[0.5, 0.5, 1.0]",
        "test_expansions.py",
    ),
    (
        "explanation/expansions/shrunk.py",
        "share - spread - share**2",
        "share - share**2",
        "test_expansions.py",
    ),
    (
        "explanation/expansions/masked.py",
        "(draw.partner[rows], 1 - own)",
        "(draw.partner[rows], own)",
        "test_expansions.py",
    ),
    (
        "explanation/expansions/noise.py",
        '/ 2, "the expansion"',
        ', "the expansion"',
        "test_expansions.py",
    ),
    (
        "explanation/expansions/expanded.py",
        "total >= least",
        "1e9 + total >= least",
        "test_expansions.py",
    ),
    ("explanation/expansions/expanded.py", "-y.square() / 2", "-y.square()", "test_expansions.py"),
    (
        "explanation/expansions/expanded.py",
        "y - torch.xlogy(y, y)",
        "-torch.xlogy(y, y)",
        "test_expansions.py",
    ),
    (
        "mixing/memory.py",
        "first < end and start",
        "first < start and start",
        "test_mixing_refusals.py",
    ),
    (
        "explanation/streams/expand.py",
        "spread * of_parts(part)",
        "spread / 2 * of_parts(part)",
        "test_stream.py",
    ),
    (
        "explanation/streams/reservoir.py",
        "if keys[k] < self.keys[place]",
        "if not np.isfinite(self.keys[place])",
        "test_stream.py",
    ),
    ("explanation/streams/risk.py", "law.tilted()", "law", "test_stream.py"),
    (
        "explanation/streams/risk.py",
        "rng.permutation(nodes.evenly(len(x), 1, rng)[0])",
        "nodes.evenly(len(x), 1, rng)[0]",
        "test_stream.py",
    ),
    (
        "explanation/streams/passes.py",
        "Sums(mark.number + 1,",
        "Sums(mark.number,",
        "test_stream.py",
    ),
    (
        "explanation/streams/batches.py",
        "mark.number % self.where.processes == self.where.rank",
        "mark.number >= 0",
        "test_stream.py",
    ),
    (
        "explanation/summary.py",
        "law.tilted().nodes(OWN_NODES)",
        "law.nodes(OWN_NODES)",
        "test_explanation.py",
    ),
    (
        "robustness/attacks/ball.py",
        "moved, alpha=size",
        "moved, alpha=-size",
        "test_attacks.py",
    ),
    ("robustness/attacks/ball.py", "** (1 / offset.shape[1])", "** 1.0", "test_attacks.py"),
    (
        "robustness/attacks/simplex.py",
        "torch.where(order < length.shape[1], 1, -1)",
        "torch.where(order < length.shape[1], -1, 1)",
        "test_attacks_l1.py",
    ),
    (
        "robustness/attacks/simplex.py",
        "gain.argsort(1, descending=True)",
        "gain.argsort(1)",
        "test_attacks_l1.py",
    ),
    (
        "robustness/attacks/ball.py",
        "torch.where(way > 0, self",
        "torch.where(way < 0, self",
        "test_attacks_l1.py",
    ),
    (
        "robustness/attacks/climb.py",
        "SPARSER * self.support",
        "0 * self.support",
        "test_attacks_l1.py",
    ),
    (
        "robustness/attacks/adversarial.py",
        "start, 2.5 * within.eps / steps",
        "start, 0.25 * within.eps / steps",
        "test_attacks_adversarial.py",
    ),
    (
        "robustness/attacks/adversarial.py",
        "(z, self.adversarial))",
        "(x, self.adversarial))",
        "test_attacks_adversarial.py",
    ),
    (
        "robustness/attacks/adversarial.py",
        "return (first + second) / 2",
        "return first + second",
        "test_attacks_adversarial.py",
    ),
    ("robustness/attacks/square.py", "first + 1, ahead", "first, ahead", "test_attacks_square.py"),
    ("robustness/attacks/square.py", "better &= query < queries", "", "test_attacks_square.py"),
    (
        "robustness/attacks/square.py",
        "better.int().argmax(1)",
        "better.int().cumsum(1).argmax(1)",
        "test_attacks_square.py",
    ),
    (
        "robustness/attacks/square.py",
        "(1 - MEMORY) * share",
        "(1 - MEMORY) * 0.5",
        "test_attacks_square.py",
    ),
    ("robustness/attacks/patches.py", "- sides + 1)", "- sides)", "test_attacks_square.py"),
    (
        "robustness/attacks/patches.py",
        "side.where(~turned, 1), side.where(turned, 1)",
        "side.where(~turned, 1), side.where(~turned, 1)",
        "test_attacks_square.py",
    ),
    (
        "robustness/attacks/patches.py",
        "torch.where(other, 0, delta)",
        "delta",
        "test_attacks_square.py",
    ),
    (
        "robustness/attacks/patches.py",
        "* (spare + taken) **",
        "* spare **",
        "test_attacks_square.py",
    ),
    ("robustness/attacks/door.py", "lambda x: f(x.to(narrow))", "f", "test_attacks_narrow.py"),
    (
        "robustness/attacks/fab.py",
        "OVERSHOOT * here, part.x",
        "here, part.x",
        "test_attacks_nearest.py",
    ),
    ("models/forward.py", "module.training = mode", "pass", "test_left_as_it_was.py"),
    ("models/forward.py", "np.random.set_state(numbers[1])", "pass", "test_left_as_it_was.py"),
    ("study/audit/run.py", 'record.get("complete", True)', "True", "test_audit.py"),
    (
        "study/audit/case.py",
        "outputs[:, 1] - outputs[:, 0]",
        "outputs[:, 0] - outputs[:, 1]",
        "test_audit.py",
    ),
    ("study/audit/case.py", "x / case.unit", "x * case.unit", "test_audit.py"),
    (
        "calibration/scaling.py",
        "more / len(z) * (mean - z.mean(-1)).mean()",
        "more / len(z) * mean.mean()",
        "test_calibration.py",
    ),
    ("calibration/scaling.py", "prudent > UNSURE * fitted", "False", "test_calibration.py"),
    (
        "robustness/signs.py",
        "_share(other & ~gradients)",
        "_share(other)",
        "test_robustness_masking.py",
    ),
    ("robustness/signs.py", "range(SCATTERED)", "range(0)", "test_robustness_masking.py"),
    (
        "calibration/measure.py",
        ".ceil_().long().sub_(1)",
        ".floor_().long()",
        "test_calibration.py",
    ),
    (
        "calibration/record.py",
        "float((sums - right).sum() / n)",
        "float((right - sums).sum() / n)",
        "test_calibration.py",
    ),
    (
        "calibration/mass.py",
        "np.where(low, cell + 1",
        "np.where(low, cell",
        "test_calibration_streams.py",
    ),
    ("calibration/classes.py", "self.hits += other.hits", "pass", "test_calibration_streams.py"),
    (
        "calibration/rescaling.py",
        "(1 - 1 / self.weight) * self.y_mean",
        "(1 / self.weight - 1) * self.y_mean",
        "test_calibration_variants.py",
    ),
    (
        "calibration/scaling.py",
        "(ones + 1) / (ones + 2)",
        "ones / (ones + 2)",
        "test_calibration_variants.py",
    ),
    (
        "calibration/smooth.py",
        "np.arange(GRID)) ** 2) / 2)",
        "np.arange(GRID)) ** 2))",
        "test_calibration_variants.py",
    ),
    ("generalization/bound.py", "(2 * len(f))", "len(f)", "test_generalization.py"),
    (
        "generalization/glm.py",
        "kappa - 4 * kappa**2",
        "kappa - 2 * kappa**2",
        "test_generalization.py",
    ),
    ("generalization/hidden.py", "(d + measured)", "d", "test_generalization_hidden.py"),
    (
        "generalization/trained.py",
        "logits[-1] - logits[0]",
        "logits[0] - logits[-1]",
        "test_generalization_trained.py",
    ),
    (
        "study/fields.py",
        "found is None and kind is float",
        "found is None and kind is int",
        "test_record.py",
    ),
    ("study/fields.py", "v is None and f.default is None", "v is None", "test_record.py"),
    ("study/record.py", "put_back(whole, self.extra)", "pass", "test_record.py"),
    (
        "report/metrics.py",
        "lambda m: of(m.gap, lambda g: g.loss)",
        "lambda m: of(m.gap, lambda g: -g.loss)",
        "test_report_strength.py",
    ),
    (
        "report/comparison.py",
        "values[seed] - against[seed]",
        "against[seed] - values[seed]",
        "test_report.py",
    ),
    (
        "report/figures/strength.py",
        "cell.mean + end - d.mean",
        "cell.mean + end",
        "test_report_strength.py",
    ),
    (
        "estimators/exact.py",
        "own * mass.forth(ones) + other * mass.back(ones)",
        "other * mass.forth(ones) + own * mass.back(ones)",
        "test_estimators.py",
    ),
    ("robustness/curve.py", "sorted(epsilons)", "list(epsilons)", "test_robustness.py"),
    ("maths/statistics.py", "values.std(ddof=1)", "values.std()", "test_statistics.py"),
    ("maths/statistics.py", "2.0 ** (1 - count)", "2.0**-count", "test_statistics.py"),
    ("maths/crossed.py", "(k * mean - own) / (k - 1)", "(k * mean - own) / k", "test_intervals.py"),
    ("maths/crossed.py", "return train / whole", "return train / whole / 2", "test_intervals.py"),
    ("maths/intervals.py", "seeds / interval.seeds + shared", "shared", "test_intervals.py"),
    ("maths/claims.py", "np.arange(len(p), 0, -1)", "len(p)", "test_claims.py"),
    ("maths/claims.py", "2 * interval.level - 1", "interval.level", "test_claims.py"),
    ("maths/claims.py", "interval.apart * ratio", "interval.apart", "test_claims.py"),
    ("maths/sequences.py", "** (2 / count)", "** (1 / count)", "test_sequences.py"),
    ("maths/bands.py", "1 - (1 - level) / points", "level", "test_bands.py"),
    ("mixing/smoothing.py", "if on_or_off or", "if", "test_mixing_objectives.py"),
    ("explanation/pairs/linear.py", ".bits < 32", ".bits < 16", "test_risk.py"),
    (
        "explanation/derivatives/forward.py",
        "torch.where(condition, first, second)",
        "torch.where(condition, second, first)",
        "test_derivatives.py",
    ),
    ("maths/randomness.py", '"draw", epoch, step,', '"draw", epoch,', "test_mixing_choice.py"),
    ("study/measures.py", "logits / temperature", "logits * temperature", "test_study.py"),
    (
        "machine/locks.py",
        "os.O_CREAT | os.O_EXCL | os.O_RDWR",
        "os.O_CREAT | os.O_RDWR",
        "test_locks.py",
    ),
    ("machine/locks.py", "now - since > STALE", "now - since > 2 * STALE", "test_locks.py"),
    ("machine/locks.py", "seen.note.released or (", "seen.note.released and (", "test_locks.py"),
    ("study/store.py", "os.link(partial, path)", "os.replace(partial, path)", "test_store.py"),
    (
        "study/training/resume.py",
        'found["step"], found["totals"]',
        'found["step"], start.totals',
        "test_training.py",
    ),
    ("study/configuration.py", "replace(found, test=found.validation)", "found", "test_search.py"),
    ("study/search.py", "(-sign * (trial.score", "(sign * (trial.score", "test_search.py"),
    (
        "study/search.py",
        "(sum(best.scores) - sum(test))",
        "(sum(test) - sum(best.scores))",
        "test_search.py",
    ),
    ("study/executors/launch.py", ">= DEATHS", "> DEATHS", "test_executors.py"),
    ("study/executors/work.py", "isinstance(failed, OSError)", "False", "test_executors.py"),
]


def passes(source: Path, tests: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", f"tests/{tests}"]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def survives(source: Path, file: str, old: str, new: str, tests: str) -> bool:
    path = source / "vicinal" / file
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise LookupError(f"{file} no longer holds {old!r}: bring this list up to date.")
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        return passes(source, tests)
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        for tests in sorted({mutant[3] for mutant in MUTANTS}):
            if not passes(source, tests):
                raise AssertionError(f"{tests} fails without any mutant.")
        alive = [mutant for mutant in MUTANTS if survives(source, *mutant)]
    for mutant in alive:
        print("survived:", *mutant)
    print(f"{len(MUTANTS) - len(alive)} of {len(MUTANTS)} mutants were noticed")
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main())
