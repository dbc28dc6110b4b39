"""Aliases of indexes, as aliases of the server."""

from __future__ import annotations

import re
from functools import partial

from ragloom.components.vector_store.weaviate_store.catalog import IndexCatalog
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS
from ragloom.core.records import sha256
from ragloom.errors import ServiceError

_MIN_VERSION = (1, 32)


class AliasTable:
    """Aliases of a database (of its tenant) for its indexes.

    Args:
        catalog: of the database.
    """

    def __init__(self, catalog: IndexCatalog) -> None:
        self._catalog = catalog
        self._connection = catalog.connection

    def read(self) -> dict[str, str]:
        """Read the index of each alias."""
        if self._connection.version < _MIN_VERSION:
            return {}
        aliases = self._connection.call("listing aliases", self._connection.client.alias.list_all)
        indexes = {label.collection: label.index for label in self._catalog.labels() if label.part == CHUNKS}
        start = self._server_name("")
        return {
            _unescaped(name.removeprefix(start)): indexes[alias.collection]
            for name, alias in sorted(aliases.items())
            if name.startswith(start) and alias.collection in indexes
        }

    def point(self, alias: str, pair: CollectionPair) -> None:
        """Create an alias for an index, or move it."""
        api, name, target = self._connection.client.alias, self._server_name(alias), pair.name(CHUNKS)

        def points() -> bool:
            return self._target(name) == target

        if self._target(name) is not None:
            move = partial(api.update, alias_name=name, new_target_collection=target)
            self._connection.ensure("moving an alias", move, points)
        else:
            create = partial(api.create, alias_name=name, target_collection=target)
            self._connection.ensure("creating an alias", create, points)

    def move(self, index: str, pair: CollectionPair) -> None:
        """Move all aliases of an index to a new generation."""
        for alias, target in self.read().items():
            if target == index:
                self.point(alias, pair)

    def remove(self, index: str) -> None:
        """Remove all aliases of an index."""
        for alias, target in self.read().items():
            if target == index:
                self._remove(self._server_name(alias))

    def demand_supported(self) -> None:
        """Refuse a server without aliases.

        Raises:
            ServiceError: the server is too old.
        """
        if self._connection.version < _MIN_VERSION:
            raise ServiceError(
                f"vector_store: {self._connection.where} must be Weaviate {'.'.join(map(str, _MIN_VERSION))} or newer "
                f"for aliases, and is {'.'.join(map(str, self._connection.version))}; update the server"
            )

    def _remove(self, name: str) -> None:
        delete = partial(self._connection.client.alias.delete, alias_name=name)
        self._connection.ensure("removing an alias", delete, lambda: self._target(name) is None)

    def _target(self, name: str) -> str | None:
        """Read the server's collection for an alias; None for a missing alias."""
        alias = self._connection.call(
            "looking for an alias", partial(self._connection.client.alias.get, alias_name=name)
        )
        return None if alias is None else alias.collection

    def _server_name(self, alias: str) -> str:
        """Build the server's name for an alias of this tenant, case encoded."""
        tenant = self._catalog.options.tenant
        scope = "" if tenant is None else f"T{sha256(tenant)[:12]}"
        return f"{self._catalog.options.prefix}_Alias{scope}_{_escaped(alias)}"


def _escaped(alias: str) -> str:
    return re.sub(r"[^a-z0-9]", lambda match: f"_{ord(match[0]):x}_", alias)


def _unescaped(text: str) -> str:
    return re.sub(r"_([0-9a-f]+)_", lambda match: chr(int(match[1], 16)), text)
