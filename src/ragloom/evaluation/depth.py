"""Reads a ranking as far down as metrics look. Knows engines by one method, and no option.

A ranking of documents needs k distinct ones, however many chunks of each come before: retrieval goes on until they are
there, or nothing more is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from llama_index.core.schema import NodeWithScore

from ragloom.measures import Need
from ragloom.nodes import to_chunk

if TYPE_CHECKING:
    from ragloom.query import Result


@dataclass(frozen=True)
class Depth:
    """How many chunks leave the stages.

    Attributes:
        top_k: the retriever.
        top_n: the reranker.
    """

    top_k: int
    top_n: int


class Engine(Protocol):
    """What searches at one depth."""

    def search(self, question: str) -> Result:
        """Retrieves and reranks."""


class Deepening:
    """Searches as the config says, and deeper where that is not far enough for the metrics.

    The reranker is given what the config says until its whole order is not long enough; only then the retriever gives
    more.

    Args:
        engine: builds the engine of a depth; asked once for each.
        configured: the config's own depth.
        need: how far the metrics look.
        count: counts the tokens of a text, for a need of tokens.
    """

    def __init__(
        self, engine: Callable[[Depth], Engine], configured: Depth, need: Need, count: Callable[[str], int]
    ) -> None:
        self._engine = engine
        self._configured = configured
        self._need = need
        self._count = count

    def search(self, question: str) -> tuple[Result, bool]:
        """Returns a ranking that is long enough, or all there is, and whether it is of the config's own depth.

        Usage and timings are those of the first search: looking deeper is the metric's doing, not the config's.
        """
        first: Result | None = None
        for depth in _depths(self._configured, self._need):
            result = self._engine(depth).search(question)
            if first is None:
                first = result
            result.usage, result.timings_ms = first.usage, first.timings_ms
            if self._enough(result.nodes) or len(result.nodes) < depth.top_n:
                return result, depth == self._configured
        raise AssertionError("depths do not end")

    def _enough(self, nodes: Sequence[NodeWithScore]) -> bool:
        need = self._need
        if len(nodes) < need.chunks:
            return False
        if need.documents and len({to_chunk(node.node).document for node in nodes}) < need.documents:
            return False
        return not need.tokens or sum(self._count(node.node.get_content()) for node in nodes) >= need.tokens


def depths_at_most(configured: Depth, need: Need, chunks: int | None) -> list[Depth] | None:
    """Lists the depths that one question may be searched at; None where nobody knows where that ends.

    Args:
        configured, need: as `Deepening` has them.
        chunks: of the index, at most; None: not known.
    """
    enough = None if need.documents else max(need.chunks, need.tokens)  # a chunk has a token at least
    ends = [end for end in (enough, None if chunks is None else chunks + 1) if end is not None]
    if not ends:
        return None
    found = []
    for depth in _depths(configured, need):
        found.append(depth)
        if depth.top_n >= min(ends):
            break
    return found


def _depths(configured: Depth, need: Need) -> Sequence[Depth]:
    """Lists the depths to be tried, each twice as deep as the one before."""
    least = max(configured.top_k, need.chunks)
    depths = [configured] if configured.top_n >= need.chunks and not need.documents else []
    return [*depths, *(Depth(least << step, least << step) for step in range(32))]
