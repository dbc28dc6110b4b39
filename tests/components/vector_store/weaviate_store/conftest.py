"""Databases on the test session's Weaviate server, closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from weaviate_servers import Address
from weaviate_tools import weaviate_database


@pytest.fixture
def databases(weaviate_server: Address, prefix: str) -> Iterator[Callable[..., WeaviateDatabase]]:
    """Build databases of the test's prefix, by the arguments of `weaviate_database`."""
    opened: list[WeaviateDatabase] = []

    def build(**keys: object) -> WeaviateDatabase:
        opened.append(weaviate_database(weaviate_server, prefix, **keys))  # type: ignore[arg-type]
        return opened[-1]

    yield build
    for database in opened:
        database.close()


@pytest.fixture
def database(databases: Callable[..., WeaviateDatabase]) -> WeaviateDatabase:
    """The database of a test that needs one only."""
    return databases()
