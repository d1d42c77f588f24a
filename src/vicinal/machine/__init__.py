"""What computes and what keeps files: devices, processes, locks, checkpoints, pictures."""
