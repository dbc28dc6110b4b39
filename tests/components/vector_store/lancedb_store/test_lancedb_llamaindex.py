"""What LanceDB's LlamaIndex store promises beyond every store's: right BM25 after deletions, one writer, a commit."""

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from messages import wording
from messages.vector_store import being_written
from ragloom.components.vector_store.lancedb_store.index_folder import IndexFolder
from ragloom.components.vector_store.lancedb_store.lancedb_vector_store import LanceDBVectorStore
from ragloom.errors import ServiceError
from store_tools import BruteForce, Words, cut, database, fresh, node, with_vector, writer

TEXT = VectorStoreQueryMode.TEXT_SEARCH


def store(path: Path, name: str = "nodes") -> LanceDBVectorStore:
    return LanceDBVectorStore(path, name, Words())


def test_bm25_is_right_at_the_first_search_after_any_write(tmp_path: Path) -> None:
    """TRAPS 32: BM25 is silently wrong between a write and index maintenance."""
    place, state = store(tmp_path), {}
    for step in range(4):
        for n in range(step * 10, step * 10 + 10):
            state[f"{n}"] = cut(f"{n}", f"alpha {'beta ' * (n % 7)} gamma{n % 3}", 99)
        place.add([with_vector(chunk) for n in range(step * 10, step * 10 + 10) for chunk in state[f"{n}"].chunks])
        place.delete(f"{step}")
        state.pop(f"{step}", None)
        state[f"{step + 5}"] = cut(f"{step + 5}", "beta beta changed")
        place.replace(f"{step + 5}", [with_vector(chunk) for chunk in state[f"{step + 5}"].chunks])
        result = store(tmp_path).query(VectorStoreQuery(query_str="beta gamma1", similarity_top_k=9, mode=TEXT))
        expected = BruteForce(state).lexical("beta gamma1", 9)
        assert result.similarities == pytest.approx([item[2] for item in expected], rel=2e-6)


def test_store_of_an_index_reads_its_commit_whatever_is_written_later(tmp_path: Path) -> None:
    documents = {f"{n}.md": cut(f"{n}.md", f"text {n} " * 20, n=n) for n in range(4)}
    index = fresh(tmp_path, documents)
    place: Any = index.store
    expected = [hit.chunk.id for hit in index.lexical("text 2", 9)]
    with writer(database(tmp_path)) as writing:
        writing.delete(["2.md"])
        writing.commit({})
    result = place.query(VectorStoreQuery(query_str="text 2", similarity_top_k=9, mode=TEXT))
    assert list(result.ids) == expected
    assert place.count() == len(place.get_nodes()) == index.info.chunks


def test_nothing_is_created_before_the_first_add(tmp_path: Path) -> None:
    place = store(tmp_path / "none")
    place.delete("doc.md")
    place.clear()
    assert (place.count(), place.add([])) == (0, [])
    assert not (tmp_path / "none" / "nodes").exists()


def test_second_writing_process_waits_and_then_says_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragloom.components.vector_store.lancedb_store.lancedb_vector_store._LOCK_SECONDS", 0.05)
    place = store(tmp_path)
    place.add([node("a", "text")])
    with IndexFolder(tmp_path, "nodes").lock(), pytest.raises(ServiceError, match=wording(being_written())):
        store(tmp_path).add([node("b", "text")])
    assert place.count() == 1
