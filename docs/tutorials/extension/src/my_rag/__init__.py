"""Options of our own for Ragloom: one module for each."""
