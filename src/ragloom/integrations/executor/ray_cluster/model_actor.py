"""Actors with a local embedding model, and their pool in a worker."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ragloom.errors import RagloomError, ServiceError
from ragloom.integrations.executor.ray_cluster.service_clients import first_line
from ragloom.integrations.executor.ray_cluster.task_records import TaskError
from ragloom.providers.batch_errors import BatchFailed

if TYPE_CHECKING:
    from ragloom.components.embedding.base import Embedding, Vectors

_MOST_DEATHS = 2
"""Actors that one batch may end; then its texts are to blame."""


class ModelActor:
    """One model, on the CPUs and GPUs that Ray reserved.

    Args:
        embedding: whose `compute_vectors` runs here.
    """

    def __init__(self, embedding: Embedding) -> None:
        self._embedding = embedding

    def load(self) -> TaskError | None:
        """Load the model; return why it cannot be loaded, if so."""
        result = self.compute(["Ready."], [1])
        return result if isinstance(result, TaskError) else None

    def compute(self, texts: list[str], counts: list[int] | None) -> Vectors | TaskError:
        """Embed one batch of texts."""
        try:
            return self._embedding.compute_vectors(texts, counts)
        except RagloomError as error:
            return TaskError.of(error)


class ModelPool:
    """Pool of the actors that hold the embedding model of a worker.

    It maps n texts to vectors, `[n, dimensions] float32`. Safe for several threads. An actor that dies is replaced.

    Args:
        start: starts an actor.
        actors: how many.
        seconds: limit of a start.
    """

    def __init__(self, start: Callable[[], Any], actors: int, seconds: float) -> None:
        self._start, self._seconds = start, seconds
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for actor in [start() for _ in range(actors)]:
            self._free.put(self._loaded(actor))

    def __call__(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Embed one batch.

        Raises:
            BatchFailed: each actor that tried it died.
            RagloomError: what the model raised.
            ServiceError: no actor starts.
        """
        import ray
        from ray.exceptions import RayActorError

        actor, deaths = self._free.get(), 0
        try:
            while True:
                try:
                    result: Vectors | TaskError = ray.get(actor.compute.remote(texts, counts))
                except RayActorError as error:
                    deaths += 1
                    actor = self._loaded(self._start())
                    if deaths == _MOST_DEATHS:
                        says = f"it ends the process with the embedding model: {first_line(error)}"
                        raise BatchFailed(f"embedding: {says}", says=says, billed=False) from None
                    continue
                if isinstance(result, TaskError):
                    raise result.exception()
                return result
        finally:
            self._free.put(actor)

    def _loaded(self, actor: Any) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError

        try:
            error: TaskError | None = ray.get(actor.load.remote(), timeout=self._seconds)
        except (RayActorError, GetTimeoutError) as failure:
            ray.kill(actor)
            raise ServiceError(
                f"executor: the process with the embedding model does not start ({first_line(failure)}); it may need "
                f"more memory or another executor.startup_seconds={self._seconds:g}"
            ) from None
        if error is not None:
            raise error.exception()
        return actor
