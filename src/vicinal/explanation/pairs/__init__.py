"""Sums over pairs of examples: all of them, all of them by their logits, or a sample."""
