"""Reranker by the question's terms: how many of them a chunk has."""

import re
from collections.abc import Sequence
from math import log

from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.components.reranker.base import Order, Reranker, by_score, passage
from ragloom.config.builder_keys import Fraction, Positive, code_version

_WORD = re.compile(r"\w+")
_STEM = 2  # characters: a Korean word and the same with a particle begin alike (보증, 보증이)


class TermOverlap(Reranker):
    """Order by the share of the question's terms in a chunk, rare terms weighing more.

    The retriever's order counts as well: its first chunk adds `retriever_weight`, its last adds nothing.
    """

    retriever_weight: float

    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Return the position and the new score of each node, best first."""
        terms = _terms(query.query_str)
        passages = [_terms(passage(node)) for node in nodes]
        weights = {term: _rarity(term, passages) for term in terms}
        total = sum(weights.values()) or 1.0
        scores = []
        for place, words in enumerate(passages):
            overlap = sum(weights[term] for term in terms & words) / total
            scores.append(overlap + self.retriever_weight * (1 - place / len(nodes)))
        return by_score(scores)  # equal scores keep the retriever's order


def _terms(text: str) -> set[str]:
    """Words in lower case; of a Korean word its first syllables."""
    return {word if word.isascii() else word[:_STEM] for word in _WORD.findall(text.casefold())}


def _rarity(term: str, passages: Sequence[set[str]]) -> float:
    """Weigh a term by the passages that lack it: 0 where all have it."""
    return log(len(passages) / (1 + sum(term in words for words in passages)) + 1)


@code_version(1)
def overlap(*, top_n: Positive, retriever_weight: Fraction) -> TermOverlap:
    """Build the reranker by term overlap."""
    return TermOverlap(top_n=top_n, retriever_weight=retriever_weight)
