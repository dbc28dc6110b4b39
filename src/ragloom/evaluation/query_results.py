"""What came of a question, in the form that is scored, kept and written: plain values. Knows no metric and no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llama_index.core.schema import NodeWithScore

from ragloom.core.nodes import to_chunk, to_node
from ragloom.core.records import Chunk
from ragloom.core.usage import Usage
from ragloom.evaluation.metrics.llm_judge import Verdict
from ragloom.query.query_result import QueryResult

Scores = dict[str, float | None]
"""Metric -> score of one question; None where a judge gave no verdict."""

_ARMS = ("retriever_rank", "retriever_score", "dense_rank", "dense_score", "bm25_rank", "bm25_score")


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk in a ranking.

    Attributes:
        chunk: what was found.
        score: raw, as the last stage gave it.
        arms: how it came into the list, as `ragloom.components.retriever.scored_nodes.Ranked` has it.
    """

    chunk: Chunk
    score: float | None
    arms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a question found.

    Attributes:
        found: best first: what the reranker ordered, then what stands below its list.
        ends: lengths after the reranker, and after each step below it (`ragloom.components.retriever.deeper_ranks`).
        more: whether a further step may find something.
        dropped: ids of chunks that the reranker was given and left out.
        usage: what the question cost, caches aside; see `usage_of`. Steps below cost the metrics, not the config.
        notes: what the reader should know.
    """

    found: tuple[Found, ...] = ()
    ends: tuple[int, ...] = ()
    more: bool = False
    dropped: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def reranked(self) -> int:
        """Chunks that the reranker ordered, from the first."""
        return self.ends[0] if self.ends else len(self.found)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Attributes:
        text: the answer.
        citations: as `ragloom.core.records.Citation` has them, as plain values.
        passages: those of the prompt, as they read in it.
        usage, notes: of the answering alone.
        reasoning: of the LLM, where it gave any.
    """

    text: str
    citations: tuple[Mapping[str, Any], ...] = ()
    passages: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasoning: str | None = None


@dataclass
class Asked:
    """A question, asked.

    Attributes:
        ranking: empty when it failed.
        answer: None when none was asked for, or it failed.
        error: what went wrong, in one line; None when nothing did.
        timings_ms: of this run; empty where nothing was run. Concurrent questions slow each other: no latency.
        verdicts: a judge's, by metric; one that does not suit the question has none.
        judging: what the judge used, as `usage_of` shows it.
    """

    ranking: Ranking = field(default_factory=Ranking)
    answer: Answer | None = None
    error: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    judging: Mapping[str, Any] = field(default_factory=dict)


def usage_of(usage: Usage) -> dict[str, Any]:
    """Says what a piece of work costs, by model, whether or not a cache had it: equal in every run.

    Returns:
        model -> {kind, input, output, unreported}; what is not paid for is not in it.
    """
    models: dict[str, Any] = {}
    for (kind, model), tokens in sorted(usage.models.items()):
        models[f"{kind}:{model}"] = {
            "input": tokens.input,
            "output": tokens.output,
            "unreported": tokens.unreported,
        }
    for model, saved in sorted(usage.cache.saved.items()):
        entry = models.setdefault(f"embedding:{model}", {"input": 0, "output": 0, "unreported": 0})
        entry["input"] += saved
    return models


def ranking_of(result: QueryResult, *, top_k: int) -> Ranking:
    """Takes the ranking out of a search's result.

    Args:
        result: of a reranker that left all it was given.
        top_k: chunks that the retriever may give.
    """
    found = found_of(result.nodes)
    ids = {item.chunk.id for item in found}
    return Ranking(
        found,
        ends=(len(found),),
        more=len(result.found) >= top_k,
        dropped=tuple(id for id in result.found if id not in ids),
        usage=usage_of(result.usage),
        notes=tuple(result.notes),
    )


def found_of(nodes: Sequence[NodeWithScore]) -> tuple[Found, ...]:
    """Shows nodes as chunks of a ranking."""
    return tuple(
        Found(
            to_chunk(node.node),
            None if node.score is None else float(node.score),
            {name: value for name in _ARMS if (value := getattr(node, name, None)) is not None},
        )
        for node in nodes
    )


def result_of(question: str, ranking: Ranking, top_n: int) -> QueryResult:
    """Gives a ranking back as what the config's own search returns, so that it can be answered from."""
    from ragloom.components.retriever.scored_nodes import Ranked

    own = ranking.found[: min(top_n, ranking.reranked)]
    nodes: list[NodeWithScore] = [Ranked(node=to_node(item.chunk), score=item.score, **item.arms) for item in own]
    return QueryResult(question, nodes=nodes)


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """Shows a ranking as plain values."""
    found = [{**asdict(item.chunk), "score": item.score, "arms": dict(item.arms)} for item in ranking.found]
    return {
        "found": found,
        "ends": list(ranking.ends),
        "more": ranking.more,
        "dropped": list(ranking.dropped),
        "usage": dict(ranking.usage),
        "notes": list(ranking.notes),
    }


def ranking_from(shown: Mapping[str, Any]) -> Ranking:
    """Reads what `ranking_json` shows."""
    found = []
    for item in shown["found"]:
        fields = {key: value for key, value in item.items() if key not in ("score", "arms")}
        found.append(Found(Chunk(**fields), item["score"], item["arms"]))
    ends, dropped = tuple(shown["ends"]), tuple(shown["dropped"])
    return Ranking(tuple(found), ends, shown["more"], dropped, shown["usage"], tuple(shown["notes"]))


def answer_of(result: QueryResult) -> Answer:
    """Takes the answer out of a result."""
    citations = tuple(asdict(citation) for citation in result.citations)
    usage, notes = usage_of(result.usage), tuple(result.notes)
    return Answer(result.answer or "", citations, tuple(result.passages), usage, notes, result.reasoning)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Shows an answer as plain values."""
    return asdict(answer)


def answer_from(shown: Mapping[str, Any]) -> Answer:
    """Reads an answer from plain values."""
    lists = {name: tuple(shown[name]) for name in ("citations", "passages", "notes")}
    return Answer(shown["text"], usage=shown["usage"], reasoning=shown["reasoning"], **lists)
