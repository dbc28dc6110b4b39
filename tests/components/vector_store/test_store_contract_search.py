"""What every store promises of searches: equal to brute force, complete, in one order, filtered before the search."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from ragloom.components.vector_store.protocols import Index
from ragloom.errors import DataError
from store_tools import (
    BruteForce,
    assert_same_ranking,
    cut,
    fresh,
    ranking,
    rounds,
    sentence,
    store,
    sync,
    vectors,
    write,
    writer,
)

if TYPE_CHECKING:
    from store_places import Place

pytest_plugins = ["store_places"]

CORPUS = {f"{n:03}.md": cut(f"{n:03}.md", sentence(random.Random(n), 60), n=n) for n in range(150)}
QUERIES = [sentence(random.Random(10_000 + seed), 5) for seed in range(40)]
SPECIAL = ["Word", "word", "WORD", "+x", "-y", "AND", "OR", "NOT", "a:b", "(foo", "bar)", '"q"', "~", "*", "b*", "\\"]
SPECIAL += ["'", "''", "[a", "^2", "the", "running", "run", "café", "cafe", "한국", "계약서를", "x" * 41, "y" * 1000]
SPECIAL += ["a\u3000b", "ß", "ss", "{", "&&"]


@pytest.fixture(scope="module")
def index(shared: "Place") -> Index:
    return shared.fresh(CORPUS)


@pytest.fixture(scope="module")
def brute() -> BruteForce:
    return BruteForce(CORPUS)


@pytest.mark.parametrize("k", [1, 10, 100, 5000])
@pytest.mark.slow
def test_bm25_equals_brute_force(index: Index, brute: BruteForce, k: int) -> None:
    """Scores to a relative 2e-6 (the engines' are 32-bit), places exactly wherever scores differ by more."""
    for query in QUERIES:
        assert_same_ranking(ranking(index.lexical(query, k)), brute.lexical(query, k))


@pytest.mark.parametrize("k", [1, 10, 100, 5000])
@pytest.mark.slow
def test_dense_equals_brute_force(index: Index, brute: BruteForce, k: int) -> None:
    """Cosine similarities to 1e-6 of NumPy's in double precision."""
    for query in QUERIES:
        vector = (vectors([query])[0] * 3).tolist()  # its length does not matter
        assert_same_ranking(ranking(index.dense(vector, k)), brute.dense(vector, k))


def test_dense_scores_are_cosines_from_minus_one_to_one(index: Index) -> None:
    vector = vectors([next(iter(CORPUS.values())).chunks[0].text])[0]
    assert index.dense(vector.tolist(), 1)[0].score == pytest.approx(1, abs=1e-6)
    scores = [hit.score for hit in index.dense((-vector).tolist(), 5000)]
    assert scores[-1] == pytest.approx(-1, abs=1e-6)
    assert all(-1 <= score <= 1 for score in scores)


def test_term_that_stands_twice_in_the_query_counts_twice(index: Index) -> None:
    once = {hit.chunk.id: hit.score for hit in index.lexical("w3", 5000)}
    twice = {hit.chunk.id: hit.score for hit in index.lexical("w3 w3", 5000)}
    assert twice == {id: pytest.approx(2 * score, rel=1e-6) for id, score in once.items()}


def test_terms_are_found_as_the_analyzer_made_them_and_nothing_in_them_is_syntax(place: "Place") -> None:
    """TRAPS 6: no stemming, folding, stop words or longest term (LanceDB's defaults have all of them, and 40)."""

    class AsTheyAre:
        def terms(self, text: str) -> list[str]:
            return text.split()

    database = place.another(AsTheyAre())
    index = fresh(database, {f"{n}": cut(f"{n}", term, 99) for n, term in enumerate(SPECIAL)})
    for n, term in enumerate(SPECIAL):
        assert [hit.chunk.document for hit in index.lexical(term, 10)] == [f"{n}"], term
    assert len(index.lexical(" ".join(SPECIAL), 99)) == len(SPECIAL)


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_query_without_terms_finds_nothing(index: Index, query: str) -> None:
    assert index.lexical(query, 5) == []


def test_unknown_term_finds_nothing(index: Index) -> None:
    assert index.lexical("nosuchterm", 5) == []


def test_empty_index_finds_nothing(place: "Place") -> None:
    empty = place.fresh({})
    assert empty.lexical("w1", 5) == []
    assert empty.dense([1.0] * 16, 5) == []
    assert empty.store.get_nodes() == []  # type: ignore[attr-defined]


def test_zero_vector_finds_nothing_and_is_not_found_but_comes_back(place: "Place") -> None:
    """A vector of zeros has no direction: its cosine is NaN."""
    items = [cut("zero.md", "zero"), cut("one.md", "one")]
    with writer(place.database) as writing:
        found = np.array([[0.0] * 16, [1.0] * 16], dtype=np.float32)
        store(writing, [item.row for item in items], [item.chunks[0] for item in items], found, ["", ""])
        writing.commit({})
    index = place.database.open("corpus-1")
    assert [hit.chunk.document for hit in index.dense([1.0] * 16, 5)] == ["one.md"]
    assert index.dense([0.0] * 16, 5) == []
    (hit,) = index.lexical("zero", 5, with_vectors=True)
    assert hit.vector == index.vectors([hit.chunk.id])[hit.chunk.id] == [0.0] * 16


@pytest.mark.parametrize(
    ("vector", "message"), [([1.0] * 15, "has 15 dimensions and the index 16"), ([np.nan] * 16, "NaN")]
)
def test_query_vector_that_does_not_fit_is_refused(index: Index, vector: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        index.dense(vector, 5)


def test_equal_scores_are_ordered_by_document_and_start_and_complete_at_the_cut(place: "Place") -> None:
    """TRAPS 44: the order of equal scores alone moved recall from 75.0 to 76.1."""
    ids = [f"{n}.md" for n in range(300)]
    shuffled = random.Random(5).sample(ids, len(ids))
    documents = {id: cut(id, "same words " * 12, 12) for id in shuffled}
    documents["best.md"] = cut("best.md", "same")
    index = place.fresh(documents)
    expected = [(id, start) for id in sorted(ids) for start in (0, 66)]
    for k in (1, 2, 7, 16, 17, 100, 599, 600):
        assert [(hit.chunk.document, hit.chunk.start) for hit in index.lexical("words", k)] == expected[:k]
        vector = vectors([documents["0.md"].chunks[0].text])[0].tolist()
        found = [(hit.chunk.document, hit.chunk.start) for hit in index.dense(vector, k)]
        assert found == expected[:k]
        for matches in (index.lexical_matches("words", k), index.dense_matches(vector, k)):
            chunks = index.load([match.key for match in matches])
            assert [(item.document, item.start) for item in chunks] == expected[:k]


@pytest.mark.parametrize("k", [1, 10, 600])
def test_matches_are_the_hits_without_their_chunks_which_load_reads(index: Index, k: int) -> None:
    for query in QUERIES[:10]:
        vector = vectors([query])[0].tolist()
        some = _where("<", 20)
        for hits, matches in (
            (index.dense(vector, k), index.dense_matches(vector, k)),
            (index.lexical(query, k), index.lexical_matches(query, k)),
            (index.dense(vector, k, some), index.dense_matches(vector, k, some)),
            (index.lexical(query, k, some), index.lexical_matches(query, k, some)),
        ):
            assert [match.score for match in matches] == [hit.score for hit in hits]
            assert index.load([match.key for match in matches]) == [hit.chunk for hit in hits]
            assert index.load([match.key for match in matches][::-3]) == [hit.chunk for hit in hits][::-3]


def _where(operator: str, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="n", operator=FilterOperator(operator), value=value)])


