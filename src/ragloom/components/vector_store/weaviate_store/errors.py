"""What a failed call to Weaviate means, in one line without secrets, and whether it is tried again. Sends nothing.

Transient: the server cannot be reached, is overloaded, restarting or without a quorum, or gave no answer in time.
Everything else stays as it is, and is told at once. A read that failed so is repeated; a write only where it was surely
not executed [45].
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
from weaviate.exceptions import (
    ResponseCannotBeDecodedError,
    UnexpectedStatusCodeError,
    WeaviateBaseError,
    WeaviateClosedClientError,
    WeaviateConnectionError,
    WeaviateGRPCUnavailableError,
    WeaviateInvalidInputError,
    WeaviateRetryError,
    WeaviateTimeoutError,
    WeaviateUnsupportedFeatureError,
)

from ragloom.components.vector_store.weaviate_store.grpc_channel import CallFailed
from ragloom.core.redaction import MASK, redact
from ragloom.errors import ConfigError, DataError, RagloomError, ServiceError

if TYPE_CHECKING:
    from typing import TypeAlias

    Kind: TypeAlias = type[RagloomError]


class TooLarge(DataError):
    """A request is over the server's limit of bytes."""


class TooMany(DataError):
    """A search asked for more results than the server gives [46].

    Attributes:
        most: the server's QUERY_MAXIMUM_RESULTS.
    """

    def __init__(self, *problems: str, most: int = 1) -> None:
        super().__init__(*problems)
        self.most = most


class OutcomeUnknown(ServiceError):
    """A write may have been executed, in part or as a whole, or may still be."""


FAILURES = (WeaviateBaseError, httpx.HTTPError, CallFailed)
"""What a call of the client raises when it fails."""
BUGS = (WeaviateInvalidInputError, WeaviateClosedClientError)
"""What it raises when it was called wrongly: these keep their traceback."""
_EXCERPT = 400  # characters of what the server said
_TRANSIENT_CODES = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED", "CANCELLED"}
_TRANSIENT_STATUSES = {408, 429, 502, 503, 504}
# The server has one code (gRPC UNKNOWN, HTTP 500) for most failures; the text tells which of them pass.
_TRANSIENT_REASONS = (
    "cannot reach enough replicas",
    "connection refused",
    "connection reset",
    "broken pipe",
    "context deadline exceeded",
    "context canceled",
    "unexpected eof",
    ": eof",
    "i/o timeout",
    "leader not found",
    "leadership lost",
    "leadership transfer in progress",
    "not enough replicas",
    "no route to host",
    "shutting down",
    "shutdown in progress",
    "status code: 502",
    "status code: 503",
    "status code: 504",
    "too many requests",
    "unexpected http status 5",
)
WHEN_READ_ONLY = (
    "see whether its disk is full (DISK_USE_READONLY_PERCENTAGE) or its OPERATIONAL_MODE is ReadOnly, restart it, and "
    "run the same command again"
)
"""What to do about a server that takes no writes."""
_READ_ONLY = ("is read-only", "read-only mode", "read-only file system", "no space left on device")
_NOT_SENT = ("connection refused", "failed to connect to all addresses", "name resolution", "no route to host")
# gRPC tells by the text alone that it found no connection to send a call on.
_MOST_RESULTS = re.compile(r"configured value for QUERY_MAXIMUM_RESULTS '(\d+)'")
_TOO_LARGE = ("larger than max", "message too large", "payload too large", "request body too large")


def is_transient(reason: str) -> bool:
    """Says whether what the server gave as a reason passes by itself."""
    said = reason.lower()
    return any(sign in said for sign in _TRANSIENT_REASONS) and not is_read_only(reason)


def is_read_only(reason: str) -> bool:
    """Says whether the server takes no writes: its disk is full, or it was told so."""
    return any(sign in reason.lower() for sign in _READ_ONLY)


@dataclass(frozen=True)
class Failure:
    """One failed call.

    Attributes:
        kind: who can fix it.
        reason: what happened, in one line.
        advice: what to do.
        transient: a later call may succeed.
        unreachable: gRPC found no server.
        not_executed: a write was surely not executed: nothing was sent, or it was turned away at the door.
    """

    kind: Kind
    reason: str
    advice: str
    transient: bool
    unreachable: bool = False
    not_executed: bool = False

    def error(self, text: str) -> RagloomError:
        """Makes the exception of a text that says what failed."""
        if self.kind is TooMany:
            found = _MOST_RESULTS.search(self.reason)
            return TooMany(f"{text}; {self.advice}", most=int(found[1]) if found else 1)
        return self.kind(f"{text}; {self.advice}")


