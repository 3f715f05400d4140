"""The audit of a log: how noisy, how sure, and whether weighting it would help."""
