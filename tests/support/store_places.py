"""The places that the contract suite runs on: a LanceDB folder, a Weaviate server, an embedded Weaviate.

A test asks for `place`, its own place, or for `shared`, one that the tests of its module share and only read. Both
are given for each store in turn.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

import ragloom.components.vector_store as builders
from made import defaults
from ragloom.components.vector_store.llama_index_store import NodeStore
from ragloom.components.vector_store.protocols import Database, Index
from store_tools import Cut, Words, fresh

STORES = [
    "lancedb",
    pytest.param("weaviate", marks=pytest.mark.weaviate),
    pytest.param("weaviate_embedded", marks=pytest.mark.weaviate),
]


class Place(ABC):
    """A place of one store that begins empty.

    Attributes:
        option, keys: of the builder that opens it, also from another process.
    """

    def __init__(self, option: str, keys: dict[str, Any]) -> None:
        self.option, self.keys = option, {**defaults("vector_store", option), **keys}
        self._built: list[Database] = []

    @abstractmethod
    def nodes(self, name: str = "nodes", analyzer: Any = None) -> NodeStore:
        """Makes a LlamaIndex store of this place."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """Names everything that is kept there."""

    def another(self, analyzer: Any = None) -> Database:
        """Builds a database of this place, with its own connections."""
        made: Database = getattr(builders, self.option)(analyzer or Words(), **self.keys)
        self._built.append(made)
        return made

    @cached_property
    def database(self) -> Database:
        """The database of this place that most tests use."""
        return self.another()

    def fresh(self, documents: Mapping[str, Cut], name: str = "corpus-1") -> Index:
        """Builds an index of documents in one go and opens it."""
        return fresh(self.database, documents, name)

    def clear(self) -> None:
        """Removes what the test left, and lets go of it."""
        for made in self._built:
            made.close()


class _Folder(Place):
    def nodes(self, name: str = "nodes", analyzer: Any = None) -> NodeStore:
        from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore

        return LanceDBVectorStore(self.keys["path"], name, analyzer or Words())

    def leftovers(self) -> list[str]:
        files = [file for file in Path(self.keys["path"]).rglob("*") if file.is_file() and ".locks" not in file.parts]
        return [file.name for file in files if file.read_bytes() != b"{}"]


class _OnServer(Place):
    """Collections of a prefix of their own, with flat vectors: dense search is exact then."""

    def __init__(self, option: str, keys: dict[str, Any]) -> None:
        index = {**defaults("vector_store", option)["index"], "type": "flat"}
        super().__init__(option, {**keys, "collection_prefix": f"T{secrets.token_hex(5)}", "index": index})

    def nodes(self, name: str = "nodes", analyzer: Any = None) -> NodeStore:
        from ragloom.components.vector_store.weaviate_store.weaviate_vector_store import WeaviateVectorStore

        database = self.database if analyzer is None else self.another(analyzer)
        return WeaviateVectorStore(database, name)  # type: ignore[arg-type]

    def leftovers(self) -> list[str]:
        return [*self._named(self._client.alias), *self._named(self._client.collections)]

    def clear(self) -> None:
        for name in self._named(self._client.alias):
            self._client.alias.delete(alias_name=name)
        self._client.collections.delete(self._named(self._client.collections))
        super().clear()

    @property
    def _client(self) -> Any:
        return self.database.connection.client  # type: ignore[attr-defined]

    def _named(self, listing: Any) -> list[str]:
        return [name for name in listing.list_all() if name.startswith(self.keys["collection_prefix"])]


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What makes places of one store: a function without arguments."""
    if request.param == "lancedb":
        yield lambda: _Folder("lancedb", {"path": str(tmp_path_factory.mktemp("store"))})
    elif request.param == "weaviate":
        address = request.getfixturevalue("weaviate_server")
        yield lambda: _OnServer("weaviate", {"url": address.url, "grpc_port": address.grpc_port})
    else:
        executable = request.getfixturevalue("weaviate_executable")
        keys = {"path": str(tmp_path_factory.mktemp("embedded")), "binary_path": str(executable)}
        keeper = _OnServer("weaviate_embedded", keys)
        assert keeper.leftovers() == []  # the server runs from here on, until the module's tests are done
        yield lambda: _OnServer("weaviate_embedded", keys)
        keeper.clear()


@pytest.fixture
def place(store: Any) -> Iterator[Place]:
    """A place of the test's own."""
    made = store()
    yield made
    made.clear()


@pytest.fixture(scope="module")
def shared(store: Any) -> Iterator[Place]:
    """A place that the tests of a module share; they only read what is there."""
    made = store()
    yield made
    made.clear()
