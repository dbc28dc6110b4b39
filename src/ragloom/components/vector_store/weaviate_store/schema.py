"""The collections that an index is made of: their names, their schema, and how an existing one differs.

An index is two collections of one generation: `chunks` with the vectors, `documents` with the manifest and the texts. A
collection's description says, as JSON, what it belongs to; a collection without such a description is not ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragloom.core.records import sha256
from ragloom.errors import DataError

CHUNKS, DOCUMENTS, LEASE = "Chunks", "Documents", "Lease"
"""What a collection is for."""
_MARK = "ragloom"
_GONE = 404  # HTTP status of a collection that is not there
_READABLE = 40  # characters of an index's name that are kept in a collection's


@dataclass(frozen=True)
class Label:
    """What a collection says of itself in its description.

    Attributes:
        prefix: `vector_store.collection_prefix`.
        index: name of the index.
        part: `CHUNKS`, `DOCUMENTS` or `LEASE`.
        generation: from 1; a rebuilt index is the next one. Of a lease: how often it was taken over.
        kind: `identity.INGEST` or `identity.STORE`.
        dimensions: of the vectors.
        code_version: of the store that created it.
        tenants: the collection is divided into tenants; an index with and one without are two.
        tenant: of a lease, what it is held for.
        holder: of a lease, who holds it.
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
        """The collection's name: legal for any index name, and different for different ones."""
        readable = re.sub(r"[^A-Za-z0-9]+", "_", self.index)[:_READABLE].strip("_")
        digest = sha256(f"{self.index}\0{self.tenants}\0{self.tenant or ''}")[:12]
        return f"{self.prefix}_{readable}_{digest}_{self.part}{self.generation}"

    def description(self) -> str:
        """The collection's description."""
        return json.dumps({_MARK: 1, **asdict(self)})


def read_label(collections: Any, name: str) -> Label | None:
    """Read what a collection says of itself; None where there is none, also if it is removed meanwhile."""
    from weaviate.exceptions import UnexpectedStatusCodeError

    if not collections.exists(name):
        return None
    try:
        return label_of(collections.get(name).config.get(simple=True).description)
    except UnexpectedStatusCodeError as error:
        if error.status_code == _GONE:
            return None
        raise


def label_of(description: str | None) -> Label | None:
    """Reads a collection's description; None for collections that are not ours."""
    if not description or f'"{_MARK}"' not in description:
        return None
    try:
        told = json.loads(description)
    except ValueError:
        return None
    if not isinstance(told, dict) or told.pop(_MARK, None) != 1 or told.keys() != Label.__dataclass_fields__.keys():
        return None
    return Label(**told)


def _hidden(name: str) -> dict[str, Any]:
    return {"name": name, "dataType": ["text"], "indexFilterable": False, "indexSearchable": False}


def _equality(name: str, kind: str = "text") -> dict[str, Any]:
    return {
        "name": name,
        "dataType": [kind],
        "tokenization": "field",
        "indexFilterable": True,
        "indexSearchable": False,
    }


def metadata_property(name: str, kind: str) -> dict[str, Any]:
    """Describes the property of a metadata column: compared by equality and order, never searched."""
    return _equality(name, kind)


def chunks_schema(label: Label, index: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the chunks' collection, as Weaviate's schema API takes it.

    Args:
        label: what it belongs to.
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
            {
                "name": "terms",
                "dataType": ["text"],
                "tokenization": "whitespace",
                "indexFilterable": False,
                "indexSearchable": True,
            },
            _hidden("text"),
            _hidden("about"),
        ],
    }


def documents_schema(label: Label, index: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the documents' collection: nothing in it is searched, objects are fetched by id."""
    return {
        **_common(label, index),
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"skip": True},
        "properties": [
            _hidden("row"),
            _hidden("content_hash"),
            _hidden("text"),
            _hidden("metadata"),
        ],
    }


def lease_schema(label: Label, index: Mapping[str, Any]) -> dict[str, Any]:
    """Describes a lease: a collection whose creation only one of several can win, with one object, the heartbeat."""
    return {
        **_common(label, index),
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"skip": True},
        "properties": [_hidden("beat")],
    }


def _common(label: Label, index: Mapping[str, Any]) -> dict[str, Any]:
    tenants = label.tenants and label.part != LEASE
    made: dict[str, Any] = {
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
        made["shardingConfig"] = {"desiredCount": index["shards"] if label.part == CHUNKS else 1}
    return made


def _vector_index(index: Mapping[str, Any]) -> dict[str, Any]:
    """Describes the vector index; without quantisation also where the server's default is one."""
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
    if index["type"] == "dynamic":
        return {"distance": index["distance"], "hnsw": graph, "flat": flat}
    return graph if index["type"] == "hnsw" else flat


def demand_schema(name: str, wanted: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Refuses a collection whose schema is another one than asked for; mutable settings aside.

    Args:
        name: the index.
        wanted: as `chunks_schema` or `documents_schema` made it.
        there: as the server tells it.

    Raises:
        DataError: names every difference.
    """
    differs = [
        f"{what} is {there_is} and must be {must_be}"
        for what, there_is, must_be in _compared(wanted, there)
        if there_is != must_be
    ]
    if differs:
        raise DataError(
            f"vector_store: collection {wanted['class']} of index {name} has another schema: {'; '.join(differs)}; "
            "delete the index and ingest again, or choose another vector_store.collection_prefix"
        )


def _compared(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    inverted, asked = there["invertedIndexConfig"], wanted["invertedIndexConfig"]
    rows = [
        ("vectorizer", there.get("vectorizer"), "none"),
        ("vectorIndexType", there.get("vectorIndexType"), wanted["vectorIndexType"]),
        ("indexNullState", inverted.get("indexNullState"), asked["indexNullState"]),
        ("stopwords.preset", (inverted.get("stopwords") or {}).get("preset"), asked["stopwords"]["preset"]),
        (
            "multiTenancyConfig.enabled",
            (there.get("multiTenancyConfig") or {}).get("enabled", False),
            wanted["multiTenancyConfig"]["enabled"],
        ),
        ("replicationConfig.factor", there["replicationConfig"]["factor"], wanted["replicationConfig"]["factor"]),
    ]
    if "shardingConfig" in wanted:
        shards = (there.get("shardingConfig") or {}).get("desiredCount")
        rows.append(("shardingConfig.desiredCount", shards, wanted["shardingConfig"]["desiredCount"]))
    rows += _compared_vectors(wanted["vectorIndexConfig"], there.get("vectorIndexConfig") or {})
    stored = {item["name"]: item for item in there["properties"]}
    for item in wanted["properties"]:
        found = stored.get(item["name"])
        if found is None:
            rows.append((f"property {item['name']}", "missing", "there"))
            continue
        for key in ("dataType", "tokenization", "indexFilterable", "indexSearchable"):
            if key in item:
                rows.append((f"{key} of property {item['name']}", found.get(key), item[key]))
    return rows


def _compared_vectors(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    rows: list[tuple[str, Any, Any]] = []
    for key, value in wanted.items():
        if key in ("hnsw", "flat"):
            rows += _compared_vectors(value, there.get(key) or {})
        elif key == "distance":
            rows.append((key, there.get("distance", there.get("distanceMetric")), value))
        elif key in ("efConstruction", "maxConnections", "skip"):
            rows.append((key, there.get(key), value))
        elif key in ("rq", "bq", "sq"):
            rows.append((f"{key}.enabled", (there.get(key) or {}).get("enabled", False), True))
    return rows
