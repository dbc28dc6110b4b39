"""The parts of an evaluation by themselves: depth, asking, scoring, TREC files, quantiles."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore

from fakes import chunk
from ragloom.components.retriever.deeper_ranks import Below
from ragloom.components.retriever.scored_nodes import Ranked
from ragloom.config.config import load as load_config
from ragloom.config.settings import MetricSettings
from ragloom.core.gold import GoldSpan, Query
from ragloom.core.metric_names import Need, measure, need, problems
from ragloom.core.nodes import to_node
from ragloom.core.usage import Usage, collect_usage, record, record_lookups
from ragloom.errors import DataError
from ragloom.evaluation.evaluation_result import EvaluationResult
from ragloom.evaluation.latency import latency, quantiles
from ragloom.evaluation.query_cache import method
from ragloom.evaluation.query_executor import run_queries
from ragloom.evaluation.query_outcome import (
    QueryOutcome,
    RankedChunk,
    Ranking,
    query_result_from,
    ranking_from,
    ranking_json,
    usage_of,
)
from ragloom.evaluation.ranking_depth import RankingDepth, reach
from ragloom.evaluation.run_folder import PARTIAL, json_line, write_run
from ragloom.evaluation.run_summary import ScoredRun, usage_cost_usd
from ragloom.evaluation.scoring import Scorer, means
from ragloom.evaluation.trec_format import encoded, qrels_lines, run_lines
from ragloom.query.query_result import QueryResult

SETTINGS: MetricSettings = {
    "spans": ["nDCG@3", "R@3", "recall@2", "precision@2", "recall@5tokens"],
    "documents": ["nDCG@3", "RR@3"],
    "answers": [],
    "min_coverage": 1.0,
    "convention": "union",
    "tokenizer": "cl100k_base",
}


def ranking(*documents: str) -> Ranking:
    """A ranking of chunks of five characters, one after the other in each document."""
    places: dict[str, int] = {}
    found = []
    for document in documents:
        start = places.get(document, 0)
        places[document] = start + 5
        found.append(RankedChunk(chunk(document, start, "word "), 1.0, {"retriever_rank": len(found) + 1}))
    return Ranking(tuple(found))


CORPUS = (lambda name: "word " * 3, lambda name: [chunk(name, start, "word ") for start in (0, 5, 10)])
"""Documents that repeat themselves."""


class Corpus:
    """A configured search of `top_k` chunks in a fixed order, and steps of twenty below it."""

    def __init__(self, documents: Sequence[str], top_k: int) -> None:
        self.chunks = ranking(*documents).chunks
        self.top_k = top_k
        self.searches = 0

    def search(self, question: str) -> QueryResult:
        self.searches += 1
        nodes = self._nodes(0, self.top_k)
        return QueryResult(question, nodes=nodes, found={node.node.node_id: (1, node) for node in nodes})

    def below(self, question: str, step: int, known: Set[str]) -> Below:
        start = self.top_k + 20 * (step - 1)
        assert known == {item.chunk.id for item in self.chunks[:start]}, "all steps above are known"
        return Below(self._nodes(start, start + 20), start + 20 < len(self.chunks))

    def _nodes(self, start: int, end: int) -> list[NodeWithScore]:
        return [Ranked(node=to_node(item.chunk), score=1.0) for item in self.chunks[start:end]]

    def depth(self, wanted: Need, top_n: int) -> RankingDepth:
        return RankingDepth(self.search, self.below, self.top_k, top_n, wanted, lambda text: 1)


WANTED = st.builds(Need, st.integers(0, 15), st.integers(0, 6), st.integers(0, 20))


@settings(deadline=None)
@given(
    documents=st.lists(st.sampled_from("abcdef"), max_size=60),
    top_k=st.integers(1, 12),
    top_n=st.integers(1, 12),
    wanted=WANTED,
    other=WANTED,
)
def test_ranking_is_as_deep_as_needed_whoever_read_it_before(
    documents: list[str], top_k: int, top_n: int, wanted: Need, other: Need
) -> None:
    corpus = Corpus(documents, top_k)
    ours, theirs = (corpus.depth(each, top_n) for each in (wanted, other))
    direct = ours.extended("q", ours.first("q")[0])
    by_others = ours.extended("q", theirs.extended("q", theirs.first("q")[0]))
    read = ours.cut(direct)
    assert read.chunks == ours.cut(by_others).chunks, "what others looked at changes nothing"
    names = [item.chunk.document for item in read.chunks]
    assert names == documents[: len(names)], "looking deeper changes no order"
    enough = len(names) >= max(wanted.chunks, wanted.tokens) and len(set(names)) >= wanted.documents
    assert enough or len(names) == len(documents)
    assert direct.reranked == min(top_k, len(documents))
    if wanted == Need():
        assert len(names) == min(top_n, top_k, len(documents)), "the config's own list is shown"


def test_reach_is_the_shortest_prefix_that_fulfils_all_needs() -> None:
    found = ranking("a", "a", "b", "b", "c").chunks
    assert reach(found, Need(), len) == 0
    assert reach(found, Need(chunks=2), len) == 2
    assert reach(found, Need(documents=2), len) == 3
    assert reach(found, Need(chunks=2, documents=2, tokens=20), len) == 4
    assert reach(found, Need(documents=4), len) is None


def test_what_a_reranker_leaves_out_does_not_come_back_below() -> None:
    corpus = Corpus("abcdef", 4)

    def search(question: str) -> QueryResult:
        whole = corpus.search(question)
        return QueryResult(question, nodes=whole.nodes[:1], found=whole.found)

    depth = RankingDepth(search, corpus.below, 4, 4, Need(chunks=5), lambda text: 1)
    read = depth.extended("q", depth.first("q")[0])
    assert [item.chunk.document for item in read.chunks] == ["a", "e", "f"]
    assert len(read.dropped) == 3
    assert [node.node.ref_doc_id for node in query_result_from("q", read, 4).nodes] == ["a"], (
        "answers are of the config's own"
    )


def test_every_question_is_asked_once_and_errors_are_its_own() -> None:
    queries = [Query(str(number), f"question {number}") for number in range(50)]
    running, most, lock = 0, 0, threading.Lock()
    updates: list[tuple[int, int, int]] = []

    def ask(query: Query) -> QueryOutcome:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            if query.id in ("7", "9"):
                raise DataError("one", "two") if query.id == "7" else RuntimeError("a bug")
            return QueryOutcome(ranking(query.id))
        finally:
            with lock:
                running -= 1

    asked = run_queries(queries, ask, concurrency=4, progress=lambda *state: updates.append(state))
    assert most <= 4
    assert [item.error for item in asked if item.error] == ["one; two", "RuntimeError: a bug"]
    assert [item.ranking.chunks[0].chunk.document for item in asked if not item.error] == [
        query.id for query in queries if query.id not in ("7", "9")
    ]
    assert updates[0] == (0, 50, 0)
    assert updates[-1] == (50, 50, 2)


def test_interruption_is_not_a_question_s_error() -> None:
    def ask(query: Query) -> QueryOutcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_queries([Query("q", "q")], ask, concurrency=1, progress=lambda *state: None)


SPAN = Query("s", "by span", spans=(GoldSpan("a", ((0, 10),)),))
GRADED = Query("d", "by document", grades={"a": 2, "b": 1})
WITHOUT = Query("n", "without gold")


def scored(*pairs: tuple[Query, QueryOutcome]) -> ScoredRun:
    queries, asked = [query for query, _ in pairs], [outcome for _, outcome in pairs]
    scorer = Scorer(SETTINGS, *CORPUS)
    return ScoredRun(queries, asked, scorer.scores(queries, asked), scorer.ranked(queries, asked))


def test_each_question_is_scored_by_what_its_gold_is() -> None:
    found = scored(
        (SPAN, QueryOutcome(ranking("a", "b", "a"))),
        (GRADED, QueryOutcome(ranking("b", "b", "a"))),
        (WITHOUT, QueryOutcome()),
    )
    # The span is complete with the third chunk: 1/log2(4). Half of it is in the first two chunks, which are ten long.
    # "word " has two tokens, so that the fifth is the third chunk's "word".
    assert found.scores[0] == pytest.approx(
        {"nDCG@3": 1 / 2, "R@3": 1.0, "recall@2": 5 / 10, "precision@2": 5 / 10, "recall@5tokens": 9 / 10}
    )
    # b (grade 1) before a (grade 2): (1/1 + 2/log2 3) / (2/1 + 1/log2 3).
    assert found.scores[1] == pytest.approx({"nDCG@3": (1 + 2 / 1.5849625) / (2 + 1 / 1.5849625), "RR@3": 1.0})
    assert found.scores[2] == {}
    assert found.counts()["not_judged"] == 1


def test_failed_question_is_a_zero_in_every_mean() -> None:
    """TRAPS 34: queries that crashed were left out of the mean, so a crashing config won."""
    failed = QueryOutcome(error="it broke")
    found = scored((SPAN, QueryOutcome(ranking("a", "a"))), (GRADED, failed), (replace(SPAN, id="s2"), failed))
    assert found.scores[1] == {"nDCG@3": 0.0, "RR@3": 0.0}
    assert found.metrics()["metrics"]["nDCG@3"] == pytest.approx((found.scores[0]["nDCG@3"] + 0 + 0) / 3)
    assert found.counts() == {
        "queries": 3,
        "judged": 3,
        "not_judged": 0,
        "without_answer": 0,
        "errors": 2,
        "judged_errors": 2,
    }
    assert found.errors() == [("d", "it broke"), ("s2", "it broke")]


def test_chroma_finds_chunks_where_their_text_first_occurs() -> None:
    """TRAPS 44: the order of equal texts moved Chroma's recall; its convention finds each at its first place."""
    query = replace(SPAN, spans=(GoldSpan("a", ((4, 8),)),))
    found = {}
    for convention in ("union", "chroma"):
        settings: MetricSettings = {
            **SETTINGS,
            "spans": ["recall@2", "precision@2", "precision_omega"],
            "convention": convention,  # type: ignore[typeddict-item]
        }
        scorer = Scorer(settings, *CORPUS)
        (found[convention],) = scorer.scores([query], [QueryOutcome(ranking("a", "a"))])
    # Two chunks, of which [0, 5) and [5, 10) touch the gold; as Chroma finds them both stand at [0, 5).
    assert found["union"] == pytest.approx({"recall@2": 1.0, "precision@2": 4 / 10, "precision_omega": 4 / 10})
    assert found["chroma"] == pytest.approx({"recall@2": 1 / 4, "precision@2": 1 / 10, "precision_omega": 1 / 8})


