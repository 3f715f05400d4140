"""For all tests: an example may take as long as a busy machine takes, for a deadline would fail it for others' work; and
torch computes with one thread, for as many tests as there are cores run at a time."""

import torch
from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
torch.set_num_threads(1)
