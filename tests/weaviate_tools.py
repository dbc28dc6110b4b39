"""Databases on a test's Weaviate server, built as the config builds them."""

from __future__ import annotations

from typing import Any

import ragloom.vector_store as builders
from made import defaults
from ragloom.vector_store.server.database import WeaviateDatabase
from store_tools import Words
from weaviate_servers import Address

FLAT = {"type": "flat"}
"""Exact dense search."""


def weaviate_database(
    address: Address,
    prefix: str,
    *,
    index: dict[str, Any] | None = None,
    timeouts: dict[str, Any] | None = None,
    batch: dict[str, Any] | None = None,
    analyzer: Any = None,
    **changed: Any,
) -> WeaviateDatabase:
    """Builds the database with the yaml's own keys, some changed; flat vectors unless told otherwise."""
    keys = defaults("vector_store", "weaviate")
    keys |= {"url": address.url, "grpc_port": address.grpc_port, "collection_prefix": prefix, **changed}
    for name, given in (("index", {**FLAT, **(index or {})}), ("timeouts", timeouts), ("batch", batch)):
        keys[name] = keys[name] | (given or {})
    made = builders.weaviate(analyzer or Words(), **keys)
    assert isinstance(made, WeaviateDatabase)
    return made
