"""A Weaviate server on a local folder that runs while programs of ours use it. Knows the process, no collection.

The first program starts the server (through `supervisor`), the next ones find it by the state file and share it, the
last one to end, or to crash, ends it. A folder that another program's server has open is told with that program:
Weaviate itself would wait for it without a word (TRAPS 42).
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ragloom.components.vector_store.weaviate_config import Timeouts
from ragloom.components.vector_store.weaviate_store.connection import Connection, connect
from ragloom.components.vector_store.weaviate_store.embedded import supervisor
from ragloom.components.vector_store.weaviate_store.embedded.process import (
    LOOK_SECONDS,
    demand_free,
    end,
    environment,
    free_ports,
    is_alive,
    listens,
    wait_locked,
)
from ragloom.components.vector_store.weaviate_store.embedded.supervisor import DATA, LOG, START, STATE, USERS, locked
from ragloom.components.vector_store.weaviate_store.errors import one_line
from ragloom.components.vector_store.weaviate_store.settings import Settings
from ragloom.errors import ConfigError, ServiceError

_NOTICE_SECONDS = 3.0  # within which the supervisor sees that it has no user left: it looks every 0.1 s
_STARTS = 3  # a free port may be taken between our look and the server's


class Embedded:
    """The server of one folder.

    Args:
        path: the folder.
        version: the server must have.
        binary: the executable.
        http_port, grpc_port: 0 = a free one.
    """

    def __init__(self, path: str, version: str, binary: Path, http_port: int, grpc_port: int) -> None:
        self.folder = Path(path).expanduser().resolve()
        self._version = version
        self._binary = binary
        self._ports = (http_port, grpc_port)
        self._users: int | None = None
        self._program = os.getpid()

    def connect(self, timeouts: Timeouts) -> Connection:
        """Connects to the folder's server, which is started unless it runs; closing the connection lets go of it.

        Raises:
            ConfigError: the server has another version, or a port that was asked for is taken.
            ServiceError: it does not start, or another program has the folder.
        """
        try:
            (self.folder / DATA).mkdir(parents=True, exist_ok=True)
            until = time.monotonic() + timeouts["connect"]
            self._join(until)
            atexit.register(self.release)
            with self._one_at_a_time(until):
                state = self._running(until) or self._start(until)
            return self._connected(state, timeouts, until)
        except OSError as error:
            self.release()
            raise ServiceError(
                f"vector_store: vector_store.path={self.folder} must be a folder that can be written "
                f"({error.strerror}); free space or rights, or choose another"
            ) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Lets go of the server; when nobody else uses it, waits until it has ended."""
        if self._users is None or self._program != os.getpid():
            return  # nothing to let go of, or a forked child: the lock is its parent's
        atexit.unregister(self.release)
        fcntl.flock(self._users, fcntl.LOCK_UN)  # closing is not enough where a forked child has the file, too
        alone = locked(self._users, fcntl.LOCK_EX)
        os.close(self._users)
        self._users = None
        noticed = time.monotonic() + _NOTICE_SECONDS
        ended = time.monotonic() + 1.5 * supervisor.END_SECONDS
        while (state := self._state()) is not None and time.monotonic() < ended:
            if not is_alive(state, "process") and not is_alive(state, "supervisor"):
                return  # what a crash left
            if state["status"] != "ending" and (not alone or time.monotonic() > noticed):
                return  # somebody else uses it
            time.sleep(LOOK_SECONDS)

    def _join(self, until: float) -> None:
        """Becomes one of the server's users, which keeps it running; waits for one that is being ended."""
        file = os.open(self.folder / USERS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not wait_locked(file, fcntl.LOCK_SH, until):
                process = (self._state() or {}).get("supervisor")
                raise ServiceError(
                    f"vector_store: the server of vector_store.path={self.folder} is still being ended by process "
                    f"{process}; wait for it, or see {self.folder / LOG}"
                )
        except BaseException:
            os.close(file)
            raise
        self._users, self._program = file, os.getpid()

    @contextmanager
    def _one_at_a_time(self, until: float) -> Iterator[None]:
        """Lets one program look for the server and start it."""
        file = os.open(self.folder / START, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not wait_locked(file, fcntl.LOCK_EX, until):
                raise ServiceError(
                    f"vector_store: another program is still starting the server of vector_store.path={self.folder}; "
                    f"wait for it, raise vector_store.timeouts.connect, or see {self.folder / LOG}"
                )
            yield
        finally:
            os.close(file)

    def _running(self, until: float) -> dict[str, Any] | None:
        """Returns the state of the server that runs; None where there is none, or there was one that nobody ends."""
        state = self._state()
        if self._users is None or state is None or not is_alive(state, "process"):
            return None
        if not is_alive(state, "supervisor"):
            alone = locked(self._users, fcntl.LOCK_EX)
            if alone:
                end(state["process"])
            wait_locked(self._users, fcntl.LOCK_SH, until)  # a lock that could not be changed is lost
            if alone:
                return None
        if state["version"] != self._version:
            raise ConfigError(
                f"vector_store: vector_store.version={self._version} must be {state['version']} while another program "
                f"uses the server of {self.folder}; wait for it to end, or set vector_store.version={state['version']}"
            )
        return self._listening(until)

    def _start(self, until: float) -> dict[str, Any]:
        """Starts the server, on other ports when these are taken meanwhile."""
        for _ in range(_STARTS):
            demand_free(self.folder)
            ports = free_ports(*self._ports)
            self._launch(ports)
            state = self._listening(until)
            if state is not None:
                return state
        raise ServiceError(
            f"vector_store: the embedded server did not start: its ports were taken {_STARTS} times, the last time "
            f"{ports[0]} to {ports[-1]}; end what takes them, and see {self.folder / LOG}"
        )

    def _launch(self, ports: list[int]) -> None:
        (self.folder / STATE).unlink(missing_ok=True)
        if (self.folder / LOG).exists():
            (self.folder / LOG).replace(self.folder / f"{LOG}.1")
        key = secrets.token_urlsafe(24)
        told = {
            "command": [str(self._binary), "--host", "127.0.0.1", "--port", str(ports[0]), "--scheme", "http"],
            "env": environment(self.folder, ports, key),
            "state": {"version": self._version, "http_port": ports[0], "grpc_port": ports[1], "key": key},
        }
        with (self.folder / LOG).open("ab") as log:
            done = subprocess.run(
                # -I and -S: nothing but the standard library is looked at.
                [sys.executable, "-I", "-S", supervisor.__file__, str(self.folder)],
                input=json.dumps(told).encode(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
        if done.returncode != 0:
            raise ServiceError(f"vector_store: the embedded server was not started: {self._said()}")

    def _listening(self, until: float) -> dict[str, Any] | None:
        """Waits until the server listens; None when one of its ports is taken."""
        while time.monotonic() < until:
            state = self._state()
            if state is not None and state["status"] == "running":
                if listens(state["http_port"]) and listens(state["grpc_port"]):
                    return state
            elif state is not None and state["status"] == "failed":
                if "address already in use" in self._log():
                    return None
                raise ServiceError(
                    f"vector_store: the embedded server did not start ({state['reason']}): {self._said()}; "
                    f"see {self.folder / LOG}"
                )
            time.sleep(LOOK_SECONDS)
        raise ServiceError(
            f"vector_store: the embedded server on {self.folder} was not ready within vector_store.timeouts.connect; "
            f"raise it, or see {self.folder / LOG}"
        )

    def _connected(self, state: dict[str, Any], timeouts: Timeouts, until: float) -> Connection:
        url = f"http://127.0.0.1:{state['http_port']}"
        settings = Settings(
            url=url,
            grpc_host=None,
            grpc_port=state["grpc_port"],
            api_key_env="",
            headers_env=None,
            connect_seconds=max(1.0, until - time.monotonic()),
            query_seconds=timeouts["query"],
            insert_seconds=timeouts["insert"],
            retry_seconds=timeouts["retry"],
            name=f"embedded Weaviate at {url} (log: {self.folder / LOG})",
        )
        connection = connect(settings, key=state["key"], on_close=self.release)
        told = ".".join(map(str, connection.version))
        if told != self._version.partition("-")[0]:
            connection.close()
            raise ConfigError(
                f"vector_store: vector_store.version={self._version} must be the executable's, which is {told}; "
                f"set vector_store.version={told}, or vector_store.binary_path to another executable"
            )
        return connection

    def _state(self) -> dict[str, Any] | None:
        try:
            told = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return told if isinstance(told, dict) and "status" in told else None

    def _log(self) -> str:
        try:
            return (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _said(self) -> str:
        """Finds the newest serious message in the log, which is JSON line by line but for panics."""
        for line in reversed(self._log().splitlines()):
            try:
                told = json.loads(line)
            except ValueError:
                return one_line(line)
            if isinstance(told, dict) and told.get("level") in ("error", "fatal", "panic"):
                return one_line(f"{told.get('msg', '')} {told.get('error', '')}".strip())
        return "it said nothing"
