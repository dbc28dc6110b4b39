"""Kills parts of a Ray ingest into a Weaviate cluster at drawn moments: the harness of the benchmark. It asserts nothing.

An ingest of one folder runs on the nodes of a Ray cluster and writes to three Weaviate servers with three copies of each
object. At a drawn moment a Ray worker, a Ray node, the driver or a Weaviate server is killed with SIGKILL. Where the
ingest ends with an error, one more has to complete it. Then the index has to be that of an undisturbed local ingest.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragloom.assembly import Assembly
from ragloom.components.vector_store.weaviate_store.index_reader import WeaviateIndex
from ragloom.config.config import load
from ray_clusters import RayNodes, wait_for
from store_tools import contents, sentence
from weaviate_servers import Cluster, Server

KINDS = ("worker", "node", "driver", "server")
"""What is killed: a worker or a node of Ray, the program, a Weaviate server."""
_PARAGRAPHS = 6
_SECONDS = 600.0
"""No ingest takes so long; one that does hangs."""
_ALIKE_SECONDS = 180.0
"""A server that was away answers like the others after so long (TRAPS 43)."""
_INGEST = "import sys; from ragloom.cli import main; sys.argv = ['ragloom', 'ingest', *sys.argv[1:]]; sys.exit(main())"


@dataclass(frozen=True)
class RayKill:
    """Outcome of a kill.

    Attributes:
        kind: of `KINDS`.
        delay: seconds after the first worker was there.
        first, second: exit status of the ingest that was disturbed, and of the next one (None: it was not needed).
        differs: parts of the index that are not those of the undisturbed ingest.
        seconds: from the start to the comparison.
    """

    kind: str
    delay: float
    first: int
    second: int | None
    differs: list[str]
    seconds: float

    @property
    def is_equal(self) -> bool:
        """Whether the index is that of the undisturbed ingest after at most one more."""
        return not self.differs and self.second in (None, 0)


@dataclass
class RayIngests:
    """One folder of documents, a Ray cluster and a Weaviate cluster.

    Attributes:
        folder: for the documents, and for what ingests leave.
        documents: how many.
    """

    folder: Path
    nodes: RayNodes
    servers: Cluster
    documents: int
    expected: Mapping[str, Any] = field(default_factory=dict)

    def write_documents(self) -> None:
        """Write the documents, of some 6 chunks each."""
        root = self.folder / "docs"
        for number in range(self.documents):
            draw = random.Random(number)
            parts = [f"{sentence(draw, 22)} 문서 {number}의 {part}번째 문단이다." for part in range(_PARAGRAPHS)]
            path = root / f"{number % 10}" / f"{number:04}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n\n".join(parts), encoding="utf-8")

    def overrides(self, prefix: str, server: Server) -> list[str]:
        """Return the config of one index."""
        return [
            "source=folder",
            f'source.path="{self.folder / "docs"}"',
            "chunking=paragraph",
            "chunking.chunk_size=64",
            "embedding.dimensions=64",
            f'runs="{self.folder / "runs"}"',
            *server.address.overrides(collection_prefix=prefix),
            "vector_store.index.replication=3",
            "vector_store.consistency_level=QUORUM",
            "vector_store.timeouts.retry=30",
        ]

    def on_ray(self) -> list[str]:
        """Return the config of the Ray cluster, with tasks so small that each worker gets many."""
        return self.nodes.overrides("documents=10", "cpus=1")

    def run(self, prefix: str, *keys: str) -> subprocess.Popen[bytes]:
        """Start an ingest in a separate process."""
        log = (self.folder / f"{prefix}.log").open("ab")
        command = [sys.executable, "-c", _INGEST, *self.overrides(prefix, self.servers.nodes[0]), *keys]
        return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def state(self, prefix: str, server: Server) -> dict[str, Any]:
        """Read the index by one server: chunks with ids, texts and vectors, manifest, counts."""
        (config,) = load(self.overrides(prefix, server))
        with Assembly(config) as assembly:
            index = assembly.open()
            assert isinstance(index, WeaviateIndex)
            rows = {row.id: row for row in index.manifest()}
            return {"chunks": contents(index), "manifest": rows, "counts": (index.info.documents, index.info.chunks)}

    def undisturbed(self) -> float:
        """Ingest locally and on Ray; return the seconds that the workers of Ray were there."""
        assert self.run("Local").wait(_SECONDS) == 0
        self.expected = self.state("Local", self.servers.nodes[0])
        whole = self.run("Whole", *self.on_ray())
        wait_for(self.nodes.workers, _SECONDS)
        began = time.monotonic()
        assert whole.wait(_SECONDS) == 0
        assert not self.differences("Whole")
        return time.monotonic() - began

    def disturbed(self, kind: str, prefix: str, delay: float, draw: random.Random) -> RayKill:
        """Kill something in an ingest some seconds after its first worker is there; complete and compare it."""
        began = time.monotonic()
        process = self.run(prefix, *self.on_ray())
        wait_for(lambda: self.nodes.workers() or process.poll() is not None, _SECONDS)
        time.sleep(delay)
        server = draw.choice(self.servers.nodes)
        if kind == "worker" and (workers := self.nodes.workers()):
            os.kill(draw.choice(workers), signal.SIGKILL)
        elif kind == "node":
            self.nodes.kill_node()
        elif kind == "driver":
            process.kill()
        elif kind == "server":
            server.kill()
        first, second = process.wait(_SECONDS), None
        if kind == "node":
            self.nodes.add_node()
        if kind == "server":
            server.restart()
            self.servers.wait_healthy()
        if first:
            second = self.run(prefix, *self.on_ray()).wait(_SECONDS)
        return RayKill(kind, delay, first, second, self.differences(prefix), time.monotonic() - began)

    def differences(self, prefix: str) -> list[str]:
        """Compare what each server answers with the undisturbed ingest, once all answer alike."""
        end = time.monotonic() + _ALIKE_SECONDS
        while True:
            states = [self.state(prefix, server) for server in self.servers.nodes]
            differs = _differences(states, self.expected)
            if not differs or time.monotonic() > end:
                return differs
            time.sleep(2)


def _differences(states: Sequence[Mapping[str, Any]], expected: Mapping[str, Any]) -> list[str]:
    return sorted({name for state in states for name in expected if state[name] != expected[name]})
