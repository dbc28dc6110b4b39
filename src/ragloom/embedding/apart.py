"""Which texts of a refused request are refused by themselves: it is halved until they stand alone. Knows no provider.

For `k` refused texts of `n` this makes at most `2 k ceil(log2 n)` requests beside the first, and one more where both
halves are refused: a harmless text, which tells refused texts from a server that refuses everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ragloom.provider.retry import RequestRefused

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
    make: Make, texts: list[str], counts: list[int] | None, *, dimensions: int, harmless: Callable[[], object]
) -> Apart:
    """Makes the vectors of a batch, and of all its other texts where some are refused.

    Args:
        make: sends one request.
        harmless: sends a text that nobody refuses.

    Raises:
        RequestRefused: the server refuses everything.
    """
    made = Apart(np.zeros((len(texts), dimensions), dtype=np.float32))

    def refusal(at: range) -> RequestRefused | None:
        try:
            part = None if counts is None else counts[at.start : at.stop]
            made.vectors[at.start : at.stop] = make(texts[at.start : at.stop], part)
        except RequestRefused as error:
            return error
        return None

    whole = range(len(texts))
    first = refusal(whole)
    if first is None:
        return made
    parts = _halves(whole)
    left = _refused(parts, refusal)
    if len(left) == len(parts):  # one text has no halves: it is asked as well whether it is the text or the server
        _demand_texts_are_taken(harmless, first)
    if not left and parts:
        _log.warning("%s; its %d texts were taken in two requests: lower embedding.batch_size", first, len(texts))
    left = left if parts else [(whole, first)]
    while left:
        at, error = left.pop()
        if len(at) == 1:
            made.refused[at.start] = error.says
        else:
            left += _refused(_halves(at), refusal)
    return made


def _halves(at: range) -> list[range]:
    middle = (at.start + at.stop) // 2
    return [range(at.start, middle), range(middle, at.stop)] if len(at) > 1 else []


def _refused(
    parts: list[range], refusal: Callable[[range], RequestRefused | None]
) -> list[tuple[range, RequestRefused]]:
    return [(part, error) for part in parts if (error := refusal(part)) is not None]


def _demand_texts_are_taken(harmless: Callable[[], object], first: RequestRefused) -> None:
    try:
        harmless()
    except RequestRefused:
        every = f"{first}; it refuses every text, also a harmless one: look at the embedding's keys"
    else:
        return
    raise RequestRefused(every, says=first.says)
