"""Base of rerankers: query check, copied scores, cut to `top_n`, events.

Other fields of a node with its score stay as they are.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import Field, PrivateAttr

_dispatcher = get_dispatcher(__name__)
_counting = threading.Lock()

Order = list[tuple[int, float | None]]
"""Positions of the given nodes, best first, each with its new score; None keeps the old one."""


class Reranker(BaseNodePostprocessor):
    """LlamaIndex node postprocessor that reorders candidates and keeps `top_n`.

    The nodes that leave are copies with another `score`; what else they carry (how the retriever found them) stays,
    and the given nodes are not changed. A subclass defines `order`.
    """

    top_n: int = Field(gt=0, description="How many leave.")
    _counts: Counter[str] = PrivateAttr(default_factory=Counter)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in LlamaIndex's serialised form and events."""
        return cls.__name__

    @property
    def counts(self) -> dict[str, int]:
        """Deviations since construction: name -> count, for reports."""
        with _counting:
            return dict(self._counts)

    def count(self, deviation: str, number: int = 1) -> None:
        """Count a deviation; several threads may."""
        with _counting:
            self._counts[deviation] += number

    @abstractmethod
    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Return the nodes' positions with new scores, best first.

        Args:
            nodes: candidates in the retriever's order, at least one.
            query: the question is `query.query_str`.
        """

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = self._start(nodes, query_bundle)
        return self._finish(nodes, self.order(nodes, query) if nodes else [])

    def _start(self, nodes: list[NodeWithScore], query: QueryBundle | None) -> QueryBundle:
        if query is None:
            raise ValueError(f"{self.class_name()} orders by a query: pass query_bundle or query_str")
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=self.top_n, model_name=self.class_name()))
        return query

    def _finish(self, nodes: list[NodeWithScore], order: Order) -> list[NodeWithScore]:
        placed = [
            nodes[at].model_copy(update={} if score is None else {"score": score}) for at, score in order[: self.top_n]
        ]
        _dispatcher.event(ReRankEndEvent(nodes=placed))
        return placed


def by_score(scores: Sequence[float]) -> Order:
    """Order by falling score; equal scores keep their order."""
    return [(at, float(scores[at])) for at in sorted(range(len(scores)), key=lambda at: -scores[at])]


def passage(node: NodeWithScore) -> str:
    """Return the text of a chunk with its heading path."""
    return node.node.get_content(metadata_mode=MetadataMode.EMBED)
