"""`executor=ray` on real clusters of several nodes: the index of a local ingest, however it was interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ray_clusters import FailingService, RayNodes, meanwhile, ray_nodes, wait_for

pytest.importorskip("ray", reason="needs the extra ray")

from loopback import OpenAIServer
from paid_corpus import KEY, PaidCorpus, counting_server
from poisoned_embedding import POISON, PoisonedEmbedding
from ragloom.assembly import Assembly
from ragloom.components.vector_store.protocols import Index
from ragloom.config.config import load
from ragloom.errors import DataError
from ragloom.ingestion import IngestSummary
from ragloom.integrations.executor.ray_cluster.cluster import joined
from ragloom.integrations.executor.ray_cluster.service_clients import ServiceHandle
from ray_kills import RayIngests
from store_tools import contents
from weaviate_servers import Address, Cluster

pytestmark = [pytest.mark.extra, pytest.mark.slow]
STORES = ["lancedb", pytest.param("weaviate", marks=pytest.mark.weaviate)]
_DOCUMENTS = 40


@dataclass
class Corpus:
    """A folder of documents, and the config of its indexes.

    Attributes:
        store: overrides of one place for indexes, with a name in it.
    """

    root: Path
    address: Address | None
    prefix: str

    @property
    def folder(self) -> Path:
        return self.root / "docs"

    def write(self, number: int, text: str = "") -> None:
        paragraphs = "\n\n".join(
            f"Passage {number} {part} of it. 문서 {number}의 {part}번째 문단이다." for part in range(25)
        )
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{number:03}.md").write_text(f"# Part {number}\n\n{text}{paragraphs}\n", encoding="utf-8")

    def assembly(self, place: str, *keys: str) -> Assembly:
        if self.address is None:
            store = [f'vector_store.path="{self.root / place}"']
        else:
            store = self.address.overrides(collection_prefix=f"{self.prefix}{place}")
        source = ["source=folder", f'source.path="{self.folder}"', "chunking.chunk_size=64", "chunking.chunk_overlap=8"]
        (config,) = load([*source, *store, *keys])
        return Assembly(config)

    def ingest(self, place: str, *keys: str) -> IngestSummary:
        with self.assembly(place, *keys) as assembly:
            return assembly.ingest()

    def demand_equal(self, place: str, expected: str) -> None:
        """Holds that two places have the same manifest, chunks and vectors."""
        with self.assembly(place) as one, self.assembly(expected) as other:
            assert one.index_name == other.index_name
            assert _state(one.open()) == _state(other.open())


def _state(index: Index) -> tuple[Any, Any]:
    return {row.id: row for row in index.manifest()}, contents(index)


@pytest.fixture
def corpus(tmp_path: Path, request: pytest.FixtureRequest) -> Corpus:
    name = getattr(request, "param", "lancedb")
    address = request.getfixturevalue("weaviate_server") if name == "weaviate" else None
    prefix = request.getfixturevalue("prefix") if name == "weaviate" else ""
    made = Corpus(tmp_path, address, prefix)
    for number in range(_DOCUMENTS):
        made.write(number)
    return made


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A cluster that no test damages."""
    with ray_nodes() as cluster:
        yield cluster


@pytest.mark.parametrize("corpus", STORES, indirect=True)
def test_ray_gives_the_index_of_a_local_ingest_first_and_after_changes(corpus: Corpus, nodes: RayNodes) -> None:
    def demand_same_ingest() -> None:
        local, cluster = corpus.ingest("Local"), corpus.ingest("Ray", *nodes.overrides("documents=6"))
        for name in ("added", "changed", "unchanged", "moved", "deleted", "documents", "chunks", "embedded", "tokens"):
            assert getattr(cluster, name) == getattr(local, name), name
        corpus.demand_equal("Ray", "Local")

    demand_same_ingest()
    corpus.write(3, "A new beginning.\n\n")
    (corpus.folder / "004.md").unlink()
    (corpus.folder / "005.md").rename(corpus.folder / "moved.md")
    corpus.write(_DOCUMENTS)
    demand_same_ingest()


