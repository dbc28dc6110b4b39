"""Real Weaviate servers for tests: start, kill, pause, restart, end.

`WEAVIATE_URL` (and `WEAVIATE_GRPC_PORT`, `WEAVIATE_API_KEY`) names a running server. Otherwise `WEAVIATE_BINARY`, or the
newest executable in the official embedded client's cache folder, is started. A watchdog process ends the remaining
servers after the end of the test process, however it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

READY_SECONDS = 90.0
"""A server starts in 2.5 s; a busy machine may need much longer."""
_PORTS = range(20_000, 32_000)  # below the ports that the kernel gives to clients
_PORTS_OF_ONE = 6  # http, grpc, gossip, data (must follow gossip), raft, raft's own rpc
_CACHED = re.compile(r"weaviate-(v(\d+)\.(\d+)\.(\d+))-([0-9a-f]{64})")


def find_executable() -> Path | str:
    """Find the server's executable, or the reason for its absence."""
    if named := os.environ.get("WEAVIATE_BINARY"):
        path = Path(named).expanduser()
        return path if path.is_file() else f"WEAVIATE_BINARY={named} is no file"
    if sys.platform == "win32":
        return "Weaviate has no executable for Windows; set WEAVIATE_URL"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache" / "weaviate-embedded")
    versions = []
    for path in folder.glob("weaviate-v*") if folder.is_dir() else ():
        name = _CACHED.fullmatch(path.name)
        if name and hashlib.sha256(name[1].encode()).hexdigest() == name[5]:
            versions.append((tuple(int(name[at]) for at in (2, 3, 4)), path))
    if not versions:
        return f"no Weaviate: set WEAVIATE_URL or WEAVIATE_BINARY (no executable in {folder})"
    return max(versions)[1]


@dataclass(frozen=True)
class Address:
    """Address of a server.

    Attributes:
        url: of the REST API, without a path.
        grpc_port: on the same host.
    """

    url: str
    grpc_port: int

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def http_port(self) -> int:
        return urlsplit(self.url).port or (443 if self.url.startswith("https") else 80)

    def overrides(self, **keys: Any) -> list[str]:
        """Return a config's overrides for this server: `overrides(collection_prefix=prefix)`."""
        keys = {"url": self.url, "grpc_port": self.grpc_port, **keys}
        return ["vector_store=weaviate", *(f"vector_store.{key}={value}" for key, value in keys.items())]

    def get(self, path: str) -> Any:
        """Return the JSON of a GET below `/v1/`; None if empty."""
        return self._ask("GET", path)

    def remove(self, path: str) -> None:
        """Send a DELETE below `/v1/`."""
        self._ask("DELETE", path)

    def collections(self, prefix: str = "") -> list[str]:
        """List the names of the collections with a prefix."""
        return sorted(
            item["class"] for item in self.get("schema").get("classes") or [] if item["class"].startswith(prefix)
        )

    def drop(self, prefix: str) -> None:
        """Remove all collections and aliases with a prefix."""
        for item in self.get("aliases").get("aliases") or []:
            if item["alias"].startswith(prefix):
                self.remove(f"aliases/{item['alias']}")
        for name in self.collections(prefix):
            self.remove(f"schema/{name}")

    def is_ready(self) -> bool:
        try:
            self._ask("GET", ".well-known/ready", seconds=2)
        except (OSError, urllib.error.URLError):
            return False
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex((self.host, self.grpc_port)) == 0

    def _ask(self, method: str, path: str, seconds: float = 60) -> Any:
        request = urllib.request.Request(f"{self.url.rstrip('/')}/v1/{path}", method=method)
        if key := os.environ.get("WEAVIATE_API_KEY"):
            request.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            body = answer.read()
        return json.loads(body) if body else None


