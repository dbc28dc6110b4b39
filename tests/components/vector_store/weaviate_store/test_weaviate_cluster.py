"""Three nodes, replication factor 3, QUORUM: loss and return of a node."""

import time
from typing import Any

import pytest

from ragloom.components.vector_store.weaviate_store.object_mapping import chunk_uuid
from store_child import documents
from store_tools import sync, writer
from weaviate_servers import Cluster
from weaviate_tools import weaviate_database

pytestmark = [pytest.mark.weaviate, pytest.mark.slow]
INDEX: dict[str, Any] = {"replication": 3, "type": "flat"}
CATCH_UP_SECONDS = 180


def test_node_killed_during_ingestion_loses_nothing_and_is_complete_again_when_it_is_back(
    weaviate_cluster: Cluster,
) -> None:
    """TRAPS 7, 43. Searches have no consistency level: a node that was away answers from what it has."""
    first, _, third = weaviate_cluster.nodes
    database = weaviate_database(
        first.address, "Ring", index=INDEX, timeouts={"query": 10.0, "insert": 10.0, "retry": 90.0}
    )
    target = documents(1, 400)
    wanted = {chunk.id for item in target.values() for chunk in item.chunks}
    writes = 0

    def say(step: str) -> None:
        nonlocal writes
        writes += step == "append"
        if writes == 5 and step == "append":
            third.kill()

    with writer(database) as writing:
        sync(writing, target, say=say)
    index = database.open("corpus-1")
    assert writes > 10
    assert index.vectors(sorted(wanted)).keys() == wanted  # by ids: counting hangs for some seconds after a kill
    assert len(index.lexical("w1", 50)) == 50  # queries go on
    third.restart()
    began = time.monotonic()
    back = weaviate_database(third.address, "Ring", index=INDEX).open("corpus-1")
    everything = len(wanted)
    while True:
        hits = {hit.chunk.id for hit in back.dense([1.0] * 16, everything)}
        if hits == wanted:
            break
        assert time.monotonic() - began < CATCH_UP_SECONDS, f"{len(hits)} of {everything} chunks"
        time.sleep(1)
    assert [hit.chunk.id for hit in back.lexical("w1 w2", 20)] == [hit.chunk.id for hit in index.lexical("w1 w2", 20)]
    assert all(chunk_uuid(id) for id in wanted)
    database.close()
