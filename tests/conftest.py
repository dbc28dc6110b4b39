"""Fixtures of all tests; a test with a real Weaviate server carries the marker `weaviate`."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

import ragloom.providers.openai_client
from provider_calls import KEY
from ragloom.components.source import file_age
from weaviate_servers import Address, Cluster, Server, find_executable

os.environ["RAGLOOM_PROJECT"] = "none"  # a ragloom.yaml that lies about here decides no test
os.environ.pop("COLUMNS", None)  # xdist sets 80 in its workers: tables would depend on how tests are run
# A busy machine is no failure: hypothesis has deadlines of 200 ms an example, and a check of how fast it draws.
hypothesis_settings.register_profile("ragloom", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("ragloom")


@pytest.fixture(scope="session")
def weaviate_executable() -> Path:
    """The server's executable, for tests that need a server of their own."""
    found = find_executable()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def weaviate_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Address]:
    """A server that many tests use: `WEAVIATE_URL`'s, or one per xdist worker. Never kill it: start a `Server`."""
    if url := os.environ.get("WEAVIATE_URL"):
        address = Address(url.rstrip("/"), int(os.environ.get("WEAVIATE_GRPC_PORT") or 50051))
        assert address.is_ready(), f"WEAVIATE_URL={url} is not ready, or its gRPC port {address.grpc_port} is closed"
        yield address
        return
    request.getfixturevalue("weaviate_executable")
    with Server(tmp_path_factory.mktemp("weaviate")) as server:
        yield server.address


@pytest.fixture
def prefix(weaviate_server: Address) -> Iterator[str]:
    """A collection prefix of the test's own on the shared server; what begins with it is removed afterwards."""
    name = f"T{secrets.token_hex(5)}"
    yield name
    weaviate_server.drop(name)


@pytest.fixture
def weaviate_process(
    weaviate_executable: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Starts servers of the test's own, to be killed, paused and restarted: `weaviate_process(ASYNC_INDEXING="true")`."""
    started: list[Server] = []

    def start(**env: str) -> Server:
        server = Server(tmp_path_factory.mktemp("weaviate"), env)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def weaviate_cluster(weaviate_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes on loopback of the test's own."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(autouse=True, scope="session")
def virtual_pauses() -> Iterator[None]:
    """Pauses for files that changed a moment ago take no time: the clock that they are judged by moves instead."""
    slept = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_age, "now_ns", lambda: time.time_ns() + slept[0])
        patch.setattr(file_age, "sleep", lambda seconds: slept.append(slept.pop() + round(seconds * 1e9)))
        yield


@pytest.fixture
def api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's key is in the environment, and no address."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the waits between requests, which take no time."""
    seconds: list[float] = []

    async def asleep(wait: float) -> None:
        seconds.append(wait)

    monkeypatch.setattr(ragloom.providers.openai_client, "sleep", seconds.append)
    monkeypatch.setattr(ragloom.providers.openai_client, "asleep", asleep)
    return seconds
