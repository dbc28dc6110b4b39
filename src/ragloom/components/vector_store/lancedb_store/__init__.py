"""Indexes in a local folder, on the LanceDB engine."""
