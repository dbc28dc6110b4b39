"""Check of gold against stored texts, once for equal trials."""

from __future__ import annotations

from collections.abc import Callable

from ragloom.components.dataset.base import CheckedQueries, Dataset


class GoldCheck:
    """Compares gold with texts; remembers the last result.

    The trials of a sweep have one dataset and one corpus in most cases: reading the gold documents again for each of
    them was half of what a trial took whose stages were cached.
    """

    def __init__(self) -> None:
        self._last: tuple[Dataset, str, CheckedQueries] | None = None

    def check(self, dataset: Dataset, texts: str, document_text: Callable[[str], str | None]) -> CheckedQueries:
        """Return the checked queries, as `Dataset.check` does.

        Args:
            dataset: compared by value.
            texts: digest of all document ids and contents (`IndexContent.texts`).
            document_text: document id -> stored text.

        Raises:
            DataError: as `Dataset.check`; an error is not remembered.
        """
        if self._last is not None and self._last[:2] == (dataset, texts):
            return self._last[2]
        checked = dataset.check(document_text)
        self._last = dataset, texts, checked
        return checked
