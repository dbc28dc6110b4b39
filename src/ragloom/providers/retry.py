"""Meaning of failed requests, and the retry policy.

The one retry policy: connection failures, time-outs, broken answers and the statuses 408, 409, 429 (unless a quota is
spent) and 5xx are transient; everything else is final. A call makes at most `attempts` requests within `deadline`,
with exponential back-off and jitter between them, and never comes back earlier than the server asked (Retry-After, or
OpenAI's rate-limit headers). Time that our own limits (`limits`) let a request wait is not the deadline's.
"""

from __future__ import annotations

import email.utils
import logging
import math
import os
import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from ragloom.core.redaction import MASK, redact
from ragloom.errors import ConfigError, RagloomError, ServiceError
from ragloom.providers.batch_errors import RequestRefused, Unanswered
from ragloom.providers.credentials import secrets_of
from ragloom.providers.error_bodies import ErrorBody, names_in, status_in, words_of
from ragloom.providers.rate_limiter import Rates
from ragloom.providers.server_address import AZURE_EXAMPLES, is_azure, resolved

_log = logging.getLogger(__name__)
_SAME_REASON = 30.0  # seconds in which retries for the same reason are logged once
_reported: dict[str, float] = {}
_reporting = threading.Lock()


# Back-off before request n + 1: half to the whole of 0.5 s, 1 s, 2 s, ... up to 30 s. The random part keeps clients
# that failed together from returning together.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
# Characters of a server's text in our message.
_EXCERPT = 300
# Go's notation of a time span, as OpenAI's headers have it: "1s", "6m0s", "20ms", "1h2m3.5s".
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s))+")
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")  # RFC 9110 has whole ones, and servers send parts
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_REFUSING_TEXTS = (400, 413, 422)  # statuses that may be about the texts, not about sender or address


Kind = Literal["embedding", "llm", "judge"]


