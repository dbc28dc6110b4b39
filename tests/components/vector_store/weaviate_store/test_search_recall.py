"""Recall of dense search on Weaviate, measured at a commit, and the `ef` that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from weaviate.classes.config import Reconfigure

from messages.weaviate import changed_on_server, less_than_wanted, recall_not_measured
from ragloom.components.vector_store import recall_probes
from ragloom.components.vector_store.weaviate_store import search_recall, search_width
from ragloom.components.vector_store.weaviate_store.collection_pair import CollectionPair
from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
from ragloom.components.vector_store.weaviate_store.recall_record import SearchRecall
from ragloom.components.vector_store.weaviate_store.search_width import AUTOMATIC, SearchWidth
from ragloom.errors import ServiceError
from store_tools import Cut, contents, cut, sync, vectors, write, writer
from weaviate_servers import Server
from weaviate_tools import weaviate_database

DOCUMENTS = 700
BAD_GRAPH = {"type": "hnsw", "max_connections": 4, "ef_construction": 4}
"""So few edges that a narrow search misses much."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_recall, "QUESTIONS", 60)
    for module in (recall_probes, search_recall):
        monkeypatch.setattr(module, "FEWEST", 40)


def corpus(count: int, first: int = 0) -> dict[str, Cut]:
    return {f"{n}.md": cut(f"{n}.md", f"document number {n} of some") for n in range(first, first + count)}


class Asking:
    """Makes a question of each text; keeps the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return vectors([f"about {text}" for text in texts])


def committed(database: WeaviateDatabase, documents: dict[str, Cut], asking: Any) -> Any:
    with writer(database) as writing:
        writing.recover()
        write(writing, documents.values())
        return writing.commit({}, asking)


def vector_config(database: WeaviateDatabase) -> Any:
    return pair_of(database).chunks.config.get().to_dict()["vectorIndexConfig"]


def ef_on_the_server(database: WeaviateDatabase) -> int:
    return int(vector_config(database)["ef"])


def pair_of(database: WeaviateDatabase) -> CollectionPair:
    labels = [label for label in database.catalog.labels() if label.index == "corpus-1" and label.part == "Chunks"]
    return database.catalog.pair(max(labels, key=lambda label: label.generation))


def true_recall(database: WeaviateDatabase, depth: int) -> float:
    """Search with other questions, and compare with every stored vector in double precision."""
    index = database.open("corpus-1")
    stored = {chunk.id: np.array(vector, dtype=np.float64) for chunk, vector in chunks_of(database)}
    matrix = np.array([vector / np.linalg.norm(vector) for vector in stored.values()])
    ids, found, due = list(stored), 0, 0
    for question in vectors([f"another question {n}" for n in range(60)]).astype(np.float64):
        best = np.argsort(-(matrix @ question))[:depth]
        found += len({ids[at] for at in best} & {hit.chunk.id for hit in index.dense(question.tolist(), depth)})
        due += depth
    return found / due


def chunks_of(database: WeaviateDatabase) -> list[Any]:
    return [(stored.row.chunk, stored.row.vector) for stored in pair_of(database).scan(None, with_vectors=True)]


@pytest.mark.weaviate
def test_ef_is_raised_until_the_recall_that_is_wanted_was_measured(
    databases: Callable[..., WeaviateDatabase],
) -> None:
    place = databases(index=BAD_GRAPH, ann_threshold=DOCUMENTS)
    info = committed(place, corpus(DOCUMENTS), Asking())
    measured = SearchRecall.of(info.dense)
    assert measured.width > AUTOMATIC
    assert measured.is_enough
    assert measured.chunks == DOCUMENTS
    assert measured.note in info.notes
    assert ef_on_the_server(place) == measured.width
    for depth, share in measured.recall.items():
        assert true_recall(place, depth) == pytest.approx(share, abs=0.04)
    assert place.open("corpus-1").info.dense == info.dense
    assert place.open("corpus-1").info.notes == (measured.note,)


@pytest.mark.weaviate
@pytest.mark.parametrize("quantization", ["bq", "rq"])
def test_more_quantised_neighbors_are_compared_in_full_until_the_recall_that_is_wanted_was_measured(
    quantization: str, databases: Callable[..., WeaviateDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_width, "RESCORE_LIMIT", SearchWidth("rescore limit", (12, 100, 400, DOCUMENTS)))
    place = databases(index={"type": "flat", "quantization": quantization}, ann_threshold=DOCUMENTS)
    info = committed(place, corpus(DOCUMENTS), Asking())
    measured = SearchRecall.of(info.dense)
    assert measured.is_enough
    assert quantization == "rq" or measured.width > 12
    assert vector_config(place)[quantization]["rescoreLimit"] == measured.width
    assert f"flat with {quantization}, rescore limit={measured.width}" in info.notes[-1]
    for depth, share in measured.recall.items():
        assert true_recall(place, depth) == pytest.approx(share, abs=0.04)


@pytest.mark.weaviate
@pytest.mark.parametrize("quantization", ["bq", "rq"])
def test_quantised_vectors_are_in_memory_and_a_thousand_are_compared_in_full(
    quantization: str, databases: Callable[..., WeaviateDatabase]
) -> None:
    place = databases(index={"type": "flat", "quantization": quantization})
    committed(place, corpus(DOCUMENTS), Asking())
    assert vector_config(place)[quantization]["cache"] is True
    assert true_recall(place, 10) == true_recall(place, 100) == 1


@pytest.mark.weaviate
def test_index_that_compared_too_few_in_full_is_changed_in_place_and_it_is_said(
    databases: Callable[..., WeaviateDatabase],
) -> None:
    """As the first versions made it: with the server's own limit, which is what a search asks for."""
    place = databases(index={"type": "flat", "quantization": "bq"})
    committed(place, corpus(DOCUMENTS), None)
    vectors = Reconfigure.VectorIndex
    bad = vectors.flat(quantizer=vectors.Quantizer.bq(rescore_limit=-1))
    pair_of(place).chunks.config.update(vector_index_config=bad)
    assert true_recall(place, 10) < 0.9
    notes = committed(place, corpus(1, DOCUMENTS), None).notes
    assert changed_on_server("the rescore limit of dense search", -1, 1000) in notes
    assert true_recall(place, 10) == 1


