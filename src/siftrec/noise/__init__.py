"""Noise: judged, sifted and measured, and planted with its truth."""
