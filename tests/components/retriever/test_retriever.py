"""What the `retriever` group promises, on an index in memory whose scores can be computed by hand."""

import asyncio
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

import ragloom.components.reranker as rerankers
import ragloom.components.retriever as builders
from fakes import FakeIndex, LetterEmbedding, chunk, cosine
from messages import wording
from messages.config import at_least, did_you_mean, known_names, unknown_key
from messages.evaluation import question_without_text
from messages.retrieval import (
    empty_filters,
    filter_form,
    filter_key_missing,
    filter_value_kind,
    filters_not_a_list,
    list_of_texts,
    unknown_condition,
)
from ragloom.components.retriever.filter_config import OPERATORS, metadata_filters
from ragloom.components.retriever.fusion import leading, ordered, placed, reciprocal_rank, weighted_score
from ragloom.components.retriever.scored_nodes import Ranked
from ragloom.config.key_rules import key_problems
from ragloom.core.records import Hit
from ragloom.core.timing import collect
from ragloom.errors import ConfigError, DataError, OutdatedRanking, ServiceError

HYBRID = {
    "top_k": 10,
    "candidates": 100,
    "fusion": "rrf",
    "dense_weight": 0.5,
    "rrf_k": 60,
    "filters": None,
    "min_score": None,
    "min_bm25_score": None,
}
CHUNKS = [
    chunk("b.md", 0, "apple pie", lang="en"),
    chunk("a.md", 9, "apple pie", lang="en"),
    chunk("a.md", 0, "apple pie", lang="ko"),
    chunk("c.md", 0, "banana bread and an apple", lang="en"),
    chunk("d.md", 0, "zebra crossing", lang="ko"),
    chunk("e.md", 0, "the bread of the baker", lang="en"),
]


def hybrid(index=None, embedding=None, **keys):
    index = index or FakeIndex(CHUNKS)
    return builders.hybrid(index, embedding or LetterEmbedding(), **{**HYBRID, **keys})


def dense(index=None, embedding=None, *, top_k=10, filters=None, min_score=None):
    index = index or FakeIndex(CHUNKS)
    return builders.dense(index, embedding or LetterEmbedding(), top_k=top_k, filters=filters, min_score=min_score)


def bm25(index=None, *, top_k=10, filters=None, min_score=None):
    return builders.bm25(index or FakeIndex(CHUNKS), top_k=top_k, filters=filters, min_score=min_score)


def places(nodes):
    return [(node.node.ref_doc_id, node.node.start_char_idx) for node in nodes]


def corpus(seed: int, size: int = 60):
    """Many equal texts, so that many scores tie."""
    chance = random.Random(seed)
    words = ["apple", "pie", "bread", "zebra", "ab", "ba"]
    names = [(f"d{number % 17}", number * 10) for number in range(size)]
    chance.shuffle(names)
    return [chunk(document, start, " ".join(chance.choices(words, k=2))) for document, start in names]


# ---- fusion ----------------------------------------------------------------------------------------------------------


@st.composite
def arms(draw):
    """Two lists of hits over few chunks and few scores, so that they overlap and tie."""
    pool = [chunk(document, start, "text") for document in "abcd" for start in (0, 4, 8)]
    scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1, 30, width=32))
    lists = []
    for _ in range(2):
        chosen = draw(st.lists(st.sampled_from(pool), unique_by=lambda item: item.id, max_size=12))
        lists.append([Hit(item, draw(scores)) for item in chosen])
    return lists


def fuse(fusion, dense_hits, bm25_hits, weight):
    """Candidates with their chunks, in order."""
    lists = ordered(dense_hits), ordered(bm25_hits)
    if fusion == "rrf":
        candidates = reciprocal_rank(*lists, dense_weight=weight, k=60)
    else:
        candidates = weighted_score(*lists, dense_weight=weight)
    return placed(candidates, {item.match.key: item.match.chunk for item in candidates})


def documents(fused):
    return [item.document for _, item in fused]


both = pytest.mark.parametrize("fusion", ["rrf", "weighted"])