@dataclass(frozen=True)
class Link:
    """Address, key and limits of one model of one server.

    Attributes:
        kind: the conf group, which opens every message.
        model: as the server names it.
        base_url: of the API, `http(s)://.../v1`; None = OpenAI's own, or what OPENAI_BASE_URL says.
        api_key_env: name of the environment variable that holds the key; None = the server needs none.
        headers_env: header -> name of the environment variable that holds its value.
        timeout: seconds without an answer (in a stream: without a further piece) after which a request has failed.
        attempts: requests made for one call at most, the first included.
        deadline: seconds after which a call is not tried again, waits included.
        rates: what may be sent in a minute.
    """

    kind: Kind
    model: str
    base_url: str | None
    api_key_env: str | None
    timeout: float
    attempts: int
    deadline: float
    rates: Rates = field(default_factory=Rates)
    headers_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The server in messages: address without user, password and query, or `OpenAI`."""
        url = self.base_url or os.environ.get("OPENAI_BASE_URL", "").strip()
        if not url:
            return "OpenAI"
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True)
class RequestFailure:
    """One failed request.

    Attributes:
        error: raised when the request is not, or no longer, retried.
        transient: a later request may succeed.
        retry_after: seconds to wait by the server; None = unknown.
        maybe_done: the server may have processed, and may bill, the request, though no right answer arrived.
        suspect: the texts sent may be the cause.
        says: the reason alone.
    """

    error: RagloomError
    transient: bool = False
    retry_after: float | None = None
    maybe_done: bool = False
    suspect: bool = False
    says: str = ""

    def ended(self, how: str) -> RagloomError:
        """Make the error that ends a call."""
        if self.suspect:
            return Unanswered(f"{self.error}; {how}", says=self.says, billed=self.maybe_done)
        return type(self.error)(f"{self.error}; {how}")


class Attempts:
    """Attempts of one call, and the waits between them.

    Args:
        once: a failure possibly caused by the texts ends the call.
    """

    def __init__(self, link: Link, *, once: bool = False) -> None:
        self._link, self._once = link, once
        self._end = time.monotonic() + link.deadline
        self._requests = 0

    def pause(self, seconds: float) -> None:
        """Extend the deadline by a wait for our own rate limits."""
        self._end += seconds

    def begin(self) -> float:
        """Count a request, and return its time limit in seconds."""
        self._requests += 1
        return max(0.001, min(self._link.timeout, self._end - time.monotonic()))

    def wait_after(self, failure: RequestFailure) -> float:
        """Return the seconds to wait before the next request.

        Raises:
            RagloomError: the failure, when it is permanent or attempts or time are used up.
        """
        if not failure.transient:
            raise failure.error
        tried = f"gave up after {self._requests} request{'s' if self._requests > 1 else ''}"
        if self._requests >= self._link.attempts or (self._once and failure.suspect):
            raise failure.ended(tried)
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (self._requests - 1))
        wait = max(failure.retry_after or 0.0, random.uniform(longest / 2, longest))
        if time.monotonic() + wait >= self._end:
            request = f"it asks to wait {failure.retry_after:g} s, " if failure.retry_after else ""
            raise failure.ended(
                f"{tried}: {request}{self._link.kind}.deadline={self._link.deadline:g} s leaves no time"
            )
        _report_retry(failure, self._link)
        return wait


def _report_retry(failure: RequestFailure, link: Link) -> None:
    """Log that requests are retried, once for a reason in a while."""
    now, reason = time.monotonic(), str(failure.error)
    with _reporting:
        if now - _reported.get(reason, -math.inf) < _SAME_REASON:
            return
        _reported[reason] = now
    _log.warning("%s; trying again, up to %d requests in %g s", reason, link.attempts, link.deadline)


def failure_of(link: Link, error: Exception) -> RequestFailure:
    """Translate an exception of the client into an actionable error without secrets."""
    import httpx
    import openai

    if isinstance(error, openai.APIStatusError):
        return _refusal(link, error.status_code, error.body or error.message, error.response.headers)
    if isinstance(error, ErrorBody):
        return _refusal(link, status_in(error.error), error.error, error.headers)
    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
        text = f"{link.kind}: {link.place} did not answer within {link.kind}.timeout={link.timeout:g} s"
    elif isinstance(error, openai.APIConnectionError | httpx.HTTPError):
        cause = error.__cause__ or error
        text = f"{link.kind}: the connection to {link.place} failed ({_excerpt(cause, link)})"
    elif isinstance(error, openai.APIError):  # an error event in a stream
        return _refusal(link, status_in(error.body), error.body or error.message, {})
    elif isinstance(error, ValueError | RecursionError):
        text = f"{link.kind}: the answer of {link.place} is not the JSON it should be"
    else:
        return RequestFailure(ServiceError(f"{link.kind}: the client failed ({_excerpt(error, link)})"))
    sent = not isinstance(error.__cause__ or error, httpx.ConnectError | httpx.ConnectTimeout)
    says = text.removeprefix(f"{link.kind}: ")
    return RequestFailure(ServiceError(text), transient=True, maybe_done=sent, suspect=sent, says=says)


def _refusal(link: Link, status: int | None, error: Any, headers: Any) -> RequestFailure:
    """Translate a refusal by its status.

    408, 409, 429 and 5xx are transient; everything else, and a spent quota, is final.

    Args:
        status: of the answer, or named in its body; None without one.
        error: the server's own.
    """
    says = mask_secrets(words_of(error), link)
    if status == 401:
        return RequestFailure(ConfigError(f"{link.kind}: {_wrong_key(link)}"))
    if status == 403:
        denied = f"{link.kind}: {link.place} denied access (403: {says}); check the key's rights"
        return RequestFailure(ConfigError(denied))
    if status == 404:
        azure = f"; an address of Azure's is {AZURE_EXAMPLES}" if is_azure(resolved(link.base_url)) else ""
        unknown = (
            f"{link.kind}: model={link.model!r} must be one that {link.place} serves (404: {says}); "
            f"set {link.kind}.model, or check the address{azure}"
        )
        return RequestFailure(ConfigError(unknown))
    if status == 429 and "insufficient_quota" in names_in(error):
        spent = f"{link.kind}: the account's quota is used up (429: {says}); raise it there"
        return RequestFailure(ServiceError(spent))
    what = f"{status}: {says}" if status else says
    text = f"{link.kind}: {link.place} refused the request ({what})"
    if status is not None and (status in (408, 409, 429) or status >= 500):
        suspect, wait = status == 408 or status >= 500, _wait_in(status, headers)
        return RequestFailure(ServiceError(text), transient=True, retry_after=wait, suspect=suspect, says=what)
    if status is None or status in _REFUSING_TEXTS:
        return RequestFailure(RequestRefused(text, says=what))
    return RequestFailure(ServiceError(text))


def _wrong_key(link: Link) -> str:
    if link.api_key_env:
        return (
            f"the key in the environment variable {link.api_key_env} must be valid for {link.place}, which refused it "
            f"(401); set {link.api_key_env} again"
        )
    if link.headers_env:
        return (
            f"the headers in the environment variables {', '.join(link.headers_env.values())} must be valid for "
            f"{link.place}, which refused them (401); set them again"
        )
    return f"{link.place} wants a key (401); put the name of its variable into {link.kind}.api_key_env"


def _wait_in(status: int, headers: Any) -> float | None:
    """Read the wait in seconds; for 429 also from OpenAI's rate-limit headers."""
    wait = _retry_after(headers)
    return _rate_limit_reset(headers) if wait is None and status == 429 else wait


def _rate_limit_reset(headers: Any) -> float | None:
    """Read the reset time of the exhausted limit, else the later one."""
    resets = {kind: _span(headers.get(f"x-ratelimit-reset-{kind}")) for kind in ("requests", "tokens")}
    known = {kind: seconds for kind, seconds in resets.items() if seconds is not None}
    hit = [seconds for kind, seconds in known.items() if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    return max(hit or known.values(), default=None)


def _span(value: str | None) -> float | None:
    """Read a time span in seconds; None if missing or malformed."""
    text = (value or "").strip()
    if not _SPAN.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _SPAN_PART.findall(text))


def _retry_after(headers: Any) -> float | None:
    """Read Retry-After-Ms, or Retry-After in seconds or as a date (RFC 9110)."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after") or ""
        if _SECONDS.fullmatch(value.strip()):
            return float(value)
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _excerpt(error: BaseException, link: Link) -> str:
    return mask_secrets(str(error) or type(error).__name__, link)


def mask_secrets(text: str, link: Link) -> str:
    """Shorten a text to one line, secrets and lone surrogates masked."""
    text = " ".join(text.split())
    text = text.encode("utf-8", "replace").decode("utf-8")  # JSON may hold half a surrogate pair, no output takes it
    for secret in secrets_of(link.api_key_env, link.headers_env):
        text = text.replace(secret, MASK)
    return redact(text)[:_EXCERPT]


def broken_stream(failure: RequestFailure) -> RagloomError:
    """Make the error of a stream broken off after its start."""
    return type(failure.error)(f"{failure.error}; the reply broke off and is incomplete")
