"""Selection of the index for queries: current, older, or by alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ragloom.components.vector_store.index_identity import demand_root
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.config import fingerprint
from ragloom.core.suggested_commands import command
from ragloom.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ragloom.components.vector_store.protocols import Database, Index
    from ragloom.components.vector_store.record_types import IndexInfo
    from ragloom.config.config import Config

_READ_BY = ("vector_store", *fingerprint.QUERY_GROUPS)
"""The groups whose code reads an index."""


class Reader(Protocol):
    """The parts of an experiment that read an index: `ragloom.assembly.Assembly`."""

    config: Config
    older: IndexInfo | None

    @property
    def source(self) -> Any:
        """The source, with `name` and `root`."""

    @property
    def database(self) -> Database:
        """The store of all indexes."""

    @property
    def index_name(self) -> str:
        """The name of this config's own index."""

    @property
    def description(self) -> dict[str, Any]:
        """Group -> everything of its option that shapes the index."""

    def described(self, group: str, version: int | None = None) -> dict[str, Any]:
        """Describe the option of a group, at a code version."""

    def read_by(self, versions: dict[str, int]) -> None:
        """Use former versions of analyzer, embedding and store, by group."""


def sourced(reader: Reader, *, or_older: bool) -> Index:
    """Open the index of a config, or one of another code version.

    Raises:
        IndexMissing: no such index exists, or it is empty.
        ConfigError: its documents lie elsewhere than the source's.
    """
    try:
        index = _filled(reader, reader.index_name)
    except IndexMissing as error:
        if not or_older or (older := _older(reader)) is None:
            raise IndexMissing(*error.problems) from None
        return _as_built(reader, older)
    demand_root(index.info.name, reader.source.name, index.info.root, reader.source.root)
    if or_older and index.info.summary.get("stopped") and (older := _older(reader)) is not None:
        return _as_built(reader, older)  # the successor is not complete
    return index


def promoted(reader: Reader, alias: str) -> Index:
    """Open the index of an alias, if the config can query it.

    Raises:
        IndexMissing: it is empty.
        ConfigError, DataError: no such alias or index exists, or queries of the config cannot read it.
    """
    aliases, promote = reader.database.aliases(), command("indexes", ["promote", "NAME", alias])
    if alias not in aliases:
        known = ", ".join(f"{name} ({index})" for name, index in aliases.items()) or "none"
        raise ConfigError(
            f"vector_store: vector_store.alias={alias} must be an alias that exists (known: {known}); "
            f"point it at an index with: {promote}"
        )
    info = next((info for info in reader.database.indexes() if info.name == aliases[alias]), None)
    if info is None:
        raise DataError(
            f"vector_store: vector_store.alias={alias} names {aliases[alias]}, which is gone; point it at another "
            f"index with: {promote}"
        )
    ours = _described_as(reader, info)
    differs = fingerprint.difference(
        {group: ours[group] for group in fingerprint.QUERY_GROUPS},
        {group: info.description.get(group, {}) for group in fingerprint.QUERY_GROUPS},
    )
    if differs:
        raise ConfigError(
            f"vector_store: vector_store.alias={alias} names {info.name}, which queries of this config "
            "cannot read; set these keys as it was built (this config / that index)",
            *(f"  {line}" for line in differs),
        )
    return _as_built(reader, info)


def _described_as(reader: Reader, info: IndexInfo) -> dict[str, Any]:
    """Describe a config with the code versions of an index."""
    versions = {group: info.description.get(group, {}).get("code_version") for group in reader.description}
    return {group: reader.described(group, version) for group, version in versions.items()}


def _older(reader: Reader) -> IndexInfo | None:
    """Find the newest index that differs by code versions only."""
    candidates = [
        info
        for info in reader.database.indexes()
        if (info.source, info.root) == (reader.source.name, reader.source.root)
        and info.name != reader.index_name
        and info.documents
        and info.description == _described_as(reader, info)
    ]
    return max(candidates, key=lambda info: info.committed_at, default=None)


def _as_built(reader: Reader, info: IndexInfo) -> Index:
    """Open an index with the code versions that built it.

    Raises:
        IndexMissing: it is empty.
        ConfigError: this release does not have one of these versions.
    """
    versions, problems = {}, []
    for group in _READ_BY:
        builder, number = reader.config.builder(group), info.description.get(group, {}).get("code_version")
        known: list[int] = sorted({builder.code_version, *builder.former})  # type: ignore[attr-defined]
        if number not in known and group in fingerprint.QUERY_GROUPS:
            problems.append(
                f"{group}: index {info.name} was built by version {number} of "
                f"{group}={reader.config.choices.get(group)}, and this release has {', '.join(map(str, known))}; "
                "ingest and promote what that builds, or install the release of Ragloom that built the index"
            )
        elif number in known and number != known[-1]:
            versions[group] = number
    if problems:
        raise ConfigError(*problems)
    reader.read_by(versions)
    reader.older = info if fingerprint.is_older(reader.description, info.description) else None
    return _filled(reader, info.name)


def _filled(reader: Reader, name: str) -> Index:
    """Open an index.

    Raises:
        IndexMissing: no index has that name, or it holds no document.
    """
    try:
        index = reader.database.open(name)
    except IndexMissing:
        raise IndexMissing(*_missing(reader)) from None
    if not index.info.documents:
        raise IndexMissing(f"index: {name} is empty: its first ingest ended before a document was stored")
    return index


def _missing(reader: Reader) -> list[str]:
    """Explain a missing index by the nearest existing one."""
    missing = f"index: {reader.index_name} is not in {reader.config.choices.get('vector_store')} yet"
    differences: dict[str, list[str]] = {}
    for info in reader.database.indexes():
        places = (("name", reader.source.name, info.source), ("root", reader.source.root, info.root))
        differs = [f"source.{key}: {ours} / {theirs}" for key, ours, theirs in places if ours != theirs]
        differences[info.name] = differs + fingerprint.difference(reader.description, info.description)
    if not differences:
        return [missing, "no other index exists there"]
    nearest = min(differences, key=lambda name: len(differences[name]))
    near = f"the nearest existing index is {nearest}; it differs (this config / that index) in"
    return [missing, near, *(f"  {line}" for line in differences[nearest])]
