"""Dense search above `ann_threshold`: approximate only as far as recall was measured, and exact otherwise."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lancedb.index import IvfSq
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from messages.vector_store import exact_search, no_ann_index
from ragloom.components.vector_store import recall_probes
from ragloom.components.vector_store.lancedb_store import ann_index, ann_recall, tables
from ragloom.components.vector_store.lancedb_store import search as lancedb_search
from ragloom.components.vector_store.lancedb_store.nearest_neighbors import Parameters
from ragloom.components.vector_store.protocols import Database, Index
from ragloom.components.vector_store.record_types import IndexInfo
from ragloom.core.records import sha256
from ragloom.errors import ServiceError
from store_tools import DIMENSIONS, Cut, cut, database, ranking, store, writer

pytestmark = pytest.mark.slow

TOPICS = 25
CENTRES = np.random.default_rng(7).standard_normal((TOPICS, DIMENSIONS))
ROWS = 1200
THRESHOLD = 1000


@cache
def clustered(text: str, spread: float = 0.8) -> np.ndarray:
    """The vector of a text `topic-T ...`: near its topic's centre."""
    topic = int(text.split()[0].removeprefix("topic-"))
    noise = np.random.default_rng(int(sha256(text)[:12], 16)).standard_normal(DIMENSIONS)
    return (CENTRES[topic] + spread * noise).astype(np.float32)


def corpus(first: int, last: int) -> dict[str, Cut]:
    found = {}
    for number in range(first, last):
        topic = random.Random(number).randrange(TOPICS)
        found[f"{number:05}.md"] = cut(f"{number:05}.md", f"topic-{topic} number {number}", topic=topic)
    return found


class Asking:
    """Makes questions near the vectors of the chunks, and remembers which."""

    def __init__(self, change: Callable[[np.ndarray], np.ndarray] = lambda vectors: vectors) -> None:
        self.asked: dict[str, np.ndarray] = {}
        self.times = 0
        self._change = change

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.times += 1
        made = np.array([clustered(text) + clustered(f"{text} asked") for text in texts], dtype=np.float32)
        self.asked |= dict(zip(texts, made, strict=True))
        return self._change(made)


def commit(
    place: Database, add: dict[str, Cut] | None = None, delete: Sequence[str] = (), asking: Any = None
) -> IndexInfo:
    with writer(place) as writing:
        cuts = list((add or {}).values())
        chunks = [chunk for item in cuts for chunk in item.chunks]
        vectors = np.array([clustered(chunk.text) for chunk in chunks], dtype=np.float32).reshape(-1, DIMENSIONS)
        if cuts:
            store(writing, [item.row for item in cuts], chunks, vectors, [sha256(chunk.text) for chunk in chunks])
        writing.delete(delete)
        return writing.commit({}, asking)


def table_of(index: Index) -> Any:
    return index.tables["chunks"]  # type: ignore[attr-defined]


def exactly(texts: Sequence[str], query: np.ndarray, k: int) -> list[tuple[str, float]]:
    """The true list of texts, in double precision."""
    stored = np.array([clustered(text) for text in texts], dtype=np.float64)
    asked = query.astype(np.float64)
    scores = stored @ asked / np.linalg.norm(stored, axis=1) / np.linalg.norm(asked)
    order = np.argsort(-scores, kind="stable")[:k]
    return [(texts[at], float(scores[at])) for at in order]


def scaled_down(patch: pytest.MonkeyPatch, questions: int) -> None:
    """Partitions and questions fit a table of a thousand rows, and a test's patience."""
    patch.setattr(ann_index, "ROWS_PER_PARTITION", 40)
    patch.setattr(ann_recall, "QUESTIONS", questions)
    for module in (recall_probes, ann_index):
        patch.setattr(module, "FEWEST", questions - 8)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled_down(monkeypatch, 32)


CORPUS = corpus(0, ROWS)
TEXTS = [item.chunks[0].text for item in CORPUS.values()]
QUERIES = [clustered(f"topic-{n % TOPICS} question {n}", 1.2) for n in range(40)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Asking]]:
    """An index over the threshold, whose recall was allowed to be low."""
    with pytest.MonkeyPatch.context() as patch:
        scaled_down(patch, 208)
        place = database(tmp_path_factory.mktemp("store"), ann_threshold=THRESHOLD, min_ann_recall=0.3)
        asking = Asking()
        commit(place, CORPUS, asking=asking)
        yield place, asking


