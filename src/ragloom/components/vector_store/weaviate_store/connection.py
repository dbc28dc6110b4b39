"""The connection to a Weaviate server: made and checked, and the one place where calls are made and tried again.

`connect` asks the server itself before it hands the address to the client, so that each thing that may be wrong is told
as what it is: no server, another program, TLS, the key, the version, the gRPC port.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from weaviate import WeaviateClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig, Proxies
from weaviate.connect.base import ProtocolParams
from weaviate.exceptions import WeaviateInvalidInputError

from ragloom.components.vector_store.weaviate_store.errors import (
    BUGS,
    FAILURES,
    Failure,
    OutcomeUnknown,
    TooMany,
    failure_of,
)
from ragloom.components.vector_store.weaviate_store.grpc_channel import Parameters
from ragloom.components.vector_store.weaviate_store.rest_reads import Rest
from ragloom.components.vector_store.weaviate_store.server_check import ask, check_grpc
from ragloom.components.vector_store.weaviate_store.settings import Settings, api_key, headers
from ragloom.errors import DataError, RagloomError

T = TypeVar("T")

MOST_RESULTS = 10_000
"""Results of one search, and objects that one deletion takes, unless the server's QUERY_MAXIMUM_RESULTS says less."""
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0  # seconds between two attempts: half of it is random
_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    # gRPC waits up to 2 minutes before it looks again for a server that was gone.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Channels to one address would share that wait.
    ("grpc.use_local_subchannel_pool", 1),
]

_log = logging.getLogger(__name__)


class Connection:
    """A server that answered, and how to call it. Safe to be used by several threads.

    Attributes:
        insert_seconds: how long one write is waited for.
        most_results: of one search, as far as the server has told.

    Args:
        client: connected.
        parameters: of the client.
        rest: of the same server, for what the client cannot ask for.
        version: of the server.
        settings: it was reached by.
        secrets: texts that no message may show.
        on_close: called when the connection is closed, however often that is done.
    """

    def __init__(
        self,
        client: WeaviateClient,
        parameters: Parameters,
        rest: Rest,
        version: tuple[int, int, int],
        settings: Settings,
        secrets: frozenset[str],
        on_close: Callable[[], None],
    ) -> None:
        self.client = client
        self.rest = rest
        self.version = version
        self.where = settings.where
        self.insert_seconds = settings.insert_seconds
        self.most_results = MOST_RESULTS
        self._settings = settings
        self._parameters = parameters
        self._secrets = secrets
        self._on_close = on_close

    def __repr__(self) -> str:
        return f"Connection({self.where}, Weaviate {'.'.join(map(str, self.version))})"

    def close(self) -> None:
        """Lets go of the connection."""
        self.client.close()
        self.rest.close()
        self._on_close()

    def call(self, doing: str, function: Callable[[], T], *, retry: bool = True) -> T:
        """Runs one read; a transient failure is tried again until `retry_seconds` have passed.

        Args:
            doing: such as `counting`, for messages.
            function: may be run several times.
            retry: False = once, as for a write that is followed by a newer one.

        Raises:
            RagloomError: what the server said, how often and how long it was tried.
        """
        return self._tried(doing, function, lambda failure: retry)

    def limited(self, doing: str, limit: int, function: Callable[[int], T]) -> T:
        """Runs one search for as many results as the server gives [46]."""
        while True:
            most = self.most_results
            try:
                return self.call(doing, partial(function, min(limit, most)))
            except TooMany:
                if self.most_results == most:
                    raise

    def write(self, doing: str, function: Callable[[], T]) -> T:
        """Runs one write, repeated only where it was surely not executed [45].

        Raises:
            OutcomeUnknown: it may have been executed, and may still be.
            RagloomError: as `call`.
        """
        return self._tried(doing, function, lambda failure: failure.not_executed)

    def ensure(self, doing: str, function: Callable[[], object], is_done: Callable[[], bool]) -> None:
        """Writes a state that can be read, and repeats only what is missing.

        Args:
            doing: such as `creating a collection`, for messages.
            function: writes.
            is_done: reads whether the state is reached; must make its own calls.

        Raises:
            RagloomError: what the server said; it did not reach the state within `retry_seconds`.
        """
        until, pause = time.monotonic() + self._settings.retry_seconds, _FIRST_WAIT
        while True:
            try:
                self.write(doing, function)
                return
            except OutcomeUnknown as error:
                problem = error
            except (DataError, WeaviateInvalidInputError):  # `already exists`, as the server or the client says it:
                if is_done():  # an earlier attempt of ours, or another writer's
                    return
                raise
            if is_done():
                return
            if time.monotonic() + pause > until:
                raise problem
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT)

    def _tried(self, doing: str, function: Callable[[], T], again: Callable[[Failure], bool]) -> T:
        begun = time.monotonic()
        attempts = 0
        while True:
            attempts += 1
            try:
                return function()
            except BUGS:
                raise
            except FAILURES as error:
                failure = failure_of(error, self._secrets, self._timeouts())
            longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (attempts - 1))
            wait = random.uniform(longest / 2, longest)
            passed = time.monotonic() - begun
            text = f"vector_store: {self.where} failed while {doing}: {failure.reason}"
            if not failure.transient:
                raise self._limited(failure.error(text))
            if not again(failure):
                kind = failure.kind if failure.not_executed else OutcomeUnknown
                raise kind(f"{text} (tried once); {failure.advice}")
            if passed + wait > self._settings.retry_seconds:
                tried = f"tried {attempts} time{'s' if attempts > 1 else ''} in {passed:.1f} s"
                limit = f"vector_store.timeouts.retry={self._settings.retry_seconds:g}"
                raise failure.kind(f"{text} ({tried}, {limit}); {failure.advice}")
            _log.warning("%s; trying again in %.1f s", text, wait)
            if failure.unreachable:
                self._parameters.wait(wait)
            else:
                time.sleep(wait)

    def _limited(self, error: RagloomError) -> RagloomError:
        """Remembers how many results the server gives at most."""
        if isinstance(error, TooMany):
            self.most_results = min(self.most_results, error.most)
        return error

    def _timeouts(self) -> str:
        settings = self._settings
        return (
            f"vector_store.timeouts.query={settings.query_seconds:g} s, "
            f"vector_store.timeouts.insert={settings.insert_seconds:g} s"
        )


