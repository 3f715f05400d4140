"""Detectors: how well the rest of a history vouches for each of its interactions, learned from other users or from content."""