@pytest.mark.parametrize(
    "change",
    [
        "retriever.candidates=101",
        "retriever.min_score=0.1",
        "retriever.filters=[{key: language, value: ko}]",
        "retriever.dense_weight=0.4",
        "retriever.fusion=rrf",
        "retriever.min_bm25_score=1",
        "reranker=mmr",
        "vector_store=weaviate",
        ["vector_store=weaviate", "vector_store.index.ef=99"],
        ["vector_store=weaviate", "vector_store.index.bm25_b=0.5"],
    ],
)
def test_whatever_changes_a_ranking_is_in_its_key(change: str | list[str]) -> None:
    """TRAPS 34: a cache key left out the search type, so that all search types got the first one's answers."""
    *before, last = [change] if isinstance(change, str) else change
    (config,), (other,) = load_config(before), load_config([*before, last])
    assert method(config) != method(other)


@pytest.mark.parametrize("change", ["metrics.documents=[AP@1000]", "metrics.tokenizer=o200k_base", "dataset.name=x"])
def test_what_metrics_need_is_in_no_ranking_s_key(change: str) -> None:
    """nDCG@10 of one config depended on whether AP@100 was requested too."""
    (config,), (other,) = load_config([]), load_config([change])
    assert method(config) == method(other)


def test_raw_similarities_change_no_metric() -> None:
    """TRAPS 34: models ranked by their own raw similarity scores."""
    found = ranking("b", "a", "a")
    louder = replace(
        found, chunks=tuple(replace(item, score=None if at else 1e9) for at, item in enumerate(found.chunks))
    )
    one, other = (scored((SPAN, QueryOutcome(each)), (GRADED, QueryOutcome(each))) for each in (found, louder))
    assert one.scores == other.scores
    assert list(one.run_lines()) == list(other.run_lines())


