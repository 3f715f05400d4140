"""Noise: planted with its truth."""
