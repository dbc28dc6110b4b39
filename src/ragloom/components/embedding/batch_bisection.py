"""Isolate the inputs that make a batch request fail, by bisection.

For `k` bad texts of `n` this sends at most `2 k ceil(log2 n)` requests after the first. A harmless text distinguishes
bad texts from a server that fails at everything: it is sent when both halves are refused, and when the attempts for a
request are used up. After that no part is tried twice, since a text that makes the server hang costs its time-out each
time; and the harmless text is sent once more at the end, in case the server itself failed meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from ragloom.providers.batch_errors import BatchFailed, RequestRefused, TooManyRefused
from ragloom.providers.request_context import single_attempt

Make = Callable[[list[str], list[int] | None], np.ndarray]
_log = logging.getLogger(__name__)


@dataclass
class PartialBatch:
    """Vectors of a batch, and the texts without one.

    Attributes:
        vectors: `[n, dimensions] float32`; zeros where a text was refused.
        refused: the server's reason by the place of each refused text.
    """

    vectors: np.ndarray
    refused: dict[int, str] = field(default_factory=dict)


def isolate_rejected(
    make: Make,
    texts: list[str],
    counts: list[int] | None,
    *,
    most: float,
    dimensions: int,
    harmless: Callable[[], object],
) -> PartialBatch:
    """Embed a batch except for its bad texts.

    Args:
        make: sends one request.
        most: texts that may be bad.
        harmless: sends a text that no server refuses.

    Raises:
        BatchFailed: the server fails at everything.
        TooManyRefused: more texts than `most` are bad.
    """
    search = _Bisection(make, texts, counts, dimensions, harmless)
    whole = range(len(texts))
    first = search.failure(whole)
    if first is None:
        return search.result
    parts = _halves(whole)
    left = search.failed(parts)
    if len(left) == len(parts):  # one text has no halves: here too, the text or the server may be at fault
        search.demand_health(first)
    if not left and parts and type(first) is not BatchFailed:
        _log.warning("%s; its %d texts were taken in two requests: lower embedding.batch_size", first, len(texts))
    left = left if parts else [(whole, first)]
    while left:
        at, error = left.pop()
        if len(at) > 1:
            left += search.failed(_halves(at))
            continue
        search.result.refused[at.start] = error.says
        if len(search.result.refused) > most:
            raise TooManyRefused(len(search.result.refused), error.says)
    if search.result.refused and parts and search.once:
        search.ask_harmless(first)
    return search.result


class _Bisection:
    """Bisection of one batch.

    Attributes:
        once: whether each part is sent once only.
    """

    def __init__(
        self, make: Make, texts: list[str], counts: list[int] | None, dimensions: int, harmless: Callable[[], object]
    ) -> None:
        self._make, self._texts, self._counts, self._harmless = make, texts, counts, harmless
        self._healthy = False
        self.once = False
        self.result = PartialBatch(np.zeros((len(texts), dimensions), dtype=np.float32))

    def failure(self, at: range) -> BatchFailed | None:
        """Embed a part; return why it failed."""
        counts = None if self._counts is None else self._counts[at.start : at.stop]
        try:
            with single_attempt() if self.once else nullcontext():
                self.result.vectors[at.start : at.stop] = self._make(self._texts[at.start : at.stop], counts)
        except BatchFailed as error:
            failed = error
        else:
            return None
        if not isinstance(failed, RequestRefused):
            self.demand_health(failed)
            self.once = True
        return failed

    def failed(self, parts: list[range]) -> list[tuple[range, BatchFailed]]:
        """Embed parts; return those that failed."""
        return [(part, error) for part in parts if (error := self.failure(part)) is not None]

    def demand_health(self, first: BatchFailed) -> None:
        """Send the harmless text, once.

        Raises:
            ServiceError: the server fails at it as well.
        """
        if not self._healthy:
            self.ask_harmless(first)
            self._healthy = True

    def ask_harmless(self, first: BatchFailed) -> None:
        """Send the harmless text; raise as `demand_health`."""
        try:
            with single_attempt():
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