def test_precision_omega_is_of_all_chunks_whatever_is_retrieved_but_zero_where_a_question_failed() -> None:
    settings: MetricSettings = {**SETTINGS, "spans": ["precision_omega"]}
    scorer = Scorer(settings, *CORPUS)
    queries = [replace(SPAN, id=id) for id in ("found", "nothing", "failed")]
    asked = [QueryOutcome(ranking("a", "b")), QueryOutcome(), QueryOutcome(error="it broke")]
    assert [each["precision_omega"] for each in scorer.scores(queries, asked)] == [1.0, 1.0, 0.0]
    assert scorer.ranked(queries, asked)[0] == ["chunk0", "chunk1"], "run.trec still has what was found"
    assert need(settings, spans=True, documents=False) == Need()


IDS = st.text(min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(one=IDS, other=IDS)
def test_ids_are_encoded_without_blanks_and_without_becoming_one(one: str, other: str) -> None:
    """TRAPS 44: ids with blanks broke TREC files."""
    assert encoded(one).isascii()
    assert len(encoded(one).split()) == 1
    assert (encoded(one) == encoded(other)) == (one == other)


@settings(max_examples=40, deadline=None)
@given(
    gold=st.dictionaries(IDS, st.dictionaries(IDS, st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=4),
    data=st.data(),
)
def test_standard_tool_reads_the_files_and_agrees(
    tmp_path_factory: pytest.TempPathFactory, gold: dict[str, dict[str, int]], data: st.DataObject
) -> None:
    """With ties, absent queries and empty results among the cases: scores are made of ranks."""
    folder: Path = tmp_path_factory.mktemp("trec")
    ids = sorted({id for grades in gold.values() for id in grades})
    rankings = {query: data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))] for query in gold}
    (folder / "run").write_text("".join(run_lines(rankings.items())), "utf-8")
    (folder / "qrels").write_text("".join(qrels_lines(gold.items())), "utf-8")
    run = list(ir_measures.read_trec_run(str(folder / "run")))
    scores = [item.score for item in run if item.query_id == encoded(next(iter(gold)))]
    assert scores == sorted(set(scores), reverse=True)
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels")))
    by_tool = ir_measures.calc_aggregate([ir_measures.nDCG @ 3], qrels, run) if run else {ir_measures.nDCG @ 3: 0.0}
    queries = [Query(query, query, grades=grades) for query, grades in gold.items()]
    asked = [QueryOutcome(ranking(*rankings[query.id])) for query in queries]
    ours = means(Scorer(SETTINGS, *CORPUS).scores(queries, asked))
    assert ours["nDCG@3"] == pytest.approx(by_tool[ir_measures.nDCG @ 3], abs=1e-6)