@pytest.mark.parametrize("arm", ["dense", "lexical"])
def test_filters_and_documents_hold_before_the_search_on_both_arms(index: Index, arm: str) -> None:
    """TRAPS 5: k chunks of those that pass, not those of the k best that pass; filters and doc_ids together."""

    def ask(k: int, *scope: Any) -> list[tuple[str, int, float]]:
        query: Any = vectors(["w1"])[0].tolist() if arm == "dense" else "w1 w2 w3"
        return ranking(getattr(index, arm)(query, k, *scope))

    everything = ask(5000)
    assert ask(7, _where("<", 20)) == [item for item in everything if item[0] < "020.md"][:7]
    some = ["001.md", "025.md", "it's none"]
    assert ask(50, None, some) == [item for item in everything if item[0] in some]
    assert ask(50, _where("<", 20), some) == [item for item in everything if item[0] == "001.md"]
    assert ask(5, None, []) == []
    assert ask(5, _where("==", "20")) == []
    assert ask(5000, MetadataFilters(filters=[])) == everything


def test_vectors_come_only_when_asked_for(index: Index) -> None:
    assert [hit.vector for hit in index.lexical("w1", 2)] == [None, None]
    for hit in index.lexical("w1", 3, with_vectors=True) + index.dense([1.0] * 16, 3, with_vectors=True):
        np.testing.assert_array_equal(np.float32(hit.vector), vectors([hit.chunk.text])[0])


