"""Weaviate server on a local folder, started on demand."""