def test_ranking_survives_being_written_and_read() -> None:
    before = Ranking(ranking("a", "a", "나").chunks, (2, 3), True, ("x",), {"embedding:m": {"input": 3}}, ("a note",))
    assert ranking_from(ranking_json(before)) == before
    nodes = query_result_from("q", before, 3).nodes
    assert [node.node.ref_doc_id for node in nodes] == ["a", "a"], "what the reranker ordered"


def test_cost_is_the_same_whether_or_not_the_cache_had_it() -> None:
    with collect_usage() as paid:
        record("embedding", "m", input_tokens=12, output_tokens=None)
    with collect_usage() as found:
        record_lookups("m", hits=1, misses=0, damaged=0, tokens=12)
    assert usage_of(paid) == usage_of(found) == {"embedding:m": {"input": 12, "output": 0, "unreported": 0}}
    assert usage_cost_usd(usage_of(paid), {"m": {"input": 0.5, "output": 0}}) == pytest.approx(12 * 0.5 / 1e6)
    assert usage_cost_usd(usage_of(paid), {}) is None
    assert usage_of(Usage()) == {}


def test_run_folder_is_replaced_whole_and_nothing_is_left_aside(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    write_run(folder, {"a.json": {"x": 1, "api_key": "sk-planted-0123"}, "lines": ["1\n", "2\n"]})
    write_run(folder, {"a.json": {"x": 2}})
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(PARTIAL)] == []
    left, new = (folder.parent / f"{PARTIAL}{name}" for name in ("left", "new"))
    for half_written in (left, new):
        half_written.mkdir()
    os.utime(left, (1, 1))
    write_run(folder, {"a.json": {"x": 2}})
    assert not left.exists(), "a killed process wrote it"
    assert new.exists(), "another process may be writing it"

    def broken() -> Any:
        yield "1\n"
        raise OSError(28, "no space")

    with pytest.raises(DataError, match="no space"):
        write_run(folder, {"a.json": broken()})
    assert (folder / "a.json").read_text("utf-8") == '{\n "x": 2\n}\n'


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0], (1, 1, 1)), ([2.0, 1.0], (1, 2, 2)), ([float(n) for n in range(100, 0, -1)], (50, 95, 99))],
)
def test_quantiles_are_of_nearest_rank(values: list[float], expected: tuple[float, ...]) -> None:
    assert tuple(quantiles(values).values()) == expected


