"""Checks of a server before the first call."""

from __future__ import annotations

import re
import ssl
import time
from typing import Any

import httpx

from ragloom.components.vector_store.weaviate_store.errors import is_read_only, one_line, without
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed, ChannelParameters
from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings, http_client
from ragloom.errors import ConfigError, RagloomError, ServiceError

MIN_VERSION = (1, 30)
_POLL_SECONDS = 0.25  # between two attempts while a server starts


def check_http(
    settings: ServerSettings, key: str | None, headers: dict[str, str], secrets: frozenset[str]
) -> tuple[int, int, int]:
    """Wait until the server is ready over HTTP; return its version.

    Raises:
        ConfigError: the address or the key is wrong.
        ServiceError: no answer, not ready or too old.
    """
    deadline = time.monotonic() + settings.timeouts["connect"]
    while True:
        timeout = max(0.1, deadline - time.monotonic())
        try:
            with http_client(settings, key, headers, timeout) as http:
                meta = http.get("/meta")
                ready = http.get("/.well-known/ready")
        except httpx.HTTPError as error:
            problem = _unreachable(settings, error, secrets)
        else:
            response = meta
            if _is_weaviate(settings, meta, key):
                version, response = _version(settings, meta), ready
                if ready.status_code == 200:
                    return version
            problem = _not_ready(settings, response.status_code)
        if time.monotonic() + _POLL_SECONDS > deadline:
            raise problem
        time.sleep(_POLL_SECONDS)


def _unreachable(settings: ServerSettings, error: httpx.HTTPError, secrets: frozenset[str]) -> RagloomError:
    """Explain a missing HTTP answer; raise where waiting is useless."""
    where, cause = settings.where, _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise ServiceError(
            f"vector_store: {where} has a certificate that is not trusted ({cause.verify_message}); "
            "check vector_store.url, or put its authority into SSL_CERT_FILE and GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
        ) from None
    if isinstance(cause, ssl.SSLError):
        raise ConfigError(
            f"vector_store: url={where} must be a TLS server, and it speaks plain HTTP; "
            f"set vector_store.url=http://{where.partition('://')[2]}"
        ) from None
    if isinstance(error, httpx.TimeoutException):
        raise ServiceError(
            f"vector_store: {where} did not answer within "
            f"vector_store.timeouts.connect={settings.timeouts['connect']:g} s; check the address and the server"
        ) from None
    reason = one_line(without(str(cause) or type(cause).__name__, secrets))
    problem = ServiceError(
        f"vector_store: no Weaviate answers at {where} ({reason}); "
        "start it (docker compose up -d), or set vector_store.url"
    )
    if isinstance(error, httpx.ConnectError):
        raise problem from None
    return problem  # a port that a container publishes before its server listens is open and breaks off


def _not_ready(settings: ServerSettings, status: int) -> RagloomError:
    return ServiceError(
        f"vector_store: {settings.where} is not ready ({status}) after "
        f"vector_store.timeouts.connect={settings.timeouts['connect']:g} s; wait for it, or look at its log"
    )


def _is_weaviate(settings: ServerSettings, response: httpx.Response, key: str | None) -> bool:
    """Check a response for Weaviate's version; False while the server is overloaded.

    Raises:
        ConfigError: the key is missing or wrong, or another program answers.
    """
    where, status = settings.where, response.status_code
    if status in (401, 403):
        if key is None:
            reason = f"wants a key ({status}); export {settings.api_key_env}=..."
        else:
            reason = f"refuses the key in {settings.api_key_env} ({status}); correct its value"
        raise ConfigError(f"vector_store: {where} {reason}")
    if "HTTP request to an HTTPS server" in response.text or "plain HTTP request was sent to HTTPS" in response.text:
        raise ConfigError(
            f"vector_store: url={where} must begin with https://, the server speaks TLS; set vector_store.url"
        )
    if status in (429, 502, 503, 504):
        return False
    if status != 200 or not isinstance(_json(response).get("version"), str):
        raise ConfigError(
            f"vector_store: url={where} must be a Weaviate server, and another program answers ({status}); "
            "check host and port"
        )
    return True


def _version(settings: ServerSettings, response: httpx.Response) -> tuple[int, int, int]:
    text = str(_json(response)["version"])
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        raise ServiceError(f"vector_store: {settings.where} reports no version ({one_line(text)!r}); update the server")
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    if version < MIN_VERSION:
        raise ServiceError(
            f"vector_store: {settings.where} must be Weaviate {'.'.join(map(str, MIN_VERSION))} or newer, and is "
            f"{one_line(text)}; update the server"
        )
    return version


def check_grpc(settings: ServerSettings, parameters: ChannelParameters, secrets: frozenset[str]) -> None:
    """Wait until the server is healthy over gRPC.

    Raises:
        ServiceError: no health within the `connect` time-out.
    """
    deadline = time.monotonic() + settings.timeouts["connect"]
    while True:
        try:
            parameters.check_health(settings.timeouts["connect"])
            return
        except CallFailed as error:
            if is_read_only(error.details):
                return  # reached: a read-only server refuses the health check as well
            reason = str(error)
        if time.monotonic() + _POLL_SECONDS > deadline:
            host, port = settings.grpc_address
            raise ServiceError(
                f"vector_store: {settings.where} answers over HTTP, but not over gRPC at {host}:{port} "
                f"({one_line(without(reason, secrets))}); open that port, or set vector_store.grpc_port "
                "(and vector_store.grpc_host)"
            )
        time.sleep(_POLL_SECONDS)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _root(error: BaseException) -> BaseException:
    """Find the first cause: httpx wraps a socket's error twice."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
