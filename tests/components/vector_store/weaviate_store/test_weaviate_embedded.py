"""The embedded server: start, sharing, and end with its last user."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from made import defaults
from messages.weaviate import (
    did_not_start,
    end_it_or_other_folder,
    ended_with_code,
    folder_in_use,
    folder_not_writable,
    not_ready_in_time,
    other_executable_version,
    port_in_use,
    version_in_use,
)
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.embedded.server_process import demand_free
from ragloom.components.vector_store.weaviate_store.embedded.shared_server import EmbeddedServer
from ragloom.components.vector_store.weaviate_store.embedded.supervisor import start_time
from ragloom.errors import ConfigError, ServiceError
from weaviate_servers import Server
from weaviate_tools import error_line

pytestmark = pytest.mark.weaviate
TIMEOUTS: Any = {"connect": 90.0, "query": 10.0, "insert": 10.0, "retry": 2.0, "indexing": 10.0}
VERSION: str = defaults("vector_store", "weaviate_embedded")["version"]
SCHEMA = {"class": "Here", "properties": [{"name": "text", "dataType": ["text"]}]}

# A program that uses the server of a folder, prints `ready`, and ends as its last argument says.
USER = """
import os, signal, sys, time
from pathlib import Path
from ragloom.components.vector_store.weaviate_store.embedded.shared_server import EmbeddedServer
path, version, binary, timeouts, how = sys.argv[1], sys.argv[2], Path(sys.argv[3]), eval(sys.argv[4]), sys.argv[5]
made = EmbeddedServer(path, version, binary, 0, 0).connect(timeouts)
if "write" in how:
    made.client.collections.get("Here").data.insert_many([{"text": str(number)} for number in range(100)])
print("ready", flush=True)
sys.stdin.readline()
if how == "fork":
    if os.fork() == 0:
        sys.exit()
    os.wait()
    time.sleep(1)
    print(made.call("listing", made.client.collections.list_all), flush=True)
if how == "error":
    raise RuntimeError("planted")
if how == "close":
    made.close()
