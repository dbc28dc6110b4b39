"""A provider that fails during an ingest: a right index, or an error that names it and a state to go on from.

All of it through the real client. No chunk is missing silently, and no more requests are made than the policy allows.
"""

import math
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from loopback import Fault, OpenAIServer, edit, raw, slow, status
from messages import wording
from messages.embedding import refused_text
from messages.providers import gave_up
from paid_corpus import BATCH, KEY, PaidCorpus, batches, counting_server
from ragloom.errors import ConfigError, RagloomError, ServiceError
from ragloom.ingestion import IngestSummary
from ragloom.providers.openai_client import Provider

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("api_key", "waits")]

DOCUMENTS = 20
REQUESTS = batches(DOCUMENTS)
CONCURRENCY, ATTEMPTS = 2, 3
LIMITS = [f"embedding.attempts={ATTEMPTS}", "embedding.deadline=1000"]
TIMEOUT = 1.0
"""Seconds, where a request is to time out; elsewhere a busy machine must not make one do so."""


@pytest.fixture
def corpus(tmp_path: Path) -> PaidCorpus:
    return PaidCorpus(tmp_path, DOCUMENTS)


def unreadable(summary: IngestSummary) -> list[str]:
    """The names of the documents that a summary reports."""
    return sorted(Path(item.location).name for item in summary.unreadable)


def settled(server: OpenAIServer) -> int:
    """Count the requests once those in flight have arrived."""
    count = -1
    while count != (count := len(server.requests)):
        threading.Event().wait(0.3)
    return count


def limits(fault: Fault) -> list[str]:
    return [*LIMITS, f"embedding.timeout={TIMEOUT if fault.delay else 60}"]


def _short(body: dict[str, list[dict[str, object]]]) -> None:
    body["data"][1]["embedding"] = [0.5] * 7


