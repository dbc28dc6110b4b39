"""Types and tools that every other package may use."""
