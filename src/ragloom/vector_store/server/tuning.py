"""Settings of a collection that can be changed in place: how deep a graph search goes, how BM25 weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weaviate.classes.config import Reconfigure

if TYPE_CHECKING:
    from ragloom.vector_store.server.place import Place


def update(place: Place) -> list[str]:
    """Sets what differs from the config; returns a sentence for each change."""
    told: dict[str, Any] = place.connection.call("reading a schema", lambda: place.chunks.config.get()).to_dict()
    index = place.options.index
    bm25 = told["invertedIndexConfig"]["bm25"]
    changed = [
        (name, was, index[name])
        for name, was in (("bm25_k1", bm25["k1"]), ("bm25_b", bm25["b"]), ("ef", _ef(told)))
        if was is not None and was != index[name]
    ]
    names = {name for name, *_ in changed}
    if names & {"bm25_k1", "bm25_b"}:
        wanted = Reconfigure.inverted_index(bm25_k1=index["bm25_k1"], bm25_b=index["bm25_b"])
        place.connection.call("setting BM25", lambda: place.chunks.config.update(inverted_index_config=wanted))
    if "ef" in names:
        vectors = Reconfigure.VectorIndex.hnsw(ef=index["ef"])
        place.connection.call("setting ef", lambda: place.chunks.config.update(vector_index_config=vectors))
    return [f"vector_store.index.{name} was {was} on the server and is now {now}" for name, was, now in changed]


def _ef(told: dict[str, Any]) -> int | None:
    return int(told["vectorIndexConfig"]["ef"]) if told["vectorIndexType"] == "hnsw" else None