TRANSIENT = {
    "429 with Retry-After": status(429, retry_after=7),
    "429 without": status(429),
    "429 with headers": Fault(status=429, headers={"x-ratelimit-reset-tokens": "7s"}),
    "500": status(500),
    "503": status(503),
    "time-out": slow(30),
    "hang-up": Fault(hang_up=True),
    "reset in mid-body": Fault(break_after=100),
    "half of a JSON": raw(b'{"object": "list", "data": ['),
}
FINAL = {
    "one vector too few": edit(lambda body: body["data"].pop()),
    "one vector too many": edit(lambda body: body["data"].append(dict(body["data"][0]))),
    "one vector twice": edit(lambda body: body["data"].__setitem__(1, body["data"][0])),
    "wrong dimension": edit(_short),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_fault_that_passes_leaves_a_right_index(corpus: PaidCorpus, fault: Fault, waits: list[float]) -> None:
    with counting_server(script=[None, *[fault] * (ATTEMPTS - 1)]) as server:
        summary = corpus.ingest(server, *limits(fault))
        assert len(server.requests) == REQUESTS + ATTEMPTS - 1
        corpus.demand_complete(server)
    assert summary.complete
    assert len(waits) == ATTEMPTS - 1
    if "Retry-After" in fault.headers or "x-ratelimit-reset-tokens" in fault.headers:
        assert min(waits) >= 7


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_fault_that_stays_ends_in_an_error_and_the_next_run_completes(corpus: PaidCorpus, fault: Fault) -> None:
    passing = 2
    with counting_server(script=[*[None] * passing, *[fault] * 100]) as server:
        with pytest.raises(ServiceError, match=wording(gave_up(ATTEMPTS))):
            corpus.ingest(server, *limits(fault))
        failed = settled(server)
        # And the harmless text. An answer that arrives gives its place up before it is read, so that twice as many are
        # under way where it cannot be.
        assert failed <= passing + 2 * CONCURRENCY * (ATTEMPTS + 1)
        server.script = []
        assert corpus.ingest(server, *LIMITS).complete
        corpus.demand_complete(server)
        # What was answered in the first run is not paid again.
        assert len(server.requests) - failed == REQUESTS - passing


@pytest.mark.parametrize("fault", FINAL.values(), ids=FINAL)
def test_answer_that_cannot_be_right_is_never_stored(corpus: PaidCorpus, fault: Fault) -> None:
    with counting_server(script=[None, fault]) as server:
        with pytest.raises(ServiceError, match="embedding: "):
            corpus.ingest(server, *LIMITS)
        failed = len(server.requests)
        assert failed <= 2 + 2 * CONCURRENCY  # the next requests are sent before an answer is read
        assert corpus.ingest(server, *LIMITS).complete
        corpus.demand_complete(server)
        assert len(server.requests) <= failed + REQUESTS - 1


def test_answer_in_another_order_is_put_in_order(corpus: PaidCorpus) -> None:
    with counting_server(script=[edit(lambda body: body["data"].reverse())] * 100) as server:
        assert corpus.ingest(server, *LIMITS).complete
        corpus.demand_complete(server)
    assert len(server.requests) == REQUESTS


def test_slow_answers_are_waited_for(corpus: PaidCorpus) -> None:
    with counting_server(script=[slow(0.1), None] * 100) as server:
        assert corpus.ingest(server).complete
        corpus.demand_complete(server)
    assert len(server.requests) == REQUESTS


def test_next_request_is_sent_before_an_answer_is_read(corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, server_has_two = Provider.embeddings, list[bool]()
    with counting_server() as server:

        def after_the_next(provider: Provider, **request: Any) -> Any:
            answer = embeddings(provider, **request)
            server_has_two.append(reached(server, 2))
            return answer

        monkeypatch.setattr(Provider, "embeddings", after_the_next)
        assert corpus.ingest(server, "embedding.concurrency=1").complete
    assert all(server_has_two)


def reached(server: OpenAIServer, requests: int) -> bool:
    """Wait until so many requests have come; False after ten seconds."""
    end = time.monotonic() + 10
    while len(server.requests) < requests and time.monotonic() < end:
        time.sleep(0.01)
    return len(server.requests) >= requests


def test_no_more_requests_are_in_flight_than_configured(corpus: PaidCorpus) -> None:
    running, most, changing = [0], [0], threading.Lock()

    class Watched(OpenAIServer):
        def counted(self, texts: list[str]) -> int:
            with changing:
                running[0] += 1
                most[0] = max(most[0], running[0])
            self.wait(0.05)
            with changing:
                running[0] -= 1
            return super().counted(texts)

    with Watched() as server:
        corpus.ingest(server, "embedding.concurrency=3", "embedding.batch_size=1")
        assert most[0] == 3
    most[0] = 0
    corpus.write(0, "One that has changed.")
    corpus.write(1, "Another that has changed.")
    with Watched() as server:
        corpus.ingest(server, "embedding.concurrency=3", "embedding.batch_size=1", "embedding.tokens_in_flight=1")
        assert most[0] == 1


def test_failed_run_sends_nothing_that_waited_for_its_turn(corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be paid for in vain, and keep the program from ending for minutes."""
    monkeypatch.undo()  # waits are real here
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    before = set(threading.enumerate())
    with counting_server(script=[Fault(status=403, delay=0.5)]) as server:
        with pytest.raises(ConfigError, match="denied access"):
            corpus.ingest(server, "embedding.requests_per_minute=1", "embedding.concurrency=3")
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("ragloom-embedding"):
                thread.join(20)
                assert not thread.is_alive(), "it waits for its minute"
        assert len(server.requests) == 1


# One text that is refused.


@pytest.mark.parametrize("refused", [[3], [0, 19], [4, 5, 6, 7]], ids=str)
def test_refused_texts_are_told_apart_and_only_their_documents_reported(corpus: PaidCorpus, refused: list[int]) -> None:
    names = tuple(f"{number:03}.md" for number in refused)
    wicked = {f"subject {number * 7}." for number in refused}
    with counting_server(refuses=lambda text: any(text.rstrip().endswith(one) for one in wicked)) as server:
        summary = corpus.ingest(server)
        assert unreadable(summary) == sorted(names)
        assert all("400: input was rejected by the content policy" in item.reason for item in summary.unreadable)
        assert summary.unreadable_count == len(refused)
        assert summary.added == DOCUMENTS - len(refused)
        corpus.demand_complete(server, but=names)
        # k texts of n: at most 2 k log2 n requests more, and one harmless text for each batch whose halves both fail.
        bound = 2 * len(refused) * math.ceil(math.log2(BATCH)) + len(refused)
        assert REQUESTS < len(server.requests) <= REQUESTS + bound
        before = len(server.requests)
        assert corpus.ingest(server).unreadable_count == len(refused)
        assert len(server.requests) == before, "what is refused is remembered"
        again = corpus.ingest(server, "retry_failed=true")
        assert again.unreadable_count == len(refused)
        assert before < len(server.requests) <= before + 1 + bound
        corpus.demand_complete(server, but=names)


def test_old_version_of_a_refused_document_stays(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        corpus.ingest(server)
        server.refuses = lambda text: "wicked" in text
        old = corpus.chunks(server)["003.md"]
        corpus.write(3, "A wicked text.")
        corpus.write(4, "A harmless text.")
        summary = corpus.ingest(server)
        assert (summary.changed, summary.unreadable_count, summary.deleted) == (1, 1, 0)
        index = corpus.assembly(server).open()
        assert len(index.vectors([chunk.id for chunk, _ in old])) == 1
        assert index.info.documents == DOCUMENTS
        assert "wicked" not in index.document("003.md").text


def test_program_ends_with_status_3_and_names_the_refused_document(corpus: PaidCorpus) -> None:
    with counting_server(refuses=lambda text: text.rstrip().endswith("subject 21.")) as server:
        done = corpus.run(server)
    assert done.returncode == 3
    assert refused_text("003.md", 400, "input was") in done.stdout


def test_document_of_many_chunks_with_one_refused_leaves_no_chunk_behind(corpus: PaidCorpus) -> None:
    corpus.write(3, " ".join(f"Sentence {number} of a long text." for number in range(2000)) + " A wicked end.")
    with counting_server(refuses=lambda text: "wicked" in text) as server:
        cut = ["chunking.chunk_size=20", "chunking.chunk_overlap=0"]
        summary = corpus.ingest(server, *cut, "embedding.batch_size=64")
        assert len(corpus.chunks(server, *cut)["003.md"]) > 600  # more than one block
        assert unreadable(summary) == ["003.md"]
        corpus.demand_complete(server, *cut, but=("003.md",))


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        (status(400, message="dimensions is not supported"), ServiceError, 4),
        (status(401), ConfigError, 1),
        (status(403), ConfigError, 1),
        (status(404), ConfigError, 1),
        (status(429, code="insufficient_quota"), ServiceError, 1),
    ],
    ids=["400", "401", "403", "404", "quota"],
)
def test_refusal_of_every_text_is_an_error_at_once(
    corpus: PaidCorpus, fault: Fault, error: type[RagloomError], requests: int
) -> None:
    with counting_server(script=[fault] * 1000) as server:
        with pytest.raises(error, match="embedding: "):
            corpus.ingest(server, "embedding.batch_size=8")
        assert len(server.requests) <= CONCURRENCY * requests
        server.script = []
        assert corpus.ingest(server).complete
        corpus.demand_complete(server)


def test_text_that_cutting_asks_for_is_refused_with_its_document_only(corpus: PaidCorpus) -> None:
    for number in (3, 4):
        corpus.write(number, " ".join(f"The {what} sentence of many." for what in ("first", "second", "third", "last")))
    corpus.write(3, "A harmless beginning. " * 10 + "A wicked middle. " + "A harmless end. " * 10)
    semantic = ["chunking=semantic", "chunking.min_size=1", "chunking.chunk_size=64"]
    for processes in (0, 1):
        with counting_server(refuses=lambda text: "wicked" in text) as server:
            summary = corpus.ingest(server, *semantic, f"workers.processes={processes}")
            assert unreadable(summary) == ["003.md"]
            assert "content policy" in summary.unreadable[0].reason
            assert summary.documents == DOCUMENTS - 1


# What was paid for is stored at once.


def test_what_was_answered_before_a_failure_is_not_paid_twice(corpus: PaidCorpus) -> None:
    with counting_server(script=[None, *[status(400)] * 100]) as server:
        one_by_one = ["embedding.concurrency=1"]
        with pytest.raises(ServiceError):
            corpus.ingest(server, *one_by_one)
        server.script, first = [], server.tokens
        assert first > 0
        corpus.ingest(server, *one_by_one)
        texts = [text for some in corpus.chunks(server).values() for _, text in some]
        assert server.tokens == sum(map(server.count, texts))
        corpus.demand_complete(server)
