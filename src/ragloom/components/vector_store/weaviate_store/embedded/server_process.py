"""Process of an embedded server: environment, ports, locks and end."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import Any

from ragloom.components.vector_store.weaviate_store.embedded.supervisor import DATA, END_SECONDS, start_time, try_lock
from ragloom.errors import ConfigError, ServiceError

POLL_SECONDS = 0.05
_ENDING_SECONDS = 3.0
_PORTS = range(20_000, 32_000)  # below the kernel's range for clients
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "TZ", "GOMAXPROCS", "GOMEMLIMIT", "GODEBUG")
_NODE = "ragloom"  # constant: shards belong to a node of that name


def environment(folder: Path, ports: list[int], key: str) -> dict[str, str]:
    """Build the server's environment: access with the key only."""
    _, grpc, gossip, data, raft, rpc = ports  # gRPC and the cluster's port listen on all addresses
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "PERSISTENCE_DATA_PATH": str(folder / DATA),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
        "AUTHENTICATION_APIKEY_ENABLED": "true",
        "AUTHENTICATION_APIKEY_ALLOWED_KEYS": key,
        "AUTHENTICATION_APIKEY_USERS": "ragloom",
        "CLUSTER_BASIC_AUTH_USERNAME": "ragloom",
        "CLUSTER_BASIC_AUTH_PASSWORD": secrets.token_urlsafe(24),
        "CLUSTER_HOSTNAME": _NODE,
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_BIND_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
        "CLUSTER_DATA_BIND_PORT": str(data),
        "RAFT_PORT": str(raft),
        "RAFT_INTERNAL_RPC_PORT": str(rpc),
        "RAFT_JOIN": f"{_NODE}:{raft}",
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_TIMEOUTS_MULTIPLIER": "1",  # a single node waits for no one: 3 s to start instead of 9
        "GRPC_PORT": str(grpc),
        "AUTOSCHEMA_ENABLED": "false",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "ENABLE_API_BASED_MODULES": "false",
        # BM25 drops true hits when its list of candidates is short (TRAPS 41); this one is as long as a search may be.
        "BLOCKMAX_WAND_PER_SEGMENT_LIMIT": "10000",
        "DISK_USE_WARNING_PERCENTAGE": "95",
        "DISK_USE_READONLY_PERCENTAGE": "98",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "LOG_LEVEL": "warning",
    }


def free_ports(http: int, grpc: int) -> list[int]:
    """Return six free ports: HTTP, gRPC, gossip, data, Raft, Raft's RPC."""
    for key, port in zip(("http_port", "grpc_port"), (http, grpc), strict=True):
        if port and not is_free(port):
            raise ConfigError(
                f"vector_store: port {port} is already in use (vector_store.{key}={port}); "
                f"set vector_store.{key}=0 for a free port, or end the program that listens there"
            )
    for _ in range(100):
        first = random.randrange(_PORTS.start, _PORTS.stop)
        ports = [http or first, grpc or first + 1, *range(first + 2, first + 6)]
        if len(set(ports)) == len(ports) and all(map(is_free, range(first, first + 6))):
            return ports
    raise ServiceError(
        f"vector_store: no 6 free ports in a row between {_PORTS.start} and {_PORTS.stop} for an embedded server; end "
        "programs that listen on them"
    )


def demand_free(folder: Path) -> None:
    """Refuse a folder in use by another server.

    Raises:
        ServiceError: names the process where the system reports it.
    """
    database = folder / DATA / "raft" / "raft.db"
    if not database.exists():
        return
    file = os.open(database, os.O_RDWR)
    try:
        # A killed server holds its files until the last of its threads has ended.
        if not wait_locked(file, fcntl.LOCK_EX, time.monotonic() + _ENDING_SECONDS):
            raise ServiceError(
                f"vector_store: vector_store.path={folder} is in use by {holder(file)}, which Ragloom did not start; "
                "end it, or choose another folder"
            )
    finally:
        os.close(file)


def wait_locked(file: int, kind: int, deadline: float) -> bool:
    """Wait for a lock until a deadline."""
    while not try_lock(file, kind):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_alive(state: dict[str, Any], which: str) -> bool:
    """Check whether a process of a state still runs (numbers are reused)."""
    start = start_time(int(state[which])) if which in state else None
    return start is not None and start == state["supervisor_started" if which == "supervisor" else "started"]


def end(process: int) -> None:
    """End a server without a supervisor."""
    start = start_time(process)
    for number, seconds in ((signal.SIGTERM, END_SECONDS), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        while start_time(process) == start and time.monotonic() < deadline:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                return
            time.sleep(POLL_SECONDS)


def holder(file: int) -> str:
    """Name the process with a file's lock, if the system reports it."""
    inode = os.fstat(file).st_ino
    try:
        lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "another process"
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            try:
                name = Path(f"/proc/{fields[4]}/comm").read_text(encoding="utf-8").strip()
            except OSError:
                name = "?"
            return f"process {fields[4]} ({name})"
    return "another process"


def listens(port: int) -> bool:
    """Check whether a program listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int) -> bool:
    """Check whether a program could listen on a port, on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
