"""Training: one loop, going on after a stop, many models as one stack."""
