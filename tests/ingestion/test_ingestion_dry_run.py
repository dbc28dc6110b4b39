"""The dry run says what the ingest then does, counted at the endpoint; it calls nothing and writes nothing."""

from pathlib import Path

import pytest

import programs
from loopback import OpenAIServer
from messages.evaluation import at_least_seconds, dry_run_line, reported_by_provider
from paid_corpus import KEY, PaidCorpus, batches, counting_server, summary_of
from ragloom.core.records import FORMAT_KEY, Entry
from ragloom.errors import ConfigError
from ragloom.ingestion.dry_run import Estimate
from ragloom.providers.openai_client import Provider
from ragloom.providers.request_context import no_requests
from ragloom.providers.retry import Link

pytestmark = pytest.mark.slow

DOCUMENTS = 20
SEMANTIC = ["chunking=semantic", "chunking.min_size=1", "chunking.chunk_size=64"]
COMPATIBLE = ["embedding=openai_compatible", 'embedding.document_prefix="passage: "']


@pytest.fixture
def corpus(tmp_path: Path) -> PaidCorpus:
    return PaidCorpus(tmp_path, DOCUMENTS)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def rehearsed(corpus: PaidCorpus, server: OpenAIServer, *further: str) -> Estimate:
    """Runs dry, without a key, and holds that nothing was called or written."""
    before, asked = contents(corpus.root), len(server.requests)
    with corpus.assembly(server, "dry_run=true", *further) as assembly:
        estimate = assembly.rehearse()
    assert contents(corpus.root) == before
    assert len(server.requests) == asked
    return estimate


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"" for path in root.rglob("*")}


