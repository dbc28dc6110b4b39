"""Records, text and accounting that every other package may use."""
