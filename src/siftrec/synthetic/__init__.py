"""Generated logs whose truth is known: which interactions are noise, and which modality caused an interaction."""

from siftrec.synthetic.behaviours import LEVELS, Name, Planted, behaviours
from siftrec.synthetic.causes import PlantedCauses
from siftrec.synthetic.modalities import Size, modalities, over

__all__ = ["LEVELS", "Name", "Planted", "PlantedCauses", "Size", "behaviours", "modalities", "over"]