def test_below_the_threshold_nothing_is_measured_and_search_is_exact(tmp_path: Path) -> None:
    asking = Asking()
    info = commit(database(tmp_path, ann_threshold=ROWS + 1), CORPUS, asking=asking)
    assert (info.dense, info.notes, asking.times) == (None, (), 0)
    index = database(tmp_path).open("corpus-1")
    assert not ann_index.is_there(table_of(index))
    for query in QUERIES[:5]:
        assert [hit.chunk.text for hit in index.dense(query.tolist(), 10)] == [t for t, _ in exactly(TEXTS, query, 10)]


def test_measured_parameters_are_kept_with_the_commit_and_told(built: tuple[Database, Asking]) -> None:
    place, _ = built
    info = place.open("corpus-1").info
    assert info.dense is not None
    assert info.dense["kind"] == "IVF_RQ"
    assert info.dense["partitions"] == ROWS / 40
    assert info.dense["rows"] == ROWS
    assert info.dense["questions"] >= 200
    assert 0.3 <= info.dense["recall"]["10"] < 1  # one that is 1 would prove little below
    assert f"recall@10 {info.dense['recall']['10']:.3f}" in info.notes[0]
    assert place.indexes()[0].notes == info.notes


def test_tie_of_many_equal_chunks_costs_three_searches_at_most_and_is_complete_up_to_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = database(tmp_path, ann_threshold=THRESHOLD, min_ann_recall=0.3)
    few = {f"few-{n:03}.md": cut(f"few-{n:03}.md", "topic-3 said thrice") for n in range(60)}
    many = {f"many-{n:03}.md": cut(f"many-{n:03}.md", "topic-4 said often") for n in range(700)}
    commit(place, CORPUS | few | many, asking=Asking())
    index, limits = place.open("corpus-1"), list[int]()
    nearest = lancedb_search.nearest

    def counted(table: Any, query: np.ndarray, limit: int, parameters: Any) -> Any:
        limits.append(limit)
        return nearest(table, query, limit, parameters)

    monkeypatch.setattr(lancedb_search, "nearest", counted)
    assert index.info.dense is not None
    assert index.info.dense["parameters"] is not None
    hits = index.dense(clustered("topic-4 said often").tolist(), 10)
    assert {hit.chunk.text for hit in hits} == {"topic-4 said often"}
    assert len(limits) <= 3
    hits = index.dense(clustered("topic-3 said thrice").tolist(), 10)
    assert [hit.chunk.document for hit in hits] == sorted(few)[:10]


@pytest.mark.parametrize("depth", recall_probes.DEPTHS)
def test_recall_is_that_of_brute_force_with_the_questions_own_chunk_left_out(
    built: tuple[Database, Asking], depth: int
) -> None:
    """TRAPS 32: a question's own chunk, found at once, would flatter."""
    place, asking = built
    index = place.open("corpus-1")
    found = 0
    asked = list(asking.asked.items())
    assert index.info.dense is not None
    assert len(asked) == index.info.dense["questions"]
    for text, query in asked:
        others = {other for other, _ in exactly([t for t in TEXTS if t != text], query, depth)}
        # As `recall` does, and as a query for so many hits does: 16 rows beyond the cut.
        parameters = Parameters(**index.info.dense["parameters"])
        rows = (
            ann_recall.nearest(table_of(index), query, depth + ann_recall.SPARE, parameters)
            .to_arrow()["text"]
            .to_pylist()
        )
        hits = [row for row in rows if row != text][:depth]
        found += len(others & set(hits))
    assert found / len(asked) / depth == pytest.approx(index.info.dense["recall"][str(depth)], abs=1e-9)


def test_parameters_are_raised_until_recall_is_enough(tmp_path: Path, built: tuple[Database, Asking]) -> None:
    low = built[0].open("corpus-1").info.dense
    high = commit(database(tmp_path, ann_threshold=THRESHOLD, min_ann_recall=0.995), CORPUS, asking=Asking()).dense
    assert low is not None
    assert high is not None
    assert high["parameters"]["nprobes"] > low["parameters"]["nprobes"]
    assert min(high["recall"].values()) >= 0.995


