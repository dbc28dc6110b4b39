"""Texts at which a provider always fails or hangs: their documents fail by name, the rest is stored, and no text is
sent twice for it. Through the real client, on both stores."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import ragloom.providers.openai_client
from loopback import Fault, OpenAIServer, edit, raw, slow, status
from messages import wording
from messages.embedding import fails_at_harmless_text, too_many_refused
from messages.evaluation import retry_failed
from messages.providers import no_answer_in_time
from paid_corpus import PaidCorpus, batches, counting_server
from ragloom.errors import ServiceError
from ragloom.ingestion import IngestSummary
from ragloom.providers.request_context import single_attempt
from ragloom.providers.retry import Link

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("api_key", "waits")]

DOCUMENTS, ATTEMPTS = 20, 3
LIMITS = [f"embedding.attempts={ATTEMPTS}", "embedding.deadline=1000"]
HANG = [*LIMITS, "embedding.timeout=1", "embedding.concurrency=1"]


@pytest.fixture
def corpus(tmp_path: Path) -> PaidCorpus:
    return PaidCorpus(tmp_path, DOCUMENTS)


def spoiled(fault: Fault, *words: str) -> Callable[[str], Fault | None]:
    """Spoils requests that hold one of some words."""
    return lambda text: fault if any(word in text for word in words) else None


def reasons(summary: IngestSummary) -> dict[str, str]:
    return {Path(item.location).name: item.reason for item in summary.unreadable}


def _none(body: dict[str, list[dict[str, object]]]) -> None:
    for item in body["data"]:
        item["embedding"] = [None] * 8


NAN = "failed to encode response: json: unsupported value: NaN"
FAULTS = {
    "500": (status(500, message=NAN), NAN),
    "503": (status(503, message="the runner crashed"), "503: the runner crashed"),
    "200 with an error": (raw(b'{"error": {"message": "NaN", "code": 500}}'), "500: NaN"),
    "200 with an error of no code": (raw(b'{"error": "NaN"}'), "NaN"),
    "hang-up": (Fault(hang_up=True), "disconnected"),
    "half an answer": (Fault(break_after=40), "peer closed connection"),
    "no JSON": (raw(b'{"data": ['), "not the JSON it should be"),
    "vectors of nothing": (edit(_none), "not finite or all zero"),
    "400": (status(400, message="the content policy"), "400: the content policy"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS)
def test_text_at_which_the_server_always_fails_fails_its_document_only(
    corpus: PaidCorpus, fault: Fault, says: str
) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(fault, "zebra")) as server:
        summary = corpus.ingest(server, *LIMITS)
        assert list(reasons(summary)) == ["003.md"]
        assert says in reasons(summary)["003.md"]
        assert "characters 0 to" in reasons(summary)["003.md"]
        assert (summary.refused, summary.added, summary.complete) == (1, DOCUMENTS - 1, False)
        corpus.demand_complete(server, *LIMITS, but=("003.md",))
        # attempts for the batch, at most 2 log2(4) parts, a harmless text before and after
        assert len(server.requests) <= batches(DOCUMENTS) + (ATTEMPTS - 1) + 2 * math.log2(4) + 2


def test_text_at_which_the_server_hangs_fails_its_document_only(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(slow(30), "zebra")) as server:
        summary = corpus.ingest(server, *HANG, "embedding.attempts=1")
        assert no_answer_in_time("embedding", 1) in reasons(summary)["003.md"]
        assert summary.added == DOCUMENTS - 1
        assert len(server.requests) <= batches(DOCUMENTS) + 2 * math.log2(4) + 2
        before = len(server.requests)
        corpus.ingest(server, *HANG)
        assert len(server.requests) == before


@pytest.mark.parametrize("store", ["lancedb", pytest.param("weaviate", marks=pytest.mark.weaviate)])
def test_bad_text_is_remembered_until_it_changes_or_is_tried_again(
    corpus: PaidCorpus, store: str, request: pytest.FixtureRequest
) -> None:
    there = list(LIMITS)
    if store == "weaviate":
        address, prefix = request.getfixturevalue("weaviate_server"), request.getfixturevalue("prefix")
        corpus.store = ["vector_store=weaviate", f"vector_store.collection_prefix={prefix}"]
        corpus.store += [f"vector_store.url={address.url}", f"vector_store.grpc_port={address.grpc_port}"]
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *there)
        sent = len(server.requests)
        again = corpus.ingest(server, *there)
        assert len(server.requests) == sent, "an unchanged ingest sends nothing"
        assert (again.refused, again.unreadable_count, again.unchanged) == (1, 1, DOCUMENTS - 1)
        assert NAN in reasons(again)["003.md"]
        assert retry_failed() in reasons(again)["003.md"]
        (corpus.folder / "003.md").touch()  # another time, the same text
        assert reasons(corpus.ingest(server, *there)) == reasons(again)
        assert len(server.requests) == sent
        assert corpus.ingest(server, *there, "retry_failed=true").refused == 1
        assert len(server.requests) > sent
        sent = len(server.requests)
        corpus.write(3, "A changed zebra.")
        assert "retry_failed" not in reasons(corpus.ingest(server, *there))["003.md"]
        assert len(server.requests) > sent
        server.spoils = lambda text: None
        assert corpus.ingest(server, *there, "retry_failed=true").complete
        assert corpus.ingest(server, *there).complete
        assert corpus.assembly(server, *there).open().info.summary.get("refused") is None


def test_another_model_tries_a_bad_text_again(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *LIMITS)
        server.spoils = lambda text: None
        assert corpus.ingest(server, *LIMITS, "embedding.model=text-embedding-3-large").complete


def test_bad_document_that_vanished_is_forgotten(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *LIMITS)
        (corpus.folder / "003.md").unlink()
        assert corpus.ingest(server, *LIMITS).complete
        assert "refused" not in corpus.assembly(server, *LIMITS).open().info.summary


def test_old_version_of_a_document_with_a_bad_text_stays(corpus: PaidCorpus) -> None:
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *LIMITS)
        corpus.write(3, "A striped zebra.")
        for _ in range(2):
            summary = corpus.ingest(server, *LIMITS)
            assert (summary.refused, summary.deleted, summary.documents) == (1, 0, DOCUMENTS)
        assert "subject 21" in corpus.assembly(server, *LIMITS).open().document("003.md").text


def test_bad_text_that_comes_again_in_other_documents_is_sent_once(corpus: PaidCorpus) -> None:
    for number in range(12):
        (corpus.folder / f"{number:03}.md").write_text("A striped zebra.\n", encoding="utf-8")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        summary = corpus.ingest(server, *LIMITS)
        assert summary.refused == 12
        alone = [request for request in server.requests if request.body["input"] == ["A striped zebra."]]
        assert len(alone) <= 1 + ATTEMPTS


def test_unhealthy_server_is_told_from_bad_texts_by_a_harmless_one(corpus: PaidCorpus) -> None:
    with counting_server(script=[status(500, message="out of memory")] * 1000) as server:
        with pytest.raises(ServiceError, match=wording("out of memory", fails_at_harmless_text())):
            corpus.ingest(server, *LIMITS, "embedding.concurrency=1")
        assert len(server.requests) == ATTEMPTS + 1
        server.script = []
        assert corpus.ingest(server, *LIMITS).complete, "nothing is remembered of it"


@pytest.mark.parametrize(("share", "bad", "passes"), [("0.01", 10, True), ("0.01", 11, False), ("0.9", 11, True)])
@pytest.mark.parametrize("fault", ["500", "400"])
def test_more_bad_texts_than_max_refused_stop_the_run(
    corpus: PaidCorpus, fault: str, share: str, bad: int, passes: bool
) -> None:
    for number in range(bad):
        corpus.write(number, f"A striped zebra of number {number}.")
    settings = [*LIMITS, f"embedding.max_refused={share}"]
    with counting_server(spoils=spoiled(FAULTS[fault][0], "zebra")) as server:
        if passes:
            assert corpus.ingest(server, *settings).refused == bad
            return
        with pytest.raises(ServiceError, match=wording(too_many_refused(11, 20, 0.01, 10))):
            corpus.ingest(server, *settings)


def test_no_bad_text_is_let_pass_where_max_refused_is_zero(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with (
        counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server,
        pytest.raises(ServiceError, match="embedding.max_refused=0 allows 0"),
    ):
        corpus.ingest(server, *LIMITS, "embedding.max_refused=0")


def test_budget_is_charged_for_what_is_answered_alone(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *LIMITS)
        answered = server.tokens
    again = PaidCorpus(corpus.root / "b", DOCUMENTS) if (corpus.root / "b").mkdir() is None else corpus
    again.write(3, "A striped zebra.")
    zebra = 10  # tokens of the part that is being tried are held while it is
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        limit = f"budget.max_tokens={answered + 4 * zebra}"
        assert again.ingest(server, *LIMITS, limit, "embedding.concurrency=1").stopped is None


def test_dry_run_counts_no_text_that_is_remembered_as_bad(corpus: PaidCorpus) -> None:
    corpus.write(3, "A striped zebra.")
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        corpus.ingest(server, *LIMITS)
        for further, texts in ((), 0), (("retry_failed=true",), 1):
            with corpus.assembly(server, *LIMITS, "dry_run=true", *further) as assembly:
                estimate = assembly.rehearse()
            assert estimate.chunks.texts == texts
            assert estimate.summary.refused == 1 - texts


@pytest.mark.parametrize("processes", [0, 1])
def test_bad_text_that_cutting_asks_for_is_remembered_too(corpus: PaidCorpus, processes: int) -> None:
    corpus.write(3, "A harmless beginning. " * 10 + "A striped zebra. " + "A harmless end. " * 10)
    semantic = ["chunking=semantic", "chunking.min_size=1", "chunking.chunk_size=64"]
    there = [*LIMITS, *semantic, f"workers.processes={processes}"]
    with counting_server(spoils=spoiled(FAULTS["500"][0], "zebra")) as server:
        assert list(reasons(corpus.ingest(server, *there))) == ["003.md"]
        sent = len(server.requests)
        again = corpus.ingest(server, *there)
        assert len(server.requests) == sent
        assert (again.refused, again.documents) == (1, DOCUMENTS - 1)


def test_rate_limit_and_absent_server_while_texts_are_told_apart_are_waited_out(corpus: PaidCorpus) -> None:
    """A server that a text brings down is away for a while: that says nothing about the next text."""
    corpus.write(3, "A striped zebra.")
    failed = 0

    def spoils(text: str) -> Fault | None:
        nonlocal failed
        failed += "zebra" in text
        return FAULTS["500"][0] if "zebra" in text else None

    with counting_server(spoils=spoils) as server:
        server.script = [*[status(500)] * ATTEMPTS, None, status(429, retry_after=3), None, status(429), None]
        summary = corpus.ingest(server, *LIMITS, "embedding.concurrency=1")
    assert failed
    assert list(reasons(summary)) == ["003.md"]


def test_part_is_tried_once_whatever_the_attempts() -> None:
    link = Link("embedding", "m", "http://127.0.0.1:9/v1", None, 5.0, 9, 60.0)
    with OpenAIServer([status(500)] * 9) as server, single_attempt(), pytest.raises(ServiceError):
        provider = ragloom.providers.openai_client.Provider(Link(**{**vars(link), "base_url": server.base_url}))
        provider.embeddings(model="m", input=["x"])
    assert len(server.requests) == 1
