"""Ranks below a retriever's list: rest of its fusion, then deeper blocks.

Step 1 is the configured search without its cut. Each later step searches deeper, at a fixed limit, and fuses what is
new in blocks of 100 ranks, each by itself. So a deeper step appends and never changes what stands above, and what it
appends depends on the question and the step alone, never on how far somebody wants to look.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.components.retriever.fusion import Candidate, placed
from ragloom.components.retriever.retrievers import ArmRetriever
from ragloom.components.retriever.scored_nodes import ranked
from ragloom.core.records import Chunk, Match

BLOCK = 100
"""Ranks of each arm that are fused together below the configured fusion."""


@dataclass(frozen=True)
class Below:
    """Result of one deepening step.

    Attributes:
        nodes: best first; none of them was known.
        more: whether a further step may find something.
    """

    nodes: list[NodeWithScore]
    more: bool


def limit(depth: int, step: int) -> int:
    """Return the list length of each arm after a step: blocks double."""
    return depth + BLOCK * ((1 << (step - 1)) - 1)


def below(retriever: ArmRetriever, query: QueryBundle, step: int, known: Set[str]) -> Below:
    """Read one step below what is known.

    Args:
        retriever: searches and fuses.
        query: the question.
        step: from 1; all steps before it are in `known`.
        known: ids of the chunks above.
    """
    most = limit(retriever.depth, step)
    lists = retriever.lists(query, most, loaded=True)  # everything leaves
    chunks = retriever.load(match for matches in lists for match in matches)
    before = 0 if step == 1 else limit(retriever.depth, step - 1)
    # Exact search has all ranks of the steps before among the known; an approximate one may find others at this limit.
    new = [
        [match for at, match in enumerate(matches) if at >= before or chunks[match.key].id not in known]
        for matches in lists
    ]
    size = most if step == 1 else BLOCK
    pairs: dict[str, tuple[Candidate, Chunk]] = {}
    for start in range(0, max(map(len, new)), size):
        candidates = retriever.fused([matches[start : start + size] for matches in new])
        for candidate, chunk in placed(candidates, chunks):
            if chunk.id not in known:
                pairs.setdefault(chunk.id, (candidate, chunk))
    nodes = ranked(_with_ranks([*pairs.values()], lists), first=len(known) + 1)
    return Below(nodes, any(len(matches) >= most for matches in lists))


def _with_ranks(
    pairs: Sequence[tuple[Candidate, Chunk]], lists: Sequence[list[Match]]
) -> list[tuple[Candidate, Chunk]]:
    """Give candidates their ranks in the whole lists of the arms."""
    ranks = [{match.key: rank for rank, match in enumerate(matches, start=1)} for matches in lists]
    dense, bm25 = ranks[0], ranks[-1]  # one list where there is one arm
    return [
        (
            replace(
                each,
                dense_rank=each.dense_rank and dense[each.match.key],
                bm25_rank=each.bm25_rank and bm25[each.match.key],
            ),
            chunk,
        )
        for each, chunk in pairs
    ]
