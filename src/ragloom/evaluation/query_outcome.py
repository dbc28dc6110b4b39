"""Serializable results of one query: ranking, answer, verdicts, error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llama_index.core.schema import NodeWithScore

from ragloom.components.retriever.scored_nodes import Ranked
from ragloom.core.nodes import to_chunk, to_node
from ragloom.core.records import Chunk
from ragloom.core.usage import Usage
from ragloom.evaluation.metrics.llm_judge import Verdict
from ragloom.query.query_result import QueryResult

Scores = dict[str, float | None]
"""Metric -> score of one question; None where a judge gave no verdict."""

NO_TOKENS = {"input": 0, "output": 0, "unreported": 0}
"""Usage of one model, by count."""
_ARMS = ("retriever_rank", "retriever_score", "dense_rank", "dense_score", "bm25_rank", "bm25_score")


@dataclass(frozen=True, slots=True)
class RankedChunk:
    """A chunk in a ranking.

    Attributes:
        score: raw score of the last stage.
        arms: ranks and scores by retriever arm, as in `ragloom.components.retriever.scored_nodes.Ranked`.
    """

    chunk: Chunk
    score: float | None
    arms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranked chunks of one query.

    Attributes:
        chunks: best first: those that the reranker ordered, then those below its list.
        ends: lengths after the reranker, and after each step below it (`ragloom.components.retriever.deeper_ranks`).
        more: whether a further step may find more chunks.
        dropped: ids of chunks that the reranker removed.
        usage: tokens by model as in `usage_of`; steps below the reranker are not counted.
        notes: hints for the reader.
    """

    chunks: tuple[RankedChunk, ...] = ()
    ends: tuple[int, ...] = ()
    more: bool = False
    dropped: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def reranked(self) -> int:
        """Number of leading chunks that the reranker ordered."""
        return self.ends[0] if self.ends else len(self.chunks)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to one query.

    Attributes:
        citations: fields of `ragloom.core.records.Citation`.
        passages: texts of the passages in the prompt.
        usage, notes: of the answer alone.
        reasoning: of the LLM, if it gives any.
    """

    text: str
    citations: tuple[Mapping[str, Any], ...] = ()
    passages: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasoning: str | None = None


@dataclass
class QueryOutcome:
    """Outcome of one query: ranking and answer, or an error.

    Attributes:
        ranking: empty after an error.
        answer: None without answering, or after an error.
        error: one line; None after success.
        timings_ms: of this run; empty on a cache hit. Concurrent queries slow each other: no latency.
        verdicts: of the judge, by metric; only metrics that suit the query.
        judging: usage of the judge, as in `usage_of`.
    """

    ranking: Ranking = field(default_factory=Ranking)
    answer: Answer | None = None
    error: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    judging: Mapping[str, Any] = field(default_factory=dict)


def usage_of(usage: Usage) -> dict[str, Any]:
    """Return paid tokens by model, cache hits included: equal in every run.

    Returns:
        `kind:model` -> {input, output, unreported}; models that are not paid for are left out.
    """
    models: dict[str, Any] = {
        f"{kind}:{model}": {name: getattr(tokens, name) for name in NO_TOKENS}
        for (kind, model), tokens in sorted(usage.models.items())
    }
    for model, saved in sorted(usage.cache.saved.items()):
        models.setdefault(f"embedding:{model}", dict(NO_TOKENS))["input"] += saved
    return models


def ranking_of(result: QueryResult, *, top_k: int) -> Ranking:
    """Return the ranking of a search result.

    Args:
        result: of a reranker that kept all its input.
        top_k: maximum number of chunks of the retriever.
    """
    chunks = ranked_chunks(result.nodes)
    ids = {item.chunk.id for item in chunks}
    return Ranking(
        chunks,
        ends=(len(chunks),),
        more=len(result.found) >= top_k,
        dropped=tuple(id for id in result.found if id not in ids),
        usage=usage_of(result.usage),
        notes=tuple(result.notes),
    )


def ranked_chunks(nodes: Sequence[NodeWithScore]) -> tuple[RankedChunk, ...]:
    """Convert nodes to chunks of a ranking."""
    return tuple(
        RankedChunk(
            to_chunk(node.node),
            None if node.score is None else float(node.score),
            {name: value for name in _ARMS if (value := getattr(node, name, None)) is not None},
        )
        for node in nodes
    )


def query_result_from(question: str, ranking: Ranking, top_n: int) -> QueryResult:
    """Rebuild the search result of a config from a ranking."""
    own = ranking.chunks[: min(top_n, ranking.reranked)]
    nodes: list[NodeWithScore] = [Ranked(node=to_node(item.chunk), score=item.score, **item.arms) for item in own]
    return QueryResult(question, nodes=nodes)


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """Serialize a ranking to plain values."""
    shown = asdict(ranking)
    chunks = shown.pop("chunks")
    listed = [{**item["chunk"], "score": item["score"], "arms": item["arms"]} for item in chunks]
    return {"found": listed, **shown}


def ranking_from(shown: Mapping[str, Any]) -> Ranking:
    """Deserialize the output of `ranking_json`."""
    chunks = []
    for item in shown["found"]:
        fields = {name: value for name, value in item.items() if name not in ("score", "arms")}
        chunks.append(RankedChunk(Chunk(**fields), item["score"], item["arms"]))
    ends, dropped, notes = (tuple(shown[name]) for name in ("ends", "dropped", "notes"))
    return Ranking(tuple(chunks), ends, shown["more"], dropped, shown["usage"], notes)


def answer_of(result: QueryResult) -> Answer:
    """Return the answer of a query result."""
    citations = tuple(asdict(citation) for citation in result.citations)
    usage, notes = usage_of(result.usage), tuple(result.notes)
    return Answer(result.answer or "", citations, tuple(result.passages), usage, notes, result.reasoning)


def answer_from(shown: Mapping[str, Any]) -> Answer:
    """Deserialize the fields of an answer."""
    tuples: dict[str, Any] = {name: tuple(shown[name]) for name in ("citations", "passages", "notes")}
    return Answer(**{**shown, **tuples})