"""


@pytest.fixture
def embedded(
    weaviate_executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Connection]]:
    """Connect to the embedded server of a folder; end it after the test."""
    monkeypatch.setenv("GOMAXPROCS", "2")
    connections: list[Connection] = []

    def start(**changed: Any) -> Connection:
        keys = {"path": str(tmp_path / "store"), "version": VERSION, "http_port": 0, "grpc_port": 0} | changed
        timeouts = keys.pop("timeouts", TIMEOUTS)
        binary = keys.pop("binary", weaviate_executable)
        connections.append(
            EmbeddedServer(keys["path"], keys["version"], binary, keys["http_port"], keys["grpc_port"]).connect(
                timeouts
            )
        )
        return connections[-1]

    yield start
    for connection in connections:
        connection.close()
    if (state := state_of(tmp_path)) is not None:
        end(state["supervisor"], state["supervisor_started"])
        end(state["process"], state["started"])


@pytest.fixture
def user(weaviate_executable: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start another program and wait until it uses the folder."""
    running: list[subprocess.Popen[str]] = []

    def start(how: str, *, wait: bool = True) -> subprocess.Popen[str]:
        arguments = [str(tmp_path / "store"), VERSION, str(weaviate_executable), repr(TIMEOUTS), how]
        program = subprocess.Popen(
            [sys.executable, "-c", USER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(program)
        if not wait:
            return program
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line == "ready\n", program.communicate()
        return program

    yield start
    for program in running:
        program.kill()
        program.communicate()


def state_of(tmp_path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((tmp_path / "store" / "server.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def end(process: int, since: str | None) -> None:
    """End a process if it is still the same one."""
    if since is not None and start_time(process) == since:
        os.kill(process, signal.SIGKILL)


def wait_until(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)


def gone(state: dict[str, Any]) -> bool:
    return start_time(state["process"]) != state["started"]


def count(connection: Connection) -> int:
    here = connection.client.collections.get("Here")
    return len(connection.call("reading", lambda: here.query.fetch_objects(limit=1000)).objects)


def test_server_starts_keeps_its_data_and_ends_with_its_connection(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    first = embedded()
    assert ".".join(map(str, first.version)) == VERSION
    first.call("creating", lambda: first.client.collections.create_from_dict(SCHEMA))
    first.call("writing", lambda: first.client.collections.get("Here").data.insert({"text": "x"}))
    state = state_of(tmp_path)
    assert state is not None
    first.close()
    assert gone(state)
    assert state_of(tmp_path) is None
    second = embedded()
    assert second.where != first.where, "other ports"
    assert count(second) == 1


def test_second_database_of_the_same_program_shares_the_server(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    first = embedded()
    state = state_of(tmp_path)
    second = embedded()
    assert second.where == first.where
    first.close()
    assert second.call("listing", second.client.collections.list_all) == {}
    assert state_of(tmp_path) == state
    second.close()
    assert state_of(tmp_path) is None


def test_second_program_shares_the_server_and_keeps_it_after_the_first_has_ended(
    embedded: Callable[..., Connection], user: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = embedded()
    first.call("creating", lambda: first.client.collections.create_from_dict(SCHEMA))
    state = state_of(tmp_path)
    assert state is not None
    other = user("close, write")
    first.close()
    assert not gone(state)
    assert state_of(tmp_path) == state
    other.communicate("\n")
    assert other.returncode == 0
    wait_until(lambda: gone(state))
    assert count(embedded()) == 100


@pytest.mark.parametrize(
    ("how", "sent"),
    [
        ("close", None),
        ("forget", None),
        ("error", None),
        ("forget", signal.SIGINT),
        ("forget", signal.SIGTERM),
        ("forget", signal.SIGKILL),
    ],
    ids=["closed", "forgotten", "error", "ctrl-c", "sigterm", "sigkill"],
)
def test_server_ends_with_the_program_however_it_ends(
    how: str, sent: signal.Signals | None, user: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    program = user(how)
    state = state_of(tmp_path)
    assert state is not None
    assert not gone(state)
    if sent is not None:
        os.killpg(program.pid, sent)  # as a terminal does: to the whole group
    _, errors = program.communicate("\n" if sent is None else None)
    if sent in (None, signal.SIGINT):
        assert gone(state), "a program that ends by itself waits for the server"
    wait_until(lambda: gone(state) and state_of(tmp_path) is None)
    assert ("planted" in errors) == (how == "error")


def test_programs_that_start_at_once_share_one_server(
    user: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    programs = [user("close", wait=False) for _ in range(4)]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n", program.communicate()
    state = state_of(tmp_path)
    assert state is not None
    assert not (tmp_path / "store" / "server.log.1").exists(), "it was started once"
    for program in programs:
        assert not gone(state)
        program.communicate("\n")
        assert program.returncode == 0
    assert gone(state)


def test_forked_child_that_ends_leaves_the_server_to_its_parent(user: Callable[[str], subprocess.Popen[str]]) -> None:
    written, errors = user("fork").communicate("\n")
    assert written == "{}\n", errors


def test_server_killed_while_it_writes_is_started_again_on_its_data(
    embedded: Callable[..., Connection], user: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = embedded()
    first.call("creating", lambda: first.client.collections.create_from_dict(SCHEMA))
    user("forget, write").kill()
    state = state_of(tmp_path)
    assert state is not None
    os.kill(state["process"], signal.SIGKILL)
    line = error_line(lambda: first.call("listing", first.client.collections.list_all))
    assert f"(log: {tmp_path / 'store' / 'server.log'})" in line
    first.close()
    assert count(embedded()) == 100


def test_state_left_by_a_killed_supervisor_is_recognised(embedded: Callable[..., Connection], tmp_path: Path) -> None:
    """On Linux the kernel ends the server with its supervisor; the state file stays, and its processes are gone."""
    first = embedded()
    state = state_of(tmp_path)
    assert state is not None
    os.kill(state["supervisor"], signal.SIGKILL)
    wait_until(lambda: gone(state))
    first.close()
    assert state_of(tmp_path) == state
    second = embedded()
    assert second.call("listing", second.client.collections.list_all) == {}
    assert state_of(tmp_path) != state


def test_state_whose_numbers_belong_to_other_processes_is_not_believed(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    left = {"version": VERSION, "http_port": 1, "grpc_port": 2, "key": "k", "status": "running"}
    left |= {"process": os.getpid(), "started": "1", "supervisor": os.getpid(), "supervisor_started": "1"}
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "server.json").write_text(json.dumps(left))
    assert embedded().version >= (1, 30, 0)
    assert state_of(tmp_path) != left


def test_server_without_a_supervisor_is_ended_and_started_again(
    embedded: Callable[..., Connection], weaviate_process: Callable[..., Server], tmp_path: Path
) -> None:
    """Where the kernel does not end it (macOS), a server may be left alone; the next program replaces it."""
    alone = weaviate_process()
    left = {"version": VERSION, "http_port": alone.http_port, "grpc_port": alone.grpc_port, "key": "k"}
    left |= {"status": "running", "process": alone.pid, "started": start_time(alone.pid)}
    left |= {"supervisor": os.getpid(), "supervisor_started": "1"}
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "server.json").write_text(json.dumps(left))
    connection = embedded()
    assert f":{alone.http_port}" not in connection.where
    assert alone.process is not None
    assert alone.process.poll() is not None


def test_folder_that_another_server_has_open_is_reported_with_its_process(
    embedded: Callable[..., Connection], tmp_path: Path, weaviate_executable: Path
) -> None:
    """Weaviate itself waits there for ever without a log line (TRAPS 42)."""
    with Server(tmp_path / "store") as other:
        line = error_line(lambda: embedded(timeouts={**TIMEOUTS, "connect": 5.0}))
        assert folder_in_use(tmp_path / "store", other.pid) in line
        assert end_it_or_other_folder() in line
        with pytest.raises(ServiceError):
            demand_free(tmp_path / "store")
    demand_free(tmp_path / "store")


def test_server_is_reached_with_its_key_only_and_the_key_is_the_owners(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    import httpx

    connection = embedded()
    state = state_of(tmp_path)
    assert state is not None
    assert (tmp_path / "store" / "server.json").stat().st_mode & 0o077 == 0
    url = f"http://127.0.0.1:{state['http_port']}/v1/schema"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {state['key']}"}).status_code == 200
    line = error_line(
        lambda: connection.call("searching", lambda: connection.client.collections.get("No").query.bm25("x"))
    )
    assert state["key"] not in line + repr(connection)
    command = Path(f"/proc/{state['process']}/cmdline")
    assert not command.exists() or state["key"] not in command.read_text()


def test_secrets_of_the_program_are_not_handed_to_the_server(
    embedded: Callable[..., Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    monkeypatch.setenv("PERSISTENCE_DATA_PATH", "/nowhere")
    embedded()
    state = state_of(tmp_path)
    assert state is not None
    environment = Path(f"/proc/{state['process']}/environ")
    if not environment.exists():
        pytest.skip("the system does not show it")
    assert "planted-secret" not in environment.read_text()
    assert f"PERSISTENCE_DATA_PATH={tmp_path / 'store' / 'data'}" in environment.read_text()


def test_taken_port_is_reported_with_its_key(embedded: Callable[..., Connection]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for key in ("http_port", "grpc_port"):
            line = error_line(lambda key=key: embedded(**{key: port}), ConfigError)  # type: ignore[misc]
            assert port_in_use(port, key) in line


def test_given_ports_are_used(embedded: Callable[..., Connection]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert f"http://127.0.0.1:{port} " in embedded(http_port=port).where


def test_executable_that_cannot_run_is_reported_with_its_reason(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    broken = tmp_path / "weaviate"
    broken.write_text("no program")
    broken.chmod(0o755)
    assert did_not_start("[Errno 8] Exec format error") in error_line(lambda: embedded(binary=broken))
    broken.write_text("#!/bin/sh\necho 'planted: no such library' >&2\nexit 3\n")
    line = error_line(lambda: embedded(binary=broken))
    assert ended_with_code(3, "planted: no such library") in line
    assert str(tmp_path / "store" / "server.log") in line


def test_executable_that_never_listens_is_reported_and_ended(
    embedded: Callable[..., Connection], tmp_path: Path
) -> None:
    silent = tmp_path / "weaviate"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    line = error_line(lambda: embedded(binary=silent, timeouts={**TIMEOUTS, "connect": 3.0}))
    assert not_ready_in_time() in line
    wait_until(lambda: state_of(tmp_path) is None)


def test_other_version_than_the_executables_is_reported(embedded: Callable[..., Connection]) -> None:
    line = error_line(lambda: embedded(version="1.31.0"), ConfigError)
    assert other_executable_version("1.31.0", "1.") in line


def test_other_version_than_the_running_servers_is_reported(embedded: Callable[..., Connection]) -> None:
    embedded()
    line = error_line(lambda: embedded(version="1.31.0"), ConfigError)
    assert version_in_use("1.31.0", VERSION) in line


def test_folder_that_cannot_be_written_is_reported(embedded: Callable[..., Connection], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    assert folder_not_writable(tmp_path / "store") in error_line(embedded)
