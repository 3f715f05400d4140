"""The service: recommendations over HTTP from one artifact, and a store of what clients add. Extra `serve`."""
