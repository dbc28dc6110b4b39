"""Connection to a Weaviate server: one-line errors, in bounded time, without secrets.

Against real servers; an old version and another program are a plain HTTP server.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from weaviate.classes.query import Filter

from messages.weaviate import (
    failed_while,
    http_but_no_grpc,
    https_wanted,
    key_lacks_right,
    lower_megabytes,
    no_answer_within,
    no_grpc,
    no_weaviate_at,
    open_grpc_port,
    other_program,
    plain_http,
    see_the_servers_log,
    server_not_ready,
    server_silent,
    server_too_old,
    start_weaviate,
    takes_no_writes,
    too_large_request,
    tried_once_in,
    untrusted_certificate,
    weaviate_refuses_key,
    weaviate_wants_key,
)
from places import ROOT
from ragloom.components.vector_store.weaviate_store.connection import Connection, connect
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.server_check import MIN_VERSION, check_http
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings
from ragloom.errors import ConfigError, DataError, ServiceError
from weaviate_servers import Address, Server
from weaviate_tools import error_line

pytestmark = pytest.mark.weaviate

KEY, READ_KEY = "planted-full-key-1", "planted-read-key-2"
WITH_KEYS = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
    "AUTHENTICATION_APIKEY_ENABLED": "true",
    "AUTHENTICATION_APIKEY_ALLOWED_KEYS": f"{KEY},{READ_KEY}",
    "AUTHENTICATION_APIKEY_USERS": "writer,reader",
    "AUTHORIZATION_ADMINLIST_ENABLED": "true",
    "AUTHORIZATION_ADMINLIST_USERS": "writer",
    "AUTHORIZATION_ADMINLIST_READONLY_USERS": "reader",
}
TIMEOUTS = {"connect": 10.0, "query": 10.0, "insert": 10.0, "retry": 2.0, "indexing": 1.0}
BASE = ServerSettings("http://127.0.0.1:1", None, 2, "WEAVIATE_API_KEY", None, TIMEOUTS)  # type: ignore[arg-type]
SCHEMA = {"properties": [{"name": "text", "dataType": ["text"]}]}


def settings(address: Address, **changed: Any) -> ServerSettings:
    timeouts: Any = TIMEOUTS | {name: changed.pop(name) for name in TIMEOUTS if name in changed}
    keys = {"url": address.url, "grpc_port": address.grpc_port, "timeouts": timeouts, **changed}
    return dataclasses.replace(BASE, **keys)


@pytest.fixture
def connection(weaviate_server: Address) -> Iterator[Connection]:
    connection = connect(settings(weaviate_server))
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def keyed(weaviate_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with Server(tmp_path_factory.mktemp("keyed"), WITH_KEYS) as server:
        yield server.address


class Answers(BaseHTTPRequestHandler):
    """HTTP server with fixed answers by path, 404 otherwise."""

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))  # type: ignore[attr-defined]
        status, body = self.server.answers.get(self.path, (404, "nothing here"))  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def http(answers: dict[str, tuple[int, str]]) -> Iterator[tuple[Address, list[dict[str, str]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.answers, server.seen = answers, []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Address(f"http://127.0.0.1:{server.server_port}", 1), server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


def meta(version: str) -> tuple[int, str]:
    return 200, json.dumps({"version": version})


# --- connecting ---


def test_connection_tells_the_servers_version_and_address(connection: Connection, weaviate_server: Address) -> None:
    assert connection.version >= (1, 30, 0)
    assert connection.where == weaviate_server.url
    assert connection.call("listing", connection.client.collections.list_all) is not None


def test_server_that_is_not_there_is_reported_at_once() -> None:
    line = error_line(lambda: connect(BASE))
    assert line == (
        "vector_store: " + no_weaviate_at("http://127.0.0.1:1") + "[Errno 111] Connection refused)" + start_weaviate()
    )


def test_host_that_does_not_exist_is_reported() -> None:
    assert no_weaviate_at("http://nowhere.invalid") in error_line(
        lambda: connect(dataclasses.replace(BASE, url="http://nowhere.invalid"))
    )


def test_server_that_says_nothing_is_reported_with_the_time_waited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address(f"http://127.0.0.1:{silent.getsockname()[1]}", 1)
        line = error_line(lambda: connect(settings(address, connect=1.0)))
    assert server_silent(1) in line


def test_server_that_is_starting_is_waited_for(weaviate_executable: Path, tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.start(wait=False)
        line = ""
        while "Connection refused" in line or not line:  # until its HTTP port is open, before it is ready
            try:
                connect(settings(server.address, connect=60.0)).close()
                break
            except ServiceError as error:
                line = str(error)
    finally:
        server.kill()


@pytest.mark.parametrize(("of_meta", "of_ready"), [(meta("1.39.0"), 503), ((503, ""), 200)])
def test_server_that_never_gets_ready_is_reported(of_meta: tuple[int, str], of_ready: int) -> None:
    with http({"/v1/meta": of_meta, "/v1/.well-known/ready": (of_ready, "")}) as (address, _):
        line = error_line(lambda: connect(settings(address, connect=1.0)))
    assert server_not_ready(503, 1) in line


@pytest.mark.parametrize("version", ["1.30.0", "1.30", "2.0.0-rc.1"])
def test_oldest_and_newer_servers_are_accepted(version: str) -> None:
    with http({"/v1/meta": meta(version), "/v1/.well-known/ready": (200, "")}) as (address, _):
        assert check_http(settings(address), None, {}, frozenset()) >= MIN_VERSION


@pytest.mark.parametrize("version", ["1.29.8", "0.9.0"])
def test_server_that_is_too_old_is_reported_with_its_version(version: str) -> None:
    with http({"/v1/meta": meta(version), "/v1/.well-known/ready": (200, "")}) as (address, _):
        line = error_line(lambda: connect(settings(address)))
    assert server_too_old(version) in line


@pytest.mark.parametrize(
    "answers", [{}, {"/v1/meta": (200, "<html>login</html>")}, {"/v1/meta": (200, "[1]")}, {"/v1/meta": (301, "")}]
)
def test_other_program_on_that_port_is_reported(answers: dict[str, tuple[int, str]]) -> None:
    with http(answers) as (address, _):
        line = error_line(lambda: connect(settings(address)), ConfigError)
    assert other_program() in line


def test_blocked_grpc_port_is_reported_with_host_and_port(weaviate_server: Address) -> None:
    line = error_line(lambda: connect(settings(weaviate_server, grpc_port=9, connect=1.0)))
    assert http_but_no_grpc(weaviate_server.url, "127.0.0.1:9") + " (" in line
    assert open_grpc_port() in line


def test_grpc_port_that_swallows_everything_is_reported(weaviate_server: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        line = error_line(lambda: connect(settings(weaviate_server, grpc_port=port, connect=1.0)))
    assert no_grpc(f"127.0.0.1:{port}") in line


def test_https_to_a_server_without_tls_is_reported(weaviate_server: Address) -> None:
    secure = weaviate_server.url.replace("http:", "https:")
    line = error_line(lambda: connect(settings(weaviate_server, url=secure)), ConfigError)
    assert plain_http(weaviate_server.url) in line


def test_server_with_the_environment_of_the_compose_file_works(weaviate_process: Callable[..., Server]) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    of_the_container = {"PERSISTENCE_DATA_PATH", "CLUSTER_HOSTNAME"}
    env = {
        key: value
        for key, value in compose["services"]["weaviate"]["environment"].items()
        if key not in of_the_container
    }
    connection = connect(settings(weaviate_process(**env).address))
    connection.call("creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA}))
    connection.call("writing", lambda: CALLS["insert_many"](connection))
    connection.close()


# --- TLS ---


@pytest.fixture(scope="module")
def tls(weaviate_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A TLS server with its own certificate for this machine's name."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = certify(folder)
    server = Server(
        folder,
        {"GRPC_CERT_FILE": str(folder / "cert.pem"), "GRPC_KEY_FILE": str(folder / "key.pem")},
        certificate=(folder / "cert.pem", folder / "key.pem"),
    )
    server.start(wait=False)
    try:
        until = time.monotonic() + 90
        while any(socket.socket().connect_ex(("127.0.0.1", port)) for port in server.ports[:2]):
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.1)
        yield server, certificate
    finally:
        server.kill()


def certify(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ragloom test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(socket.gethostname()), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    connection = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(connection.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem"


def test_http_to_a_server_with_tls_is_reported(tls: tuple[Server, Path]) -> None:
    line = error_line(lambda: connect(settings(tls[0].address)), ConfigError)
    assert https_wanted() in line


def test_certificate_that_is_not_trusted_is_reported(tls: tuple[Server, Path]) -> None:
    secure = tls[0].address.url.replace("http:", "https:")
    line = error_line(lambda: connect(settings(tls[0].address, url=secure)))
    assert untrusted_certificate("self-signed certificate") in line


def test_tls_server_is_connected_to_over_http_and_grpc(tls: tuple[Server, Path]) -> None:
    """In a separate process: gRPC reads its authorities once."""
    server, certificate = tls
    try:
        socket.create_connection((socket.gethostname(), server.http_port), 2).close()
    except OSError as error:
        pytest.skip(f"this machine cannot be reached by its name: {error}")
    timeouts: Any = TIMEOUTS | {"connect": 20.0, "retry": 0.0}
    secure = ServerSettings(
        f"https://{socket.gethostname()}:{server.http_port}", None, server.grpc_port, "NO_KEY", None, timeouts
    )
    code = (
        "from ragloom.components.vector_store.weaviate_store.connection import connect\n"
        "from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings\n"
        f"made = connect({secure!r})\n"
        "print(made.call('searching', made.client.is_ready)); made.close()"
    )
    env = {"SSL_CERT_FILE": str(certificate), "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificate), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


# --- keys ---


def test_server_that_wants_a_key_is_reported(keyed: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEAVIATE_API_KEY", raising=False)
    line = error_line(lambda: connect(settings(keyed)), ConfigError)
    assert line == weaviate_wants_key(keyed.url)


def test_wrong_key_is_reported_and_shown_nowhere(
    keyed: Address,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MY_VARIABLE", "planted-wrong-key")
    with caplog.at_level(logging.DEBUG):
        line = error_line(lambda: connect(settings(keyed, api_key_env="MY_VARIABLE")), ConfigError)
    assert line == weaviate_refuses_key(keyed.url, "MY_VARIABLE")
    written = capfd.readouterr()
    assert "planted" not in caplog.text + written.out + written.err


def test_right_key_works_and_is_in_no_representation(
    keyed: Address, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WEAVIATE_API_KEY", KEY)
    with caplog.at_level(logging.DEBUG):
        connection = connect(settings(keyed))
        assert connection.call("listing", connection.client.collections.list_all) == {}
        shown = [repr(connection), str(connection), connection.where]
        shown.append(
            error_line(
                lambda: connection.call("searching", lambda: connection.client.collections.get("No").query.bm25("x"))
            )
        )
        connection.close()
    assert KEY not in "".join(shown) + caplog.text


def test_key_that_a_server_repeats_is_masked(keyed: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN", KEY)
    connection = connect(settings(keyed, api_key_env="PLAIN"))

    def fail() -> None:
        raise CallFailed("UNKNOWN", f"no such user:\n{KEY}")

    line = error_line(lambda: connection.call("counting", fail))
    connection.close()
    assert KEY not in line
    assert failed_while("counting", "no such user: ***") + see_the_servers_log() in line


def test_key_without_the_right_to_write_is_reported_by_the_first_write(
    keyed: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAVIATE_API_KEY", READ_KEY)
    connection = connect(settings(keyed))
    create = lambda: connection.client.collections.create_from_dict({"class": "Denied", **SCHEMA})  # noqa: E731
    line = error_line(lambda: connection.call("creating a collection", create), ConfigError)
    connection.close()
    assert failed_while("creating a collection", key_lacks_right()) in line
    assert READ_KEY not in line


def test_further_headers_are_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORE", '{"X-Planted": "planted-value"}')
    with http({"/v1/meta": meta("1.29.0"), "/v1/.well-known/ready": (200, "")}) as (address, seen):
        line = error_line(lambda: connect(settings(address, headers_env="MORE")))
    assert all(item["X-Planted"] == "planted-value" for item in seen)
    assert "planted-value" not in line


# --- calling ---


def test_permanent_failure_is_reported_at_once_with_what_was_done(weaviate_server: Address, prefix: str) -> None:
    begun = time.monotonic()
    patient = connect(settings(weaviate_server, retry=600.0))
    line = error_line(lambda: patient.call("searching", lambda: patient.client.collections.get("No").query.bm25("x")))
    assert failed_while("searching", "could not find class No in schema") in line
    wrong = {"class": f"{prefix} with blanks"}
    line = error_line(
        lambda: patient.call("creating", lambda: patient.client.collections.create_from_dict(wrong)), DataError
    )
    assert re.search(r"failed while creating: 422: .* is not a valid class name", line)
    patient.close()
    assert time.monotonic() - begun < 60


CALLS: dict[str, Callable[[Connection], Any]] = {
    "search": lambda connection: connection.client.collections.get("Here").query.fetch_objects(limit=1),
    "insert_many": lambda connection: connection.client.collections.get("Here").data.insert_many([{"text": "x"}]),
    "delete_many": lambda connection: connection.client.collections.get("Here").data.delete_many(
        where=Filter.by_property("text").equal("x")
    ),
    "aggregate": lambda connection: connection.client.collections.get("Here").aggregate.over_all(),
    "tenants": lambda connection: connection.client.collections.get("Here").tenants.get(),
    "schema": lambda connection: connection.client.collections.list_all(),
}


def test_server_that_was_killed_ends_every_call_in_bounded_time(weaviate_process: Callable[..., Server]) -> None:
    """The client itself repeats a search for 31 s, and a batch of 100 objects for 34 minutes."""
    server = weaviate_process()
    connection = connect(settings(server.address, retry=1.0))
    connection.call("creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA}))
    server.kill()
    for name, call in CALLS.items():
        begun = time.monotonic()
        line = error_line(lambda name=name, call=call: connection.call(name, lambda: call(connection)))  # type: ignore[misc]
        assert time.monotonic() - begun < 15, name
        assert re.search(rf"failed while {name}: .*Connection refused.* \(tried [2-9] times in [\d.]+ s, ", line), line
        assert "vector_store.timeouts.retry=1)" in line
        once = error_line(lambda name=name, call=call: connection.call(name, lambda: call(connection), retry=False))  # type: ignore[misc]
        assert "(tried once)" in once
    connection.close()


def test_server_that_comes_back_in_time_lets_the_call_succeed(weaviate_process: Callable[..., Server]) -> None:
    server = weaviate_process()
    connection = connect(settings(server.address, retry=120.0))
    connection.call("creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA}))
    connection.call("writing", lambda: CALLS["insert_many"](connection))
    server.kill()
    threading.Timer(1.0, server.restart).start()
    assert len(connection.call("searching", lambda: CALLS["search"](connection)).objects) == 1
    connection.close()


def test_server_that_hangs_is_reported_with_the_time_outs(weaviate_process: Callable[..., Server]) -> None:
    server = weaviate_process()
    connection = connect(settings(server.address, query=1.0, insert=1.0, retry=0.0))
    connection.call("creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA}))
    server.pause()
    for name in ("search", "insert_many", "schema"):
        line = error_line(lambda name=name: connection.call(name, lambda: CALLS[name](connection)))  # type: ignore[misc]
        assert failed_while(name, no_answer_within("vector_store.timeouts.query=1 s, ")) in line
        assert tried_once_in() in line
    server.resume()
    assert connection.call("searching", lambda: CALLS["search"](connection)) is not None
    connection.close()


def test_request_over_the_servers_limit_is_reported_with_the_key_that_lowers_it(
    weaviate_process: Callable[..., Server],
) -> None:
    server = weaviate_process(GRPC_MAX_MESSAGE_SIZE="100000")
    connection = connect(settings(server.address, retry=600.0))
    here = connection.call(
        "creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA})
    )
    line = error_line(
        lambda: connection.call("writing 1 object", lambda: here.data.insert_many([{"text": "x" * 200_000}])), DataError
    )
    assert too_large_request() in line
    assert lower_megabytes() in line
    connection.close()


def test_server_that_takes_no_writes_is_reported_and_can_be_read(weaviate_process: Callable[..., Server]) -> None:
    server = weaviate_process()
    connection = connect(settings(server.address))
    connection.call("creating", lambda: connection.client.collections.create_from_dict({"class": "Here", **SCHEMA}))
    connection.call("writing", lambda: CALLS["insert_many"](connection))
    connection.close()
    server.env["OPERATIONAL_MODE"] = "ReadOnly"
    server.restart()
    connection = connect(settings(server.address, retry=600.0))
    assert len(connection.call("searching", lambda: CALLS["search"](connection)).objects) == 1
    for name in ("insert_many", "delete_many"):
        line = error_line(lambda name=name: connection.call(name, lambda: CALLS[name](connection)))  # type: ignore[misc]
        assert failed_while(name, takes_no_writes("read-only mode is enabled")) in line
        assert "DISK_USE_READONLY_PERCENTAGE" in line
    connection.close()


def test_error_of_our_own_keeps_its_traceback(connection: Connection) -> None:
    def bug() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        connection.call("searching", bug)


# --- quiet ---


def test_client_changes_no_warnings_prints_nothing_and_asks_no_other_server(weaviate_server: Address) -> None:
    code = f"""
