"""Readers of file types: bytes to normalized text with structure."""
