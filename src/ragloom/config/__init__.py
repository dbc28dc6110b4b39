"""Configs: composition, validation, identity and labels."""
