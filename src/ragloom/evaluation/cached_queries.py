"""How one question of a set is asked, or found among what was computed before. Knows an assembly, and no option."""

from __future__ import annotations

import functools
import threading
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages import Unit
from ragloom.config import fingerprint
from ragloom.config.builder_keys import TARGET, needs_of
from ragloom.core.metric_names import Need
from ragloom.core.prompt_blocks import ending_note, has_failed
from ragloom.core.records import sha256
from ragloom.errors import ServiceError
from ragloom.evaluation.index_sync import committed
from ragloom.evaluation.query_results import (
    Asked,
    answer_from,
    answer_json,
    answer_of,
    ranking_from,
    ranking_json,
    result_of,
)
from ragloom.evaluation.ranking_depth import Deepening

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.components.retriever.deeper_ranks import Below
    from ragloom.components.vector_store.protocols import Index
    from ragloom.config.config import Config
    from ragloom.core.gold import Query
    from ragloom.query.engine import CitedQueryEngine

RANKING_CODE = 2
"""Raise it when the way from a question to a ranking changes in no builder: rankings kept before are not used then."""
ANSWER_CODE = 3
"""The same of the way from a ranking to an answer."""


class Questions:
    """Asks questions of one index. Safe to be used by several threads.

    Nothing is built before the first question that was not computed before.

    Args:
        assembly: whose retriever, reranker, prompt and LLM.
        index: opened.
        need: how far down rankings are read.
    """

    def __init__(self, assembly: Assembly, index: Index, need: Need) -> None:
        self._assembly = assembly
        self._index = index
        self._building = threading.Lock()
        self._engines: dict[tuple[bool, bool], CitedQueryEngine] = {}
        self._retriever: Any = None
        tree = assembly.config.tree
        self._top_k, self._top_n = tree["retriever"]["top_k"], tree["reranker"]["top_n"]
        self._deepening = Deepening(
            lambda question: self._engine(answering=False, whole=True).search(question),
            self._below,
            self._top_k,
            self._top_n,
            need,
            lambda text: self._tokenizer.count(text),
        )

    def ranking_key(self) -> dict[str, Any]:
        """All that decides the ranking of a question."""
        index = {**committed(self._index.info), "built": self._index.info.description}
        return {"index": index, **method(self._assembly.config)}

    def answer_key(self) -> dict[str, Any]:
        """All that decides the answer to a question."""
        tree = self._assembly.config.tree
        return {
            "code": ANSWER_CODE,
            "ranking": self.ranking_key(),
            "prompt": described(self._assembly.config, "prompt"),
            "llm": {**described(self._assembly.config, "llm"), "server": tree["llm"].get("base_url")},
        }

    def rank(self, unit: Unit, query: Query) -> Asked:
        """Finds a question's ranking, makes it, or extends one that is not deep enough."""
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

        value = unit.grown(sha256(query.text), grow)
        return Asked(self._deepening.cut(ranking_from(value)), timings_ms=timings)

    def suffices(self, value: dict[str, Any]) -> bool:
        """Says whether a ranking that was kept is deep enough."""
        return self._deepening.suffices(ranking_from(value))

    def answer(self, unit: Unit, query: Query, ranked: Asked) -> Asked:
        """Finds a question's answer, or makes it; a question without a ranking stays as it is."""
        if ranked.error is not None:
            return ranked
        timings = dict(ranked.timings_ms)

        def make() -> dict[str, Any]:
            own = result_of(query.text, ranked.ranking, self._top_n)
            result = self._engine(answering=True).complete(own)
            timings.update(result.timings_ms)
            if has_failed(result.finish_reason):
                raise ServiceError(f"llm: {ending_note(result.finish_reason)}; it counts as failed")
            return answer_json(answer_of(result))

        value = unit.item(sha256(query.text), make)
        return Asked(ranked.ranking, answer_from(value), timings_ms=timings)

    def timings(self, question: str, *, answering: bool) -> dict[str, float]:
        """Asks a question as the config says, keeps nothing, and returns stage -> milliseconds."""
        engine = self._engine(answering=answering)
        result = engine.answer(question) if answering else engine.search(question)
        return result.timings_ms

    def _engine(self, *, answering: bool, whole: bool = False) -> CitedQueryEngine:
        """Builds what searches or answers as the config says; `whole` keeps all that the reranker orders."""
        with self._building:
            if (answering, whole) not in self._engines:
                self._engines[answering, whole] = self._assembly.query_engine(
                    self._index, answering=answering, top_n=self._top_k if whole else None
                )
            return self._engines[answering, whole]

    def _below(self, question: str, step: int, known: Set[str]) -> Below:
        from llama_index.core.schema import QueryBundle

        from ragloom.components.retriever import deeper_ranks

        query = QueryBundle(question)
        with self._building:  # building loads models: once, however many threads ask
            self._retriever = self._retriever or self._assembly.retriever(self._index)
        if hasattr(self._retriever, "fused"):
            return deeper_ranks.below(self._retriever, query, step, known)
        # A retriever of somebody's own has no arms: it is asked for a longer list, of which what is known is left out.
        most = deeper_ranks.limit(self._top_k, step)
        with self._building:
            longer = self._assembly.retriever(self._index, top_k=most)
        nodes = longer.retrieve(query)
        return deeper_ranks.Below([node for node in nodes if node.node.node_id not in known], len(nodes) >= most)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        from ragloom.core.tokenizers import load

        return load(self._assembly.config.tree["metrics"]["tokenizer"])


def method(config: Config) -> dict[str, Any]:
    """All that decides the ranking of a question beside the index."""
    return {
        "code": RANKING_CODE,
        # Of a server's settings some are changed in place and are no part of an index's name (Weaviate's `ef`, BM25's).
        "store": [config.identity()["vector_store"][TARGET], config.tree["vector_store"].get("index")],
        "retriever": described(config, "retriever"),
        "reranker": described(config, "reranker"),
        "server": config.tree["embedding"].get("base_url"),  # of the questions' vectors: no part of an index's name
    }


def described(config: Config, group: str) -> dict[str, Any]:
    """Describes a group's option, and the LLM that it is given, for a key."""
    builder = config.builder(group)
    shown = fingerprint.describe(builder, config.values(group))
    if "llm" in needs_of(builder):
        shown["llm"] = fingerprint.describe(config.builder("llm"), config.values("llm"))
        shown["server"] = config.values("llm").get("base_url")
    return shown
