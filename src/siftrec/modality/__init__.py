"""Content vectors: precomputed, or extracted."""