def failure_of(error: Exception, secrets: Iterable[str], timeouts: str) -> Failure:
    """Says what an exception of the client means.

    Args:
        error: one of `FAILURES`.
        secrets: texts that must not be shown.
        timeouts: the keys and values that bound a call, as a message names them.
    """
    if isinstance(error, CallFailed):
        return _of_call(error.code, _line(error.details, secrets), timeouts)
    if isinstance(error, UnexpectedStatusCodeError | ResponseCannotBeDecodedError):
        return _of_status(error.status_code, _line(_said(error), secrets))
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(error.response.status_code, _line(error.response.text, secrets))
    if isinstance(error, httpx.TimeoutException | WeaviateTimeoutError):
        return replace(_no_answer(timeouts), not_executed=_found_no_connection(error))
    reason = _line(str(error.__cause__ or error) or type(error).__name__, secrets)
    if isinstance(error, httpx.HTTPError | WeaviateConnectionError | WeaviateGRPCUnavailableError | WeaviateRetryError):
        return replace(_lost(f"the connection failed: {reason}"), not_executed=_found_no_connection(error))
    if isinstance(error, WeaviateUnsupportedFeatureError):
        return Failure(ServiceError, reason, "update the server", False)
    return _of_reason(reason)


def _found_no_connection(error: Exception) -> bool:
    """Says whether an HTTP request failed before any of it was sent."""
    unsent = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
    return isinstance(error, unsent) or isinstance(error.__cause__, unsent)


def _of_call(code: str, reason: str, timeouts: str) -> Failure:
    """Judges a failed gRPC call by its status and, since the server uses few of them, by its text."""
    if any(sign in reason.lower() for sign in _TOO_LARGE):
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
        unsent = unreachable and any(sign in reason.lower() for sign in _NOT_SENT)
        return replace(_lost(f"{code}: {reason}"), unreachable=unreachable, not_executed=unsent)
    judged = _of_reason(reason or code)
    if code in ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE"):
        return _refusal(judged)
    return judged


def _of_status(status: int, reason: str) -> Failure:
    """Judges a refused HTTP request."""
    if status == 401:
        return Failure(ConfigError, f"the key is refused (401: {reason})", "set the key anew", False)
    if status == 403:
        advice = "use a key with the right to do this, or grant it on the server"
        return Failure(ConfigError, f"the key lacks a right (403: {reason})", advice, False)
    if status == 413 or any(sign in reason.lower() for sign in _TOO_LARGE):
        return _too_large(reason)
    if status in _TRANSIENT_STATUSES:
        return replace(_lost(f"{status}: {reason}"), not_executed=status == 429)
    judged = _of_reason(f"{status}: {reason}")
    if 400 <= status < 500 and not judged.transient:
        return _refusal(judged)
    return judged


def _refusal(judged: Failure) -> Failure:
    """A server that understood and said no: what it was asked is wrong."""
    if judged.kind is TooMany:
        return judged
    return Failure(DataError, judged.reason, "change what it names", judged.transient)


def _of_reason(reason: str) -> Failure:
    if _MOST_RESULTS.search(reason):
        return Failure(TooMany, reason, "raise QUERY_MAXIMUM_RESULTS on the server, or ask for fewer", False)
    if is_read_only(reason):
        return Failure(ServiceError, f"it takes no writes: {reason}", WHEN_READ_ONLY, False)
    if is_transient(reason):
        return _lost(reason)
    return Failure(ServiceError, reason, "look at the server's log", False)


def _lost(reason: str) -> Failure:
    return Failure(ServiceError, reason, "see that the server is well, and run the same command again", True)


def _no_answer(timeouts: str) -> Failure:
    return Failure(ServiceError, f"no answer in time ({timeouts})", "raise the time-out, or relieve the server", True)


def _too_large(reason: str) -> Failure:
    advice = "lower vector_store.batch.megabytes, or raise the server's GRPC_MAX_MESSAGE_SIZE"
    return Failure(TooLarge, f"the request is too large for it: {reason}", advice, False)


def _said(error: UnexpectedStatusCodeError | ResponseCannotBeDecodedError) -> str:
    """Finds the server's own words in an answer: `{"error": [{"message": ...}]}` or `{"message": ...}`."""
    body: Any = getattr(error, "error", None)
    told = body.get("error", [body]) if isinstance(body, dict) else []
    messages = [str(item["message"]) for item in told if isinstance(item, dict) and item.get("message")]
    return "; ".join(messages) or str(body or error)


def one_line(text: str) -> str:
    """Makes one line of bounded length of what a server said."""
    return " ".join(text.split())[:_EXCERPT]


def without(text: str, secrets: Iterable[str]) -> str:
    """Masks these secrets in a text, and whatever else looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return redact(text)


def _line(text: str, secrets: Iterable[str]) -> str:
    return one_line(without(text, secrets))
