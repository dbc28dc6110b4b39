"""Cost forecast: upper bounds of requests, without sending any.

Embedded queries are counted exactly. The passages of a future prompt count with their token limit, and a reply with its
token limit. Cache hits count nothing; requests that trials share count once, if the stage cache is enabled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragloom.cache.stages.stage_cache import StageCache
from ragloom.components.vector_store.protocols import Index
from ragloom.config.builder_keys import needs_of
from ragloom.config.config import Config, build
from ragloom.core.metric_names import judged
from ragloom.core.pricing import cost_usd
from ragloom.core.records import canonical_json, sha256
from ragloom.evaluation.judging import AnswerJudge, item_name, judge_request
from ragloom.evaluation.latency import pass_queries
from ragloom.evaluation.query_cache import CachedQueries, described, method
from ragloom.evaluation.query_outcome import Answer, QueryOutcome, answer_from
from ragloom.evaluation.runner import Trial

_LABEL_TOKENS = 8  # of blank lines and a label such as "Passage 12:", for each passage
_UNKNOWN = QueryOutcome(answer=Answer("?"))  # placeholder of a future answer


@dataclass
class CostForecast:
    """Upper bounds of the requests of several trials.

    Attributes:
        requests: (purpose, model) -> requests, input tokens and output tokens. A purpose is `questions`, `reranking`,
            `answers` or `verdicts`.
        unknown: requests without a bound, in words.
    """

    requests: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _trials: int = 0

    def add(self, trial: Trial, stages: StageCache, index: Index | None, place: str, chunks: int | None) -> None:
        """Add the requests of a trial not shared with earlier trials.

        Args:
            index: synced; None before the first ingest.
            place: identifies index and store.
            chunks: upper bound of the number of chunks; None where unknown.
        """
        self._trials += 1
        config, queries = trial.config, trial.assembly.dataset.queries()
        cached = None if index is None else CachedQueries(trial.assembly, index, trial.need)
        texts = list(dict.fromkeys(query.text for query in queries))
        ranked = stages.values("rankings", cached.ranking_key(), map(sha256, texts)) if cached else {}
        answers = stages.values("answers", cached.answer_key(), map(sha256, texts)) if cached else {}
        rankings = canonical_json([self._scope(config), place, method(config)])
        shallow = [
            text for text in texts if cached and (known := ranked.get(sha256(text))) and not cached.suffices(known)
        ]
        top_k = config.tree["retriever"]["top_k"]
        ranking = self._once(rankings, [text for text in texts if sha256(text) not in ranked])
        latency = config.tree["latency"]  # its passes bypass caches
        timing = pass_queries(texts, latency["questions"]) * len(latency["concurrency"])
        self._questions(trial, [*ranking, *shallow], timing)
        self._reranking(trial, [*ranking, *timing], top_k if chunks is None else min(top_k, chunks))
        if config.tree["answers"]:
            answer_key = canonical_json([rankings, described(config, "prompt"), _at_server(config, "llm")])
            answering = self._once(answer_key, [text for text in texts if sha256(text) not in answers])
            self._answers(trial, [*answering, *timing])
            known_answers = {text: answer_from(answers[sha256(text)]) for text in texts if sha256(text) in answers}
            self._verdicts(trial, stages, known_answers, answer_key)

    def as_json(self, prices: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the upper bounds by purpose and model, with their cost.

        Args:
            prices: model -> {input, output}: US dollars per million tokens.
        """
        return [
            {
                "what": what,
                "model": model,
                **counts,
                "cost_usd": cost_usd([(model, counts["input_tokens"], counts["output_tokens"])], prices),
            }
            for (what, model), counts in self.requests.items()
        ]

    def _scope(self, config: Config) -> Any:
        """Return the scope of shared results: stage cache or this trial."""
        folder = config.tree["stages"]
        return self._trials if folder is None else folder

    def _once(self, unit: str, names: list[str]) -> list[str]:
        """Return the names that are new under a key."""
        new = [name for name in dict.fromkeys(names) if (unit, name) not in self._seen]
        self._seen.update((unit, name) for name in new)
        return new

    def _questions(self, trial: Trial, embedded: list[str], timing: list[str]) -> None:
        """Count the embedding of searched queries, latency passes included."""
        needed = [*needs_of(trial.config.builder("retriever")), *needs_of(trial.config.builder("reranker"))]
        if "embedding" not in needed or not (embedded or timing):
            return
        embedding = trial.assembly.embedding
        if not self._paid("embedding", trial, embedding):
            return
        sent = [embedding.query_prefix + text for text in embedded]
        if embedding.query_embedding.cache is not None:
            known = embedding.query_embedding.cache.contains(sent)
            sent = [text for text, hit in zip(sent, known, strict=True) if not hit]
        place = trial.config.tree["cache"]["path"] if trial.assembly.keeps_vectors else self._trials
        sent = self._once(canonical_json([place, _at_server(trial.config, "embedding")]), sent)
        sent += [embedding.query_prefix + text for text in timing] * needed.count("embedding")
        tokens = sum(embedding.count_tokens(sent)) if sent else 0
        self._count("questions", embedding.query_embedding.model_name, len(sent), tokens)

    def _reranking(self, trial: Trial, texts: list[str], most_passages: int) -> None:
        needed = needs_of(trial.config.builder("reranker"))
        if "llm" not in needed or not texts:
            return
        llm = trial.assembly.llm
        if not self._paid("llm", trial, llm):
            return
        reranker = build(trial.config, "reranker", llm=llm) if needed == ["llm"] else None
        requests, option = getattr(reranker, "asks", None), trial.config.choices.get("reranker")
        if requests is None:
            self._add_unknown(f"what reranker={option} asks of the LLM")
            return
        for text in texts:
            windows = Counter((tuple(messages), passages) for messages, passages in requests(text, most_passages))
            for (messages, passages), times in windows.items():
                most = llm.bound(messages)
                self._count("reranking", llm.model, times, times * (most.input + passages), times * most.output)

    def _answers(self, trial: Trial, texts: list[str]) -> None:
        llm = trial.assembly.llm
        if not texts or not self._paid("llm", trial, llm):
            return
        prompt, passages = build(trial.config, "prompt"), _passages(trial.config)
        for text in texts:
            most = llm.bound([message.content or "" for message in prompt.fill(text, []).messages])
            self._count("answers", llm.model, 1, most.input + passages, most.output)

    def _verdicts(self, trial: Trial, stages: StageCache, known: dict[str, Answer], answer_key: str) -> None:
        names = judged(trial.config.tree["metrics"])
        judge = trial.assembly.judge
        if not names or not self._paid("judge", trial, judge):
            return
        key = AnswerJudge(trial.assembly, names).key()
        unit = canonical_json([self._scope(trial.config), key])
        passages, reply = _passages(trial.config), self._longest_answer(trial)
        for query in trial.assembly.dataset.queries():
            for name in names:
                outcome = QueryOutcome(answer=known[query.text]) if query.text in known else _UNKNOWN
                messages = judge_request(name, query, outcome)
                if not isinstance(messages, tuple):
                    continue
                most, item = judge.bound(messages), item_name(messages)
                if outcome is not _UNKNOWN:
                    if not stages.values("verdicts", key, [item]) and self._once(unit, [item]):
                        self._count("verdicts", judge.model, 1, most.input, most.output)
                elif self._once(unit + answer_key, [item]):
                    shown = passages if name == "faithfulness" else 0
                    self._count("verdicts", judge.model, 1, most.input + shown + reply, most.output)

    def _longest_answer(self, trial: Trial) -> int:
        """Return the upper bound of answer tokens; extractive LLMs return passages."""
        llm = trial.assembly.llm
        if self._paid("llm", trial, llm):
            return int(llm.bound([]).output)
        if getattr(trial.config.builder("llm"), "writes_text", True):
            self._add_unknown(
                f"how long the answers of llm={trial.config.choices.get('llm')} are, which the judge reads"
            )
        return _passages(trial.config)

    def _paid(self, group: str, trial: Trial, component: Any) -> bool:
        """Return whether a component is paid and bounded; undeclared is unknown."""
        paid, bounded = getattr(component, "paid", None), group == "embedding" or hasattr(component, "bound")
        if (paid is None or (paid and not bounded)) and getattr(trial.config.builder(group), "writes_text", True):
            self._add_unknown(f"what {group}={trial.config.choices.get(group)} is asked")
        return bool(paid) and bounded

    def _add_unknown(self, text: str) -> None:
        if text not in self.unknown:
            self.unknown.append(text)

    def _count(self, what: str, model: str, requests: int, input: int, output: int = 0) -> None:
        if requests:
            total = self.requests.setdefault((what, model), Counter())
            total.update(requests=requests, input_tokens=input, output_tokens=output)


def _at_server(config: Config, group: str) -> list[Any]:
    return [described(config, group), config.tree[group].get("base_url")]


def _passages(config: Config) -> int:
    """Return the upper bound of passage tokens in a prompt."""
    return int(config.tree["prompt"]["max_context_tokens"] + _LABEL_TOKENS * config.tree["reranker"]["top_n"])
