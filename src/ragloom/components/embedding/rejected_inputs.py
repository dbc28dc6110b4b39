"""Which texts of a failed request are at fault by themselves: it is halved until they stand alone.

For `k` such texts of `n` this makes at most `2 k ceil(log2 n)` requests beside the first. A harmless text tells bad
texts from a server that fails at everything: it is sent where both halves are refused, and where the attempts for a
request were used up. After that no part is tried twice, since a text at which a server hangs costs its time-out each
time; and the harmless text is sent once more at the end, lest a server that fell ill meanwhile be taken for bad texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from ragloom.providers.openai_client import once
from ragloom.providers.retry import BatchFailed, RequestRefused, TooManyRefused

Make = Callable[[list[str], list[int] | None], np.ndarray]
_log = logging.getLogger(__name__)


@dataclass
class Apart:
    """What came of a batch.

    Attributes:
        vectors: `[n, dimensions] float32`; zeros where a text was refused.
        refused: the server's reason by the place of each refused text.
    """

    vectors: np.ndarray
    refused: dict[int, str] = field(default_factory=dict)


def make_apart(
    make: Make,
    texts: list[str],
    counts: list[int] | None,
    *,
    most: float,
    dimensions: int,
    harmless: Callable[[], object],
) -> Apart:
    """Make the vectors of a batch, and of all its other texts where some are bad.

    Args:
        make: sends one request.
        most: texts that may be bad.
        harmless: sends a text that nobody refuses.

    Raises:
        BatchFailed: the server fails at everything.
        TooManyRefused: more texts than `most` are bad.
    """
    search = _Search(make, texts, counts, dimensions, harmless)
    whole = range(len(texts))
    first = search.failure(whole)
    if first is None:
        return search.made
    parts = _halves(whole)
    left = search.failed(parts)
    if len(left) == len(parts):  # one text has no halves: it is asked as well whether it is the text or the server
        search.demand_health(first)
    if not left and parts and type(first) is not BatchFailed:
        _log.warning("%s; its %d texts were taken in two requests: lower embedding.batch_size", first, len(texts))
    left = left if parts else [(whole, first)]
    while left:
        at, error = left.pop()
        if len(at) > 1:
            left += search.failed(_halves(at))
            continue
        search.made.refused[at.start] = error.says
        if len(search.made.refused) > most:
            raise TooManyRefused(len(search.made.refused), error.says)
    if search.made.refused and parts and search.once:
        search.ask_harmless(first)
    return search.made


class _Search:
    """One batch that is taken apart.

    Attributes:
        once: whether each part is sent once only.
    """

    def __init__(
        self, make: Make, texts: list[str], counts: list[int] | None, dimensions: int, harmless: Callable[[], object]
    ) -> None:
        self._make, self._texts, self._counts, self._harmless = make, texts, counts, harmless
        self._healthy = False
        self.once = False
        self.made = Apart(np.zeros((len(texts), dimensions), dtype=np.float32))

    def failure(self, at: range) -> BatchFailed | None:
        """Make a part; return why it failed."""
        counts = None if self._counts is None else self._counts[at.start : at.stop]
        try:
            with once() if self.once else nullcontext():
                self.made.vectors[at.start : at.stop] = self._make(self._texts[at.start : at.stop], counts)
        except BatchFailed as error:
            failed = error
        else:
            return None
        if not isinstance(failed, RequestRefused):
            self.demand_health(failed)
            self.once = True
        return failed

    def failed(self, parts: list[range]) -> list[tuple[range, BatchFailed]]:
        """Make parts; return those that failed."""
        return [(part, error) for part in parts if (error := self.failure(part)) is not None]

    def demand_health(self, first: BatchFailed) -> None:
        """Send the harmless text, unless that was done.

        Raises:
            ServiceError: the server fails at it as well.
        """
        if not self._healthy:
            self.ask_harmless(first)
            self._healthy = True

    def ask_harmless(self, first: BatchFailed) -> None:
        """Send the harmless text; raises as `demand_health`."""
        try:
            with once():
                self._harmless()
        except BatchFailed as error:
            refuses = isinstance(error, RequestRefused)
            every = "it refuses every text, also a harmless one: look at the embedding's keys"
            fails = "it fails at a harmless text as well: look at the server"
            failed = type(first)(f"{first}; {every if refuses else fails}", says=first.says)
        else:
            return
        raise failed


def _halves(at: range) -> list[range]:
    middle = (at.start + at.stop) // 2
    return [range(at.start, middle), range(middle, at.stop)] if len(at) > 1 else []
