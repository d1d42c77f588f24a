"""Models: the reference ones, others by name, their weights, and running them unchanged."""

from vicinal.models.forward import LogitsAt as LogitsAt