@pytest.mark.weaviate
def test_ef_of_a_dynamic_index_is_that_of_its_graph_and_what_is_still_flat_is_measured_each_time(
    weaviate_process: Callable[..., Server],
) -> None:
    server = weaviate_process(ASYNC_INDEXING="true", ASYNC_INDEXING_STALE_TIMEOUT="100ms")
    keys: dict[str, Any] = {"ann_threshold": 100}
    graph = {"type": "dynamic", "ef": 300}
    with closing(weaviate_database(server.address, "Dynamic", index={"type": "dynamic"}, **keys)) as place:
        asking = Asking()
        info = committed(place, corpus(200), asking)
        assert set(info.dense["recall"].values()) == {1}
        texts = len(asking.texts)
        committed(place, corpus(1, 200), asking)
        assert len(asking.texts) > texts
    with closing(weaviate_database(server.address, "Dynamic", index=graph, **keys)) as place:
        info = committed(place, corpus(1, 201), asking)
        assert vector_config(place)["hnsw"]["ef"] == info.dense["width"] == 300
        assert changed_on_server("vector_store.index.ef", AUTOMATIC, 300) in info.notes


@pytest.mark.weaviate
def test_measured_ef_stays_until_a_tenth_more_chunks_have_come(databases: Callable[..., WeaviateDatabase]) -> None:
    place = databases(index=BAD_GRAPH, ann_threshold=300)
    first = committed(place, corpus(300), Asking())
    asking = Asking()
    second = committed(place, corpus(10, 300), asking)
    assert asking.texts == []
    assert second.dense == first.dense
    assert ef_on_the_server(place) == first.dense["width"]
    assert not [note for note in second.notes if "vector_store.index.ef" in note], "nothing was set back"
    third = committed(place, corpus(30, 310), asking)
    assert asking.texts
    assert third.dense["chunks"] == 340


@pytest.mark.weaviate
def test_ef_of_the_config_stays_and_too_little_recall_is_said(databases: Callable[..., WeaviateDatabase]) -> None:
    place = databases(index=BAD_GRAPH | {"ef": 10}, ann_threshold=DOCUMENTS)
    info = committed(place, corpus(DOCUMENTS), Asking())
    assert info.dense["width"] == ef_on_the_server(place) == 10
    assert min(info.dense["recall"].values()) < 0.98
    (note,) = [note for note in info.notes if "recall@10" in note]
    assert less_than_wanted("0.98") in note


@pytest.mark.weaviate
def test_rebuilt_index_keeps_the_measured_ef(databases: Callable[..., WeaviateDatabase]) -> None:
    place = databases(index=BAD_GRAPH, ann_threshold=DOCUMENTS)
    info = committed(place, corpus(DOCUMENTS), Asking())
    place.rebuild("corpus-1")
    assert ef_on_the_server(place) == info.dense["width"]
    assert place.open("corpus-1").info.dense == info.dense


@pytest.mark.weaviate
@pytest.mark.parametrize(
    ("keys", "asking"),
    [
        ({"index": BAD_GRAPH, "ann_threshold": DOCUMENTS + 1}, Asking()),
        ({"index": {"type": "flat"}, "ann_threshold": 1}, Asking()),
        ({"index": BAD_GRAPH | {"distance": "dot"}, "ann_threshold": 1}, Asking()),
        ({"index": BAD_GRAPH, "ann_threshold": 1}, None),
    ],
    ids=["fewer chunks", "exact", "another distance", "no embedding"],
)
def test_nothing_is_measured_where_nothing_is_due(
    keys: dict[str, Any], asking: Any, databases: Callable[..., WeaviateDatabase]
) -> None:
    info = committed(databases(**keys), corpus(DOCUMENTS if "threshold" in str(keys) else 50), asking)
    assert info.dense is None
    assert asking is None or asking.texts == []


@pytest.mark.weaviate
def test_commit_stands_when_recall_cannot_be_measured_and_the_next_one_measures(
    databases: Callable[..., WeaviateDatabase],
) -> None:
    def unreachable(texts: Sequence[str]) -> np.ndarray:
        raise ServiceError("embedding: the endpoint must answer")

    place = databases(index=BAD_GRAPH, ann_threshold=100)
    documents = corpus(120)
    info = committed(place, documents, unreachable)
    assert recall_not_measured() in info.notes[0]
    assert "the endpoint must answer" in info.notes[0]
    assert set(contents(place.open("corpus-1"))) == {chunk.id for item in documents.values() for chunk in item.chunks}
    with writer(place) as writing:
        sync(writing, documents)
        again = writing.commit({}, Asking())
    assert again.dense["recall"]
    assert again.dense["reason"] is None


@pytest.mark.weaviate
def test_tenant_is_measured_and_does_not_change_the_ef_of_all(databases: Callable[..., WeaviateDatabase]) -> None:
    place = databases(index=BAD_GRAPH, ann_threshold=200, tenant="one")
    info = committed(place, corpus(200), Asking())
    assert info.dense["width"] == ef_on_the_server(place) == AUTOMATIC
    assert info.dense["recall"]