class Server:
    """Private server of a test, on free ports of loopback.

    Args:
        folder: for its data and its log; kept by `restart`.
        env: further environment variables of the server.
        name: its name as a node of a cluster.
        certificate: files of certificate and key: its REST API speaks TLS.
    """

    def __init__(
        self,
        folder: Path,
        env: dict[str, str] | None = None,
        name: str = "node",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.env = env or {}
        self.certificate = certificate
        self.ports = free_ports()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Address:
        return Address(f"http://127.0.0.1:{self.http_port}", self.grpc_port)

    @property
    def http_port(self) -> int:
        return self.ports[0]

    @property
    def grpc_port(self) -> int:
        return self.ports[1]

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    def start(self, *, wait: bool = True) -> Server:
        """Start on free ports, and wait until it is ready."""
        for _ in range(4):
            self._launch()
            if not wait:
                return self
            try:
                self.wait_ready()
            except ServerDied:
                if "address already in use" not in self.log.read_text(encoding="utf-8", errors="replace"):
                    raise
                self.ports = free_ports()
                shutil.rmtree(self.data, ignore_errors=True)
                continue
            return self
        raise AssertionError("no free ports")

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not self.address.is_ready():
            if self.process is None or self.process.poll() is not None:
                raise ServerDied(f"{self.name} ended while it started; {self._last_words()}")
            assert time.monotonic() < until, f"{self.name} was not ready after {seconds} s; {self._last_words()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it by SIGKILL, like a crash or a power cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it like an administrator."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stop its answers, with open connections; `resume` ends the pause."""
        os.kill(self.pid, signal.SIGSTOP)
        while not all(_is_stopped(path) for path in Path(f"/proc/{self.pid}/task").glob("*/stat")):
            time.sleep(0.001)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, *, wait: bool = True) -> None:
        """Start again on the same folder and ports; kill it first."""
        self.kill()
        self._launch()
        if wait:
            self.wait_ready()

    def __enter__(self) -> Server:
        return self.start() if self.process is None else self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def _launch(self) -> None:
        executable = find_executable()
        assert isinstance(executable, Path), executable
        self.data.mkdir(parents=True, exist_ok=True)
        http, grpc, gossip, data, raft, rpc = self.ports
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "PERSISTENCE_DATA_PATH": str(self.data),
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
            "DISABLE_TELEMETRY": "true",
            "DEFAULT_VECTORIZER_MODULE": "none",
            "AUTOSCHEMA_ENABLED": "false",
            "CLUSTER_HOSTNAME": self.name,
            "CLUSTER_IN_LOCALHOST": "true",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_BIND_ADDR": "127.0.0.1",
            "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
            "CLUSTER_DATA_BIND_PORT": str(data),
            "GRPC_PORT": str(grpc),
            "RAFT_PORT": str(raft),
            "RAFT_INTERNAL_RPC_PORT": str(rpc),
            "RAFT_BOOTSTRAP_EXPECT": "1",
            "RAFT_JOIN": f"{self.name}:{raft}",
            "RAFT_TIMEOUTS_MULTIPLIER": "1",  # ready in 2.5 s instead of 9
            "BLOCKMAX_WAND_PER_SEGMENT_LIMIT": "10000",
            "DISK_USE_READONLY_PERCENTAGE": "99",
            "GO_PROFILING_DISABLE": "true",
            "GOMAXPROCS": "2",
            "GOMEMLIMIT": "1GiB",
            "LOG_LEVEL": "warning",
            **self.env,
        }
        command = [str(executable), "--host", "127.0.0.1", "--port", str(http), "--scheme", "http"]
        if self.certificate is not None:
            certificate, key = map(str, self.certificate)
            command[-1:] = ["https", "--tls-host", "0.0.0.0", "--tls-port", str(http)]
            command += ["--tls-certificate", certificate, "--tls-key", key]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        _watchdog.add(self.process.pid)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
        _watchdog.remove(self.process.pid)

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.is_file() else []
        return "its log ends: " + " | ".join(lines[-5:])


class ServerDied(AssertionError):
    """The server's process ended by itself."""


class Cluster:
    """Nodes of one cluster on loopback, each a `Server`."""

    def __init__(self, folder: Path, nodes: int = 3, env: dict[str, str] | None = None) -> None:
        names = [f"node{number}" for number in range(nodes)]
        self.nodes = [Server(folder / name, name=name) for name in names]
        raft = ",".join(f"{node.name}:{node.ports[4]}" for node in self.nodes)
        for node in self.nodes:
            others = [f"127.0.0.1:{other.ports[2]}" for other in self.nodes if other is not node]
            node.env = {
                "RAFT_BOOTSTRAP_EXPECT": str(nodes),
                "RAFT_JOIN": raft,
                "CLUSTER_JOIN": ",".join(others),
                "RAFT_TIMEOUTS_MULTIPLIER": "2",
                **(env or {}),
            }

    def start(self) -> Cluster:
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()
        self.wait_healthy()
        return self

    def wait_healthy(self, nodes: int | None = None, seconds: float = READY_SECONDS) -> None:
        """Wait until each running node sees so many (default: all) healthy nodes."""
        wanted = len(self.nodes) if nodes is None else nodes
        running = [node for node in self.nodes if node.process is not None and node.process.poll() is None]
        until = time.monotonic() + seconds
        for node in running:
            while _healthy(node.address) < wanted:
                assert time.monotonic() < until, f"{node.name} does not see {wanted} healthy nodes"
                time.sleep(0.2)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _is_stopped(stat: Path) -> bool:
    """Return whether a thread of `/proc` is stopped, or has ended."""
    try:
        return stat.read_text(encoding="utf-8").rpartition(") ")[2][0] in "TtZX"
    except OSError:
        return True


def _healthy(address: Address) -> int:
    try:
        nodes = address.get("nodes")["nodes"]
    except OSError:
        return 0
    return sum(node["status"] == "HEALTHY" for node in nodes)


def free_ports() -> tuple[int, ...]:
    """Return free ports next to each other."""
    for _ in range(200):
        first = random.randrange(_PORTS.start, _PORTS.stop - _PORTS_OF_ONE)
        ports = tuple(range(first, first + _PORTS_OF_ONE))
        if all(map(_is_free, ports)):
            return ports
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


_WATCH = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    what, pid = line.split()
    (pids.add if what == "add" else pids.discard)(int(pid))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class _Watchdog:
    """Process to kill the remaining servers after the end of this one.

    It reads the end of its input then.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def add(self, pid: int) -> None:
        self._tell(f"add {pid}")

    def remove(self, pid: int) -> None:
        self._tell(f"remove {pid}")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _WATCH],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,
                )
                atexit.register(self._end)
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()


_watchdog = _Watchdog()
