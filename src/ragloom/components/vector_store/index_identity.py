"""Identity of an index, fixed at its creation."""

from __future__ import annotations

from dataclasses import dataclass

from ragloom.core.suggested_commands import command
from ragloom.errors import ConfigError, DataError

INGEST, STORE = "ingest", "store"
"""Kinds of indexes: with a manifest, or filled by LlamaIndex alone."""


@dataclass(frozen=True)
class Identity:
    """Identity of an index, fixed at its creation.

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
    """Refuse to write an index with another identity.

    Raises:
        ConfigError: the corpus of that name lies elsewhere.
        DataError: it is of another kind, or has other dimensions.
    """
    if there.kind != asked.kind:
        raise DataError(
            f"vector_store: index {there.name} was made by {there.kind!r} and cannot be written by {asked.kind!r}; "
            "use another name"
        )
    demand_root(there.name, asked.source, there.root, asked.root)
    if there.dimensions != asked.dimensions:
        raise DataError(
            f"vector_store: index {there.name} has {there.dimensions} dimensions and the embedding {asked.dimensions}; "
            "use the embedding that built it, or delete the index"
        )
    if there.code_version != asked.code_version:
        raise DataError(outdated(there, asked.code_version))


def demand_root(index: str, source: str, there: str, asked: str) -> None:
    """Refuses to take an index for that of documents that lie elsewhere.

    Args:
        index, source: the index, and the corpus that it is named for.
        there, asked: roots of the index's documents, and of the documents that are meant.

    Raises:
        ConfigError: the roots differ.
    """
    if there != asked:
        promote = command("indexes", ["promote", index, "NAME"])
        raise ConfigError(
            f"source: source.name={source} names the documents of {there} already, not those of {asked} (index "
            f"{index}); set source.name to another name; or, if the documents have moved, ingest with "
            "source.moved=true (unchanged ones cost nothing); or, if that index is meant wherever its documents are, "
            f"query it by vector_store.alias=NAME ({promote})"
        )


def outdated(there: Identity, code_version: int) -> str:
    """Return the message for an index of another code version."""
    return (
        f"vector_store: index {there.name} was written by version {there.code_version} of this store, and this release "
        f"reads version {code_version}; {command('ingest')} builds its successor (cached texts cost nothing); then "
        f"remove it: {command('indexes', ['delete', there.name])}"
    )
