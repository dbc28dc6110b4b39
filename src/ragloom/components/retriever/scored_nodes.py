"""Retrieved nodes with scores and the ranks behind them."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.schema import NodeWithScore

from ragloom.components.retriever.fusion import Candidate
from ragloom.core.nodes import to_node
from ragloom.core.records import Chunk

ARM_FIELDS = ("dense_rank", "dense_score", "bm25_rank", "bm25_score")
"""How each arm found a chunk."""


class Ranked(NodeWithScore):
    """Retrieved chunk with its ranks and scores.

    A reranker replaces `score` on a copy and nothing else.

    Attributes:
        score: what the list is ordered by: cosine similarity (`dense`), BM25 (`bm25`), fused score (`hybrid`), or a
            reranker's score after it.
        retriever_rank: place in the retriever's list, from 1.
        retriever_score: `score` as the retriever gave it.
        dense_rank, bm25_rank: place in that arm's list of candidates, from 1; None when the arm was not asked or has
            not found the chunk.
        dense_score, bm25_score: the arm's raw score; None likewise.
    """

    retriever_rank: int | None = None
    retriever_score: float | None = None
    dense_rank: int | None = None
    dense_score: float | None = None
    bm25_rank: int | None = None
    bm25_score: float | None = None

    @classmethod
    def class_name(cls) -> str:
        """Names the class in LlamaIndex's serialised form."""
        return "Ranked"


def ranked(candidates: Sequence[tuple[Candidate, Chunk]], *, first: int = 1) -> list[NodeWithScore]:
    """Turn candidates with their chunks into LlamaIndex's form.

    Args:
        candidates: best first.
        first: rank of the first of them.
    """
    return [
        Ranked(
            node=to_node(chunk),
            score=candidate.score,
            retriever_rank=rank,
            retriever_score=candidate.score,
            **{name: getattr(candidate, name) for name in ARM_FIELDS},
        )
        for rank, (candidate, chunk) in enumerate(candidates, start=first)
    ]
