"""Content of run files: means, counts, cost, one line for each query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ragloom.core.gold import Query
from ragloom.core.pricing import cost_usd
from ragloom.evaluation.metrics.llm_judge import judged
from ragloom.evaluation.query_outcome import NO_TOKENS, QueryOutcome, Scores
from ragloom.evaluation.scoring import means, qrels
from ragloom.evaluation.trec_format import qrels_lines, run_lines


@dataclass
class ScoredRun:
    """Queries, outcomes and scores of a run, in dataset order.

    Attributes:
        ranked: for each query its ranking by ids of the qrels.
        below: metric -> number of queries on which it looks below the reranker's list.
    """

    queries: Sequence[Query]
    outcomes: Sequence[QueryOutcome]
    scores: Sequence[Scores]
    ranked: Sequence[Sequence[str]]
    prices: Mapping[str, Any] = field(default_factory=dict)
    below: Mapping[str, int] = field(default_factory=dict)

    def metrics(self) -> dict[str, Any]:
        """Return the content of metrics.json, equal for equal index and config."""
        return {
            "metrics": means(self.scores),
            "verdicts": self.verdicts(),
            **({"below_reranker": dict(self.below)} if self.below else {}),
            "counts": self.counts(),
            "cost": self.cost(),
        }

    def verdicts(self) -> dict[str, Any]:
        """Count the verdicts by metric, with bounds of the passing share."""
        names = dict.fromkeys(name for outcome in self.outcomes for name in outcome.verdicts)
        return {
            name: judged(outcome.verdicts[name] for outcome in self.outcomes if name in outcome.verdicts)
            for name in names
        }

    def counts(self) -> dict[str, int]:
        """Count the queries by kind."""
        judged = [query.judged for query in self.queries]
        failed = [outcome.error is not None for outcome in self.outcomes]
        return {
            "queries": len(self.queries),
            "judged": sum(judged),
            "not_judged": len(judged) - sum(judged),
            "without_answer": sum(query.answerable is False for query in self.queries),
            "errors": sum(failed),
            "judged_errors": sum(wrong for wrong, is_judged in zip(failed, judged, strict=True) if is_judged),
        }

    def cost(self) -> dict[str, Any]:
        """Return the cost of all queries, cache hits included.

        `usd` is the cost of the config; the cost of judging is separate.
        """
        asking = _summed(
            usage
            for outcome in self.outcomes
            for usage in (outcome.ranking.usage, outcome.answer.usage if outcome.answer is not None else {})
        )
        judging = _summed(usage for outcome in self.outcomes for usage in outcome.judging.values())
        return {
            "embedding_tokens": _tokens(asking, "embedding", "input"),
            "llm_input_tokens": _tokens(asking, "llm", "input"),
            "llm_output_tokens": _tokens(asking, "llm", "output"),
            "usd": usage_cost_usd(asking, self.prices),
            "judge_input_tokens": _tokens(judging, "judge", "input"),
            "judge_output_tokens": _tokens(judging, "judge", "output"),
            "judge_usd": usage_cost_usd(judging, self.prices),
            "per": "all questions",
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of queries.jsonl."""
        for query, outcome, scores in zip(self.queries, self.outcomes, self.scores, strict=True):
            answer = outcome.answer
            yield {
                "query": query.id,
                "text": query.text,
                "group": query.group,
                "tags": dict(query.tags),
                "judged": query.judged,
                "gold": _gold(query),
                "metrics": dict(scores),
                "error": outcome.error,
                "reranked": outcome.ranking.reranked,
                "chunks": _chunks(outcome),
                "answer": answer.text if answer is not None else None,
                "reasoning": answer.reasoning if answer is not None else None,
                "citations": list(answer.citations) if answer is not None else [],
                "verdicts": {name: asdict(verdict) for name, verdict in outcome.verdicts.items()},
                "notes": [*outcome.ranking.notes, *(answer.notes if answer is not None else ())],
                "timings_ms": {stage: round(value, 3) for stage, value in outcome.timings_ms.items()},
                "usage": {
                    "ranking": outcome.ranking.usage,
                    "answer": answer.usage if answer is not None else {},
                    "judging": dict(outcome.judging),
                },
            }

    def run_lines(self) -> Iterator[str]:
        """Yield the lines of run.trec."""
        yield from run_lines(
            (query.id, ids) for query, ids in zip(self.queries, self.ranked, strict=True) if query.judged
        )

    def qrels_lines(self) -> Iterator[str]:
        """Yield the lines of qrels.trec."""
        yield from qrels_lines((query.id, qrels(query)) for query in self.queries if query.judged)

    def errors(self) -> list[tuple[str, str]]:
        """Return (query id, error) of each failed query."""
        return [
            (query.id, outcome.error)
            for query, outcome in zip(self.queries, self.outcomes, strict=True)
            if outcome.error is not None
        ]


def usage_cost_usd(models: Mapping[str, Mapping[str, int]], prices: Mapping[str, Any]) -> float | None:
    """Price usage by model in US dollars; None for unknown parts."""
    if any(tokens["unreported"] for tokens in models.values()):
        return None
    return cost_usd(((name.partition(":")[2], each["input"], each["output"]) for name, each in models.items()), prices)


def _summed(usages: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    models: dict[str, dict[str, int]] = {}
    for usage in usages:
        for model, tokens in usage.items():
            total = models.setdefault(model, dict(NO_TOKENS))
            for name in NO_TOKENS:
                total[name] += tokens[name]
    return models


def _tokens(models: Mapping[str, Mapping[str, int]], kind: str, name: str) -> int:
    return sum(tokens[name] for model, tokens in models.items() if model.startswith(f"{kind}:"))


def _gold(query: Query) -> list[dict[str, Any]]:
    """Return the first place of each gold passage, for windows in `compare`."""
    return [{"document": span.document, "start": span.places[0][0], "end": span.places[0][1]} for span in query.spans]


def _chunks(outcome: QueryOutcome) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "chunk": item.chunk.id,
            "document": item.chunk.document,
            "start": item.chunk.start,
            "end": item.chunk.end,
            "score": item.score,
            "text": item.chunk.text,
            **{name: item.arms.get(name) for name in ("dense_rank", "dense_score", "bm25_rank", "bm25_score")},
            "retriever_rank": item.arms.get("retriever_rank"),
        }
        for rank, item in enumerate(outcome.ranking.chunks, start=1)
    ]
