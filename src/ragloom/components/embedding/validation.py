"""Checks of texts before they are embedded, and of the vectors returned."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from llama_index.core.schema import BaseNode

from ragloom.errors import DataError, ServiceError
from ragloom.providers.batch_errors import BatchFailed

_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED = 10  # texts over the limit that one error names


def demand_texts(texts: Sequence[str], over: Sequence[tuple[int, str]], name: Callable[[int], str]) -> None:
    """Reject blank and overlong texts.

    Args:
        over: place of each text over the limit, and the problem.
        name: names the text of a place.

    Raises:
        DataError: names the first ten.
    """
    problems = [f"embedding: {name(at)} is blank; leave it out" for at, text in enumerate(texts) if not text.strip()]
    problems += [f"embedding: {name(at)}: {wrong}" for at, wrong in over]
    if problems:
        further = [f"embedding: and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
        raise DataError(*problems[:_NAMED], *further)


def demand_vectors(
    vectors: np.ndarray, texts: Sequence[str], *, dimensions: int, zero_possible: bool, model: str
) -> None:
    """Reject vectors that cannot be right.

    Raises:
        ServiceError: they are of another number or length.
        BatchFailed: one is not finite or all zero.
    """
    if vectors.shape != (len(texts), dimensions):
        raise ServiceError(
            f"embedding: {model} returned {' x '.join(map(str, vectors.shape))} numbers for {len(texts)} "
            f"texts; embedding.dimensions={dimensions} must be the model's own"
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if not zero_possible and not wrong.size:
        wrong = np.flatnonzero(~vectors.any(axis=1))
    if wrong.size:
        raise BatchFailed(
            f"embedding: {model} returned a vector that is not finite or all zero for {wrong.size} of "
            f"{len(texts)} texts, the first being text {int(wrong[0]) + 1}; the model or its server is broken",
            says="its vector is not finite or all zero",
            billed=True,
        )


def unbroken(text: str) -> str:
    """Replace lone surrogates, which neither JSON nor a tokenizer accepts."""
    return _SURROGATE.sub("\ufffd", text)


def name_of(node: BaseNode) -> str:
    """Name a node by its document and span, or by its id."""
    start, end = getattr(node, "start_char_idx", None), getattr(node, "end_char_idx", None)
    if node.ref_doc_id is None or start is None:
        return f"node {node.node_id}"
    return f"{node.ref_doc_id}, characters {start} to {end}"