def test_reciprocal_rank_adds_weighted_reciprocal_ranks():
    one, two, three = (chunk(name, 0, "text") for name in "abc")
    fused = fuse("rrf", [Hit(one, 0.9), Hit(two, 0.8)], [Hit(two, 7.0), Hit(three, 5.0)], 0.25)
    expected = {"a": 0.25 / 61, "b": 0.25 / 62 + 0.75 / 61, "c": 0.75 / 62}
    assert {item.document: found.score for found, item in fused} == pytest.approx(expected)
    assert documents(fused) == ["b", "c", "a"]
    assert [(found.dense_rank, found.dense_score, found.bm25_rank, found.bm25_score) for found, _ in fused] == [
        (2, 0.8, 1, 7.0),
        (None, None, 2, 5.0),
        (1, 0.9, None, None),
    ]


def test_weighted_score_adds_min_max_normalised_scores():
    one, two, three = (chunk(name, 0, "text") for name in "abc")
    dense_hits = [Hit(one, 0.9), Hit(two, 0.7), Hit(three, 0.5)]
    fused = fuse("weighted", dense_hits, [Hit(two, 8.0), Hit(one, 2.0)], 0.5)
    expected = {"a": 0.5 * 1 + 0.5 * 0, "b": 0.5 * (0.7 - 0.5) / (0.9 - 0.5) + 0.5 * 1, "c": 0.0}
    assert {item.document: found.score for found, item in fused} == pytest.approx(expected)


def test_weighted_score_gives_1_to_all_of_an_arm_whose_scores_are_equal():
    hits = [Hit(chunk(name, 0, "text"), 3.0) for name in "ab"]
    assert [found.score for found, _ in fuse("weighted", hits, [], 0.5)] == [0.5, 0.5]


@both
@given(lists=arms(), weight=st.sampled_from([0, 0.0, 0.3, 0.5, 1, 1.0]), chance=st.randoms(use_true_random=False))
def test_fusion_does_not_depend_on_the_order_of_its_input(fusion, lists, weight, chance):
    shuffled = [chance.sample(hits, len(hits)) for hits in lists]
    assert fuse(fusion, *shuffled, weight) == fuse(fusion, *lists, weight)


@both
@given(lists=arms(), weight=st.floats(0, 1))
def test_fusion_has_each_chunk_once_by_falling_score_and_ties_by_document_and_start(fusion, lists, weight):
    fused = fuse(fusion, *lists, weight)
    taking_part = (lists[0] if weight > 0 else []) + (lists[1] if weight < 1 else [])
    assert sorted({hit.chunk.id for hit in taking_part}) == sorted(item.id for _, item in fused)
    for (above, upper), (below, lower) in itertools.pairwise(fused):
        assert above.score >= below.score
        if above.score == below.score and 0 < weight < 1 and all(lists):
            assert (upper.document, upper.start) < (lower.document, lower.start)


@both
@given(lists=arms(), weight=st.floats(0, 1), k=st.integers(1, 30))
def test_a_cut_before_the_chunks_are_read_loses_nothing_of_the_cut_after(fusion, lists, weight, k):
    fused = fuse(fusion, *lists, weight)
    cut = leading([found for found, _ in fused], k)
    chunks = {found.match.key: found.match.chunk for found in cut}
    assert placed(cut, chunks)[:k] == fused[:k]


@both
@given(lists=arms())
def test_fusion_of_weight_0_and_1_is_exactly_the_pure_arm(fusion, lists):
    """TRAPS 3, 25: alpha 0 became .5, and weights were ignored."""
    assert [item for _, item in fuse(fusion, *lists, 1)] == [match.chunk for match in ordered(lists[0])]
    assert [item for _, item in fuse(fusion, *lists, 0)] == [match.chunk for match in ordered(lists[1])]


@both
@given(lists=arms())
def test_fusion_at_a_pure_weight_shows_nothing_of_the_other_arm(fusion, lists):
    assert all(found.bm25_rank is None and found.bm25_score is None for found, _ in fuse(fusion, *lists, 1))
    assert all(found.dense_rank is None and found.dense_score is None for found, _ in fuse(fusion, *lists, 0))


def test_weighted_score_of_one_arm_keeps_an_order_that_rounding_would_blur():
    hits = [Hit(chunk("z", 0, "t"), 1e-17), Hit(chunk("a", 0, "t"), 0.0), Hit(chunk("b", 0, "t"), -1.0)]
    fused = fuse("weighted", hits, [], 1)
    assert fused[0][0].score == fused[1][0].score
    assert documents(fused) == ["z", "a", "b"]


