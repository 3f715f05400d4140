"""Training: a plain loop, checkpoints that survive a crash, and `fit`, which ties them together."""
