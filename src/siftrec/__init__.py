"""siftrec: recommenders that find, show and set aside the noise in behaviour logs."""

__version__ = "0.1.0"
