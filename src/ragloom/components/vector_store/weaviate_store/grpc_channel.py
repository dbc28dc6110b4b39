"""gRPC channel of the client: single attempts with the status of failures.

weaviate-client 4.23.1 repeats an UNAVAILABLE call by itself (a search for 31 s, a batch for up to 34 minutes, each with
its full time-out) and hides the status of other failures. Here a failure leaves as `CallFailed`, which the client
neither repeats nor translates; `connection` decides about retries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from pydantic import PrivateAttr
from weaviate.connect import ConnectionParams

_MIN_DELAY_SECONDS = 0.2  # between calls to a server that refuses them on an open channel
_SERVING = b"\x08\x01"  # HealthCheckResponse(status=SERVING)


class CallFailed(Exception):
    """Failed gRPC call.

    Attributes:
        code: name of the status, such as `UNAVAILABLE`.
        details: text of the server or of the channel.
    """

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


class _SingleAttempt(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Interceptor for failures: raises `CallFailed` past the client."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        """Make the call."""
        call = continuation(client_call_details, request)
        error = call.exception()
        if isinstance(error, grpc.Call):
            raise CallFailed(error.code().name, str(error.details() or "")) from None
        return call  # an error of the client's own code is raised by `call.result()`


class ChannelParameters(ConnectionParams):
    """Connection parameters of the client, with our interceptor on its gRPC channel.

    weaviate-client 4.23.1 has no public hook for interceptors: `_grpc_channel` is the only place where it creates the
    channel. `test_server_that_was_killed_ends_every_call_in_bounded_time` fails when it stops calling this method.
    """

    _channel: grpc.Channel | None = PrivateAttr(default=None)

    def _grpc_channel(self, *args: Any, **kwargs: Any) -> grpc.Channel:
        self._channel = super()._grpc_channel(*args, **kwargs)
        return self._intercepted()

    def check_health(self, seconds: float) -> None:
        """Call the standard health check (`grpc.health.v1`) of the server.

        Raises:
            CallFailed: no answer within so many seconds, or the server is not serving.
        """
        response = self._intercepted().unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=seconds)
        if response != _SERVING:
            raise CallFailed("NOT_SERVING", "the health check did not answer SERVING")

    def wait(self, seconds: float) -> None:
        """Wait at most so many seconds for the channel to reconnect."""
        deadline = time.monotonic() + seconds
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=seconds)
        except grpc.FutureTimeoutError:
            return
        finally:
            ready.cancel()
        time.sleep(min(_MIN_DELAY_SECONDS, max(0.0, deadline - time.monotonic())))

    def _intercepted(self) -> grpc.Channel:
        return grpc.intercept_channel(self._channel, _SingleAttempt())
