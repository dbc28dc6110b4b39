"""What an index is from its creation on, whatever store holds it. Knows no engine."""

from __future__ import annotations

from dataclasses import dataclass

from ragloom.errors import ConfigError, DataError

INGEST, STORE = "ingest", "store"
"""Kinds of indexes: with a manifest, or filled by LlamaIndex alone."""


@dataclass(frozen=True)
class Identity:
    """What an index is from its creation on.

    Attributes:
        name, source, root, dimensions: as in `IndexInfo`.
        kind: `INGEST` or `STORE`.
        code_version: of the store that created it.
    """

    name: str
    source: str
    root: str
    kind: str
    dimensions: int
    code_version: int


def demand_same(there: Identity, asked: Identity) -> None:
    """Refuses to write an index that is another one than was asked for.

    Raises:
        ConfigError: the corpus of that name lies elsewhere.
        DataError: it is of another kind, or has other dimensions.
    """
    if there.kind != asked.kind:
        raise DataError(
            f"vector_store: index {there.name} was made by {there.kind!r} and cannot be written by {asked.kind!r}; "
            "use another name"
        )
    if there.root != asked.root:
        raise ConfigError(
            f"source: source.name={asked.source} names the documents of {there.root} already, not those of "
            f"{asked.root}; set source.name to another name, or delete index {there.name}"
        )
    if there.dimensions != asked.dimensions:
        raise DataError(
            f"vector_store: index {there.name} has {there.dimensions} dimensions and the embedding {asked.dimensions}; "
            "use the embedding that built it, or delete the index"
        )
    if there.code_version != asked.code_version:
        raise DataError(outdated(there, asked.code_version))


def outdated(there: Identity, code_version: int) -> str:
    """Says that another version of the code wrote an index."""
    return (
        f"vector_store: index {there.name} was written by version {there.code_version} of this store and not by "
        f"version {code_version}; delete the index and ingest again"
    )
