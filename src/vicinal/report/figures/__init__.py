"""Figures of a comparison, each with its numbers."""
