"""Databases on a test's Weaviate server, a fake clock, and checks of errors and lost objects."""

from __future__ import annotations

import json
import lzma
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ragloom.components.vector_store as builders
from made import defaults
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS
from ragloom.errors import RagloomError, ServiceError
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
    """Build a database from the yaml's keys and changes; vectors are flat by default."""
    keys = defaults("vector_store", "weaviate")
    keys |= {"url": address.url, "grpc_port": address.grpc_port, "collection_prefix": prefix, **changed}
    for name, changes in (("index", {**FLAT, **(index or {})}), ("timeouts", timeouts), ("batch", batch)):
        keys[name] = keys[name] | (changes or {})
    database = builders.weaviate(analyzer or Words(), **keys)
    assert isinstance(database, WeaviateDatabase)
    return database


class FakeClock:
    """Replacement for the module `time` in a tested module: sleeping takes no time.

    Attributes:
        delays: seconds of each sleep.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.delays: list[float] = []

    def monotonic(self) -> float:
        """Return the seconds slept so far, plus what a test has added to `now`."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance the time."""
        self.delays.append(seconds)
        self.now += seconds


def error_line(function: Callable[[], object], kind: type[RagloomError] = ServiceError) -> str:
    """Return the single line of an expected error."""
    with pytest.raises(kind) as caught:
        function()
    (line,) = caught.value.problems
    assert "\n" not in line
    assert line.startswith("vector_store: ")
    return line


def unfound(database: WeaviateDatabase, name: str) -> list[Any]:
    """Return the ids of an index's or a store's objects out of reach of their own vectors."""
    labels = [label for label in database.catalog.labels() if label.index == name and label.part == CHUNKS]
    return lost_in(database.catalog.pair(max(labels, key=lambda label: label.generation)))


def lost_in(pair: CollectionPair) -> list[Any]:
    """Return the ids of objects out of reach of an unfiltered search by their own vectors."""
    lost = []
    for item in pair.chunks.iterator(include_vector=True, return_properties=[]):
        vector: Any = item.vector["default"]
        limits = (10, 1_000)
        hits = (pair.chunks.query.near_vector(vector, limit=limit, return_properties=[]).objects for limit in limits)
        if not any(item.uuid in {hit.uuid for hit in some} for some in hits):
            lost.append(item.uuid)
    return lost


def replayed(file: Path, url: str, prefix: str, root: str) -> dict[str, Any]:
    """Send recorded collections to a server, with another prefix and root of documents."""
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
