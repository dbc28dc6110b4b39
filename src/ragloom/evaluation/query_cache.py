"""Rankings and answers of single queries, through the stage cache."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set
from dataclasses import asdict
from typing import Any

from llama_index.core.schema import QueryBundle

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.components.retriever.deeper_ranks import Below, below, limit
from ragloom.components.vector_store.protocols import Index
from ragloom.config import fingerprint
from ragloom.config.builder_keys import TARGET, needs_of
from ragloom.config.config import Config
from ragloom.core.gold import Query
from ragloom.core.metric_names import Need
from ragloom.core.prompt_and_reply import ending_note, has_failed
from ragloom.core.records import sha256
from ragloom.core.tokenizers import load
from ragloom.errors import ServiceError
from ragloom.evaluation.index_sync import committed
from ragloom.evaluation.query_outcome import (
    QueryOutcome,
    answer_from,
    answer_of,
    query_result_from,
    ranking_from,
    ranking_json,
)
from ragloom.evaluation.ranking_depth import RankingDepth
from ragloom.query.engine import CitedQueryEngine

RANKING_CODE = 2
"""Increase it when rankings change without a change in a builder: cached rankings become misses."""
ANSWER_CODE = 3
"""Increase it when answers to the same ranking change: cached answers become misses."""


class CachedQueries:
    """Queries of one index, through the stage cache. Thread-safe.

    Retriever, reranker and LLM are built at the first cache miss.

    Args:
        assembly: of the config.
        index: opened.
        need: depth of the metrics.
    """

    def __init__(self, assembly: Assembly, index: Index, need: Need) -> None:
        self._assembly = assembly
        self._index = index
        self._building = threading.Lock()
        self._engines: dict[tuple[bool, bool], CitedQueryEngine] = {}
        self._retriever: Any = None
        tree = assembly.config.tree
        self._top_k, self._top_n = tree["retriever"]["top_k"], tree["reranker"]["top_n"]
        self._deepening = RankingDepth(
            lambda question: self._engine(answering=False, whole=True).search(question),
            self._below,
            self._top_k,
            self._top_n,
            need,
            lambda text: load(tree["metrics"]["tokenizer"]).count(text),
        )

    def ranking_key(self) -> dict[str, Any]:
        """Return the cache key of rankings, without the question."""
        index = {**committed(self._index.info), "built": self._index.info.description}
        return {"index": index, **method(self._assembly.config)}

    def answer_key(self) -> dict[str, Any]:
        """Return the cache key of answers, without the question."""
        tree = self._assembly.config.tree
        return {
            "code": ANSWER_CODE,
            "ranking": self.ranking_key(),
            **all_described(self._assembly.config, "prompt"),
            "llm": {**described(self._assembly.config, "llm"), "server": tree["llm"].get("base_url")},
        }

    def rank(self, unit: CachedStage, query: Query) -> QueryOutcome:
        """Return the ranking of a query: cached, computed, or extended."""
        timings: dict[str, float] = {}

        def grow(value: Any | None) -> dict[str, Any] | None:
            if value is not None and self.suffices(value):
                return None
            if value is None:
                ranking, spent = self._deepening.first(query.text)
                timings.update(spent)
            else:
                ranking = ranking_from(value)
            return ranking_json(self._deepening.extended(query.text, ranking))

        value = unit.update(sha256(query.text), grow)
        return QueryOutcome(self._deepening.cut(ranking_from(value)), timings_ms=timings)

    def suffices(self, value: dict[str, Any]) -> bool:
        """Check whether a cached ranking is deep enough."""
        return self._deepening.suffices(ranking_from(value))

    def answer(self, unit: CachedStage, rankings: Mapping[str, QueryOutcome], query: Query) -> QueryOutcome:
        """Return the answer to a query, cached or computed.

        After an error the outcome is unchanged.
        """
        if (ranked := rankings[query.id]).error is not None:
            return ranked
        timings = dict(ranked.timings_ms)

        def make() -> dict[str, Any]:
            own = query_result_from(query.text, ranked.ranking, self._top_n)
            result = self._engine(answering=True).complete(own)
            timings.update(result.timings_ms)
            if has_failed(result.finish_reason):
                raise ServiceError(f"llm: {ending_note(result.finish_reason)}; it counts as failed")
            return asdict(answer_of(result))

        value = unit.get_or_compute(sha256(query.text), make)
        return QueryOutcome(ranked.ranking, answer_from(value), timings_ms=timings)

    def timings(self, question: str, *, answering: bool) -> dict[str, float]:
        """Run a query without caching; return stage -> milliseconds."""
        engine = self._engine(answering=answering)
        result = engine.answer(question) if answering else engine.search(question)
        return result.timings_ms

    def _engine(self, *, answering: bool, whole: bool = False) -> CitedQueryEngine:
        """Build the query engine once; `whole` keeps all that the reranker orders."""
        with self._building:
            if (answering, whole) not in self._engines:
                self._engines[answering, whole] = self._assembly.query_engine(
                    self._index, answering=answering, top_n=self._top_k if whole else None
                )
            return self._engines[answering, whole]

    def _below(self, question: str, step: int, known: Set[str]) -> Below:
        query = QueryBundle(question)
        with self._building:  # building loads models: once, however many threads ask
            self._retriever = self._retriever or self._assembly.retriever(self._index)
        if hasattr(self._retriever, "fused"):
            return below(self._retriever, query, step, known)
        # A retriever of an extension has no arms: query it for a longer list, and drop the known chunks.
        most = limit(self._top_k, step)
        with self._building:
            longer = self._assembly.retriever(self._index, top_k=most)
        nodes = longer.retrieve(query)
        return Below([node for node in nodes if node.node.node_id not in known], len(nodes) >= most)


def method(config: Config) -> dict[str, Any]:
    """Return the part of the ranking key independent of the index."""
    return {
        "code": RANKING_CODE,
        # Settings that a server changes in place are no part of the index name (Weaviate's `ef`, BM25 parameters).
        "store": [config.identity()["vector_store"][TARGET], config.tree["vector_store"].get("index")],
        **all_described(config, "retriever", "reranker"),
        "server": config.tree["embedding"].get("base_url"),  # of the query vectors: no part of the index name
    }


def all_described(config: Config, *groups: str) -> dict[str, Any]:
    """Describe groups for a key, without neutral groups added later."""
    return {group: described(config, group) for group in groups if not config.is_neutral(group)}


def described(config: Config, group: str) -> dict[str, Any]:
    """Describe the option of a group and its LLM for a key."""
    builder = config.builder(group)
    shown = fingerprint.describe(builder, config.values(group))
    if "llm" in needs_of(builder):
        shown["llm"] = fingerprint.describe(config.builder("llm"), config.values("llm"))
        shown["server"] = config.values("llm").get("base_url")
    return shown