def test_parameters_that_do_not_reach_the_recall_leave_search_exact_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann_index, "LADDER", ((1 / 60, 1), (1 / 30, 1)))
    place, asking = database(tmp_path, ann_threshold=THRESHOLD), Asking()
    info = commit(place, CORPUS, asking=asking)
    assert info.dense is not None
    assert info.dense["parameters"] is None
    assert 0 < min(info.dense["recall"].values()) < 0.98
    assert exact_search() in info.notes[0]
    assert "min_ann_recall=0.98" in info.notes[0]
    index = place.open("corpus-1")
    for query in QUERIES[:10]:
        assert [hit.chunk.text for hit in index.dense(query.tolist(), 10)] == [t for t, _ in exactly(TEXTS, query, 10)]
    assert not ann_index.is_there(table_of(index))  # nobody searches it, nobody has to keep it up
    asked = asking.times
    assert commit(place, asking=asking).notes == info.notes  # what cannot be reached is not tried again and again
    assert asking.times == asked


def test_approximate_scores_are_those_of_exact_search_to_the_last_bit(built: tuple[Database, Asking]) -> None:
    index = built[0].open("corpus-1")
    exact = database(built[0].path, ann_threshold=THRESHOLD).open("corpus-1")  # type: ignore[attr-defined]
    exact.search.parameters = None  # type: ignore[attr-defined]
    differ = 0
    for query in QUERIES:
        found, true = (ranking(one.dense(query.tolist(), 10)) for one in (index, exact))
        scores = {(document, start): score for document, start, score in ranking(exact.dense(query.tolist(), ROWS))}
        assert all(scores[document, start] == score for document, start, score in found)
        assert found == sorted(found, key=lambda item: (-item[2], item[0], item[1]))
        differ += found != true
    assert differ  # otherwise nothing here was approximate


def test_with_filters_and_for_long_lists_search_is_exact(built: tuple[Database, Asking]) -> None:
    index = built[0].open("corpus-1")
    for number, query in enumerate(QUERIES):
        topic = number % TOPICS
        filters = MetadataFilters(filters=[MetadataFilter(key="topic", value=topic)])
        passing = [text for text in TEXTS if text.startswith(f"topic-{topic} ")]
        hits = index.dense(query.tolist(), 10, filters)
        assert [hit.chunk.text for hit in hits] == [text for text, _ in exactly(passing, query, 10)]
        names = [f"{n:05}.md" for n in range(30)]
        hits = index.dense(query.tolist(), 10, doc_ids=names)
        assert [hit.chunk.text for hit in hits] == [text for text, _ in exactly(TEXTS[:30], query, 10)]
        hits = index.dense(query.tolist(), 101)
        assert [hit.chunk.text for hit in hits] == [text for text, _ in exactly(TEXTS, query, 101)]


def test_list_that_the_searched_partitions_cannot_fill_is_exact(built: tuple[Database, Asking]) -> None:
    index = built[0].open("corpus-1")
    index.search.parameters = Parameters(1, 1)  # type: ignore[attr-defined]  # about 40 rows
    for query in QUERIES[:10]:
        assert [hit.chunk.text for hit in index.dense(query.tolist(), 99)] == [t for t, _ in exactly(TEXTS, query, 99)]


def test_ties_at_the_cut_are_complete_and_ordered(tmp_path: Path) -> None:
    """TRAPS 44: 60 documents of equal text stand in the order of their ids, wherever the list is cut."""
    place = database(tmp_path, ann_threshold=THRESHOLD, min_ann_recall=0.3)
    copies = {f"copy/{n:02}.md": cut(f"copy/{n:02}.md", "topic-3 the same text") for n in range(60)}
    commit(place, {**CORPUS, **copies}, asking=Asking())
    index = place.open("corpus-1")
    assert index.info.dense is not None
    assert index.info.dense["parameters"] is not None
    for k in (1, 10, 25, 59):
        hits = index.dense(clustered("topic-3 the same text").tolist(), k)
        assert [hit.chunk.document for hit in hits] == sorted(copies)[:k]


def test_few_new_rows_are_folded_in_without_asking_and_many_are_measured_again(tmp_path: Path) -> None:
    place, asking = database(tmp_path, ann_threshold=THRESHOLD), Asking()
    first = commit(place, CORPUS, asking=asking)
    times = asking.times
    second = commit(place, few := corpus(ROWS, ROWS + 100), asking=asking)
    assert (asking.times, second.dense) == (times, first.dense)
    index = place.open("corpus-1")
    stats = table_of(index).index_stats(ann_index.VECTOR_INDEX)
    assert (stats.num_unindexed_rows, stats.num_indexed_rows) == (0, ROWS + 100)
    for item in few.values():
        assert index.dense(clustered(item.chunks[0].text).tolist(), 1)[0].chunk == item.chunks[0]
    third = commit(place, corpus(ROWS + 100, ROWS + 400), asking=asking)
    assert asking.times > times
    assert third.dense is not None
    assert third.dense["rows"] == ROWS + 400


