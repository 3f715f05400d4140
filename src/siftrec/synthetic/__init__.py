"""Generated logs whose truth is known: which interactions are noise, and which modality caused an interaction."""

from siftrec.synthetic.behaviours import LEVELS, Name, Planted, behaviours

__all__ = ["LEVELS", "Name", "Planted", "behaviours"]
