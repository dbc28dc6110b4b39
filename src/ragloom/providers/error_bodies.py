"""Errors in the bodies of answers, also under HTTP status 200."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# Names of the fields for a status and a reason.
_STATUS = ("code", "status", "status_code", "statusCode", "http_status", "error_code", "type", "error_type")
_WORDS = ("message", "msg", "error_msg", "status_msg", "detail", "reason", "error", "errors")
_MOST_REASONS = 3  # of a list, that are shown
_ERRORS = ("error", "errors", "detail")
# Statuses of the words that servers write in their place: RATE_LIMIT_EXCEEDED, RateLimitError, overloaded_error.
_NAMED = {
    429: ("ratelimit", "toomanyrequests", "resourceexhausted", "throttl"),
    503: ("overloaded", "unavailable"),
    504: ("timeout",),
    500: ("internal", "servererror", "apierror"),
    401: ("unauthenticated", "unauthorized", "authentication", "invalidapikey"),
    403: ("permissiondenied", "forbidden"),
    404: ("notfound",),
}


class ErrorBody(Exception):
    """An answer with an error, whatever its HTTP status.

    Attributes:
        error: the server's own object or text.
        headers: of the answer, where they are known.
    """

    def __init__(self, error: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("an error in the body")
        self.error, self.headers = error, headers or {}


def error_in(data: Any, part: str) -> Any:
    """Find the error in an answer.

    Args:
        data: the answer's JSON.
        part: name of the list that holds the result.

    Returns:
        the server's own object or text; None where the answer is no error.
    """
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # Gemini wraps errors so
    if not isinstance(data, Mapping):
        return None
    if not isinstance(result := data.get(part), list):
        return _error_instead(data)
    if _says_something(data.get("error")):
        return _with_status(data, data["error"])
    failed = [item.get("error") for item in result if isinstance(item, Mapping) and not _has_text(item)]
    return failed[0] if failed and len(failed) == len(result) and _says_something(failed[0]) else None


def _error_instead(data: Mapping[str, Any]) -> Any:
    """Find the error of an answer without a result."""
    field = next((name for name in _ERRORS if _says_something(data.get(name))), None)
    if field and isinstance(data[field], Mapping):
        return _with_status(data, data[field])
    if field or data.get("object") == "error":
        return data
    nested = [item for item in data.values() if isinstance(item, Mapping) and (status_in(item) or 0) >= 400]
    return data if (status_in(data) or 0) >= 400 else next(iter(nested), None)


def _with_status(data: Mapping[str, Any], error: Any) -> Any:
    """Add the status fields of the answer to its error."""
    around = {name: data[name] for name in _STATUS if name in data}
    return {**around, **error} if isinstance(error, Mapping) else error


def _says_something(error: Any) -> bool:
    if isinstance(error, Mapping):
        return any(map(_says_something, error.values()))
    return bool(error)


def _has_text(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message") or choice.get("delta")
    return isinstance(message, Mapping) and bool(message.get("content"))


def status_in(error: Any) -> int | None:
    """Read the HTTP status in an error: number, digits or word."""
    if isinstance(error, list):
        error = error[0] if error else None
    if not isinstance(error, Mapping):
        return None
    named = [error[name] for name in _STATUS if error.get(name) is not None]
    statuses = [status for value in named if (status := _status(value)) is not None]
    if not statuses:
        inner = next((error[name] for name in _ERRORS if isinstance(error.get(name), Mapping | list)), None)
        return status_in(inner)
    return statuses[0]


def _status(value: Any) -> int | None:
    digits = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    if isinstance(value, bool) or not digits.isascii():
        return None
    if digits.isdigit():
        number = int(digits[:3]) if len(digits) in (3, 5) else 0  # FastChat: 42901
        return number if 400 <= number <= 599 else None
    plain = re.sub(r"[^a-z]", "", digits.lower())
    return next((status for status, words in _NAMED.items() if any(word in plain for word in words)), None)


def names_in(error: Any) -> set[str]:
    """Collect the names in an error, such as `insufficient_quota`."""
    return {str(error[name]) for name in _STATUS if error.get(name)} if isinstance(error, Mapping) else set()


def words_of(error: Any) -> str:
    """Find the reason in a server's error, by default all as JSON."""
    if isinstance(error, str):
        return error
    if isinstance(error, list) and error and all(isinstance(item, Mapping | str) for item in error):
        return "; ".join(map(words_of, error[:_MOST_REASONS]))
    if isinstance(error, Mapping):
        reason = next((error[name] for name in _WORDS if error.get(name) and error[name] is not True), None)
        metadata = error.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, Mapping) else None  # OpenRouter: of the provider behind it
        if reason is not None:
            return words_of(reason) + (f" ({words_of(raw)})" if raw else "")
    return json.dumps(error, ensure_ascii=False, default=str)
