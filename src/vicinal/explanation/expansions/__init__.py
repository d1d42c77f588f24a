"""Expansions of other mixing, or about another point, than `vicinal.explanation.terms`."""
