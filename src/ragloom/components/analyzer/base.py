"""Base class of the analyzers, and the simplest one."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Analyzer(ABC):
    """Analyzer of text into terms for BM25, of documents and queries alike.

    One object is used by several threads at once.
    """

    @abstractmethod
    def terms(self, text: str) -> list[str]:
        """Return the terms in order, with repetitions, none empty or with blanks."""


class Whitespace(Analyzer):
    """Analyzer by white space (as `str.split` defines it), without changes."""

    def terms(self, text: str) -> list[str]:
        """Split a text at white space."""
        return text.split()
