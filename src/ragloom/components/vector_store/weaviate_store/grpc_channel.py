"""The gRPC channel that the client is given: each call is made once, and fails with its status. Knows no collection.

weaviate-client 4.23.1 repeats a call that is UNAVAILABLE by itself (a search for 31 s, a batch for up to 34 minutes,
each with its full time-out) and hides the status of the others. Here a failure leaves as `CallFailed`, which the client
neither repeats nor translates; when to try again is decided in one place, `connection`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from pydantic import PrivateAttr
from weaviate.connect import ConnectionParams

_SETTLE_SECONDS = 0.2  # a server that refuses calls on an open channel is not asked more often


class CallFailed(Exception):
    """A gRPC call failed.

    Attributes:
        code: name of the status, such as `UNAVAILABLE`.
        details: what the server or the channel said.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class _Once(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Turns a call's failure into an exception that the client lets through."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        """Makes the call."""
        call = continuation(client_call_details, request)
        error = call.exception()
        if isinstance(error, grpc.Call):
            raise CallFailed(error.code().name, str(error.details() or "")) from None
        return (
            call  # where `error` is what the client's own code raised, it is raised anew by whoever asks for the result
        )


class Parameters(ConnectionParams):
    """The client's own parameters, of which it makes its channel."""

    _channel: grpc.Channel | None = PrivateAttr(default=None)

    def _grpc_channel(self, *args: Any, **kwargs: Any) -> grpc.Channel:
        self._channel = super()._grpc_channel(*args, **kwargs)
        return grpc.intercept_channel(self._channel, _Once())

    def wait(self, seconds: float) -> None:
        """Waits until the channel is connected again, not longer; between calls nobody else works on that."""
        until = time.monotonic() + seconds
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=seconds)
        except grpc.FutureTimeoutError:
            return
        finally:
            ready.cancel()
        time.sleep(min(_SETTLE_SECONDS, max(0.0, until - time.monotonic())))