def test_index_of_another_kind_is_searched_as_measured_and_built_anew_at_the_next_ingest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, asking = database(tmp_path, ann_threshold=THRESHOLD), Asking()
    with monkeypatch.context() as earlier:
        earlier.setattr(ann_index, "KIND", "IVF_SQ")
        earlier.setattr(ann_index, "IvfRq", lambda num_bits, **keys: IvfSq(**keys))
        before = commit(place, CORPUS, asking=asking)
    assert before.dense is not None
    assert before.dense["kind"] == "IVF_SQ"
    assert len(place.open("corpus-1").dense(QUERIES[0].tolist(), 10)) == 10
    unasked = commit(place)
    assert unasked.dense == before.dense, "there was nothing to measure another with"
    after = commit(place, asking=asking)
    assert after.dense is not None
    assert after.dense["kind"] == ann_index.KIND


def test_index_of_many_parts_is_built_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann_index, "MOST_PARTS", 2)
    place, asking = database(tmp_path, ann_threshold=THRESHOLD), Asking()
    commit(place, CORPUS, asking=asking)
    parts = []
    for number in range(4):
        commit(place, corpus(ROWS + number, ROWS + number + 1), asking=asking)
        stats = table_of(place.open("corpus-1")).index_stats(ann_index.VECTOR_INDEX)
        parts.append(stats.num_indices)
    assert parts == [2, 3, 1, 2]


def test_rounds_of_change_and_deletion_are_measured_again_and_find_nothing_deleted(tmp_path: Path) -> None:
    place, asking, state = database(tmp_path, ann_threshold=THRESHOLD), Asking(), dict(CORPUS)
    commit(place, state, asking=asking)
    for number in range(3):
        draw, times = random.Random(number), asking.times
        gone = draw.sample(sorted(state), 20)
        changed = {id: cut(id, f"topic-{number} changed {id}", topic=number) for id in draw.sample(sorted(state), 20)}
        state = {id: item for id, item in {**state, **changed}.items() if id not in gone}
        info = commit(place, changed, gone, asking)
        assert asking.times > times
        assert info.dense is not None
        assert (info.dense["rows"], info.chunks) == (len(state), len(state))
    index, texts = place.open("corpus-1"), [item.chunks[0].text for item in state.values()]
    found = [[hit.chunk.text for hit in index.dense(query.tolist(), 10)] for query in QUERIES]
    assert not {text for hits in found for text in hits} - set(texts)
    right = [len({*hits} & {t for t, _ in exactly(texts, q, 10)}) for hits, q in zip(found, QUERIES, strict=True)]
    assert sum(right) / 10 / len(QUERIES) > 0.95


def test_index_that_shrinks_below_the_threshold_is_exact_again(tmp_path: Path) -> None:
    place = database(tmp_path, ann_threshold=THRESHOLD)
    commit(place, CORPUS, asking=Asking())
    before = place.open("corpus-1")
    info = commit(place, delete=sorted(CORPUS)[:300], asking=Asking())
    assert (info.dense, info.notes) == (None, ())
    assert not ann_index.is_there(table_of(place.open("corpus-1")))
    assert ann_index.is_there(table_of(before))  # what was opened before goes on as its own commit says
    assert len(before.dense(QUERIES[0].tolist(), 10)) == 10


def test_lower_threshold_takes_effect_without_a_change_and_a_higher_recall_is_measured(tmp_path: Path) -> None:
    commit(database(tmp_path), CORPUS)
    info = commit(database(tmp_path, ann_threshold=THRESHOLD, min_ann_recall=0.5), asking=Asking())
    assert info.dense is not None
    asking = Asking()
    higher = commit(database(tmp_path, ann_threshold=THRESHOLD, min_ann_recall=0.99), asking=asking)
    assert asking.times
    assert higher.dense is not None
    assert min(higher.dense["recall"].values()) >= 0.99


def test_rebuild_embeds_nothing_and_keeps_what_was_measured(tmp_path: Path) -> None:
    place = database(tmp_path, ann_threshold=THRESHOLD)
    info = commit(place, CORPUS, asking=Asking())
    assert place.rebuild("corpus-1").dense == info.dense
    index = place.open("corpus-1")
    assert ann_index.is_there(table_of(index))
    assert len(index.dense(QUERIES[0].tolist(), 10)) == 10