def test_unreadable_documents_are_named_as_by_a_local_ingest(corpus: Corpus, nodes: RayNodes) -> None:
    (corpus.folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    local, cluster = corpus.ingest("Local"), corpus.ingest("Ray", *nodes.overrides())
    assert cluster.unreadable == local.unreadable
    assert len(cluster.unreadable) == 1


@pytest.mark.parametrize("corpus", STORES, indirect=True)
def test_killed_worker_changes_nothing_in_the_index(corpus: Corpus, nodes: RayNodes) -> None:
    corpus.ingest("Local")
    with meanwhile(nodes.kill_worker):
        summary = corpus.ingest("Ray", *nodes.overrides("documents=4"))
    assert summary.unreadable == []
    corpus.demand_equal("Ray", "Local")


@pytest.mark.parametrize("corpus", STORES, indirect=True)
def test_killed_node_changes_nothing_in_the_index(corpus: Corpus) -> None:
    corpus.ingest("Local")
    with ray_nodes() as own:

        def kill() -> None:
            wait_for(lambda: len(own.workers()) == 3)
            own.kill_node()

        with meanwhile(kill):
            summary = corpus.ingest("Ray", *own.overrides("documents=4"))
    assert summary.unreadable == []
    assert any("was lost" in note for note in summary.notes) or summary.added == _DOCUMENTS
    corpus.demand_equal("Ray", "Local")


@pytest.mark.parametrize("corpus", STORES, indirect=True)
def test_next_ingest_completes_what_a_killed_driver_left(corpus: Corpus, nodes: RayNodes) -> None:
    corpus.ingest("Local")
    code = "import sys; from ragloom.cli import main; sys.argv = ['ragloom', 'ingest', *sys.argv[1:]]; sys.exit(main())"
    with corpus.assembly("Ray", *nodes.overrides("documents=4")) as assembly:
        overrides = list(assembly.config.overrides)
    driver = subprocess.Popen([sys.executable, "-c", code, *overrides], cwd=corpus.root, stdout=subprocess.DEVNULL)
    nodes_at_work = wait_for(nodes.workers, 120)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert nodes_at_work
    corpus.ingest("Ray", *nodes.overrides("documents=4"))
    corpus.demand_equal("Ray", "Local")


@pytest.mark.parametrize("corpus", STORES, indirect=True)
def test_document_that_kills_its_workers_is_named_and_stops_nothing(corpus: Corpus, nodes: RayNodes) -> None:
    corpus.ingest("Local")
    corpus.write(_DOCUMENTS, f"{POISON} ")
    with corpus.assembly("Ray", *nodes.overrides("documents=8")) as assembly:
        own = assembly.embedding
        assembly.__dict__["embedding"] = PoisonedEmbedding(
            **{name: getattr(own, name) for name in type(own).model_fields}
        )
        summary = assembly.ingest()
    (item,) = summary.unreadable
    assert item.location.endswith(f"{_DOCUMENTS:03}.md")
    assert "2 workers died with it alone in work" in item.reason
    assert summary.added == _DOCUMENTS
    corpus.demand_equal("Ray", "Local")


@pytest.fixture
def paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PaidCorpus, OpenAIServer]]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with counting_server() as server:
        yield PaidCorpus(tmp_path, documents=24), server


@pytest.fixture
def paying_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayNodes]:
    """A cluster whose nodes have the key in their environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ray_nodes() as cluster:
        yield cluster


def test_endpoint_gets_each_text_once_within_limits_and_budget_of_the_cluster(
    paid: tuple[PaidCorpus, OpenAIServer], paying_nodes: RayNodes
) -> None:
    corpus, server = paid
    ray = paying_nodes.overrides("documents=2")
    limit = 200
    summary = corpus.ingest(server, *ray, f"budget.max_tokens={limit}")
    assert summary.stopped is not None
    assert "budget.max_tokens" in summary.stopped
    assert 0 < sum(server.count(text) for request in server.requests for text in request.body["input"]) <= limit
    requests = len(server.requests)
    sent = [text for request in server.requests for text in request.body["input"]]
    summary = corpus.ingest(server, *ray)
    everything = [text for request in server.requests for text in request.body["input"]]
    assert len(everything) == len(set(everything)), "a text was paid twice"
    assert set(sent) <= set(everything)
    assert summary.usage.tokens("embedding").requests == len(server.requests) - requests
    corpus.demand_complete(server)


def test_node_without_the_key_is_named_before_anything_is_sent(
    paid: tuple[PaidCorpus, OpenAIServer], nodes: RayNodes
) -> None:
    from ragloom.errors import ConfigError

    corpus, server = paid
    with pytest.raises(ConfigError, match="must have the environment variable OPENAI_API_KEY") as refusal:
        corpus.ingest(server, *nodes.overrides())
    assert len(refusal.value.problems) == 3, "a line for each node"
    assert server.requests == []


def test_error_of_a_shared_service_is_the_error_itself_and_a_bug_stays_one(nodes: RayNodes) -> None:
    import ray

    with joined(nodes.address):
        service = ServiceHandle(ray.remote(FailingService).options(num_cpus=0).remote())
        with pytest.raises(DataError) as caught:
            service.call("fail", "one", "two")
        assert caught.value.problems == ("one", "two")
        with pytest.raises(ZeroDivisionError):
            service.call("crash")


@pytest.mark.weaviate
def test_killed_weaviate_server_changes_nothing_in_the_index(tmp_path: Path, weaviate_cluster: Cluster) -> None:
    """One kill of the benchmark `ray_kills.py`: three servers, three copies of each object."""
    with ray_nodes() as own:
        ingests = RayIngests(tmp_path, own, weaviate_cluster, documents=60)
        ingests.write_documents()
        seconds = ingests.undisturbed()
        kill = ingests.disturbed("server", "Killed", seconds / 2, random.Random(1))
    assert kill.is_equal, kill
