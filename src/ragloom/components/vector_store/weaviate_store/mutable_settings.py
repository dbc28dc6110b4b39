"""Settings of a collection for change in place: `ef` and BM25 weights."""

from __future__ import annotations

from functools import partial
from typing import Any

from weaviate.classes.config import Reconfigure

from ragloom.components.vector_store.weaviate_store.collection_setup import CollectionSetup

_BM25 = {"bm25_k1", "bm25_b"}


def update_settings(setup: CollectionSetup, measured_ef: int | None) -> list[str]:
    """Set differing settings to the config's values; describe each change.

    Args:
        measured_ef: what searches of this index were measured to need, where the config leaves `ef` open.
    """
    index = dict(setup.options.index)
    if index["ef"] == -1 and measured_ef is not None:
        index["ef"] = measured_ef
    changes = _changes(setup, index)
    if _BM25 & changes.keys():
        weights = Reconfigure.inverted_index(bm25_k1=index["bm25_k1"], bm25_b=index["bm25_b"])
        set_bm25 = partial(setup.chunks.config.update, inverted_index_config=weights)
        setup.connection.ensure("setting BM25", set_bm25, lambda: not _BM25 & _changes(setup, index).keys())
    if "ef" in changes:
        set_ef(setup, index["ef"])
    return [
        f"vector_store.index.{name} was {value} on the server and is now {index[name]}"
        for name, value in changes.items()
    ]


def set_ef(setup: CollectionSetup, ef: int) -> None:
    """Set the width of an hnsw search; -1 = the server decides."""
    index = {**setup.options.index, "ef": ef}
    change = partial(setup.chunks.config.update, vector_index_config=Reconfigure.VectorIndex.hnsw(ef=ef))
    setup.connection.ensure("setting ef", change, lambda: "ef" not in _changes(setup, index))


def _changes(setup: CollectionSetup, index: dict[str, Any]) -> dict[str, float]:
    """Read settings with other values than wanted: name -> value."""
    config: dict[str, Any] = setup.connection.call("reading a schema", lambda: setup.chunks.config.get()).to_dict()
    bm25 = config["invertedIndexConfig"]["bm25"]
    values = {"bm25_k1": bm25["k1"], "bm25_b": bm25["b"]}
    if config["vectorIndexType"] == "hnsw":
        values["ef"] = int(config["vectorIndexConfig"]["ef"])
    return {name: value for name, value in values.items() if value != index[name]}
