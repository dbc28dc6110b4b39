"""The budget: no call is made that would exceed it, what was completed is committed, and the next run goes on."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ragloom.providers.openai_client
from loopback import slow, status
from messages import wording_at_start
from messages.cli import same_command_goes_on
from messages.evaluation import budget_exceeded, price_needed
from paid_corpus import BATCH, KEY, PaidCorpus, counting_server, summary_of
from ragloom.core.budget import Budget, BudgetSpent, charge, has_budget, within
from ragloom.errors import ConfigError

pytestmark = pytest.mark.slow

DOCUMENTS = 20
ONE_BY_ONE = ["embedding.concurrency=1"]
SEMANTIC = ["chunking=semantic", "chunking.min_size=1", "chunking.chunk_size=64"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(ragloom.providers.openai_client, "sleep", lambda seconds: None)


@pytest.fixture
def corpus(tmp_path: Path) -> PaidCorpus:
    return PaidCorpus(tmp_path, DOCUMENTS)


@settings(deadline=None)
@given(st.integers(0, 100), st.lists(st.integers(0, 40)))
def test_budget_of_tokens_is_never_exceeded_and_only_closed_by_what_would_exceed_it(
    most: int, calls: list[int]
) -> None:
    budget, spent, closed = Budget(max_usd=None, max_tokens=most, price=1.0), 0, False
    for tokens in calls:
        would_exceed = spent + tokens > most
        try:
            budget.charge(tokens)
        except BudgetSpent:
            assert closed or would_exceed
            closed = True
        else:
            assert not closed
            assert not would_exceed
            spent += tokens
    assert budget.tokens == spent <= most


@settings(deadline=None)
@given(st.integers(1, 10_000), st.decimals("0.01", 200, places=2))
def test_calls_that_cost_exactly_the_dollars_are_made(tokens: int, price: object) -> None:
    """Binary fractions would not let 3 million tokens at 0.1 dollars pass for 0.3."""
    from decimal import Decimal

    assert isinstance(price, Decimal)
    dollars = float(price * tokens / 1_000_000)
    if Decimal(str(dollars)) == price * tokens / 1_000_000:
        budget = Budget(max_usd=dollars, max_tokens=None, price=float(price))
        budget.charge(tokens)
        with pytest.raises(BudgetSpent, match="budget.max_usd="):
            budget.charge(1)


def test_what_is_refunded_can_be_spent_again() -> None:
    budget = Budget(max_usd=None, max_tokens=10, price=0)
    budget.charge(10)
    budget.refund(10)
    budget.charge(10)


def test_local_model_is_limited_by_tokens_only() -> None:
    Budget(max_usd=0.0, max_tokens=None, price=0.0).charge(10**9)


def test_budget_belongs_to_its_context() -> None:
    seen = []
    with within(Budget(max_usd=None, max_tokens=0, price=0)):
        thread = threading.Thread(target=lambda: seen.append(has_budget()))
        thread.start()
        thread.join()
        with pytest.raises(BudgetSpent):
            charge(1)
    charge(1)
    assert seen == [False]


@pytest.mark.parametrize("left", [0, 1], ids=["fits exactly", "one token short"])
def test_stop_is_exact_and_the_next_run_goes_on(corpus: PaidCorpus, left: int) -> None:
    with counting_server() as server:
        texts = [text for some in corpus.chunks(server).values() for _, text in some]
        counts = [server.count(text) for text in texts]
        most = sum(counts[: 3 * BATCH]) - left
        done = corpus.run(server, *ONE_BY_ONE, f"budget.max_tokens={most}", "output=json")
        assert done.returncode == 1
        whole = 2 * BATCH if left else 3 * BATCH
        assert server.tokens == sum(counts[:whole])
        summary = summary_of(done)
        assert budget_exceeded(f"budget.max_tokens={most}") in str(summary["stopped"])
        assert same_command_goes_on() in str(summary["stopped"])
        assert summary["documents"] == summary["added"] == whole
        assert summary["unreadable_count"] == 0
        corpus.demand_complete(server, but=tuple(f"{number:03}.md" for number in range(whole, DOCUMENTS)))
        assert corpus.run(server, *ONE_BY_ONE).returncode == 0
        assert server.tokens == sum(counts)
        corpus.demand_complete(server)


def test_dollars_stop_as_tokens_do(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        texts = [text for some in corpus.chunks(server).values() for _, text in some]
        most = sum(map(server.count, texts[:BATCH]))
        summary = corpus.ingest(server, *ONE_BY_ONE, f"budget.max_usd={most * 0.02 / 1e6:.8f}")
        assert server.tokens == most
        assert "budget.max_usd=" in (summary.stopped or "")
        assert summary.documents == BATCH


def test_concurrent_calls_and_repeated_ones_stay_within_it(corpus: PaidCorpus) -> None:
    """A request that timed out may be billed all the same: it counts as often as it is sent."""
    with counting_server(script=[slow(1.5), None, slow(1.5), status(500)]) as server:
        most = sum(server.count(text) for some in corpus.chunks(server).values() for _, text in some) // 2
        summary = corpus.ingest(server, "embedding.timeout=0.7", f"budget.max_tokens={most}")
        server.wait(1.0)
        assert 0 < server.tokens <= most
        assert summary.stopped is not None
        assert corpus.ingest(server).complete
        corpus.demand_complete(server)


@pytest.mark.parametrize("processes", [0, 1])
def test_what_chunking_asks_for_is_covered(corpus: PaidCorpus, processes: int) -> None:
    for number in range(DOCUMENTS):
        corpus.write(number, f"Sentence {number}. Another about {number}. Nothing more than {number} is said here.")
    workers = f"workers.processes={processes}"
    with counting_server() as server:
        corpus.ingest(
            server, *SEMANTIC, workers, f'cache.path="{corpus.root / "b"}"', f'vector_store.path="{corpus.root / "a"}"'
        )
        whole, server.tokens = server.tokens, 0
        most = whole // 3
        summary = corpus.ingest(server, *SEMANTIC, workers, f"budget.max_tokens={most}")
        assert summary.stopped is not None
        assert most - 200 < server.tokens <= most
        assert corpus.ingest(server, *SEMANTIC, workers).complete
        assert server.tokens == whole


def test_refused_requests_are_not_charged(corpus: PaidCorpus) -> None:
    """Two of the three refused texts may be held when the last one that is accepted is sent."""
    refused = ("subject 21.", "subject 63.", "subject 105.")
    with counting_server(refuses=lambda text: text.rstrip().endswith(refused)) as server:
        texts = [text for some in corpus.chunks(server).values() for _, text in some]
        *held, last = [server.count(text) for text in texts if server.refuses(text)]
        accepted = sum(map(server.count, texts)) - sum(held) - last
        summary = corpus.ingest(server, *ONE_BY_ONE, f"budget.max_tokens={accepted + sum(held)}")
        assert summary.stopped is None
        assert summary.unreadable_count == 3
        assert server.tokens == accepted


def test_dollars_without_a_price_are_refused_before_anything_is_read(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        unknown = ["embedding.model=my-own", "budget.max_usd=1"]
        with pytest.raises(ConfigError, match=wording_at_start(price_needed("budget: budget.max_usd=1", "my-own"))):
            corpus.ingest(server, *unknown)
        assert not (corpus.root / "store").exists()
        assert corpus.ingest(server, *unknown, "+prices.models={my-own: {input: 0, output: 0}}").complete
        assert corpus.ingest(server, "embedding.model=my-own", "budget.max_tokens=100000").complete


def test_summary_is_kept_where_the_budget_stopped_it(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        done = corpus.run(server, "budget.max_tokens=0")
        assert done.returncode == 1
        assert not server.requests
        (kept,) = (corpus.root / "runs").rglob("ingest.json")
        assert "budget.max_tokens=0" in json.loads(kept.read_text())["stopped"]