@both
@given(lists=arms(), weight=st.floats(0.01, 0.99))
def test_fusion_never_lowers_a_chunk_that_rises_to_an_arm_s_head(fusion, lists, weight):
    if not lists[0]:
        return
    lucky = lists[0][-1].chunk
    raised = [Hit(hit.chunk, 31.0 if hit.chunk == lucky else hit.score) for hit in lists[0]]

    def place(hits):
        return [item for _, item in fuse(fusion, hits, lists[1], weight)].index(lucky)

    assert place(raised) <= place(lists[0])


def test_ordered_leaves_out_only_what_is_below_min_score():
    hits = [Hit(chunk(name, 0, "text"), score) for name, score in (("a", 0.5), ("b", 0.49), ("c", 0.7))]
    assert [match.chunk.document for match in ordered(hits, 0.5)] == ["c", "a"]


# ---- retrievers ------------------------------------------------------------------------------------------------------


def test_dense_orders_by_cosine_and_says_how_it_found_each():
    nodes = dense().retrieve("apple pie")
    vector = LetterEmbedding().get_text_embedding("apple pie")
    expected = [cosine(vector, LetterEmbedding().get_text_embedding(node.text)) for node in nodes]
    assert [node.score for node in nodes] == pytest.approx(expected)
    assert [(node.retriever_rank, node.dense_rank, node.bm25_rank) for node in nodes] == [
        (rank, rank, None) for rank in range(1, 7)
    ]
    assert all(node.score == node.dense_score == node.retriever_score and node.bm25_score is None for node in nodes)


def test_bm25_finds_only_what_shares_a_term():
    nodes = bm25().retrieve("bread")
    assert places(nodes) == [("c.md", 0), ("e.md", 0)] or places(nodes) == [("e.md", 0), ("c.md", 0)]
    assert all(node.score == node.bm25_score and node.dense_rank is None for node in nodes)
    assert bm25().retrieve("nothing here") == []


def test_hybrid_returns_llamaindex_nodes_with_both_ranks():
    nodes = hybrid().retrieve("apple bread")
    assert all(isinstance(node, Ranked) for node in nodes)
    by_place = dict(zip(places(nodes), nodes, strict=True))
    arms_of = {"dense": dense().retrieve("apple bread"), "bm25": bm25().retrieve("apple bread")}
    for arm, found in arms_of.items():
        for rank, node in enumerate(found, start=1):
            assert getattr(by_place[places([node])[0]], f"{arm}_rank") == rank
            assert getattr(by_place[places([node])[0]], f"{arm}_score") == node.score
    for node in nodes:
        parts = [1 / (60 + rank) for rank in (node.dense_rank, node.bm25_rank) if rank is not None]
        assert node.score == pytest.approx(0.5 * sum(parts))


@both
@pytest.mark.parametrize("seed", range(5))
def test_hybrid_of_weight_0_and_1_is_the_pure_retriever_ties_and_cut_included(fusion, seed):
    """TRAPS 3, 25, 44: weights mean what they say, and equal scores have one order."""
    index = FakeIndex(corpus(seed))
    for query in ("apple pie", "zebra", "ab ba bread", "qqq"):
        for top_k in (1, 3, 10, 50):
            keys = {"index": index, "fusion": fusion, "top_k": top_k}
            assert places(hybrid(**keys, dense_weight=1).retrieve(query)) == places(
                dense(index, top_k=top_k).retrieve(query)
            )
            assert places(hybrid(**keys, dense_weight=0).retrieve(query)) == places(
                bm25(index, top_k=top_k).retrieve(query)
            )


def test_hybrid_does_not_ask_an_arm_of_weight_0():
    """TRAPS 3: BM25 alone needs no embedding, which may cost money."""
    index, embedding = FakeIndex(CHUNKS), LetterEmbedding()
    hybrid(index, embedding, dense_weight=0).retrieve("apple")
    assert [call[0] for call in index.calls] == ["lexical"]
    assert embedding.queries == []
    hybrid(index, embedding, dense_weight=1).retrieve("apple")
    assert [call[0] for call in index.calls] == ["lexical", "dense"]


@both
def test_hybrid_keeps_equal_texts_of_two_documents_apart(fusion):
    """TRAPS 25: LlamaIndex's fusion merges documents with equal text."""
    found = places(hybrid(fusion=fusion).retrieve("apple pie"))
    assert found[:3] == [("a.md", 0), ("a.md", 9), ("b.md", 0)]