import socket, warnings
before = list(warnings.filters)
asked = set()
connect_ex, connect = socket.socket.connect_ex, socket.socket.connect
def record(function):
    def recorded(self, address):
        asked.add(address)
        return function(self, address)
    return recorded
socket.socket.connect = record(connect)
socket.getaddrinfo = (lambda real: lambda host, *a, **k: (asked.add((host, a[0])), real(host, *a, **k))[1])(socket.getaddrinfo)
from ragloom.components.vector_store.weaviate_store.connection import connect
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings
assert list(warnings.filters) == before, warnings.filters
made = connect(ServerSettings({weaviate_server.url!r}, None, {weaviate_server.grpc_port}, "NO_SUCH_KEY", None, {TIMEOUTS}))
made.call("listing", made.client.collections.list_all)
print(sorted({{address[1] for address in asked}}), {{address[0] for address in asked}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == f"[{weaviate_server.http_port}] {{'127.0.0.1'}}\n"


def test_refused_objects_are_not_printed_by_the_client(
    connection: Connection, prefix: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    schema = {"class": f"{prefix}_X", "properties": [{"name": "number", "dataType": ["int"]}]}
    here = connection.call("creating", lambda: connection.client.collections.create_from_dict(schema))
    answer = connection.call("writing", lambda: here.data.insert_many([{"number": 1}, {"number": "private text"}]))
    assert len(answer.errors) == 1
    written = capfd.readouterr()
    assert "private" not in written.out + written.err + caplog.text
