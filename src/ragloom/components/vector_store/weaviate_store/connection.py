"""Connection to a Weaviate server: connect and check, then call with retries.

`connect` checks the server before the client connects, so that each problem has its own message: no server, another
program, TLS, the key, the version, the gRPC port.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx
from weaviate import WeaviateClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig, Proxies
from weaviate.connect.base import ProtocolParams
from weaviate.exceptions import WeaviateInvalidInputError

from ragloom.components.vector_store.weaviate_store import errors
from ragloom.components.vector_store.weaviate_store.grpc_channel import ChannelParameters
from ragloom.components.vector_store.weaviate_store.server_check import check_grpc, check_http
from ragloom.components.vector_store.weaviate_store.server_settings import (
    ServerSettings,
    api_key,
    extra_headers,
    http_client,
)
from ragloom.errors import DataError

T = TypeVar("T")

MAX_RESULTS = 10_000
"""Default of the server's QUERY_MAXIMUM_RESULTS: results of one search, objects of one deletion."""
_FIRST_DELAY, _MAX_DELAY = 0.2, 5.0  # seconds between two attempts: half of it is random
_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    # By default gRPC waits up to 2 minutes before it tries a lost server again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Channels to one address would share that delay.
    ("grpc.use_local_subchannel_pool", 1),
]

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Connection:
    """Checked connection to a server, with retries. Thread-safe.

    Args:
        client: connected.
        parameters: of the client.
        http: of the same server, for reads that `client` does not offer.
        version: of the server.
        settings: address and time-outs.
        secrets: texts that no message may show.
        on_close: called by each `close`.
        most_results: limit of one search, as far as it is known.
    """

    client: WeaviateClient
    parameters: ChannelParameters
    http: httpx.Client
    version: tuple[int, int, int]
    settings: ServerSettings
    secrets: frozenset[str]
    on_close: Callable[[], None]
    most_results: int = MAX_RESULTS

    @property
    def where(self) -> str:
        """Name of the server in messages."""
        return self.settings.where

    def __repr__(self) -> str:
        return f"Connection({self.where}, Weaviate {'.'.join(map(str, self.version))})"

    def close(self) -> None:
        """Close the connection."""
        self.client.close()
        self.http.close()
        self.on_close()

    def call(self, operation: str, function: Callable[[], T], *, retry: bool = True) -> T:
        """Run a read; retry transient failures for `retry_seconds`.

        Args:
            operation: such as `counting`, for messages.
            function: may run several times.
            retry: False = one attempt, as for a write that a newer one follows.

        Raises:
            RagloomError: reason, attempts and seconds.
        """
        return self._retried(operation, function, lambda failure: retry)

    def limited(self, operation: str, limit: int, function: Callable[[int], T]) -> T:
        """Run a search for as many results as the server allows [46]."""
        while True:
            most = self.most_results
            try:
                return self.call(operation, partial(function, min(limit, most)))
            except errors.TooMany:
                if self.most_results == most:
                    raise

    def write(self, operation: str, function: Callable[[], T]) -> T:
        """Run a write; retry only where it was surely not executed [45].

        Raises:
            OutcomeUnknown: the write may have been executed, and may still be.
            RagloomError: as `call`.
        """
        return self._retried(operation, function, lambda failure: failure.not_executed)

    def ensure(self, operation: str, function: Callable[[], object], is_done: Callable[[], bool]) -> None:
        """Run a write until its effect can be read.

        Args:
            operation: such as `creating a collection`, for messages.
            function: writes.
            is_done: reads whether the effect is there, by `call`.

        Raises:
            RagloomError: refusal of the server, or no effect within `retry_seconds`.
        """
        deadline, delay = time.monotonic() + self.settings.timeouts["retry"], _FIRST_DELAY
        while True:
            try:
                self.write(operation, function)
                return
            except errors.OutcomeUnknown as error:
                problem = error
            except (DataError, WeaviateInvalidInputError):  # `already exists`, from the server or from the client:
                if is_done():  # an earlier attempt, or another writer
                    return
                raise
            if is_done():
                return
            if time.monotonic() + delay > deadline:
                raise problem
            time.sleep(delay)
            delay = min(2 * delay, _MAX_DELAY)

    def _retried(self, operation: str, function: Callable[[], T], may_retry: Callable[[errors.CallFailure], bool]) -> T:
        start = time.monotonic()
        attempts = 0
        while True:
            attempts += 1
            try:
                return function()
            except errors.BUGS:
                raise
            except errors.FAILURES as error:
                failure = errors.failure_of(error, self.secrets, self._timeouts())
            elapsed = time.monotonic() - start
            text = f"vector_store: {self.where} failed while {operation}: {failure.reason}"
            if not failure.transient:
                problem = failure.kind(f"{text}; {failure.advice}")
                if isinstance(problem, errors.TooMany):
                    self.most_results = min(self.most_results, problem.most)
                raise problem
            if not may_retry(failure):
                kind = failure.kind if failure.not_executed else errors.OutcomeUnknown
                raise kind(f"{text} (tried once); {failure.advice}")
            delay = _delay(attempts)
            if elapsed + delay > self.settings.timeouts["retry"]:
                tried = f"tried {attempts} time{'s' if attempts > 1 else ''} in {elapsed:.1f} s"
                limit = f"vector_store.timeouts.retry={self.settings.timeouts['retry']:g}"
                raise failure.kind(f"{text} ({tried}, {limit}); {failure.advice}")
            _log.warning("%s; trying again in %.1f s", text, delay)
            if failure.unreachable:
                self.parameters.wait(delay)
            else:
                time.sleep(delay)

    def _timeouts(self) -> str:
        settings = self.settings
        return (
            f"vector_store.timeouts.query={settings.timeouts['query']:g} s, "
            f"vector_store.timeouts.insert={settings.timeouts['insert']:g} s"
        )


