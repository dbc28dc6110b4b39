"""Asks a server, before the client is given its address, whether it is what a run needs; says what it is otherwise."""

from __future__ import annotations

import re
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx

from ragloom.components.vector_store.weaviate_store.errors import FAILURES, is_read_only, one_line, without
from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.components.vector_store.weaviate_store.settings import Settings
from ragloom.errors import ConfigError, RagloomError, ServiceError

if TYPE_CHECKING:
    from weaviate import WeaviateClient

OLDEST = (1, 30)
"""The oldest server that the store is written for."""
_LOOK = 0.25  # seconds between two looks at a server that is starting


def ask(settings: Settings, key: str | None, headers: dict[str, str], secrets: frozenset[str]) -> tuple[int, int, int]:
    """Asks over HTTP whether a server is there, wants us, is ready and new enough; returns its version."""
    sent = {**headers, **({"Authorization": f"Bearer {key}"} if key else {})}
    until = time.monotonic() + settings.connect_seconds
    while True:
        left = max(0.1, until - time.monotonic())
        try:
            with httpx.Client(trust_env=settings.trusts_environment, timeout=left, headers=sent) as http:
                meta = http.get(f"{settings.url.rstrip('/')}/v1/meta")
                ready = http.get(f"{settings.url.rstrip('/')}/v1/.well-known/ready")
        except httpx.HTTPError as error:
            problem, final = _unreachable(settings, error, secrets)
        else:
            refusal = _refused(settings, meta, key)
            if refusal is None:
                version = _version(settings, meta)
                if ready.status_code == 200:
                    return version
                refusal = _not_ready(settings, ready.status_code), False
            problem, final = refusal
        if final or time.monotonic() + _LOOK > until:
            raise problem
        time.sleep(_LOOK)


def _unreachable(settings: Settings, error: httpx.HTTPError, secrets: frozenset[str]) -> tuple[RagloomError, bool]:
    """Says why there was no HTTP answer, and whether waiting is useless."""
    where, cause = settings.where, _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ServiceError(
            f"vector_store: {where} has a certificate that is not trusted ({cause.verify_message}); "
            "check vector_store.url, or put its authority into SSL_CERT_FILE and GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
        ), True
    if isinstance(cause, ssl.SSLError):
        return ConfigError(
            f"vector_store: url={where} must speak TLS, and the server there does not; "
            f"set vector_store.url=http://{where.partition('://')[2]}"
        ), True
    if isinstance(error, httpx.TimeoutException):
        return ServiceError(
            f"vector_store: {where} did not answer within "
            f"vector_store.timeouts.connect={settings.connect_seconds:g} s; check the address and the server"
        ), True
    reason = one_line(without(str(cause) or type(cause).__name__, secrets))
    # A port that a container publishes before its server listens is open and breaks off.
    return ServiceError(
        f"vector_store: no Weaviate answers at {where} ({reason}); "
        "start it (docker compose up -d), or set vector_store.url"
    ), isinstance(error, httpx.ConnectError)


def _not_ready(settings: Settings, status: int) -> RagloomError:
    return ServiceError(
        f"vector_store: {settings.where} is not ready ({status}) after "
        f"vector_store.timeouts.connect={settings.connect_seconds:g} s; wait for it, or look at its log"
    )


def _refused(settings: Settings, answer: httpx.Response, key: str | None) -> tuple[RagloomError, bool] | None:
    """Says why the server does not talk to us, and whether waiting is useless; None when it does."""
    where, status = settings.where, answer.status_code
    if status in (401, 403):
        if key is None:
            how = f"wants a key ({status}); export {settings.api_key_env}=..."
        else:
            how = f"refuses the key in {settings.api_key_env} ({status}); set it anew"
        return ConfigError(f"vector_store: {where} {how}"), True
    if "HTTP request to an HTTPS server" in answer.text or "plain HTTP request was sent to HTTPS" in answer.text:
        return ConfigError(
            f"vector_store: url={where} must begin with https://, the server there speaks TLS; set vector_store.url"
        ), True
    if status in (429, 502, 503, 504):
        return _not_ready(settings, status), False
    if status != 200 or not isinstance(_json(answer).get("version"), str):
        return ConfigError(
            f"vector_store: url={where} must be a Weaviate server, and what answers there ({status}) is none; "
            "check host and port"
        ), True
    return None


def _version(settings: Settings, answer: httpx.Response) -> tuple[int, int, int]:
    told = str(_json(answer)["version"])
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", told)
    if found is None:
        raise ServiceError(f"vector_store: {settings.where} tells no version ({one_line(told)!r}); update the server")
    version = (int(found[1]), int(found[2]), int(found[3] or 0))
    if version < OLDEST:
        raise ServiceError(
            f"vector_store: {settings.where} must be Weaviate {'.'.join(map(str, OLDEST))} or newer, and is "
            f"{one_line(told)}; update the server"
        )
    return version


def check_grpc(settings: Settings, client: WeaviateClient, secrets: frozenset[str]) -> None:
    """Asks over gRPC whether the server is well; HTTP may work where this port is blocked."""
    until = time.monotonic() + settings.connect_seconds
    while True:
        try:
            client._connection._ping_grpc("sync")
            return
        except FAILURES as error:
            cause = error.__cause__ or error
            if isinstance(cause, CallFailed) and is_read_only(cause.details):
                return  # reached; a server that takes no writes does not tell its health either
        if time.monotonic() + _LOOK > until:
            host, port = settings.grpc_address
            said = f"{cause.code}: {cause.details}" if isinstance(cause, CallFailed) else str(cause)
            raise ServiceError(
                f"vector_store: {settings.where} answers over HTTP, but not over gRPC at {host}:{port} "
                f"({one_line(without(said, secrets))}); open that port, or set vector_store.grpc_port "
                "(and vector_store.grpc_host)"
            )
        time.sleep(_LOOK)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _root(error: BaseException) -> BaseException:
    """Finds the first cause: httpx wraps what the socket said twice."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
