"""Ragloom: config-driven retrieval-augmented generation on LlamaIndex, measured honestly."""

__version__ = "0.1.0"
