"""Settings for change in place: the width of dense searches, BM25 weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from weaviate.classes.config import Reconfigure

from ragloom.components.vector_store.weaviate_store.collection_setup import CollectionSetup
from ragloom.components.vector_store.weaviate_store.search_width import EF, SearchWidth, width_of

_BM25 = ("bm25_k1", "bm25_b")


def update_settings(setup: CollectionSetup, measured: int | None) -> list[str]:
    """Set differing settings to the config's values; describe each change.

    Args:
        measured: width that searches of this index were measured to need, where the config leaves it open.
    """
    index = setup.options.index
    wanted: dict[str, float] = {name: index[name] for name in _BM25}
    width = width_of(index)
    if width is not None:
        wanted[width.name] = width.wanted(index, measured)
    current = _settings(setup)
    changed = [name for name, new in wanted.items() if current[name] != new]
    if any(name in changed for name in _BM25):
        weights = Reconfigure.inverted_index(bm25_k1=wanted["bm25_k1"], bm25_b=wanted["bm25_b"])
        set_bm25 = partial(setup.chunks.config.update, inverted_index_config=weights)
        setup.connection.ensure("setting BM25", set_bm25, partial(_are_set, setup, _BM25, wanted))
    if width is not None and width.name in changed:
        set_width(setup, width, width.wanted(index, measured))
    keys = {name: f"vector_store.index.{name}" if name in index else f"the {name} of dense search" for name in changed}
    return [f"{keys[name]} was {current[name]} on the server and is now {wanted[name]}" for name in changed]


def set_width(setup: CollectionSetup, width: SearchWidth, value: int) -> None:
    """Set the width of dense searches."""
    index = setup.options.index
    vectors = Reconfigure.VectorIndex
    if width is EF:
        graph = vectors.hnsw(ef=value)
        change: Any = graph if index["type"] == "hnsw" else vectors.dynamic(hnsw=graph)
    else:
        change = vectors.flat(quantizer=getattr(vectors.Quantizer, index["quantization"])(rescore_limit=value))
    update = partial(setup.chunks.config.update, vector_index_config=change)
    setup.connection.ensure(
        f"setting {width.name}", update, partial(_are_set, setup, [width.name], {width.name: value})
    )


def _are_set(setup: CollectionSetup, names: Iterable[str], wanted: Mapping[str, float]) -> bool:
    current = _settings(setup)
    return all(current[name] == wanted[name] for name in names)


def _settings(setup: CollectionSetup) -> dict[str, float]:
    """Read the settings on the server: name -> value."""
    config: dict[str, Any] = setup.connection.call("reading a schema", lambda: setup.chunks.config.get()).to_dict()
    bm25, vectors = config["invertedIndexConfig"]["bm25"], config["vectorIndexConfig"]
    values = {"bm25_k1": bm25["k1"], "bm25_b": bm25["b"]}
    index = setup.options.index
    width = width_of(index)
    if width is EF:
        values[EF.name] = int((vectors if index["type"] == "hnsw" else vectors["hnsw"])["ef"])
    elif width is not None:
        values[width.name] = int(vectors[index["quantization"]]["rescoreLimit"])
    return values
