"""Database of indexes in a LanceDB folder: list, open, delete, rebuild, promote."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ragloom.components.vector_store.index_identity import INGEST, Identity, outdated
from ragloom.components.vector_store.lancedb_store.aliases import Aliases
from ragloom.components.vector_store.lancedb_store.ann_index import Wanted
from ragloom.components.vector_store.lancedb_store.commit_record import CODE_VERSION, Commit
from ragloom.components.vector_store.lancedb_store.commits import info_of
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder, folders
from ragloom.components.vector_store.lancedb_store.index_reader import LanceIndex
from ragloom.components.vector_store.lancedb_store.index_writer import LanceWriter
from ragloom.components.vector_store.protocols import Analyzer
from ragloom.components.vector_store.record_types import IndexInfo, IndexMissing
from ragloom.components.vector_store.validation import check_alias
from ragloom.errors import DataError


class LanceDatabase:
    """The `Database` of a LanceDB folder.

    Args:
        path: the folder; `~` is the home folder. It need not exist.
        analyzer: turns chunk texts and questions into search terms.
        retention: how long a replaced state stays readable before a commit removes it.
        dense: from which size dense search is approximate, and the recall that it must have been measured to have.
    """

    def __init__(self, path: str | Path, analyzer: Analyzer, retention: timedelta, dense: Wanted) -> None:
        self.path = Path(path).expanduser().absolute()
        self.analyzer = analyzer
        self._retention = retention
        self._dense = dense
        self._aliases = Aliases(self.path)

    def indexes(self) -> list[IndexInfo]:
        """List the committed indexes by name.

        Raises:
            ServiceError: the folder cannot be read.
            DataError: an index is damaged; the text names its folder.
        """
        infos = []
        for folder in folders(self.path):
            identity, commits = folder.identity(), folder.commits()
            if identity is not None and identity.kind == INGEST and commits:
                infos.append(info_of(identity, commits[-1], folder.size()))
        return infos

    def open(self, name: str) -> LanceIndex:
        """Open the newest commit of an index.

        Raises:
            IndexMissing: no such index exists.
            DataError: it is damaged, or another version of the code wrote it.
        """
        folder = IndexFolder(self.path, name)
        identity, commits = self._committed(folder)
        if identity.code_version != CODE_VERSION:
            raise DataError(outdated(identity, CODE_VERSION))
        return LanceIndex(folder, identity, commits[-1], self.analyzer)

    def writer(self, name: str, *, dimensions: int, description: dict[str, Any], root: str) -> LanceWriter:
        """Return the writer of an index.

        The index is created when the writer is entered and it does not exist.
        """
        identity = Identity(name, name.rpartition("-")[0] or name, root, INGEST, dimensions, CODE_VERSION)
        folder = IndexFolder(self.path, name)
        return LanceWriter(folder, identity, description, self.analyzer, self._retention, self._dense)

    def delete(self, name: str) -> None:
        """Delete an index with all its versions and aliases.

        It may be damaged or never committed.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it, or its files cannot be removed.
        """
        folder = IndexFolder(self.path, name)
        if not folder.path.exists():
            raise IndexMissing(f"vector_store: there is no index {name} in {self.path}")
        with folder.lock(), self._aliases.changing() as aliases:
            for alias in [alias for alias, target in aliases.items() if target == name]:
                del aliases[alias]
            self._aliases.write(aliases)
            folder.remove()

    def rebuild(self, name: str) -> IndexInfo:
        """Compact an index and rebuild its text index, without embedding.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it, or an interrupted ingest has left it half done.
        """
        folder = IndexFolder(self.path, name)
        identity, commits = self._committed(folder)
        description = commits[-1].description
        with self.writer(name, dimensions=identity.dimensions, description=description, root=identity.root) as writer:
            return writer.rebuild()

    def has(self, name: str) -> bool:
        """Return whether any file of an index exists, committed or not."""
        return IndexFolder(self.path, name).path.exists()

    def relocate(self, name: str, root: str) -> None:
        """Record that the documents of an index lie elsewhere now.

        Raises:
            IndexMissing: no such index exists.
            ServiceError: somebody writes it.
        """
        folder = IndexFolder(self.path, name)
        with folder.lock():
            identity, _ = self._committed(folder)
            folder.create(replace(identity, root=root))

    def promote(self, name: str, alias: str) -> None:
        """Point an alias at an index, atomically; create it when missing.

        Raises:
            IndexMissing: there is no index of that name.
            DataError: the alias is no legal name, or names an index.
        """
        self._committed(IndexFolder(self.path, name))
        with self._aliases.changing() as aliases:
            check_alias(alias, [folder.name for folder in folders(self.path)])
            self._committed(IndexFolder(self.path, name))  # it may have been deleted meanwhile
            self._aliases.write({**aliases, alias: name})

    def aliases(self) -> dict[str, str]:
        """Return the index that each alias points at."""
        return self._aliases.read()

    def close(self) -> None:
        """Do nothing: no connection outlives what it was opened for."""

    def _committed(self, folder: IndexFolder) -> tuple[Identity, list[Commit]]:
        """Read what an index is, and its commits.

        Raises:
            IndexMissing: no such index exists.
        """
        identity, commits = folder.identity(), folder.commits()
        if identity is None or identity.kind != INGEST or not commits:
            raise IndexMissing(f"vector_store: there is no index {folder.name} in {self.path}; ingest first")
        return identity, commits
