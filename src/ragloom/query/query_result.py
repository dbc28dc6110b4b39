"""Result of one question: ranked chunks, answer and citations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import NodeWithScore

from ragloom.components.retriever.scored_nodes import ARM_FIELDS
from ragloom.core.data_frame import data_frame
from ragloom.core.nodes import to_chunk
from ragloom.core.records import Citation
from ragloom.core.usage import Usage

if TYPE_CHECKING:
    import pandas


@dataclass
class QueryResult:
    """Ranked chunks of one question, and its answer.

    Attributes:
        answer: None after a search.
        nodes: chunks that left the reranker, best first.
        supplied: ids of the chunks in the prompt.
        passages: their texts in the prompt.
        found: chunk id -> (rank from 1, node) as the retriever returned it.
        timings_ms: stage -> milliseconds, with `total`.
        usage: tokens by kind and model.
        reasoning: of the LLM, if it gives any.
        finish_reason: why the reply ended; None where the LLM gives no reason.
        notes: hints for the reader: chunks left out, an answer cut at its length limit.
    """

    question: str
    answer: str | None = None
    citations: tuple[Citation, ...] = ()
    nodes: list[NodeWithScore] = field(default_factory=list)
    supplied: list[str] = field(default_factory=list)
    passages: list[str] = field(default_factory=list)
    found: dict[str, tuple[int, NodeWithScore]] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    reasoning: str | None = None
    finish_reason: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def unverified(self) -> int:
        """Number of citations that could not be verified."""
        return sum(not citation.verified for citation in self.citations)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per chunk, best first.

        Its keys: ids, character offsets, text, metadata, ranks and scores.
        """
        rows = []
        for rank, node in enumerate(self.nodes, start=1):
            chunk = to_chunk(node.node)
            retriever_rank, retrieved = self.found.get(chunk.id, (None, None))
            rows.append(
                {
                    "rank": rank,
                    "chunk": chunk.id,
                    "document": chunk.document,
                    "start": chunk.start,
                    "end": chunk.end,
                    "score": node.score,
                    "text": chunk.text,
                    "metadata": chunk.metadata,
                    **{name: getattr(retrieved, name, None) for name in ARM_FIELDS},
                    "retriever_rank": retriever_rank,
                    "supplied": chunk.id in self.supplied,
                }
            )
        return rows

    def to_pandas(self) -> pandas.DataFrame:
        """Return `rows` as a data frame.

        Raises:
            ConfigError: pandas is not installed.
        """
        return data_frame(self.rows())
