"""Setup of the workers of one ingest: nodes, shared services, parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ragloom.core.budget import Budget
from ragloom.core.run_context import current
from ragloom.errors import ConfigError
from ragloom.ingestion.pipeline import IngestRun
from ragloom.ingestion.read_stage import with_processes
from ragloom.integrations.executor.ray_cluster.cluster import (
    NO_RETRY,
    Node,
    is_outside,
    living_nodes,
    on_node,
    ray_module,
)
from ragloom.integrations.executor.ray_cluster.ingest_worker import IngestParts, IngestWorker
from ragloom.integrations.executor.ray_cluster.model_actor import ModelActor
from ragloom.integrations.executor.ray_cluster.node_check import SAMPLE, check_nodes, demands
from ragloom.integrations.executor.ray_cluster.service_clients import ServiceHandle
from ragloom.integrations.executor.ray_cluster.shared_services import CONCURRENCY, SharedServices
from ragloom.integrations.executor.ray_cluster.task_records import TaskError
from ragloom.process_pool.task_queue import PoolLimits
from ragloom.providers.rate_limiter import Rates

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding

_OWNERS_AT_ONCE = 10_000


@dataclass(frozen=True)
class RaySettings:
    """Keys of `executor=ray`, as its yaml explains them."""

    address: str | None
    cpus: int | None
    embedding_cpus: float
    embedding_gpus: float
    embedding_actors: int | None
    documents: int
    megabytes: float
    startup_seconds: float


class WorkerSetup:
    """Builds what the workers of one ingest need.

    Args:
        settings: of the executor.
        run: whose documents are taken in; its writer is entered and recovered.
        limits: of the processes that read.

    Raises:
        ConfigError: the store cannot be written from outside of the cluster.
    """

    def __init__(self, settings: RaySettings, run: IngestRun, limits: PoolLimits) -> None:
        self._ray = ray_module()
        self._settings, self._run, self._limits = settings, run, limits
        embedding = run.embedding
        share = getattr(run.writer, "share", None)
        self._writer = None if share is None else share()
        if self._writer is None and is_outside(settings.address):
            raise ConfigError(
                f"executor: executor.address={settings.address} joins the cluster from outside, and an index of this "
                "store can only be written on one of its nodes; run this there with executor.address=auto, or set "
                "vector_store=weaviate"
            )
        self._cache = getattr(embedding, "cache", None)
        provider = getattr(embedding, "provider", None)
        self._rates = Rates() if provider is None else provider.link.rates
        self._has_model = not (getattr(embedding, "cheap", False) or getattr(embedding, "paid", False))
        self._has_index = not getattr(embedding, "cheap", False) and run.ledger.count("held") > 0
        budget = current().budget
        self._budget = Budget(max_usd=None, max_tokens=None, price=0) if budget is None else budget
        self._parts = IngestParts(
            source=run.source,
            chunking=_without_cache(run.chunking),
            embedding=embedding.model_copy(update={"cache": None}),
            writer=self._writer,
            is_cached=self._cache is not None,
            is_limited=self._budget.limits,
            has_rates=self._rates != Rates(),
            has_index=self._has_index,
        )

    def checked_nodes(self) -> list[Node]:
        """Return the nodes that can work, the driver's first.

        Raises:
            ConfigError: no node has the resources, or one lacks something.
            ServiceError: a node does not answer.
        """
        self._all = living_nodes(self._settings.address)
        nodes = [node for node in self._all if node.cpus >= self._wanted_cpus(node) and self._has_models(node)]
        if not nodes:
            least = f"executor.cpus={self._settings.cpus or 1}"
            if self._has_model:
                least += (
                    f", executor.embedding_cpus={self._settings.embedding_cpus:g} and "
                    f"executor.embedding_gpus={self._settings.embedding_gpus:g}"
                )
            offers = ", ".join(f"{node.address} {node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in self._all)
            raise ConfigError(f"executor: no node of the cluster has {least}; they offer: {offers}; lower these keys")
        run = self._run
        parts = [run.source, run.chunking, run.embedding, self._writer]
        wanted = demands(parts, self._variables(), run.source, run.ledger.sample(SAMPLE), self._writer)
        check_nodes(nodes, wanted, self._settings.startup_seconds)
        return nodes

    def start_services(self) -> Any:
        """Start the actor of the shared services at the driver.

        Raises:
            ConfigError, DataError, ServiceError: the cache or the index cannot be used there, or the actor died.
        """
        open_index = self._run.committed if self._has_index and self._writer is None else None
        actor = self._ray.remote(SharedServices).options(
            num_cpus=0, max_concurrency=CONCURRENCY, scheduling_strategy=on_node(self._all[0].id), **NO_RETRY
        )
        services = actor.remote(self._budget, self._rates, self._cache, open_index)
        handle = ServiceHandle(services)
        error: TaskError | None = handle.call("open")
        if error is not None:
            raise error.exception(self._all[0].address)
        if self._has_index:
            for owners in self._run.ledger.texts(_OWNERS_AT_ONCE):
                handle.call("hold", owners)
        self._services = services
        self._shipped = self._ray.put(self._parts)
        return services

    def start_worker(self, node: Node) -> Any:
        """Start the worker of a node; return its handle."""
        settings = self._settings
        cpus, models = self._cpus(node), self._models(node)
        processes = min(self._limits.processes, 1) * cpus
        limits = with_processes(self._limits, processes)
        start_model = None
        if self._has_model:
            start_model = partial(_start_model, node.id, settings.embedding_cpus, settings.embedding_gpus)
        actor = self._ray.remote(IngestWorker).options(num_cpus=cpus, scheduling_strategy=on_node(node.id), **NO_RETRY)
        return actor.remote(self._shipped, self._services, limits, start_model, models, settings.startup_seconds)

    def _wanted_cpus(self, node: Node) -> float:
        """Return the CPUs of a node's worker and its models."""
        return self._cpus(node) + self._models(node) * self._settings.embedding_cpus

    def _has_models(self, node: Node) -> bool:
        return not self._has_model or self._models(node) > 0

    def _cpus(self, node: Node) -> int:
        """Return the CPUs that the worker of a node takes."""
        if self._settings.cpus is not None:
            return self._settings.cpus
        return max(1, int(node.cpus - self._models(node) * self._settings.embedding_cpus))

    def _models(self, node: Node) -> int:
        """Return the actors with the embedding model on a node."""
        settings = self._settings
        if not self._has_model:
            return 0
        if not settings.embedding_gpus:
            return settings.embedding_actors or 1
        room = int(node.gpus / settings.embedding_gpus)
        return room if settings.embedding_actors is None else min(room, settings.embedding_actors)

    def _variables(self) -> list[str]:
        """List the environment variables with keys that the parts read."""
        link = getattr(getattr(self._run.embedding, "provider", None), "link", None)
        names = [] if link is None else [link.api_key_env, *link.headers_env.values()]
        names += [] if self._writer is None else self._writer.variables
        return [name for name in names if name]


def _start_model(node_id: str, cpus: float, gpus: float, embedding: Embedding) -> Any:
    """Start an actor with an embedding's model on a node."""
    ray = ray_module()
    actor = ray.remote(ModelActor).options(
        num_cpus=cpus, num_gpus=gpus, scheduling_strategy=on_node(node_id), **NO_RETRY
    )
    return actor.remote(embedding)


def _without_cache(chunking: Any) -> Any:
    """Return a chunking whose embedding has no cache."""
    embedding = getattr(chunking, "embedding", None)
    if embedding is None:
        return chunking
    return chunking.model_copy(update={"embedding": embedding.model_copy(update={"cache": None})})
