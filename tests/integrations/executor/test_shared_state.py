"""What workers share or send back adds up: samples, usage, budgets."""

from __future__ import annotations

import pickle
from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ragloom.components.vector_store.weaviate_store.search_verification import SAMPLE, ChunkSample
from ragloom.core.budget import Budget
from ragloom.core.usage import Usage, collect_usage, record, record_lookups, record_usage


def sample(numbers: range, seed: str) -> ChunkSample:
    made = ChunkSample(seed)
    made.add((UUID(int=number), f"d{number}", "h") for number in numbers)
    return made


@given(st.lists(st.integers(0, 500), min_size=1, max_size=5))
def test_merged_sample_has_as_many_different_chunks_as_one_sample_would(sizes: list[int]) -> None:
    merged, first = ChunkSample("driver"), 0
    for worker, size in enumerate(sizes):
        merged.merge(sample(range(first, first + size), str(worker)))
        first += size
    assert len(merged.ids) == min(SAMPLE, first)
    assert all(id.int < first for id in merged.ids)


def test_merged_sample_draws_from_each_worker_by_the_number_of_its_chunks() -> None:
    drawn: Counter[bool] = Counter()
    for seed in range(40):
        merged = sample(range(3_000), f"a{seed}")
        merged.merge(sample(range(3_000, 4_000), f"b{seed}"))
        drawn.update(id.int < 3_000 for id in merged.ids)
    share = drawn[True] / sum(drawn.values())
    assert abs(share - 0.75) < 0.02, "3,000 of 4,000 chunks; five standard deviations of 8,800 draws"


def test_required_chunks_of_a_worker_are_verified_in_any_case() -> None:
    merged, worker = ChunkSample("driver"), ChunkSample("worker")
    worker.required = [(UUID(int=7), "d", "h")]
    merged.merge(worker)
    assert merged.take_required() == [UUID(int=7)]


def used() -> Usage:
    with collect_usage() as usage:
        record("embedding", "m", input_tokens=5, output_tokens=None)
        record("llm", "n", input_tokens=None, output_tokens=3)
        record_lookups("m", hits=2, misses=1, tokens=9)
    return usage


def test_usage_of_other_processes_is_added_to_every_open_collection() -> None:
    remote = pickle.loads(pickle.dumps(used()))
    with collect_usage() as outer, collect_usage() as inner:
        for _ in range(2):
            record_usage(remote)
    assert inner == outer
    assert inner.tokens("embedding").requests == 2
    assert inner.tokens("embedding").input == 10
    assert inner.tokens("llm").unreported == 2
    assert (inner.cache.hits, inner.cache.misses, inner.cache.tokens, inner.cache.saved) == (4, 2, 18, {"m": 18})
    assert remote == used(), "what was added is not changed by later additions"


def test_budget_that_another_process_spends_is_taken_over() -> None:
    here = Budget(max_usd=1.0, max_tokens=100, price=0.5)
    here.charge(10)
    there: Budget = pickle.loads(pickle.dumps(here))
    there.charge(40)
    there.refund(5)
    here.settle_as(there)
    assert (here.tokens, here.usd) == (45, 45 * 0.5 / 1_000_000)
