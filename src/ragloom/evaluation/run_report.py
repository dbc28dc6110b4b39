"""What a run writes of what it found: means, counts, cost, a line a question. Knows no file and no formula."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ragloom.core.gold import Query
from ragloom.core.pricing import cost_usd
from ragloom.evaluation.metrics.llm_judge import judged
from ragloom.evaluation.query_results import Asked, Scores
from ragloom.evaluation.scoring import means, qrels
from ragloom.evaluation.trec_format import qrels_lines, run_lines


@dataclass
class Scored:
    """All questions of a run, side by side, in the dataset's order.

    Attributes:
        ranked: for each question the ids that its qrels name.
        below: metric -> questions on which it looks below what a reranker ordered.
    """

    queries: Sequence[Query]
    asked: Sequence[Asked]
    scores: Sequence[Scores]
    ranked: Sequence[Sequence[str]]
    prices: Mapping[str, Any] = field(default_factory=dict)
    below: Mapping[str, int] = field(default_factory=dict)

    def metrics(self) -> dict[str, Any]:
        """Shows means, verdicts, counts and cost: equal for the same index and config, so that nothing is timed."""
        return {
            "metrics": means(self.scores),
            "verdicts": self.verdicts(),
            **({"below_reranker": dict(self.below)} if self.below else {}),
            "counts": self.counts(),
            "cost": self.cost(),
        }

    def verdicts(self) -> dict[str, Any]:
        """Counts the judge's verdicts by metric, with the shares that passed at least and at most."""
        names = dict.fromkeys(name for outcome in self.asked for name in outcome.verdicts)
        counted = {
            name: judged(outcome.verdicts[name] for outcome in self.asked if name in outcome.verdicts) for name in names
        }
        return {
            name: {**asdict(count), "lowest": count.lowest, "highest": count.highest} for name, count in counted.items()
        }

    def counts(self) -> dict[str, int]:
        """Counts the questions; none is in no count."""
        judged = [query.judged for query in self.queries]
        failed = [outcome.error is not None for outcome in self.asked]
        return {
            "queries": len(self.queries),
            "judged": sum(judged),
            "not_judged": len(judged) - sum(judged),
            "without_answer": sum(query.answerable is False for query in self.queries),
            "errors": sum(failed),
            "judged_errors": sum(wrong for wrong, is_judged in zip(failed, judged, strict=True) if is_judged),
        }

    def cost(self) -> dict[str, Any]:
        """Says what asking all questions costs, whether or not a cache had it; US dollars are None where unknown.

        `usd` is what the config costs. What judging it costs stands apart, and makes no config cheaper or dearer.
        """
        asking = _summed(
            usage
            for outcome in self.asked
            for usage in (outcome.ranking.usage, outcome.answer.usage if outcome.answer is not None else {})
        )
        judging = _summed(usage for outcome in self.asked for usage in outcome.judging.values())
        return {
            "embedding_tokens": _tokens(asking, "embedding", "input"),
            "llm_input_tokens": _tokens(asking, "llm", "input"),
            "llm_output_tokens": _tokens(asking, "llm", "output"),
            "usd": dollars_of(asking, self.prices),
            "judge_input_tokens": _tokens(judging, "judge", "input"),
            "judge_output_tokens": _tokens(judging, "judge", "output"),
            "judge_usd": dollars_of(judging, self.prices),
            "per": "all questions",
        }

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yields what is known of each question."""
        for query, outcome, scores in zip(self.queries, self.asked, self.scores, strict=True):
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
        """Yields the lines of run.trec."""
        yield from run_lines(
            (query.id, ids) for query, ids in zip(self.queries, self.ranked, strict=True) if query.judged
        )

    def qrels_lines(self) -> Iterator[str]:
        """Yields the lines of qrels.trec."""
        yield from qrels_lines((query.id, qrels(query)) for query in self.queries if query.judged)

    def errors(self) -> list[tuple[str, str]]:
        """Lists the questions that failed, with what went wrong."""
        return [
            (query.id, outcome.error)
            for query, outcome in zip(self.queries, self.asked, strict=True)
            if outcome.error is not None
        ]


def dollars_of(models: Mapping[str, Mapping[str, int]], prices: Mapping[str, Any]) -> float | None:
    """Prices usage by model, in US dollars; None when a model has no price or a provider reported no usage."""
    if any(tokens["unreported"] for tokens in models.values()):
        return None
    return cost_usd(((name.partition(":")[2], each["input"], each["output"]) for name, each in models.items()), prices)


def _summed(usages: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    models: dict[str, dict[str, int]] = {}
    for usage in usages:
        for model, tokens in usage.items():
            total = models.setdefault(model, {"input": 0, "output": 0, "unreported": 0})
            for name in total:
                total[name] += tokens[name]
    return models


def _tokens(models: Mapping[str, Mapping[str, int]], kind: str, name: str) -> int:
    return sum(tokens[name] for model, tokens in models.items() if model.startswith(f"{kind}:"))


def _gold(query: Query) -> list[dict[str, Any]]:
    """Shows each gold passage at its first place: `compare` makes windows of where it stands."""
    return [{"document": span.document, "start": span.places[0][0], "end": span.places[0][1]} for span in query.spans]


def _chunks(outcome: Asked) -> list[dict[str, Any]]:
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
        for rank, item in enumerate(outcome.ranking.found, start=1)
    ]
