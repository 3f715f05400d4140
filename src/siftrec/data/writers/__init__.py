"""Writing a log in the layout it was read from."""
