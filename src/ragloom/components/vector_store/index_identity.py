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


def demand_same(stored: Identity, expected: Identity) -> None:
    """Refuse to write an index with another identity.

    Raises:
        ConfigError: the corpus of that name lies elsewhere.
        DataError: it is of another kind, or has other dimensions.
    """
    if stored.kind != expected.kind:
        raise DataError(
            f"vector_store: index {stored.name} was written by {stored.kind!r} and {expected.kind!r} cannot write it; "
            "use another name"
        )
    demand_root(stored.name, expected.source, stored.root, expected.root)
    if stored.dimensions != expected.dimensions:
        raise DataError(
            f"vector_store: index {stored.name} has {stored.dimensions} dimensions and "
            f"the embedding {expected.dimensions}; use the embedding that built it, or delete the index"
        )
    if stored.code_version != expected.code_version:
        raise DataError(outdated(stored, expected.code_version))


def demand_root(index: str, source: str, stored: str, expected: str) -> None:
    """Refuse to take an index for that of documents that lie elsewhere.

    Args:
        index, source: the index, and the corpus that it is named for.
        stored, expected: roots of the index's documents, and of the documents that are meant.

    Raises:
        ConfigError: the roots differ.
    """
    if stored != expected:
        promote = command("indexes", ["promote", index, "NAME"])
        raise ConfigError(
            f"source: source.name={source} names the documents of {stored} already, not those of {expected} (index "
            f"{index}); set source.name to another name; or, if the documents have moved, ingest with "
            "source.moved=true (unchanged ones cost nothing); or, if that index is meant wherever its documents are, "
            f"query it by vector_store.alias=NAME ({promote})"
        )


def outdated(stored: Identity, code_version: int) -> str:
    """Return the message for an index of another code version."""
    return (
        f"vector_store: index {stored.name} was written by version {stored.code_version} of this store; this release "
        f"reads version {code_version}; {command('ingest')} builds its successor (cached texts cost nothing); then "
        f"remove it: {command('indexes', ['delete', stored.name])}"
    )
