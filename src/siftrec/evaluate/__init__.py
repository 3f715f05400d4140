"""Ranking, metrics, significance."""
