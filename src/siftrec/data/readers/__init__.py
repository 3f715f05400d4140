"""One reader, one file: each turns a source into `Interactions`."""
