"""Meaning of failed calls to Weaviate: error type, message, retry or not.

Transient: the server cannot be reached, is overloaded, restarting or without a quorum, or gave no answer in time. A
read that failed so is repeated; a write only where it was surely not executed [45]. Everything else is raised at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import httpx
from weaviate import exceptions

from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.core.redaction import MASK, redact
from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError


class TooLarge(DataError):
    """Request over the server's limit of bytes."""


class TooMany(DataError):
    """Search for more results than the server allows [46]."""

    @property
    def most(self) -> int:
        """The server's QUERY_MAXIMUM_RESULTS, as its text names it."""
        match = _MOST_RESULTS.search(str(self))
        return int(match[1]) if match else 1


class OutcomeUnknown(ServiceError):
    """Write without an answer: executed, in progress, or not."""


FAILURES = (exceptions.WeaviateBaseError, httpx.HTTPError, CallFailed)
"""Exceptions of a failed call."""
BUGS = (exceptions.WeaviateInvalidInputError, exceptions.WeaviateClosedClientError)
"""Exceptions of a wrong call: these keep their traceback."""
_CUT_OFF = (
    exceptions.WeaviateConnectionError,
    exceptions.WeaviateGRPCUnavailableError,
    exceptions.WeaviateRetryError,
)
_EXCERPT = 400  # characters of a server's text
_TRANSIENT_CODES = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED", "CANCELLED"}
_TRANSIENT_STATUSES = {408, 429, 502, 503, 504}
# The server has one code (gRPC UNKNOWN, HTTP 500) for most failures; only the text distinguishes them.
_TRANSIENT = re.compile(
    "connection (refused|reset)|broken pipe|context (deadline exceeded|canceled)|unexpected eof|: eof|i/o timeout|"
    "leader not found|leadership (lost|transfer in progress)|cannot reach enough replicas|not enough replicas|"
    "no route to host|shutting down|shutdown in progress|too many requests|status code: 50[234]|"
    "unexpected http status 5",
    re.IGNORECASE,
)
WHEN_READ_ONLY = (
    "see whether its disk is full (DISK_USE_READONLY_PERCENTAGE) or its OPERATIONAL_MODE is ReadOnly, restart it, and "
    "run the same command again"
)
"""Advice for a server that refuses writes."""
_READ_ONLY = re.compile("is read-only|read-only mode|read-only file system|no space left on device", re.IGNORECASE)
_NOT_SENT = re.compile(
    "connection refused|failed to connect to all addresses|name resolution|no route to host", re.IGNORECASE
)
# Only the text of a gRPC failure says that there was no connection to send the call on.
_MOST_RESULTS = re.compile(r"configured value for QUERY_MAXIMUM_RESULTS '(\d+)'")
_TOO_LARGE = re.compile("larger than max|(message|payload|request body) too large", re.IGNORECASE)


def is_transient(reason: str) -> bool:
    """Check whether a failure with this reason may pass by itself."""
    return bool(_TRANSIENT.search(reason)) and not is_read_only(reason)


def is_read_only(reason: str) -> bool:
    """Check whether the server refuses writes: full disk or read-only mode."""
    return bool(_READ_ONLY.search(reason))


@dataclass(frozen=True)
class CallFailure:
    """Meaning of one failed call.

    Attributes:
        kind: type of the error, which says who can fix it.
        reason: what happened, in one line.
        advice: the fix.
        transient: a later call may succeed.
        unreachable: gRPC found no server.
        not_executed: a write was surely not executed: it was not sent, or refused before execution.
    """

    kind: type[RagloomError]
    reason: str
    advice: str
    transient: bool
    unreachable: bool = False
    not_executed: bool = False


def failure_of(error: Exception, secrets: Iterable[str], timeouts: str) -> CallFailure:
    """Classify an exception of the client.

    Args:
        error: one of `FAILURES`.
        secrets: texts that must not be shown.
        timeouts: keys and values of the time-outs of a call, for the message.
    """
    if isinstance(error, CallFailed):
        return _of_call(error.code, _line(error.details, secrets), timeouts)
    if isinstance(error, exceptions.UnexpectedStatusCodeError | exceptions.ResponseCannotBeDecodedError):
        return _of_status(error.status_code, _line(_texts(error), secrets))
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(error.response.status_code, _line(error.response.text, secrets))
    if isinstance(error, httpx.TimeoutException | exceptions.WeaviateTimeoutError):
        return replace(_no_answer(timeouts), not_executed=_found_no_connection(error))
    reason = _line(str(error.__cause__ or error) or type(error).__name__, secrets)
    if isinstance(error, (httpx.HTTPError, *_CUT_OFF)):
        return replace(_lost(f"the connection failed: {reason}"), not_executed=_found_no_connection(error))
    if isinstance(error, exceptions.WeaviateUnsupportedFeatureError):
        return CallFailure(ServiceError, reason, "update the server", False)
    return _of_reason(reason)


