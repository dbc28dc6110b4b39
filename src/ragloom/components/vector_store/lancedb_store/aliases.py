"""Aliases of a LanceDB folder: names of indexes, in one small file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ragloom.components.vector_store.lancedb_store.index_folder import locked, read_file, replace_file, writing
from ragloom.errors import DataError

_FILE = ".aliases.json"  # no index has a folder of this name: those begin with a letter or a digit
_LOCK_SECONDS = 30.0


class Aliases:
    """Aliases of a database, in a file created with the first alias.

    Args:
        base: the database's folder.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    def read(self) -> dict[str, str]:
        """Return the index that each alias points at, by alias.

        Raises:
            ServiceError: the file cannot be read.
            DataError: it is damaged.
        """
        file = self._base / _FILE
        try:
            content = read_file(file, missing={})
        except ValueError:
            content = None
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
            raise DataError(f"vector_store: {file} is damaged; delete it, and promote the indexes again")
        return dict(sorted(content.items()))

    @contextmanager
    def changing(self) -> Iterator[dict[str, str]]:
        """Lock the aliases and yield them; `write` replaces them.

        Raises:
            ServiceError: somebody else does not finish, or the folder cannot be written.
        """
        busy = f"the aliases in {self._base} are being changed by another process for over {_LOCK_SECONDS:g} s; end it"
        with locked(self._base / ".locks" / _FILE, self._base, _LOCK_SECONDS, lambda: busy):
            yield self.read()

    def write(self, aliases: Mapping[str, str]) -> None:
        """Replace the aliases in one atomic step; inside `changing` only."""
        if dict(aliases) != self.read():
            with writing(self._base):
                replace_file(self._base / _FILE, dict(aliases))
