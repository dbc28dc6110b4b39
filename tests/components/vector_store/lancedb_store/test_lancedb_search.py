"""What LanceDB promises beyond every store: BM25 as of a fresh index after every commit, whatever came before it."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ragloom.components.vector_store.lancedb_store import search, tables
from ragloom.components.vector_store.protocols import Index
from store_tools import (
    BruteForce,
    Words,
    assert_same_ranking,
    cut,
    database,
    fresh,
    ranking,
    rounds,
    sentence,
    sync,
    vectors,
    write,
    writer,
)

CORPUS = {f"{n:03}.md": cut(f"{n:03}.md", sentence(random.Random(n), 60), n=n) for n in range(150)}
QUERIES = [sentence(random.Random(10_000 + seed), 5) for seed in range(40)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return fresh(tmp_path_factory.mktemp("store"), CORPUS)


def test_bm25_is_the_same_fresh_and_after_rounds_of_add_change_and_delete(tmp_path: Path, index: Index) -> None:
    """TRAPS 32: after deletions BM25 stays wrong until the text index is rebuilt. Ids and scores are equal."""
    worn = rounds(database(tmp_path), CORPUS, 8, seed=3)
    assert [ranking(worn.lexical(query, 10)) for query in QUERIES] == [
        ranking(index.lexical(query, 10)) for query in QUERIES
    ]


@pytest.mark.parametrize("change", ["delete", "replace", "shorten to nothing"])
def test_bm25_is_right_after_a_change_too_small_for_the_engine_to_mend(tmp_path: Path, change: str) -> None:
    """TRAPS 32: after deleting 5 % `optimize()` leaves 216 of 300 rankings wrong; a commit rebuilds the index."""
    place, state = database(tmp_path), dict(CORPUS)
    fresh(tmp_path, CORPUS)
    few = sorted(CORPUS)[:5]
    for id in few:
        state[id] = cut(id, sentence(random.Random(id), 9) if change == "replace" else "")
        if change == "delete":
            del state[id]
    with writer(place) as writing:
        sync(writing, state)
    again = fresh(tmp_path / "fresh", state)
    for query in QUERIES:
        assert ranking(place.open("corpus-1").lexical(query, 10)) == ranking(again.lexical(query, 10))


@pytest.mark.slow
def test_bm25_is_equal_to_the_last_bit_after_appends_alone(tmp_path: Path, index: Index) -> None:
    """TRAPS 32: rows that only `optimize()` has folded in count as those of a fresh index."""
    place = database(tmp_path)
    items = list(CORPUS.values())
    with writer(place) as writing:
        for start in range(0, len(items), 10):
            write(writing, items[start : start + 10])
            writing.commit({})
    worn = place.open("corpus-1")
    assert [ranking(worn.lexical(query, 10)) for query in QUERIES] == [
        ranking(index.lexical(query, 10)) for query in QUERIES
    ]


def test_deleting_a_few_rows_makes_the_engines_own_bm25_wrong_and_rebuild_mends_it(tmp_path: Path) -> None:
    """TRAPS 32, lancedb 0.40: the reason why a commit rebuilds; when this fails, the rebuild may go."""
    fresh(tmp_path, CORPUS)
    table = tables.open_table(tables.connect(tmp_path / "corpus-1"), "chunks")
    table.delete("document < '007.md'")
    table.optimize()
    left = BruteForce({id: item for id, item in CORPUS.items() if id >= "007.md"})

    def wrong() -> int:
        asked = search.ChunkSearch(table, 16, Words(), tmp_path)
        count = 0
        for query in QUERIES:
            found = [row.score for row in asked.lexical(query, 10, search.Scope())]
            expected = [score for _, _, score in left.lexical(query, 10)]
            count += not np.allclose(found, expected, rtol=2e-6)
        return count

    assert wrong() > 0
    tables.maintain(table, rebuild_terms=True)
    assert wrong() == 0


documents = st.dictionaries(
    st.sampled_from([f"{n}.md" for n in range(8)]),
    st.lists(st.sampled_from(["a", "b", "c", "가", "it's"]), max_size=8).map(" ".join),
    max_size=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents, min_size=1, max_size=3), st.lists(st.sampled_from(["a", "b", "가", "z"]), max_size=4))
@pytest.mark.slow
def test_any_history_of_ingests_answers_as_brute_force(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, str]], query: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    for state in history:
        target = {id: cut(id, text, 3) for id, text in state.items()}
        with writer(database(folder)) as writing:
            sync(writing, target)
        index, expected = database(folder).open("corpus-1"), BruteForce(target)
        assert_same_ranking(ranking(index.lexical(" ".join(query), 5)), expected.lexical(" ".join(query), 5))
        assert index.info.chunks == len(expected.chunks)
        if expected.chunks:
            vector = vectors(["question"])[0].tolist()
            assert_same_ranking(ranking(index.dense(vector, 5)), expected.dense(vector, 5))