def connect(settings: Settings, *, key: str | None = None, on_close: Callable[[], None] = lambda: None) -> Connection:
    """Connects to a server and checks all that a run needs of it.

    Args:
        settings: how to reach it.
        key: the API key; None = what the environment variable holds.
        on_close: called when the connection is closed.

    Raises:
        ConfigError: the address, the key or the headers are wrong.
        ServiceError: the server is not there, not ready, too old, or its gRPC API cannot be reached.
    """
    key = api_key(settings) if key is None else key
    sent = headers(settings)
    secrets = frozenset(text for text in (key, *sent.values()) if text)
    version = ask(settings, key, sent, secrets)
    parameters = _parameters(settings)
    client = _client(settings, parameters, key, sent)
    try:
        client.connect()
        check_grpc(settings, client, secrets)
    except FAILURES as error:
        client.close()
        failure = failure_of(error, secrets, f"vector_store.timeouts.connect={settings.connect_seconds:g} s")
        raise failure.kind(f"vector_store: {settings.where}: {failure.reason}; {failure.advice}") from None
    except BaseException:
        client.close()
        raise
    return Connection(client, parameters, Rest(settings, key, sent), version, settings, secrets, on_close)


def _parameters(settings: Settings) -> Parameters:
    parts = urlsplit(settings.url)
    secure = parts.scheme == "https"
    host, port = settings.grpc_address
    return Parameters(
        http=ProtocolParams(host=_bracketed(parts.hostname or ""), port=_port(parts), secure=secure),
        grpc=ProtocolParams(host=_bracketed(host), port=port, secure=secure),
    )


def _client(settings: Settings, parameters: Parameters, key: str | None, headers: dict[str, str]) -> WeaviateClient:
    """Makes the client without its own checks, which ask a package index for a newer client."""
    return WeaviateClient(
        connection_params=parameters,
        auth_client_secret=Auth.api_key(key) if key else None,
        additional_headers=headers or None,
        additional_config=AdditionalConfig(
            timeout=Timeout(
                init=settings.connect_seconds, query=settings.query_seconds, insert=settings.insert_seconds
            ),
            # Empty proxies: otherwise the client sends everything through the environment's, whatever NO_PROXY says.
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
    """The host as it stands in an address: an IPv6 one in brackets."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
