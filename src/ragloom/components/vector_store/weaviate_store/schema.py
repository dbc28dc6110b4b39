"""Collections of an index: names, labels, schemas and comparison with existing ones.

An index is two collections of one generation: `chunks` with the vectors, `documents` with the manifest and the texts.
The description of a collection is its label, as JSON; a collection without a label is not ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from weaviate.exceptions import UnexpectedStatusCodeError

from ragloom.components.vector_store.index_identity import Identity
from ragloom.components.vector_store.weaviate_store.search_width import RESCORE_LIMIT
from ragloom.core.records import sha256
from ragloom.errors import DataError

CHUNKS, DOCUMENTS, LEASE = "Chunks", "Documents", "Lease"
"""Parts of an index: purposes of its collections."""
_MARK = "ragloom"
_NOT_FOUND = 404  # HTTP status of a missing collection
_FIXED = (
    "vectorizer",
    "vectorIndexType",
    "invertedIndexConfig.indexNullState",
    "invertedIndexConfig.stopwords.preset",
    "replicationConfig.factor",
    "shardingConfig.desiredCount",
)
"""Settings of a collection that cannot be changed, where its schema has them."""
_READABLE = 40  # characters of an index's name in a collection's name


@dataclass(frozen=True)
class CollectionLabel:
    """Purpose of a collection, stored in its description.

    Attributes:
        prefix: `vector_store.collection_prefix`.
        index: name of the index.
        part: `CHUNKS`, `DOCUMENTS` or `LEASE`.
        generation: from 1; a rebuilt index is the next one. Of a lease: number of takeovers.
        kind: `index_identity.INGEST` or `index_identity.STORE`.
        dimensions: of the vectors.
        code_version: of the store that created it.
        tenants: the collection is divided into tenants; an index with tenants and one without are two.
        tenant: of a lease.
        holder: of a lease.
    """

    prefix: str
    index: str
    part: str
    generation: int
    kind: str
    dimensions: int
    code_version: int
    tenants: bool
    tenant: str | None = None
    holder: dict[str, Any] | None = None

    @property
    def collection(self) -> str:
        """Name of the collection: legal for any index name, and distinct."""
        readable = re.sub(r"[^A-Za-z0-9]+", "_", self.index)[:_READABLE].strip("_")
        digest = sha256(f"{self.index}\0{self.tenants}\0{self.tenant or ''}")[:12]
        return f"{self.prefix}_{readable}_{digest}_{self.part}{self.generation}"

    @property
    def key(self) -> tuple[object, ...]:
        """Identity of the collection across its generations."""
        return self.prefix, self.index, self.part, self.tenants, self.tenant

    @property
    def source(self) -> str:
        """Name of the corpus."""
        return self.index.rpartition("-")[0] or self.index

    def identity(self, root: str = "") -> Identity:
        """Build the identity of the index, with the root of its documents."""
        return Identity(self.index, self.source, root, self.kind, self.dimensions, self.code_version)

    def description(self) -> str:
        """Serialize the label for the collection's description."""
        return json.dumps({_MARK: 1, **asdict(self)})


def read_label(collections: Any, name: str) -> CollectionLabel | None:
    """Read a collection's label; None for a missing or unlabelled collection."""
    if not collections.exists(name):
        return None
    try:
        return label_of(collections.get(name).config.get(simple=True).description)
    except UnexpectedStatusCodeError as error:
        if error.status_code == _NOT_FOUND:
            return None
        raise


def label_of(description: str | None) -> CollectionLabel | None:
    """Parse a collection's description; None for collections of other programs."""
    if not description or f'"{_MARK}"' not in description:
        return None
    try:
        values = json.loads(description)
    except ValueError:
        return None
    if not isinstance(values, dict) or values.pop(_MARK, None) != 1:
        return None
    return CollectionLabel(**values) if values.keys() == CollectionLabel.__dataclass_fields__.keys() else None


def _hidden(name: str) -> dict[str, Any]:
    return {"name": name, "dataType": ["text"], "indexFilterable": False, "indexSearchable": False}


def _equality(name: str) -> dict[str, Any]:
    return _hidden(name) | {"tokenization": "field", "indexFilterable": True}


def chunks_schema(label: CollectionLabel, index: Mapping[str, Any]) -> dict[str, Any]:
    """Build the schema of the chunks collection for Weaviate's schema API.

    Args:
        label: of the collection.
        index: `vector_store.index`.
    """
    return {
        **_common(label, index),
        "vectorIndexType": index["type"],
        "vectorIndexConfig": _vector_index(index),
        "properties": [
            _equality("document"),
            _equality("content_hash"),
            {"name": "bucket", "dataType": ["int"], "indexFilterable": True, "indexSearchable": False},
            _hidden("terms") | {"tokenization": "whitespace", "indexSearchable": True},
            _hidden("text"),
            _hidden("about"),
        ],
    }