@both
@pytest.mark.parametrize("shuffle", range(4))
def test_equal_scores_are_ordered_by_document_and_start_whatever_the_index_holds_first(fusion, shuffle):
    """TRAPS 44: the order of equal scores alone moves recall."""
    chunks = random.Random(shuffle).sample(CHUNKS, len(CHUNKS))
    for query in ("apple pie", "bread", "zebra"):
        for make in (dense, bm25, lambda index: hybrid(index, fusion=fusion)):
            assert places(make(FakeIndex(chunks)).retrieve(query)) == places(make(FakeIndex(CHUNKS)).retrieve(query))


def test_hybrid_needs_no_llm():
    """TRAPS 25: LlamaIndex's fusion asks for an LLM even for one query."""
    assert hybrid().retrieve("apple")


@pytest.mark.parametrize("top_k", [1, 2, 5])
def test_top_k_is_the_exact_length_when_there_is_enough(top_k):
    for make in (dense, bm25, hybrid):
        assert len(make(FakeIndex(corpus(1)), top_k=top_k).retrieve("apple pie bread")) == top_k


def test_top_k_cuts_after_fusion_and_candidates_before():
    index = FakeIndex(corpus(2))
    nodes = hybrid(index, candidates=7, top_k=5).retrieve("apple pie")
    assert [call[1] for call in index.calls] == [7, 7]
    assert max(node.dense_rank or 0 for node in nodes) <= 7
    assert [node.retriever_rank for node in nodes] == [1, 2, 3, 4, 5]


@both
def test_min_score_is_a_limit_on_each_arm_s_raw_score(fusion):
    every = dense().retrieve("apple")
    limit = every[2].score
    assert places(dense(min_score=limit).retrieve("apple")) == places([n for n in every if n.score >= limit])
    lexical = bm25().retrieve("apple")
    assert places(bm25(min_score=lexical[0].score).retrieve("apple")) == places(
        [n for n in lexical if n.score == lexical[0].score]
    )
    nodes = hybrid(fusion=fusion, min_score=0.999, min_bm25_score=99).retrieve("apple pie")
    assert places(nodes) == [("a.md", 0), ("a.md", 9), ("b.md", 0)]
    assert all(node.bm25_rank is None and node.dense_score >= 0.999 for node in nodes)
    assert hybrid(fusion=fusion, min_score=1, min_bm25_score=99).retrieve("qqq") == []


def test_a_query_bundle_s_own_embedding_is_used_and_nothing_embedded():
    index, embedding = FakeIndex(CHUNKS), LetterEmbedding()
    vector = embedding.get_text_embedding("zebra crossing")
    bundle = QueryBundle("apple", embedding=vector)
    assert places(dense(index, embedding).retrieve(bundle))[0] == ("d.md", 0)
    assert hybrid(index, embedding).retrieve(bundle)
    assert embedding.queries == []


def test_a_query_bundle_is_not_changed():
    """A vector left in the caller's bundle would be taken for another model's at its next use."""
    bundle = QueryBundle("apple")
    hybrid().retrieve(bundle)
    assert bundle.embedding is None


def test_a_query_bundle_s_embedding_strings_are_embedded_in_place_of_the_query():
    bundle = QueryBundle("apple", custom_embedding_strs=["zebra crossing"])
    assert places(dense().retrieve(bundle))[0] == ("d.md", 0)
    assert places(bm25().retrieve(bundle))[0][0] != "d.md"


@pytest.mark.parametrize("make", [dense, bm25, hybrid])
@pytest.mark.parametrize("question", ["", " \n"])
def test_a_blank_question_is_an_error(make, question):
    with pytest.raises(DataError, match=wording(question_without_text())):
        make().retrieve(question)
    with pytest.raises(DataError, match=wording(question_without_text())):
        asyncio.run(make().aretrieve(question))


# ---- side by side ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dense, bm25, hybrid, lambda: hybrid(fusion="weighted", dense_weight=0.7)])
@pytest.mark.parametrize("question", ["apple pie", "bread", "qqq"])
def test_async_retrieval_returns_what_sync_does(make, question):
    assert asyncio.run(make().aretrieve(question)) == make().retrieve(question)


