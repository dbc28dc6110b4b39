"""What an analyzer is, and the simplest one. Knows no language and no store."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Analyzer(ABC):
    """Turns text into the terms that BM25 counts: the same way for an index and for its queries.

    Attributes:
        thread_safe: one object may be used by several threads at once. True of every analyzer here; one of an
            extension package that is not says so, and its caller must then use one object a thread.
    """

    thread_safe: bool = True

    @abstractmethod
    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in their order, with repetitions; none is empty or holds a blank."""


class Whitespace(Analyzer):
    """Splits at white space (as `str.split` defines it) and changes nothing."""

    def terms(self, text: str) -> list[str]:
        """Return what stands between blanks, unchanged."""
        return text.split()
