"""Token counts of a document's spans: estimated, and exact near the limit."""

from __future__ import annotations

from array import array
from bisect import bisect_right

import numpy as np

from ragloom.core.tokenizers import SAFE_CUT, Tokenizer

_DOUBT = 4
"""Possible error of an estimate, in tokens: a span cut out loses the blank before its first word and the line ends
after its last mark. (Estimates further from the limit are counted too, before the cut.)"""

_EDGE = 48
"""Characters at either edge of a span in which a safe cut is searched."""

_REMEMBERED = 1024
"""Entries of the memo from offsets to tokens: each unit is measured several times."""


class TokenCounter:
    """Token counts of spans against one limit.

    The document is tokenised once; a span's estimate is the number of tokens that touch it. Cut out and tokenised
    alone it may have a few more or less, so `exact` counts, and `fits` counts when the estimate is near the limit.

    Args:
        limit: tokens of a chunk, at most.
    """

    def __init__(self, tokenizer: Tokenizer, text: str, limit: int) -> None:
        self.text = text
        self.limit = limit
        self._tokenizer = tokenizer
        # Where each token ends. An array, since bisect finds an offset in it in a third of numpy's time; of 4 bytes
        # each, since a text of 500 MB has 110 million tokens.
        self._ends = array("I")
        for _, begun in tokenizer.edges(text):
            self._ends.frombytes(begun[1:].astype(np.uint32).tobytes())
        self._last = (0, 0)
        self._known: dict[int, int] = {}
        self._counted: tuple[int, int, int] = (0, 0, 0)

    def estimate(self, start: int, end: int) -> int:
        """Count the document's tokens that touch a span."""
        known = self._known
        first, last = known.get(start), known.get(end - 1)
        if first is None:
            first = self._token_at(start)
        if last is None:
            last = self._token_at(end - 1)
        return last - first + 1

    def exact(self, start: int, end: int) -> int:
        """Count the tokens of a span on its own."""
        if self._counted[:2] != (start, end):
            count, between, edges = self._tokenizer.count, *self._parts(start, end)
            self._counted = (start, end, between + sum(count(edge) for edge in edges))
        return self._counted[2]

    def within(self, start: int, end: int) -> bool:
        """Return whether a span on its own is within the limit, exactly."""
        if self._tokenizer.local and self._counted[:2] != (start, end):
            between, edges = self._parts(start, end)
            if between + sum(len(edge.encode("utf-8", "surrogatepass")) for edge in edges) <= self.limit:
                return True  # a token has at least one byte
        return self.exact(start, end) <= self.limit

    def _parts(self, start: int, end: int) -> tuple[int, tuple[str, ...]]:
        """Return the tokens between the outermost safe cuts, and the texts outside."""
        text = self.text
        if self._tokenizer.local and end - start > 2 * _EDGE:
            first, last = SAFE_CUT.search(text, start + 1, start + _EDGE), self._last_safe_cut(end)
            if first and last:
                between = self._token_at(last) - self._token_at(first.start())
                return between, (text[start : first.start()], text[last:end])
        return 0, (text[start:end],)

    def _last_safe_cut(self, end: int) -> int:
        """Return a `SAFE_CUT` shortly before `end`, or 0."""
        text, at = self.text, end
        for _ in range(4):
            at = text.rfind(" ", end - _EDGE, at)
            if at <= 0:
                break
            if at + 1 < end and not text[at - 1].isspace() and not text[at + 1].isspace():
                return at
        return 0

    def fits(self, start: int, end: int, limit: int | None = None) -> bool:
        """Return whether a span is within a limit, by default the chunk's."""
        limit = self.limit if limit is None else limit
        tokens = self.estimate(start, end)
        if -_DOUBT <= tokens - limit <= _DOUBT:
            tokens = self.exact(start, end)
        return tokens <= limit

    def reach(self, start: int, end: int) -> int:
        """Return the end of the longest span from `start` within the limit.

        It is at most `end`. The span ends before a blank where one is near, and is never empty.
        """
        first, tokens = self._token_at(start), self.limit
        while True:
            last = first + tokens - 1
            stop = min(end, self._ends[last]) if last < len(self._ends) else end
            stop = max(stop, start + 1)
            over = self.exact(start, stop) - self.limit
            if over <= 0 or stop == start + 1:
                break
            tokens -= over
            if tokens < 1:
                stop = start + 1
                break
        return stop if stop == end else self._word_end(start, stop)

    def _word_end(self, start: int, stop: int) -> int:
        for at in range(stop, start + (stop - start) * 3 // 4, -1):
            if self.text[at].isspace() and self.exact(start, at) <= self.limit:
                return at
        return stop

    def _token_at(self, offset: int) -> int:
        known = self._known.get(offset)
        if known is None:
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            least = self._last[1] if self._last[0] <= offset else 0
            known = self._known[offset] = bisect_right(self._ends, offset, least)
            self._last = (offset, known)
        return known
