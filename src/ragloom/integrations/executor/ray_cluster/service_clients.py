"""Clients of the shared services, in place of local objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.core.budget import BudgetSpent
from ragloom.errors import RagloomError, ServiceError

if TYPE_CHECKING:
    from ragloom.cache.embeddings.embedding_cache import CacheLookup
    from ragloom.components.embedding.base import Embedding


class ServiceHandle:
    """Calls the actor of the shared services.

    Args:
        actor: its handle.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *args: Any) -> Any:
        """Call a method and wait for its result.

        Raises:
            RagloomError: what the method raised.
            ServiceError: the actor, or its node, has died.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return ray.get(getattr(self._actor, method).remote(*args))
        except RayTaskError as error:
            if isinstance(error.cause, RagloomError):
                raise error.cause from None
            raise
        except RayActorError as error:
            raise ServiceError(
                "executor: the process with budget, rate limits and embedding cache of this run has died "
                f"({first_line(error)}); what was stored stays: ingest again"
            ) from None


@dataclass(frozen=True)
class RemoteBudget:
    """Budget of the whole cluster, in place of `ragloom.core.budget.Budget`.

    Attributes:
        limits: whether any limit is set.
    """

    services: ServiceHandle
    limits: bool

    def charge(self, tokens: int, output: int = 0, model: str | None = None) -> None:
        """Reserve what a call may use.

        Raises:
            BudgetSpent: it must not be made.
        """
        if (reason := self.services.call("charge", tokens, output, model)) is not None:
            raise BudgetSpent(reason)

    def refund(self, tokens: int, output: int = 0, model: str | None = None) -> None:
        """Give back what is not billed."""
        self.services.call("refund", tokens, output, model)


@dataclass(frozen=True)
class RemoteLimiter:
    """Rate limits of the whole cluster, in place of `ragloom.providers.rate_limiter.Limiter`."""

    services: ServiceHandle

    def reserve(self, tokens: int) -> float:
        """Reserve a place for a request; return the seconds to wait."""
        seconds: float = self.services.call("reserve", tokens)
        return seconds


@dataclass(frozen=True)
class RemoteModelCache:
    """Embedding cache of the whole cluster, in place of `ModelCache`."""

    services: ServiceHandle

    def look_up(self, texts: Sequence[str]) -> CacheLookup:
        """Look up distinct texts."""
        lookup: CacheLookup = self.services.call("look_up", list(texts))
        return lookup

    def store(self, texts: Sequence[str], vectors: np.ndarray) -> bool:
        """Store vectors; return whether they were."""
        stored: bool = self.services.call("store", list(texts), vectors)
        return stored


@dataclass(frozen=True)
class RemoteVectors:
    """Reads vectors that the index has, by the shared services."""

    services: ServiceHandle

    def __call__(self, ids: Sequence[str], sent: Collection[str] | None = None) -> dict[tuple[str, str], np.ndarray]:
        """Return the stored vectors of documents by (document, sent_hash)."""
        vectors: dict[tuple[str, str], np.ndarray] = self.services.call("vectors_of", list(ids), sent)
        return vectors


def connect_embedding(embedding: Embedding, services: ServiceHandle, *, is_cached: bool, has_rates: bool) -> None:
    """Connect an embedding with the cluster's cache and rate limits."""
    if is_cached:
        embedding.cache = RemoteModelCache(services)  # type: ignore[assignment]
    provider = getattr(embedding, "provider", None)
    if has_rates and provider is not None:
        provider.limiter = RemoteLimiter(services)


def first_line(error: BaseException) -> str:
    """Return the line of Ray's message that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("The actor is dead", "The actor died because", "Task failed"))]
    return ((causes or lines or [type(error).__name__])[0])[:300].rstrip(".")
