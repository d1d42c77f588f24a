"""Attacks: the worst input within a ball and a box, one file per method."""
