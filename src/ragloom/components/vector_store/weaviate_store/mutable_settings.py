"""Settings of a collection that can be changed in place: how deep a graph search goes, how BM25 weighs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from weaviate.classes.config import Reconfigure

if TYPE_CHECKING:
    from ragloom.components.vector_store.weaviate_store.collections import Place

_BM25 = {"bm25_k1", "bm25_b"}


def update(place: Place) -> list[str]:
    """Sets what differs from the config; returns a sentence for each change."""
    index, changed = place.options.index, _changed(place)
    names = {name for name, *_ in changed}
    if names & _BM25:
        wanted = Reconfigure.inverted_index(bm25_k1=index["bm25_k1"], bm25_b=index["bm25_b"])
        set_bm25 = partial(place.chunks.config.update, inverted_index_config=wanted)
        place.connection.ensure("setting BM25", set_bm25, lambda: not _BM25 & {name for name, *_ in _changed(place)})
    if "ef" in names:
        vectors = Reconfigure.VectorIndex.hnsw(ef=index["ef"])
        set_ef = partial(place.chunks.config.update, vector_index_config=vectors)
        place.connection.ensure("setting ef", set_ef, lambda: "ef" not in {name for name, *_ in _changed(place)})
    return [f"vector_store.index.{name} was {was} on the server and is now {now}" for name, was, now in changed]


def _changed(place: Place) -> list[tuple[str, float, float]]:
    """Lists what differs on the server: name, value there, value of the config."""
    told: dict[str, Any] = place.connection.call("reading a schema", lambda: place.chunks.config.get()).to_dict()
    index = place.options.index
    bm25 = told["invertedIndexConfig"]["bm25"]
    return [
        (name, was, index[name])
        for name, was in (("bm25_k1", bm25["k1"]), ("bm25_b", bm25["b"]), ("ef", _ef(told)))
        if was is not None and was != index[name]
    ]


def _ef(told: dict[str, Any]) -> int | None:
    return int(told["vectorIndexConfig"]["ef"]) if told["vectorIndexType"] == "hnsw" else None
