"""For all tests: an example may take as long as a busy machine takes; a deadline would fail it for others' work."""

from hypothesis import settings

settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