def test_one_index_serves_many_threads(index: Index) -> None:
    from concurrent.futures import ThreadPoolExecutor

    asks: list[Callable[[], Any]] = [lambda query=query: ranking(index.lexical(query, 10)) for query in QUERIES]
    asks += [lambda query=query: ranking(index.dense(vectors([query])[0].tolist(), 10)) for query in QUERIES]
    expected = [ask() for ask in asks]
    with ThreadPoolExecutor(8) as pool:
        assert [job.result() for job in [pool.submit(ask) for ask in asks]] == expected


def test_bm25_is_the_same_after_appends_alone(place: "Place", brute: BruteForce) -> None:
    """TRAPS 32: however many commits brought them, chunks count as those of an index made in one."""
    items = list(CORPUS.values())
    with writer(place.database) as writing:
        for start in range(0, len(items), 30):
            write(writing, items[start : start + 30])
            writing.commit({})
    index = place.database.open("corpus-1")
    assert index.info.deleted_chunks == 0
    for query in QUERIES:
        assert_same_ranking(ranking(index.lexical(query, 10)), brute.lexical(query, 10))


def test_bm25_is_that_of_a_fresh_index_after_rounds_of_changes_and_a_rebuild(place: "Place", brute: BruteForce) -> None:
    """TRAPS 32, 40: where deleted chunks count in BM25 statistics, `rebuild` ends that."""
    rounds(place.database, CORPUS, 4, seed=3)
    assert place.database.rebuild("corpus-1").deleted_chunks == 0
    index = place.database.open("corpus-1")
    for query in QUERIES:
        assert_same_ranking(ranking(index.lexical(query, 10)), brute.lexical(query, 10))


documents = st.dictionaries(
    st.sampled_from([f"{n}.md" for n in range(8)]),
    st.lists(st.sampled_from(["a", "b", "c", "가", "it's"]), max_size=8).map(" ".join),
    max_size=8,
)


# No database of examples and no shrinking: each one builds an index on a server.
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(documents, min_size=1, max_size=3), st.lists(st.sampled_from(["a", "b", "가", "z"]), max_size=4))
def test_any_history_of_ingests_answers_as_brute_force_once_rebuilt(
    store: Any, history: list[dict[str, str]], query: list[str]
) -> None:
    place = store()
    for state in history:
        target = {id: cut(id, text, 3) for id, text in state.items()}
        with writer(place.database) as writing:
            sync(writing, target)
    expected = BruteForce(target)
    place.database.rebuild("corpus-1")
    index = place.database.open("corpus-1")
    assert_same_ranking(ranking(index.lexical(" ".join(query), 5)), expected.lexical(" ".join(query), 5))
    assert index.info.chunks == len(expected.chunks)
    if expected.chunks:
        vector = vectors(["question"])[0].tolist()
        assert_same_ranking(ranking(index.dense(vector, 5)), expected.dense(vector, 5))
    place.clear()
