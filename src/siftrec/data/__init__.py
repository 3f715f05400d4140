"""The behaviour log: interactions, sequences, splits, the catalog, batches."""
