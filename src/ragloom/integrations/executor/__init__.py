"""Builders of the conf group `executor`: where an ingest runs."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ragloom.config.builder_keys import Name, Positive, Seconds
from ragloom.config.key_rules import checked_by
from ragloom.integrations.executor.ray_keys import address_rule

if TYPE_CHECKING:
    from ragloom.ingestion.executor import Executor

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def local() -> None:
    """Build nothing: the stages run in this process and its workers."""


@checked_by(address_rule)
def ray(
    *,
    address: Name | None,
    cpus: Positive | None,
    embedding_cpus: Share,
    embedding_gpus: Share,
    embedding_actors: Positive | None,
    documents: Positive,
    megabytes: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    startup_seconds: Seconds,
) -> "Executor":
    """Build the executor of a Ray cluster.

    The cluster is joined when an ingest has work.

    Raises:
        ConfigError: the extra is missing.
    """
    values = locals()
    from ragloom.integrations.executor.ray_cluster.cluster import ray_module
    from ragloom.integrations.executor.ray_cluster.ray_executor import RayExecutor
    from ragloom.integrations.executor.ray_cluster.worker_setup import RaySettings

    ray_module()
    return RayExecutor(RaySettings(**values))