def test_latency_bypasses_the_cache_states_n_and_counts_failures() -> None:
    from ragloom.cache.embeddings import is_bypassed

    seen: list[tuple[str, bool]] = []

    def ask(question: str) -> dict[str, float]:
        seen.append((question, is_bypassed()))
        if question == "b":
            raise DataError("no")
        return {"total": 2.0}

    found = latency(ask, ["a", "b"], concurrency=2, total=4)
    assert (found["n"], found["concurrency"], found["errors"], found["warm"]) == (4, 2, 2, 4)
    assert found["stages"] == {"total": {"p50": 2.0, "p95": 2.0, "p99": 2.0}}
    assert len(seen) == 8, "four warm it up, four are timed"
    assert all(bypassed for _, bypassed in seen)


def test_a_crash_in_a_pass_for_latency_is_a_failure_that_is_counted_and_loses_no_run() -> None:
    def ask(question: str) -> dict[str, float]:
        if question == "bad":
            raise KeyError("a bug of one question")
        return {"total": 2.0}

    found = latency(ask, ["good", "bad"], concurrency=2, total=4)
    assert (found["n"], found["errors"]) == (4, 2)


def test_names_say_what_is_counted_and_how_deep() -> None:
    read = measure("recall@1000tokens")
    assert read is not None
    assert (read.base, read.k, read.budget, read.of_characters) == ("recall", 1000, True, True)
    assert measure("MRR@10") is None
    assert problems(SETTINGS) == []
    assert need(SETTINGS, spans=True, documents=False) == Need(chunks=3, tokens=5)
    assert need(SETTINGS, spans=True, documents=True) == Need(chunks=3, documents=3, tokens=5)


def test_queries_of_a_run_are_read_by_its_lines_whatever_their_texts_hold(tmp_path: Path) -> None:
    lines = [{"query": "a", "text": "one\u2028two\x85three"}, {"query": "b", "text": "half a pair: \ud83d"}]
    write_run(tmp_path / "run", {"queries.jsonl": map(json_line, lines)})
    assert EvaluationResult("run", tmp_path / "run", {}, None, [], [], []).queries() == lines
