"""Recall of approximate search against exact search, by query-like vectors.

Recall on stored vectors flatters: what gave .997 on them gave .788 on questions [32]. So questions are made of single
sentences of stored chunks, embedded as queries are, and each one's own chunk counts neither for the exact nor for the
approximate list.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragloom.components.vector_store.protocols import Questions

DEPTHS = (10, 100)
"""Lengths of the lists whose recall is measured: what one reads, and `retriever.candidates`."""
QUESTIONS = 256
FEWEST = 200
"""Questions that are asked, and below which nothing is taken for measured."""
GROWTH = 1.1
"""Rows, relative to when recall was measured, up to which it is not measured again."""


@dataclass(frozen=True)
class Probes:
    """Questions, each with the chunk that it was made of.

    Attributes:
        chunks: ids.
        vectors: `[n, dimensions] float32` of length 1.
    """

    chunks: list[Any]
    vectors: np.ndarray


def probes_of(rows: Sequence[tuple[Hashable, str]], questions: Questions, count: int) -> Probes:
    """Make questions of sampled chunks.

    Args:
        rows: (id, text) of chunks, about twice as many as questions are wanted.
        questions: makes vectors of questions; zeros where a text gives none.
        count: of the questions.
    """
    ids: list[Any] = []
    vectors: list[np.ndarray] = []
    for start in range(0, len(rows), count):  # the second half only where the first one gives too few
        some = rows[start : start + count - len(ids)]
        for (id, _), vector in zip(some, questions([text for _, text in some]), strict=True):
            if (length := float(np.linalg.norm(vector))) > 0:
                ids.append(id)
                vectors.append(vector / length)
        if len(ids) >= FEWEST:
            break
    return Probes(ids, np.array(vectors, dtype=np.float32).reshape(len(ids), -1))


class ExactLists:
    """Highest cosine similarities of each question, gathered batch by batch.

    Args:
        queries: the questions.
        depth: length of the lists.

    Attributes:
        best: `[n, depth] float32`, best first; minus infinity where there are fewer.
    """

    def __init__(self, queries: Probes, depth: int = max(DEPTHS)) -> None:
        self._queries = queries
        self.best = np.full((len(queries.chunks), depth), -np.inf, dtype=np.float32)

    def add(self, vectors: np.ndarray, own: Iterable[tuple[int, int]]) -> None:
        """Compare stored vectors with every question.

        Args:
            vectors: `[m, dimensions] float32`; one of zeros has no direction and is not found.
            own: (question, vector) of each question's own chunk, by position.
        """
        depth = self.best.shape[1]
        lengths = np.linalg.norm(vectors, axis=1)
        scores = self._queries.vectors @ vectors.T / np.where(lengths > 0, lengths, 1)
        scores[:, lengths == 0] = -np.inf
        for question, vector in own:
            scores[question, vector] = -np.inf
        both = np.concatenate([self.best, scores], axis=1)
        self.best = -np.sort(np.partition(-both, depth - 1, axis=1)[:, :depth], axis=1)


def recall_of(
    search: Callable[[np.ndarray, int], Iterable[tuple[Any, float]]],
    queries: Probes,
    best: np.ndarray,
    least: float,
    rounding: float,
) -> tuple[dict[int, float], bool]:
    """Measure the share of exact results that an approximate search finds.

    A row counts as found when it scores as much as the last one of the exact list: of rows of equal text any will do.

    Args:
        search: returns (id, cosine similarity) of a vector's best rows, one more than asked for.
        best: of `ExactLists`.
        least: recall that is wanted; what can no longer reach it is not measured to the end.
        rounding: similarities that differ by less are equal.

    Returns:
        depth -> recall of the questions that were asked, and whether all of it reaches `least`.
    """
    expected = {depth: np.isfinite(best[:, :depth]).sum(axis=1) for depth in DEPTHS}
    most = {depth: (1 - least) * expected[depth].sum() + 1e-9 for depth in DEPTHS}
    missed, due = dict.fromkeys(DEPTHS, 0), dict.fromkeys(DEPTHS, 0)
    for at, (chunk, vector) in enumerate(zip(queries.chunks, queries.vectors, strict=True)):
        for depth in DEPTHS:
            scores = [score for id, score in search(vector, depth) if id != chunk][:depth]
            if wanted := int(expected[depth][at]):
                missed[depth] += wanted - int(sum(score >= best[at, wanted - 1] - rounding for score in scores))
                due[depth] += wanted
        if any(missed[depth] > most[depth] for depth in DEPTHS):
            return _shares(missed, due), False
    return _shares(missed, due), True


def recall_in_words(recall: Mapping[int, float]) -> str:
    """Describe recall at each depth."""
    return ", ".join(f"recall@{depth} {share:.3f}" for depth, share in recall.items())


def _shares(missed: dict[int, int], due: dict[int, int]) -> dict[int, float]:
    return {depth: float(1 - missed[depth] / max(1, due[depth])) for depth in DEPTHS}