def demand_same(
    corpus: PaidCorpus, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, *further: str, chunks: bool = True
) -> Estimate:
    """Runs dry, then for good, and holds each number against what the endpoint counted."""
    estimate = rehearsed(corpus, server, *further)
    tokens, requests = server.tokens, len(server.requests)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    summary = corpus.ingest(server, *further)
    monkeypatch.delenv("OPENAI_API_KEY")
    for kind in ("added", "changed", "unchanged", "moved", "deleted", "unreadable_count", "documents", "kept"):
        assert getattr(estimate.summary, kind) == getattr(summary, kind), kind
    if chunks:
        assert estimate.tokens == server.tokens - tokens
        assert estimate.requests == len(server.requests) - requests
        assert estimate.summary.chunks == summary.chunks
        assert estimate.chunks.hits + estimate.sentences.hits == summary.usage.cache.hits
    return estimate


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("options", [[], COMPATIBLE], ids=["openai", "prefix"])
def test_numbers_of_a_first_ingest_are_the_endpoints(
    corpus: PaidCorpus, options: list[str], processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write(1, "전동 자전거의 보증 기간은 10년입니다. 소모품은 6개월입니다. 🚲 " * 30)
    corpus.write(2, (corpus.folder / "003.md").read_text().partition("\n\n")[2])
    (corpus.folder / "copy of 4.md").write_bytes((corpus.folder / "004.md").read_bytes())
    with counting_server() as server:
        keys = [*options, "chunking.chunk_size=40", "chunking.chunk_overlap=10", f"workers.processes={processes}"]
        if options:
            keys.append(f"embedding.base_url={server.base_url}")
        estimate = demand_same(corpus, server, monkeypatch, *keys)
        assert estimate.chunks.texts < estimate.new_chunks  # the copy is paid once
        assert estimate.requests == batches(estimate.chunks.texts)
        assert {request.body["input"][0].startswith("passage: ") for request in server.requests} == {bool(options)}


def test_numbers_of_an_update_are_the_endpoints(corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with counting_server() as server:
        demand_same(corpus, server, monkeypatch)
        corpus.write(1, "Something else.")
        corpus.write(DOCUMENTS, "Something new.")
        (corpus.folder / "002.md").rename(corpus.folder / "moved.md")
        (corpus.folder / "003.md").unlink()
        (corpus.folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
        (corpus.folder / "004.md").touch()
        estimate = demand_same(corpus, server, monkeypatch)
        assert (estimate.summary.added, estimate.summary.changed, estimate.summary.moved) == (1, 1, 1)
        assert (estimate.chunks.texts, estimate.requests) == (2, 1)
        estimate = demand_same(corpus, server, monkeypatch)
        assert estimate.tokens == estimate.requests == 0
        for path in corpus.folder.glob("*.md"):
            path.unlink()
        estimate = demand_same(corpus, server, monkeypatch)
        assert estimate.summary.kept is not None


def test_numbers_without_a_cache_are_the_endpoints(corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    (corpus.folder / "zz.md").write_bytes((corpus.folder / "000.md").read_bytes())
    with counting_server() as server:
        estimate = demand_same(corpus, server, monkeypatch, "cache.enabled=false")
        assert (estimate.chunks.texts, estimate.chunks.hits) == (DOCUMENTS, 0)


def test_sentences_that_cutting_asks_for_are_counted_exactly_and_chunks_estimated(
    corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        corpus.write(number, " ".join(f"Sentence {at} of part {number} is about {at % 3}." for at in range(30)))
    with counting_server() as server:
        first = demand_same(corpus, server, monkeypatch, *SEMANTIC, chunks=False)
        assert first.guessed > 0
        kinds = {text for request in server.requests for text in request.body["input"]}
        sent = sum(map(server.count, kinds))
        assert server.tokens == sent  # each text once
        assert 0 < first.sentences.tokens < sent
        # Another store: all that cutting asks for is cached now, so nothing is estimated any more.
        there = [*SEMANTIC, f'vector_store.path="{corpus.root / "elsewhere"}"']
        again = demand_same(corpus, server, monkeypatch, *there)
        assert again.guessed == 0
        assert again.tokens == 0
        assert again.new_chunks > DOCUMENTS


def test_sentence_tokens_are_those_of_the_requests_that_cutting_makes(
    corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.write(1, " ".join(f"Sentence {at} of a part is about {at % 3}." for at in range(50)))
    with counting_server() as server:
        estimate = rehearsed(corpus, server, *SEMANTIC)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assembly = corpus.assembly(server, *SEMANTIC)
        asked = set[str]()
        for entry in assembly.source.entries():
            assert isinstance(entry, Entry)
            document = assembly.source.parse(entry, assembly.source.read(entry))
            asked.update(assembly.chunking.embedded_texts(document.text, document.metadata.get(FORMAT_KEY)))
        assert estimate.sentences.texts == len(asked) >= 50
        assert estimate.sentences.tokens == sum(map(server.count, asked))


def test_program_needs_no_key_prints_what_it_would_cost_and_keeps_nothing(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        before = contents(corpus.root)
        done = corpus_run(corpus, server, "embedding.requests_per_minute=2")
        assert done.returncode == 0, done.stderr
        assert contents(corpus.root) == before
        assert not server.requests
        tokens = sum(server.count(text) for text in sent(corpus, server))
        assert dry_run_line(DOCUMENTS, tokens, batches(DOCUMENTS), f"{tokens * 0.02 / 1e6:.6f}") in done.stdout
        assert at_least_seconds(120) in done.stdout
        assert "(an estimate)" in done.stdout
        assert "nothing was written" in done.stdout
        record = summary_of(corpus_run(corpus, server, "output=json", "embedding.model=my-own"))
        assert record["dry_run"] is True
        assert record["cost_usd"] is None
        assert record["tokens"] == tokens
        assert "unknown price" in corpus_run(corpus, server, "embedding.model=my-own").stdout


def sent(corpus: PaidCorpus, server: OpenAIServer) -> list[str]:
    return [text for some in corpus.chunks(server, "dry_run=true").values() for _, text in some]


def corpus_run(corpus: PaidCorpus, server: OpenAIServer, *further: str) -> programs.Done:
    return programs.run("ingest", *corpus.overrides(server, "dry_run=true", *further), cwd=corpus.root)


def test_budget_that_would_stop_the_ingest_is_told(corpus: PaidCorpus) -> None:
    with counting_server() as server:
        assert "budget.max_tokens=10" in (rehearsed(corpus, server, "budget.max_tokens=10").over_budget or "")
        assert rehearsed(corpus, server, "budget.max_tokens=100000").over_budget is None
        with pytest.raises(ConfigError, match="price"):
            rehearsed(corpus, server, "budget.max_usd=1", "embedding.model=my-own")


def test_nothing_can_be_sent_where_nothing_may_be() -> None:
    provider = Provider(Link("embedding", "m", "http://127.0.0.1:9/v1", None, timeout=1, attempts=1, deadline=1))
    with no_requests(), pytest.raises(RuntimeError, match="must send nothing"):
        provider.embeddings(model="m", input=["text"])


# Acceptance: a nightly run.


def test_nightly_run_asks_for_the_changed_texts_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus = PaidCorpus(tmp_path, 300)
    with counting_server() as server:
        corpus.ingest(server, "embedding.batch_size=64")
        server.requests.clear()
        for number in (7, 150, 299):
            corpus.write(number, f"Tonight's news of {number}.")
        (corpus.folder / "008.md").touch()
        summary = corpus.ingest(server)
        assert (summary.changed, summary.unchanged) == (3, 297)
        asked = [text for request in server.requests for text in request.body["input"]]
        assert sorted(asked) == sorted(f"Part {n}\n\n# Part {n}\n\nTonight's news of {n}." for n in (7, 150, 299))
        assert len(server.requests) == batches(3) == 1
        corpus.demand_complete(server)
        server.requests.clear()
        corpus.ingest(server)
        assert not server.requests


def test_usage_is_what_the_provider_reported_with_what_was_counted(
    corpus: PaidCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counting_server() as server:
        server.count = lambda text: 100
        done = corpus.run(server, "output=json")
        summary = summary_of(done)
        assert summary["usage"]["embedding_tokens"] == 100 * DOCUMENTS  # type: ignore[index]
        assert summary["tokens"] != 100 * DOCUMENTS
        corpus.write(0, "Something else.")
        server.reports_usage = False
        assert reported_by_provider(1) in corpus.run(server).stdout