def refused(vectors: np.ndarray) -> np.ndarray:
    raise ServiceError("embedding: the provider is down")


@pytest.mark.parametrize(
    ("asking", "reason"),
    [
        (None, "no embedding"),
        (Asking(refused), "the provider is down"),
        (Asking(lambda vectors: vectors * (np.arange(len(vectors)) < 9)[:, None]), "gave 18 questions"),
    ],
)
def test_without_enough_questions_search_is_exact_and_it_is_said(tmp_path: Path, asking: Any, reason: str) -> None:
    place = database(tmp_path, ann_threshold=THRESHOLD)
    info = commit(place, CORPUS, asking=asking)
    assert info.dense is not None
    assert info.dense["parameters"] is None
    assert reason in info.notes[0]
    assert place.open("corpus-1").dense(QUERIES[0].tolist(), 10)
    if "gave" not in reason:  # the next ingest makes up for it, although nothing has changed
        again = commit(place, asking=Asking()).dense
        assert again is not None
        assert again["parameters"] is not None


def test_vectors_without_direction_leave_search_exact(tmp_path: Path) -> None:
    """lancedb 0.40: an index of zeros alone cannot be trained."""
    place = database(tmp_path, ann_threshold=THRESHOLD)
    with writer(place) as writing:
        chunks = [chunk for item in CORPUS.values() for chunk in item.chunks]
        rows = [item.row for item in CORPUS.values()]
        store(writing, rows, chunks, np.zeros((len(chunks), DIMENSIONS), dtype=np.float32), ["" for _ in chunks])
        info = writing.commit({}, Asking())
    assert no_ann_index() in info.notes[0]
    assert place.open("corpus-1").dense(QUERIES[0].tolist(), 10) == []


class Crash(Exception):
    """Stands for a crash: nothing after it runs but the kernel's release of the lock."""


@pytest.mark.parametrize("step", ["drop", "probes", "exact", "recall", "settle"])
def test_crash_while_the_index_is_built_leaves_the_commit_before_and_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place = database(tmp_path, ann_threshold=THRESHOLD)
    info = commit(place, CORPUS, asking=Asking())
    before = [ranking(place.open("corpus-1").dense(query.tolist(), 10)) for query in QUERIES]
    later = corpus(ROWS, ROWS + 300)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        real = getattr(tables if step == "settle" else ann_index, step)

        def crash(*arguments: Any) -> None:
            if step in ("drop", "settle"):
                real(*arguments)
            raise Crash

        patch.setattr(tables if step == "settle" else ann_index, step, crash)
        commit(place, later, asking=Asking())
    index = place.open("corpus-1")
    assert (index.info.version, index.info.dense) == (1, info.dense)
    assert [ranking(index.dense(query.tolist(), 10)) for query in QUERIES] == before
    repaired = commit(place, asking=Asking())
    assert repaired.dense is not None
    assert (repaired.chunks, repaired.dense["rows"]) == (ROWS + 300, ROWS + 300)
    assert min(repaired.dense["recall"].values()) >= 0.98


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 30), st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_exact_scores_are_numpys_whatever_the_table(
    tmp_path_factory: pytest.TempPathFactory, rows: int, asked: int, depth: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    stored = draw.standard_normal((rows, 4)).astype(np.float32)
    stored[draw.random(rows) < 0.2] = 0
    vectors = draw.standard_normal((asked, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own = [f"c{draw.integers(0, rows + 1)}" for _ in range(asked)] if asked == 1 else [f"c{n}" for n in range(asked)]

    class Table:
        """Answers as LanceDB's table does, in batches of seven."""

        def search(self) -> "Table":
            return self

        def select(self, columns: list[str]) -> "Table":
            return self

        def to_batches(self, size: int) -> Any:
            import pyarrow as pa

            flat = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), 4)
            whole = pa.table({"id": pa.array([f"c{n}" for n in range(rows)], pa.utf8()), "vector": flat})
            return whole.to_batches(max_chunksize=7)

    found = ann_recall.exact(Table(), recall_probes.Probes(own, vectors), depth)
    for at, vector in enumerate(vectors.astype(np.float64)):
        scores = [
            float(row @ vector / np.linalg.norm(row))
            for number, row in enumerate(stored.astype(np.float64))
            if row.any() and f"c{number}" != own[at]
        ]
        expected = [*sorted(scores, reverse=True), *[-np.inf] * depth][:depth]
        np.testing.assert_allclose(found[at], expected, atol=1e-6)
