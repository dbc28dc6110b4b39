"""Databases on a test's Weaviate server, built as the config builds them."""

from __future__ import annotations

import json
import lzma
import urllib.request
from pathlib import Path
from typing import Any

import ragloom.components.vector_store as builders
from made import defaults
from ragloom.components.vector_store.weaviate_store.collections import Place
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS
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


def unfound(database: WeaviateDatabase, name: str) -> list[Any]:
    """Returns the ids of those objects of an index, or a store, that their own vectors do not find."""
    labels = [label for label in database._labels() if label.index == name and label.part == CHUNKS]
    return lost_in(database._place(max(labels, key=lambda label: label.generation)))


def lost_in(place: Place) -> list[Any]:
    """Searches for every object by its own vector, without a filter; returns the ids of those that are not found."""
    lost = []
    for item in place.chunks.iterator(include_vector=True, return_properties=[]):
        vector: Any = item.vector["default"]
        limits = (10, 1_000)
        hits = (place.chunks.query.near_vector(vector, limit=limit, return_properties=[]).objects for limit in limits)
        if not any(item.uuid in {hit.uuid for hit in some} for some in hits):
            lost.append(item.uuid)
    return lost


def replayed(file: Path, url: str, prefix: str, root: str) -> dict[str, Any]:
    """Sends the recorded collections to a server, as those of a prefix and of documents at a place."""
    text = lzma.decompress(file.read_bytes()).decode()
    text = text.replace("Old_docs", f"{prefix}_docs").replace(
        '\\"prefix\\": \\"Old\\"', f'\\"prefix\\": \\"{prefix}\\"'
    )
    text = text.replace("/srv/shop/docs", root)
    recorded: dict[str, Any] = json.loads(text)
    for each in recorded["classes"]:
        _send(f"{url}/v1/schema", each)
    for sent in _send(f"{url}/v1/batch/objects", {"objects": recorded["objects"]}):
        assert sent["result"].get("errors") is None, sent["result"]
    return recorded


def _send(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
