"""Reranker that keeps the retriever's order."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.components.reranker.base import Order, Reranker


class PassthroughReranker(Reranker):
    """Reranker that keeps order and scores, and cuts to `top_n`.

    It needs no query.
    """

    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Keep the order."""
        return [(at, None) for at in range(len(nodes))]

    def _start(self, nodes: list[NodeWithScore], query: QueryBundle | None) -> QueryBundle:
        return super()._start(nodes, query if query is not None else QueryBundle(""))
