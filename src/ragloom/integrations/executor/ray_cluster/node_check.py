"""Pre-flight check of the nodes: what each must have, before anything starts."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragloom.components.source.base import CannotRead
from ragloom.core.records import Entry, sha256
from ragloom.errors import ConfigError, RagloomError, ServiceError
from ragloom.integrations.executor.ray_cluster.cluster import Node, on_node, ray_module
from ragloom.integrations.executor.ray_cluster.service_clients import first_line

if TYPE_CHECKING:
    from ragloom.components.source.base import Source

SAMPLE = 3
"""Documents that each node reads."""


@dataclass(frozen=True)
class NodeDemands:
    """What each node must have.

    Attributes:
        versions: distribution -> version.
        python: version, major and minor.
        modules: that must be importable: those of the parts.
        variables: names of environment variables with keys.
        source: whose documents must be reachable.
        digests: entry -> hash of its bytes as the driver reads them.
        writer: opens the store; None: only the driver writes it.
    """

    versions: dict[str, str]
    python: str
    modules: list[str]
    variables: list[str]
    source: Source
    digests: list[tuple[Entry, str]]
    writer: Any


def demands(
    parts: Sequence[object], variables: Sequence[str], source: Source, entries: Sequence[Entry], writer: Any
) -> NodeDemands:
    """Describe what this process has, for the nodes.

    Args:
        parts: built objects, whose modules must be there.
        variables: names of environment variables.
        source: of the documents.
        entries: documents to read.
        writer: opens the store in a worker, or None.
    """
    digests = []
    for entry in entries:
        try:
            digests.append((entry, sha256(source.read(entry))))
        except CannotRead:
            continue  # the ingest reports it
    return NodeDemands(
        versions={name: importlib.metadata.version(name) for name in ("ragloom", "llama-index-core", "pyarrow")},
        python=_python(),
        modules=sorted({type(part).__module__ for part in parts if part is not None}),
        variables=[name for name in variables if os.environ.get(name)],
        source=source,
        digests=digests,
        writer=writer,
    )


def check_nodes(nodes: Sequence[Node], wanted: NodeDemands, seconds: float) -> None:
    """Check every node at once.

    Raises:
        ConfigError: a node lacks something; all problems of all nodes, one line each.
        ServiceError: a node does not answer in time.
    """
    ray = ray_module()
    check = ray.remote(max_retries=0, num_cpus=0)(problems_of)
    shipped = ray.put(wanted)
    calls = [(node, check.options(scheduling_strategy=on_node(node.id)).remote(shipped)) for node in nodes]
    problems: list[str] = []
    for node, call in calls:
        try:
            problems += [f"executor: node {node.address} {problem}" for problem in ray.get(call, timeout=seconds)]
        except ray.exceptions.GetTimeoutError:
            raise ServiceError(
                f"executor: node {node.address} did not answer its check within executor.startup_seconds={seconds:g}; "
                "look at `ray status`, or raise it"
            ) from None
        except ray.exceptions.RayError as error:
            # A module that is missing there shows as an error of unpickling.
            problems.append(
                f"executor: node {node.address} cannot run its check ({first_line(error)}); install the same packages "
                "there as here"
            )
    if problems:
        raise ConfigError(*problems)


def problems_of(wanted: NodeDemands) -> list[str]:
    """Check this node; return a line for each problem."""
    problems = []
    if _python() != wanted.python:
        problems.append(f"must have Python {wanted.python} as the driver, and has {_python()}; install it there")
    for name, version in wanted.versions.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "none"
        if here != version:
            problems.append(f"must have {name} {version} as the driver, and has {here}; install it there")
    for name in wanted.modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            problems.append(f"must have the module {name} ({error}); install its package there")
    problems += [
        f"must have the environment variable {name}, which the driver has; set it before `ray start` there"
        for name in wanted.variables
        if not os.environ.get(name)
    ]
    return problems + _reach(wanted)


def _reach(wanted: NodeDemands) -> list[str]:
    problems = []
    for entry, digest in wanted.digests:
        try:
            here = sha256(wanted.source.read(entry))
        except CannotRead as error:
            problems.append(
                f"cannot read {entry.location!r} of the source ({error.reason}); mount the source at the same path on "
                "each node, or keep it in an object store"
            )
            break
        if here != digest:
            problems.append(
                f"reads another content of {entry.location!r} than the driver; mount the same source there, and ingest "
                "when nothing writes to it"
            )
            break
    if wanted.writer is not None:
        try:
            wanted.writer.probe()
        except RagloomError as error:
            problems.append(f"cannot reach the store: {'; '.join(error.problems)}")
    return problems


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
