"""Ray clusters of several nodes on loopback, for tests."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ragloom.errors import DataError

# Before Ray is imported: its servers listen on loopback, and report nothing.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


class FailingService:
    """An actor whose method fails."""

    def fail(self, *problems: str) -> None:
        """Raise an error for people."""
        raise DataError(*problems)

    def crash(self) -> None:
        """Raise a bug."""
        raise ZeroDivisionError


class RayNodes:
    """A cluster whose nodes, workers and driver a test may kill.

    Attributes:
        address: to join it, as `executor.address` takes it.
    """

    def __init__(self, cluster: Any, nodes: list[Any]) -> None:
        self._cluster, self._nodes = cluster, nodes
        self.address: str = cluster.address

    def overrides(self, *keys: str) -> list[str]:
        """Return the config's overrides for this cluster."""
        return ["executor=ray", f"executor.address={self.address}", *(f"executor.{key}" for key in keys)]

    def workers(self) -> list[int]:
        """Return the process ids of this cluster's ingest workers."""
        nodes = [self._cluster.head_node, *self._nodes]
        raylets = {info.process.pid for node in nodes for info in node.all_processes.get("raylet", [])}
        return [process for process in _processes(b"ray::IngestWorker") if _parent(process) in raylets]

    def kill_worker(self, seconds: float = 60) -> None:
        """Kill an ingest worker with a task in work, as soon as there is one."""
        workers: list[int] = []
        listed = 0.0

        def busy() -> list[int]:
            nonlocal workers, listed
            # On a busy machine, to read all processes takes longer than a task: the list is used for a while.
            if time.monotonic() > listed + 0.2:
                workers, listed = self.workers(), time.monotonic()
            return [process for process in workers if _title(process).startswith(b"ray::IngestWorker.run")]

        os.kill(wait_for(busy, seconds)[0], signal.SIGKILL)

    def kill_node(self) -> None:
        """Kill a node with all its processes; never the one of the driver."""
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def add_node(self, **resources: Any) -> None:
        """Add a node."""
        self._nodes.append(self._cluster.add_node(**{"num_cpus": 1, **resources}))


@contextlib.contextmanager
def ray_nodes(count: int = 3, cpus: int = 1) -> Iterator[RayNodes]:
    """Run a cluster of nodes with so many CPUs each."""
    import ray
    from ray.cluster_utils import Cluster

    # What tests define must be importable in the workers, as an extension's package is on real nodes.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    try:
        nodes = RayNodes(cluster, [])
        for _ in range(count - 1):
            nodes.add_node(num_cpus=cpus)
        yield nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def wait_for(probe: Any, seconds: float = 60) -> Any:
    """Wait until a probe returns something."""
    end = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.005)
    return value


@contextlib.contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Run something in another thread; its failure is one of the test."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(action)
        yield
        running.result()


def _processes(title: bytes) -> list[int]:
    """Return the processes with a title, which Ray sets to what a worker does."""
    processes = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [process for process in processes if _title(process).startswith(title)]


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def _title(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