class MeetingIndex(FakeIndex):
    """Both searches wait for each other: running them one after the other is stuck."""

    def __init__(self, chunks):
        super().__init__(chunks)
        self.met = threading.Barrier(2)

    def dense(self, *args, **kwargs):
        self.met.wait(timeout=20)
        return super().dense(*args, **kwargs)

    def lexical(self, *args, **kwargs):
        self.met.wait(timeout=20)
        return super().lexical(*args, **kwargs)


def test_hybrid_asks_both_arms_at_once():
    assert hybrid(MeetingIndex(CHUNKS)).retrieve("apple")
    assert asyncio.run(hybrid(MeetingIndex(CHUNKS)).aretrieve("apple"))


class BrokenIndex(FakeIndex):
    def lexical(self, *args, **kwargs):
        raise ServiceError("vector_store: gone")


def test_an_arm_that_fails_is_an_error_never_the_other_arm_alone():
    """TRAPS 34: an outage silently switched to something else."""
    with pytest.raises(ServiceError, match="gone"):
        hybrid(BrokenIndex(CHUNKS)).retrieve("apple")
    with pytest.raises(ServiceError, match="gone"):
        asyncio.run(hybrid(BrokenIndex(CHUNKS)).aretrieve("apple"))


def test_stages_are_timed_also_in_the_other_thread():
    with collect() as timings:
        hybrid().retrieve("apple")
    assert set(timings) == {"embed_query", "dense", "bm25", "fuse", "load"}
    with collect() as timings:
        asyncio.run(hybrid().aretrieve(QueryBundle("apple", embedding=[1.0] * 26)))
    assert set(timings) == {"dense", "bm25", "fuse", "load"}


def test_hybrid_reads_the_chunks_that_leave_and_no_others_of_the_candidates():
    index = FakeIndex(corpus(2))
    nodes = hybrid(index, candidates=40, top_k=5, fusion="weighted").retrieve("apple pie")
    (loaded,) = index.loaded
    equal = [node.score for node in nodes].count(nodes[-1].score)
    assert {node.node.node_id for node in nodes} <= {*loaded}
    assert len(loaded) < 40 or equal > 1


class ChangingIndex(FakeIndex):
    """An ingest replaces a ranked chunk before it is loaded, so many times."""

    def __init__(self, chunks, times):
        super().__init__(chunks)
        self.times = times

    def load(self, keys):
        if len(self.loaded) < self.times:
            self.loaded.append(list(keys))
            raise OutdatedRanking("vector_store: replaced")
        return super().load(keys)


def test_hybrid_searches_again_when_a_ranked_chunk_was_replaced_before_it_was_read():
    expected = hybrid().retrieve("apple")
    assert hybrid(ChangingIndex(CHUNKS, 3)).retrieve("apple") == expected
    assert asyncio.run(hybrid(ChangingIndex(CHUNKS, 3)).aretrieve("apple")) == expected
    with pytest.raises(OutdatedRanking):
        hybrid(ChangingIndex(CHUNKS, 99)).retrieve("apple")
    with pytest.raises(OutdatedRanking):
        asyncio.run(hybrid(ChangingIndex(CHUNKS, 99)).aretrieve("apple"))


def test_one_retriever_serves_many_threads():
    retriever = hybrid(FakeIndex(corpus(3)))
    questions = ["apple", "pie bread", "zebra ab", "ba"] * 10
    expected = [places(retriever.retrieve(question)) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda question: places(retriever.retrieve(question)), questions)) == expected


# ---- filters ---------------------------------------------------------------------------------------------------------


def test_filters_reach_both_arms_before_the_search():
    index = FakeIndex(CHUNKS)
    nodes = hybrid(index, top_k=1, candidates=1, filters=[{"key": "lang", "value": "ko"}]).retrieve("apple pie")
    assert places(nodes) == [("a.md", 0)]
    expected = MetadataFilters(filters=[MetadataFilter(key="lang", value="ko")])
    assert [call[2] for call in index.calls] == [expected, expected]


def test_filters_are_none_when_there_are_none():
    index = FakeIndex(CHUNKS)
    for nothing in (None, []):
        hybrid(index, filters=nothing).retrieve("apple")
    assert all(call[2] is None for call in index.calls)


