"""One file per method. Methods do not know each other."""