def _delay(attempts: int) -> float:
    """Draw the seconds before the next attempt: exponential backoff with jitter."""
    longest = min(_MAX_DELAY, _FIRST_DELAY * 2.0 ** (attempts - 1))
    return random.uniform(longest / 2, longest)


def connect(
    settings: ServerSettings, *, key: str | None = None, on_close: Callable[[], None] = lambda: None
) -> Connection:
    """Connect to a server and check everything a run needs.

    Args:
        settings: address and time-outs.
        key: API key; None = the value of the environment variable.
        on_close: called when the connection is closed.

    Raises:
        ConfigError: wrong address, key or headers.
        ServiceError: the server is unreachable, not ready or too old, or its gRPC API is.
    """
    key = api_key(settings) if key is None else key
    headers = extra_headers(settings)
    secrets = frozenset(text for text in (key, *headers.values()) if text)
    version = check_http(settings, key, headers, secrets)
    parameters = _parameters(settings)
    client = _client(settings, parameters, key, headers)
    try:
        client.connect()
        check_grpc(settings, parameters, secrets)
    except errors.FAILURES as error:
        client.close()
        failure = errors.failure_of(error, secrets, f"vector_store.timeouts.connect={settings.timeouts['connect']:g} s")
        raise failure.kind(f"vector_store: {settings.where}: {failure.reason}; {failure.advice}") from None
    except BaseException:
        client.close()
        raise
    http = http_client(settings, key, headers, settings.timeouts["query"])
    return Connection(client, parameters, http, version, settings, secrets, on_close)


def _parameters(settings: ServerSettings) -> ChannelParameters:
    parts = urlsplit(settings.url)
    secure = parts.scheme == "https"
    host, port = settings.grpc_address
    return ChannelParameters(
        http=ProtocolParams(host=_bracketed(parts.hostname or ""), port=_port(parts), secure=secure),
        grpc=ProtocolParams(host=_bracketed(host), port=port, secure=secure),
    )


def _client(
    settings: ServerSettings, parameters: ChannelParameters, key: str | None, headers: dict[str, str]
) -> WeaviateClient:
    """Build the client without its own checks.

    These ask a package index for a newer client.
    """
    return WeaviateClient(
        connection_params=parameters,
        auth_client_secret=Auth.api_key(key) if key else None,
        additional_headers=headers or None,
        additional_config=AdditionalConfig(
            timeout=Timeout(
                init=settings.timeouts["connect"], query=settings.timeouts["query"], insert=settings.timeouts["insert"]
            ),
            # Empty proxies: otherwise the client uses the environment's for everything, whatever NO_PROXY says.
            proxies=Proxies(),
            trust_env=settings.trusts_environment,
            grpc_config=GrpcConfig(
                channel_options=[*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(settings.trusts_environment))]
            ),
        ),
        skip_init_checks=True,
    )


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _bracketed(host: str) -> str:
    """Format a host for an address: IPv6 in brackets."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