def documents_schema(label: CollectionLabel, index: Mapping[str, Any]) -> dict[str, Any]:
    """Build the schema of the documents collection, without vectors and search."""
    return _without_vectors(label, index, "row", "content_hash", "text", "metadata")


def lease_schema(label: CollectionLabel, index: Mapping[str, Any]) -> dict[str, Any]:
    """Build the schema of a lease: one object, the heartbeat."""
    return _without_vectors(label, index, "beat")


def _without_vectors(label: CollectionLabel, index: Mapping[str, Any], *properties: str) -> dict[str, Any]:
    unindexed = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"skip": True}}
    return {**_common(label, index), **unindexed, "properties": [_hidden(name) for name in properties]}


def _common(label: CollectionLabel, index: Mapping[str, Any]) -> dict[str, Any]:
    tenants = label.tenants and label.part != LEASE
    schema: dict[str, Any] = {
        "class": label.collection,
        "description": label.description(),
        "vectorizer": "none",
        "invertedIndexConfig": {
            "bm25": {"k1": index["bm25_k1"], "b": index["bm25_b"]},
            "stopwords": {"preset": "none"},
            "indexNullState": True,
        },
        "multiTenancyConfig": {"enabled": tenants},
        "replicationConfig": {"factor": index["replication"], "asyncEnabled": index["replication"] > 1},
    }
    if not tenants:
        schema["shardingConfig"] = {"desiredCount": index["shards"] if label.part == CHUNKS else 1}
    return schema


def _vector_index(index: Mapping[str, Any]) -> dict[str, Any]:
    """Build the vector index; without quantization also against the server's default."""
    quantization = index["quantization"]
    quantized: dict[str, Any] = (
        {"skipDefaultQuantization": True} if quantization == "none" else {quantization: {"enabled": True}}
    )
    graph = {
        "distance": index["distance"],
        "ef": index["ef"],
        "efConstruction": index["ef_construction"],
        "maxConnections": index["max_connections"],
        **quantized,
    }
    flat = {"distance": index["distance"], **quantized}
    if quantization != "none":
        # Without the cache each search reads the smaller vectors from disk.
        flat[quantization] = {"enabled": True, "cache": True, "rescoreLimit": RESCORE_LIMIT.ladder[0]}
    if index["type"] == "dynamic":
        return {"distance": index["distance"], "hnsw": graph, "flat": flat}
    return graph if index["type"] == "hnsw" else flat


def demand_schema(name: str, wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """Refuse a collection with another schema; mutable settings may differ.

    Args:
        name: of the index.
        wanted: from `chunks_schema` or `documents_schema`.
        actual: from the server.

    Raises:
        DataError: names every difference.
    """
    differences = [
        f"{key} is {value} and must be {required}"
        for key, value, required in _compared(wanted, actual)
        if value != required
    ]
    if differences:
        raise DataError(
            f"vector_store: collection {wanted['class']} of index {name} has another schema: {'; '.join(differences)}; "
            "delete the index and ingest again, or choose another vector_store.collection_prefix"
        )


def _compared(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List the immutable settings as (key, value on the server, required value)."""
    rows = [(key, _at(actual, key), value) for key in _FIXED if (value := _at(wanted, key)) is not None]
    tenants = "multiTenancyConfig.enabled"
    rows.append((tenants, bool(_at(actual, tenants)), _at(wanted, tenants)))
    rows += _compared_vectors(wanted["vectorIndexConfig"], actual.get("vectorIndexConfig") or {})
    stored = {item["name"]: item for item in actual["properties"]}
    for item in wanted["properties"]:
        name = item["name"]
        if name not in stored:
            rows.append((f"property {name}", "missing", "present"))
            continue
        rows += [(f"{key} of property {name}", stored[name].get(key), value) for key, value in item.items()]
    return rows


def _compared_vectors(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    rows: list[tuple[str, Any, Any]] = []
    for key, value in wanted.items():
        if key in ("hnsw", "flat"):
            rows += _compared_vectors(value, actual.get(key) or {})
        elif key == "distance":
            rows.append((key, actual.get("distance", actual.get("distanceMetric")), value))
        elif key in ("efConstruction", "maxConnections", "skip"):
            rows.append((key, actual.get(key), value))
        elif key in ("rq", "bq", "sq"):
            rows.append((f"{key}.enabled", (actual.get(key) or {}).get("enabled", False), True))
    return rows


def _at(config: Mapping[str, Any], path: str) -> Any:
    """Return the value of a dotted path, None if missing."""
    value: Any = config
    for key in path.split("."):
        value = (value or {}).get(key)
    return value
