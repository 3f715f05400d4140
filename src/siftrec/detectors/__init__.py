"""Detectors: how well the rest of a history vouches for each interaction, by what other users did or by content."""
