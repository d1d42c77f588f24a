"""What the words of the report mean, in plain language, given where they are used."""

WORDS = {
    "Accuracy": "The share of examples whose most probable class is the right one.",
    "NLL": "Negative log-likelihood, in nats: the mean of minus the logarithm of the probability "
    "that the model gave to the right class. It falls when the model is right and knows it.",
    "ECE": "Expected calibration error: examples are sorted into bins by confidence, and the "
    "distance between mean confidence and accuracy of a bin is averaged over the examples.",
    "Brier": "The mean squared distance between the probabilities and the right answer.",
    "Temperature": "One number by which the logits are divided, fitted on validation data. Above "
    "1 the model was too sure of itself, below 1 not sure enough. It changes no prediction.",
    "Confidence minus accuracy": "Positive where a model is over-confident, negative where it is "
    "under-confident, as models trained on mixed labels tend to be.",
    "Gap": "The difference between training and test data: what was learned by heart.",
    "Bound": "A number that the expected loss on new data does not exceed, with probability 1 − δ "
    "over the draw of the training data. It is vacuous where it is not below the loss of a "
    "constant prediction: it is then true and says nothing.",
    "W_γ": "The class of linear models for which the mean of A″(θ'x) times the mean of (θ'x)² is "
    "at most γ: those that the second-order term of mixup keeps small.",
    "α": "The parameter of the law of mixing weights, Beta(α, α). Near 0 an example is hardly "
    "mixed; at 1 all weights are equally likely; above it they gather around one half.",
    "95% interval": "Over seeds. If the whole study were repeated many times, 95 of 100 such "
    "intervals would hold the true mean difference. Where it contains 0, no difference is shown, "
    "which is not to say that there is none.",
    "Paired": "Both methods were trained with the same seed: the same split, initial weights and "
    "order of batches. Their difference varies less than either of them.",
    "Mixup loss": "The mean loss of mixed examples with mixed labels, over all pairs and mixing "
    "weights: what training with mixup minimises.",
    "R1, R2, R3": "What mixing adds to the loss, to second order. R1: the slope of the loss "
    "towards the mean of the data. R2: how much the outputs vary along the way to other examples, "
    "weighted by how undecided the model is. R3: the curvature of the model itself.",
    "Remainder": "The part of the mixup loss that these three terms do not explain.",
    "ε": "How far an attack may move an example, in the units of the inputs: by the largest "
    "change of a coordinate (l∞), or by distance (l2).",
    "FGSM": "An attack of one step along the sign of the gradient. Weak; it flatters some models.",
    "Worst case": "An example counts as broken if any of several strong attacks breaks it: the "
    "standard AutoAttack and more, each break looked at again by itself.",
    "Masked gradients": "Slopes that lead attacks astray, by accident or by design. A model with "
    "them looks robust to attacks that follow slopes, and is not.",
    "PGD": "An attack of many steps within the ball of size ε. Stronger, still only an upper "
    "bound on what an attacker could do.",
    "Expansion": "The mixup loss replaced by its Taylor series to second order, which can be taken "
    "apart; how good it is must be measured.",
    "R_i": "How well the direction in which the output of the model grows fits the input itself: 1 "
    "where they are parallel, 0 where they are at right angles.",
    "ε_i, ε_mix": "The size of the perturbations that the bound speaks of: ε_i for one example, "
    "ε_mix the smallest of them.",
    "Adversarial loss": "The loss after the worst change of an input within a ball, here to second "
    "order.",
    "p/n": "The number of features over the number of examples.",
}
USED = {
    "measurements": (
        "Accuracy", "NLL", "ECE", "Brier", "Temperature", "Confidence minus accuracy", "Gap",
    ),
    "differences": ("Paired", "95% interval"),
    "strength": ("α", "NLL", "ECE", "Gap"),
    "gap": ("Gap",),
    "bound": ("Bound", "W_γ"),
    "learning": ("Mixup loss", "NLL"),
    "decomposition": ("Mixup loss", "R1, R2, R3", "Remainder"),
    "terms-over-training": ("Mixup loss", "R1, R2, R3", "Remainder"),
    "strength-of-mixing": ("α", "Mixup loss", "Remainder"),
    "terms-of-the-expansion": ("R1, R2, R3", "Remainder"),
    "robustness": ("ε", "FGSM", "PGD", "Worst case"),
    "masking": ("Masked gradients", "ε"),
    "reliability": ("ECE", "Temperature"),
    # of the figures of the talk
    "training": ("Mixup loss", "Expansion", "Gap"),
    "instead": ("Mixup loss", "Expansion"),
    "scale": ("Mixup loss", "Expansion"),
    "cosine": ("R_i",),
    "radius": ("R_i", "ε_i, ε_mix"),
    "accuracy": ("ε", "FGSM", "PGD", "Worst case"),
    "losses": ("Mixup loss", "Expansion", "Adversarial loss", "ε_i, ε_mix"),
    "alpha": ("α", "Gap"),
    "dimension": ("ECE", "p/n"),
    "metrics": ("Accuracy", "NLL", "ECE", "Temperature", "PGD", "Gap", "95% interval"),
}  # fmt: skip


def glossary(name: str) -> tuple[tuple[str, str], ...]:
    """Words and their meanings for one table or figure, by its name."""
    return tuple((word, WORDS[word]) for word in USED.get(name, ()))
