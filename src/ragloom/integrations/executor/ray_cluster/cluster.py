"""Connection to a Ray cluster, and its nodes."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ragloom.errors import ServiceError, require

if TYPE_CHECKING:
    from types import ModuleType

_NAMESPACE = "ragloom"
_CONNECT_SECONDS = 10.0
_HEAD = "node:__internal_head__"


def ray_module() -> ModuleType:
    """Import Ray.

    Raises:
        ConfigError: the extra is not installed.
    """
    # Ray reports its use to a server unless this says no.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return require("ray", extra="ray", option="executor=ray")


@dataclass(frozen=True, slots=True)
class Node:
    """A living node.

    Attributes:
        address: host or IP address, for people.
        cpus, gpus: that it offers.
        is_driver: it is the machine of this process.
    """

    id: str
    address: str
    cpus: float
    gpus: float
    is_driver: bool


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Join a cluster, or start one of this machine.

    It is left, or ended, at the end. A connection that this process has already is used, and stays.

    Raises:
        ServiceError: there is no cluster at the address, or none starts.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield
        return
    # Its servers listen on loopback only, and another cluster that runs here is not joined by chance.
    _demand_server(address)
    own = {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        with warnings.catch_warnings():
            # lancedb 0.40 warns of each process that Ray 2.60 forks; these become Ray's own programs at once.
            warnings.filterwarnings("ignore", message="lancedb fork support")
            ray.init(
                **(own if address is None else {"address": address}),
                namespace=_NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        where = "start on this machine" if address is None else f"be joined at executor.address={address}"
        raise ServiceError(
            f"executor: a Ray cluster cannot {where}: {str(error).splitlines()[0]}; look at `ray status` there, start "
            "it with `ray start --head`, or set executor.address=null"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _demand_server(address: str | None) -> None:
    """Check that something listens at an address.

    Ray 2.60 goes on trying for ever.

    Raises:
        ServiceError: nothing does.
    """
    if address is None or address == "auto":
        return
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ServiceError(
            f"executor: nothing answers at executor.address={address} ({error.strerror or error}); look at "
            "`ray status` on the head node, and at the firewall"
        ) from None


def is_outside(address: str | None) -> bool:
    """Return whether this process is no part of the cluster (Ray Client)."""
    return address is not None and address.startswith("ray://")


def living_nodes(address: str | None) -> list[Node]:
    """List the nodes, the driver's first."""
    ray = ray_module()
    here = None if is_outside(address) else ray.get_runtime_context().get_node_id()
    nodes = [
        Node(
            id=node["NodeID"],
            address=f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']}, {node['NodeID'][:8]})",
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            is_driver=node["NodeID"] == here or (here is None and _HEAD in node["Resources"]),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(nodes, key=lambda node: (not node.is_driver, node.address))


def on_node(node_id: str) -> Any:
    """Return the scheduling strategy of one node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)


NO_RETRY: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0}
"""Options of every actor: Ray repeats nothing, since it does not know what was stored."""
