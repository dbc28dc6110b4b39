"""Ranks below a retriever's list: rest of its fusion, then deeper blocks.

Step 1 is the configured search without its cut. Each later step searches deeper, at a fixed limit, and fuses what is
new in blocks of 100 ranks, each by itself. So a deeper step appends and never changes what stands above, and what it
appends depends on the question and the step alone, never on how far somebody wants to look.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.components.retriever.fusion import Candidate
from ragloom.components.retriever.retrievers import ArmRetriever
from ragloom.components.retriever.scored_nodes import ranked
from ragloom.core.records import Hit

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
    lists = retriever.lists(query, most)
    before = 0 if step == 1 else limit(retriever.depth, step - 1)
    # Exact search has all ranks of the steps before among the known; an approximate one may find others at this limit.
    new = [[hit for at, hit in enumerate(hits) if at >= before or hit.chunk.id not in known] for hits in lists]
    size = most if step == 1 else BLOCK
    candidates: dict[str, Candidate] = {}
    for start in range(0, max(map(len, new)), size):
        for candidate in retriever.fused([hits[start : start + size] for hits in new]):
            if candidate.chunk.id not in known:
                candidates.setdefault(candidate.chunk.id, candidate)
    nodes = ranked(_placed([*candidates.values()], lists), first=len(known) + 1)
    return Below(nodes, any(len(hits) >= most for hits in lists))


def _placed(candidates: Sequence[Candidate], lists: Sequence[list[Hit]]) -> list[Candidate]:
    """Give candidates their ranks in the whole lists of the arms."""
    ranks = [{hit.chunk.id: rank for rank, hit in enumerate(hits, start=1)} for hits in lists]
    dense, bm25 = ranks[0], ranks[-1]  # one list where there is one arm
    return [
        replace(
            each,
            dense_rank=each.dense_rank and dense[each.chunk.id],
            bm25_rank=each.bm25_rank and bm25[each.chunk.id],
        )
        for each in candidates
    ]