def test_filters_may_be_nested():
    made = metadata_filters(
        {
            "condition": "or",
            "filters": [
                {"key": "year", "operator": ">=", "value": 2020},
                {"condition": "not", "filters": [{"key": "tags", "operator": "any", "value": ["a", "b"]}]},
            ],
        }
    )
    assert made.condition.value == "or"
    assert made.filters[0].operator is FilterOperator.GTE
    assert made.filters[1].condition.value == "not"
    assert made.filters[1].filters[0].value == ["a", "b"]


def test_filter_operators_are_all_of_llamaindex_s():
    assert set(OPERATORS) == {operator.value for operator in FilterOperator}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_filter_operator_can_be_written(operator):
    value = {"scalar": 3, "text": "it's", "list": ["a"], "nothing": None}[OPERATORS[operator]]
    made = metadata_filters([{"key": "k", "operator": operator, "value": value}])
    assert (made.filters[0].operator.value, made.filters[0].value) == (operator, value)


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        ("lang=ko", "retriever: " + filters_not_a_list("retriever.filters='lang=ko'")),
        (["lang"], "retriever: " + filter_form("retriever.filters[0]='lang'")),
        (
            [{"key": "a", "value": 1, "op": "=="}],
            unknown_key("retriever.filters[0].op='=='", "it") + known_names("key", "operator", "value"),
        ),
        ([{"value": 1}], filter_key_missing("retriever.filters[0].key=None")),
        ([{"key": "a", "operator": "=>", "value": 1}], "did you mean '>"),
        ([{"key": "a", "value": True}], filter_value_kind("retriever.filters[0].value=True")),
        ([{"key": "a", "operator": "in", "value": "b"}], list_of_texts()),
        ([{"key": "a", "operator": "in", "value": []}], list_of_texts()),
        ([{"key": "a", "operator": "in", "value": [1, "b"]}], list_of_texts()),
        ([{"key": "a", "operator": "text_match", "value": 1}], "must be text for the operator text_match"),
        ([{"key": "a", "operator": "is_empty", "value": 1}], "must be left out for the operator is_empty"),
        (
            {"condition": "xor", "filters": [{"key": "a", "value": 1}]},
            unknown_condition("condition='xor'") + did_you_mean("or"),
        ),
        ({"condition": "or", "filters": []}, empty_filters("retriever.filters.filters=[]")),
        ([{"filters": [{"key": ""}]}], "retriever.filters[0].filters[0].key='' must be the name"),
    ],
)
def test_wrong_filters_are_named_with_place_value_and_rule(filters, line):
    for option, keys in (("dense", {}), ("bm25", {}), ("hybrid", {"candidates": 100})):
        problems = key_problems(getattr(builders, option), {"top_k": 10, "filters": filters, **keys})
        assert any(line in problem for problem in problems), problems
        assert all(problem.startswith("retriever: retriever.filters") for problem in problems)
    with pytest.raises(ConfigError) as raised:
        hybrid(filters=filters)
    assert line in str(raised.value)


def test_all_problems_of_a_retriever_come_at_once():
    values = {"top_k": 10, "candidates": 5, "filters": [{"key": ""}, {"key": "a", "operator": "~", "value": 1}]}
    problems = key_problems(builders.hybrid, values)
    assert len(problems) == 4
    assert "retriever: " + at_least("retriever.candidates=5", "retriever.top_k=10") in problems[-1]
    with pytest.raises(ConfigError) as raised:
        hybrid(**values)
    assert list(raised.value.problems) == problems


# ---- in LlamaIndex ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dense, bm25, hybrid])
def test_retrievers_work_in_a_plain_llamaindex_query_engine(make):
    engine = RetrieverQueryEngine.from_args(
        make(), llm=MockLLM(), node_postprocessors=[rerankers.none(top_n=2)], response_mode="compact"
    )
    response = engine.query("apple pie")
    assert places(response.source_nodes) == [("a.md", 0), ("a.md", 9)]
    assert places(asyncio.run(engine.aquery("apple pie")).source_nodes) == [("a.md", 0), ("a.md", 9)]


def test_ranked_s_ways_are_in_llamaindex_s_dump():
    dumped = hybrid().retrieve("apple")[0].to_dict()
    assert dumped["class_name"] == "Ranked"
    assert {"retriever_rank", "retriever_score", "dense_rank", "dense_score", "bm25_rank", "bm25_score"} < set(dumped)
