"""Weaviate server on a local folder, shared by programs of ours.

The first program starts the server (through `supervisor`), the next ones find it by the state file and share it, the
last one to end, or to crash, ends it. A folder that another program's server uses is an error that names the program:
Weaviate itself would wait without a message (TRAPS 42).
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

from ragloom.components.vector_store.weaviate_config import TimeoutSettings
from ragloom.components.vector_store.weaviate_store.connection import Connection, connect
from ragloom.components.vector_store.weaviate_store.embedded import server_process, supervisor
from ragloom.components.vector_store.weaviate_store.embedded.supervisor import DATA, LOG, START, STATE, USERS, try_lock
from ragloom.components.vector_store.weaviate_store.errors import one_line
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings
from ragloom.errors import ConfigError, ServiceError

_NOTICE_SECONDS = 3.0  # limit for the supervisor to notice its last user's end: it polls every 0.1 s
_STARTS = 3  # a free port may be taken between our check and the server's


class EmbeddedServer:
    """Server of one folder.

    Args:
        path: of the folder.
        version: required of the server.
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

    def connect(self, timeouts: TimeoutSettings) -> Connection:
        """Connect to the folder's server, starting it if needed.

        Closing the connection releases the server.

        Raises:
            ConfigError: the server has another version, or a configured port is in use.
            ServiceError: the server does not start, or another program uses the folder.
        """
        try:
            (self.folder / DATA).mkdir(parents=True, exist_ok=True)
            deadline = time.monotonic() + timeouts["connect"]
            self._join(deadline)
            atexit.register(self.release)
            with self._exclusive(deadline):
                state = self._running(deadline) or self._start(deadline)
            return self._connected(state, timeouts, deadline)
        except OSError as error:
            self.release()
            raise ServiceError(
                f"vector_store: vector_store.path={self.folder} must be a writable folder ({error.strerror}); free "
                "space, change its rights, or choose another"
            ) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the server; wait for its end if nobody else uses it."""
        if self._users is None or self._program != os.getpid():
            return  # not a user, or a forked child: the lock is its parent's
        atexit.unregister(self.release)
        fcntl.flock(self._users, fcntl.LOCK_UN)  # closing is not enough where a forked child has the file, too
        alone = try_lock(self._users, fcntl.LOCK_EX)
        os.close(self._users)
        self._users = None
        notice_deadline = time.monotonic() + _NOTICE_SECONDS
        end_deadline = time.monotonic() + 1.5 * supervisor.END_SECONDS
        while (state := self._state()) is not None and time.monotonic() < end_deadline:
            if not server_process.is_alive(state, "process") and not server_process.is_alive(state, "supervisor"):
                return  # left over from a crash
            if state["status"] != "ending" and (not alone or time.monotonic() > notice_deadline):
                return  # another program uses it
            time.sleep(server_process.POLL_SECONDS)

    def _join(self, deadline: float) -> None:
        """Become a user of the server; wait for one in its end."""
        file = os.open(self.folder / USERS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not server_process.wait_locked(file, fcntl.LOCK_SH, deadline):
                process = (self._state() or {}).get("supervisor")
                raise ServiceError(
                    f"vector_store: process {process} is still ending the server of vector_store.path={self.folder}; "
                    f"wait for it, or see {self.folder / LOG}"
                )
        except BaseException:
            os.close(file)
            raise
        self._users, self._program = file, os.getpid()

    @contextmanager
    def _exclusive(self, deadline: float) -> Iterator[None]:
        """Let one program at a time find or start the server."""
        file = os.open(self.folder / START, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not server_process.wait_locked(file, fcntl.LOCK_EX, deadline):
                raise ServiceError(
                    f"vector_store: another program is still starting the server of vector_store.path={self.folder}; "
                    f"wait for it, raise vector_store.timeouts.connect, or see {self.folder / LOG}"
                )
            yield
        finally:
            os.close(file)

    def _running(self, deadline: float) -> dict[str, Any] | None:
        """Return the state of the running server; None without one."""
        state = self._state()
        if self._users is None or state is None or not server_process.is_alive(state, "process"):
            return None
        if not server_process.is_alive(state, "supervisor"):
            alone = try_lock(self._users, fcntl.LOCK_EX)
            if alone:
                server_process.end(state["process"])
            server_process.wait_locked(self._users, fcntl.LOCK_SH, deadline)  # a failed change of the lock loses it
            if alone:
                return None
        if state["version"] != self._version:
            raise ConfigError(
                f"vector_store: vector_store.version={self._version} must be {state['version']} while another program "
                f"uses the server of {self.folder}; wait for it to end, or set vector_store.version={state['version']}"
            )
        return self._listening(deadline)

    def _start(self, deadline: float) -> dict[str, Any]:
        """Start the server, on other ports when these are taken meanwhile."""
        for _ in range(_STARTS):
            server_process.demand_free(self.folder)
            ports = server_process.free_ports(*self._ports)
            self._launch(ports)
            state = self._listening(deadline)
            if state is not None:
                return state
        raise ServiceError(
            f"vector_store: the embedded server did not start: its ports were taken {_STARTS} times, the last time "
            f"{ports[0]} to {ports[-1]}; end the programs on them, and see {self.folder / LOG}"
        )

    def _launch(self, ports: list[int]) -> None:
        (self.folder / STATE).unlink(missing_ok=True)
        if (self.folder / LOG).exists():
            (self.folder / LOG).replace(self.folder / f"{LOG}.1")
        key = secrets.token_urlsafe(24)
        job = {
            "command": [str(self._binary), "--host", "127.0.0.1", "--port", str(ports[0]), "--scheme", "http"],
            "env": server_process.environment(self.folder, ports, key),
            "state": {"version": self._version, "http_port": ports[0], "grpc_port": ports[1], "key": key},
        }
        with (self.folder / LOG).open("ab") as log:
            completed = subprocess.run(
                # -I and -S: the standard library only.
                [sys.executable, "-I", "-S", supervisor.__file__, str(self.folder)],
                input=json.dumps(job).encode(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
        if completed.returncode != 0:
            raise ServiceError(
                f"vector_store: the embedded server was not started: {self._last_error()}; see {self.folder / LOG}"
            )

    def _listening(self, deadline: float) -> dict[str, Any] | None:
        """Wait until the server listens; None for a port conflict."""
        while time.monotonic() < deadline:
            state = self._state()
            if state is not None and state["status"] == "running":
                if server_process.listens(state["http_port"]) and server_process.listens(state["grpc_port"]):
                    return state
            elif state is not None and state["status"] == "failed":
                if "address already in use" in self._log():
                    return None
                raise ServiceError(
                    f"vector_store: the embedded server did not start ({state['reason']}): {self._last_error()}; "
                    f"see {self.folder / LOG}"
                )
            time.sleep(server_process.POLL_SECONDS)
        raise ServiceError(
            f"vector_store: the embedded server on {self.folder} was not ready within vector_store.timeouts.connect; "
            f"raise it, or see {self.folder / LOG}"
        )

    def _connected(self, state: dict[str, Any], timeouts: TimeoutSettings, deadline: float) -> Connection:
        url = f"http://127.0.0.1:{state['http_port']}"
        remaining: TimeoutSettings = {**timeouts, "connect": max(1.0, deadline - time.monotonic())}
        name = f"embedded Weaviate at {url} (log: {self.folder / LOG})"
        settings = ServerSettings(url, None, state["grpc_port"], "", None, remaining, name)
        connection = connect(settings, key=state["key"], on_close=self.release)
        version = ".".join(map(str, connection.version))
        if version != self._version.partition("-")[0]:
            connection.close()
            raise ConfigError(
                f"vector_store: vector_store.version={self._version} must be the executable's, which is {version}; "
                f"set vector_store.version={version}, or vector_store.binary_path to another executable"
            )
        return connection

    def _state(self) -> dict[str, Any] | None:
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return state if isinstance(state, dict) and "status" in state else None

    def _log(self) -> str:
        try:
            return (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _last_error(self) -> str:
        """Find the newest serious message in the log.

        The log is JSON line by line, except for panics.
        """
        for line in reversed(self._log().splitlines()):
            try:
                entry = json.loads(line)
            except ValueError:
                return one_line(line)
            if isinstance(entry, dict) and entry.get("level") in ("error", "fatal", "panic"):
                return one_line(f"{entry.get('msg', '')} {entry.get('error', '')}".strip())
        return "the log holds no error"
