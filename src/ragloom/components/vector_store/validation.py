"""Checks of everything that is written, before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ragloom.components.vector_store.record_types import ManifestRow, StoredDocumentRow
from ragloom.core.records import Chunk
from ragloom.errors import DataError

_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,64}")


def demand_appended(
    rows: Mapping[str, ManifestRow], documents: Sequence[StoredDocumentRow], appended: Mapping[tuple[str, str], int]
) -> None:
    """Refuses to finish documents whose chunks were not all appended.

    Raises:
        ValueError: names the document.
    """
    if len(rows) != len(documents):
        raise ValueError("each document must come once")
    for row in rows.values():
        if (stored := appended.get((row.id, row.content_hash), 0)) != row.chunks:
            raise ValueError(f"document {row.id!r} must have {row.chunks} chunks appended, and has {stored}")


def check_unicode(text: str, document: str) -> None:
    """Refuses text that no store can keep.

    Raises:
        DataError: it holds half a surrogate pair; names the document.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"vector_store: text or metadata of {document!r} holds half a surrogate pair "
            f"({text[error.start : error.start + 1]!r}), which no store can keep; correct or remove it"
        ) from None


def check_chunks(chunks: Sequence[Chunk], vectors: np.ndarray, dimensions: int) -> None:
    """Refuse duplicate chunk ids and missing, non-finite or wrong-sized vectors.

    Raises:
        DataError: names the chunk's document.
    """
    seen: set[str] = set()
    for chunk in chunks:
        if chunk.id in seen:
            raise DataError(f"vector_store: chunk id {chunk.id} of {chunk.document!r} comes twice; ids must differ")
        seen.add(chunk.id)
    if not chunks:
        return
    if vectors.shape != (len(chunks), dimensions):
        raise DataError(
            f"vector_store: {len(chunks)} chunks came with vectors of shape {list(vectors.shape)}; every chunk needs "
            f"one vector of {dimensions} dimensions"
        )
    for chunk, finite in zip(chunks, np.isfinite(vectors).all(axis=1), strict=True):
        if not finite:
            raise DataError(
                f"vector_store: the vector of {chunk.document!r} [{chunk.start}:{chunk.end}] holds NaN or infinity; "
                "check the embedding"
            )


def check_alias(alias: str, indexes: Iterable[str]) -> None:
    """Refuses what cannot be an alias on every store.

    Args:
        indexes: names of those that there are.

    Raises:
        DataError: it is no legal name, or an index is named so.
    """
    if not _ALIAS.fullmatch(alias):
        raise DataError(
            f"vector_store: alias {alias!r} must be 1 to 64 letters (a-z, A-Z), digits, _ and -; choose another name"
        )
    if alias in indexes:
        raise DataError(f"vector_store: alias {alias} must not be the name of an index; choose another name")