def _found_no_connection(error: Exception) -> bool:
    """Check whether an HTTP request failed before any of it was sent."""
    unsent = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    return isinstance(error, unsent) or isinstance(error.__cause__, unsent)


def _of_call(code: str, reason: str, timeouts: str) -> CallFailure:
    """Classify a failed gRPC call by its status and text."""
    if _TOO_LARGE.search(reason):
        return _too_large(reason)
    if is_read_only(reason):
        return _of_reason(reason)
    if code == "UNAUTHENTICATED":
        return _of_status(401, reason)
    if code == "PERMISSION_DENIED":
        return _of_status(403, reason)
    if code == "DEADLINE_EXCEEDED":
        return _no_answer(timeouts)
    if code in _TRANSIENT_CODES:
        unreachable = code == "UNAVAILABLE"
        unsent = unreachable and bool(_NOT_SENT.search(reason))
        return replace(_lost(f"{code}: {reason}"), unreachable=unreachable, not_executed=unsent)
    failure = _of_reason(reason or code)
    if code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return _refusal(failure)
    return failure


def _of_status(status: int, reason: str) -> CallFailure:
    """Classify a refused HTTP request."""
    if status == 401:
        return CallFailure(ConfigError, f"the key is refused (401: {reason})", "correct the key", False)
    if status == 403:
        advice = "use a key with the right to do this, or grant it on the server"
        return CallFailure(ConfigError, f"the key lacks a right (403: {reason})", advice, False)
    if status == 413 or _TOO_LARGE.search(reason):
        return _too_large(reason)
    if status in _TRANSIENT_STATUSES:
        return replace(_lost(f"{status}: {reason}"), not_executed=status == 429)
    failure = _of_reason(f"{status}: {reason}")
    if 400 <= status < 500 and not failure.transient:
        return _refusal(failure)
    return failure


def _refusal(failure: CallFailure) -> CallFailure:
    """Turn a failure into a permanent one: the request itself is wrong."""
    if failure.kind is TooMany:
        return failure
    return CallFailure(DataError, failure.reason, "change what it names", failure.transient)


def _of_reason(reason: str) -> CallFailure:
    if _MOST_RESULTS.search(reason):
        return CallFailure(TooMany, reason, "raise QUERY_MAXIMUM_RESULTS on the server, or ask for fewer", False)
    if is_read_only(reason):
        return CallFailure(ServiceError, f"it takes no writes: {reason}", WHEN_READ_ONLY, False)
    if is_transient(reason):
        return _lost(reason)
    return CallFailure(ServiceError, reason, "look at the server's log", False)


def _lost(reason: str) -> CallFailure:
    return CallFailure(ServiceError, reason, "check the server, and run the same command again", True)


def _no_answer(timeouts: str) -> CallFailure:
    return CallFailure(
        ServiceError, f"no answer in time ({timeouts})", "raise the time-out, or relieve the server", True
    )


def _too_large(reason: str) -> CallFailure:
    advice = "lower vector_store.batch.megabytes, or raise the server's GRPC_MAX_MESSAGE_SIZE"
    return CallFailure(TooLarge, f"the request is too large for it: {reason}", advice, False)


def _texts(error: exceptions.UnexpectedStatusCodeError | exceptions.ResponseCannotBeDecodedError) -> str:
    """Extract the error texts of a response.

    Its body is `{"error": [{"message": ...}]}` or `{"message": ...}`.
    """
    body: Any = getattr(error, "error", None)
    items = body.get("error", [body]) if isinstance(body, dict) else []
    messages = [str(item["message"]) for item in items if isinstance(item, dict) and item.get("message")]
    return "; ".join(messages) or str(body or error)


def one_line(text: str) -> str:
    """Join a server's text to one line of bounded length."""
    return " ".join(text.split())[:_EXCERPT]


def without(text: str, secrets: Iterable[str]) -> str:
    """Mask secrets in a text, and whatever else looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return redact(text)


def _line(text: str, secrets: Iterable[str]) -> str:
    return one_line(without(text, secrets))
