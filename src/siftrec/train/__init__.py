"""Training: the loop, checkpoints, resume."""
