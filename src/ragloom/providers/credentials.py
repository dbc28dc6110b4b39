"""A server's key and headers, from environment variables; values are never shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ragloom.core.redaction import holds_a_secret, names_a_variable
from ragloom.errors import ConfigError
from ragloom.providers.server_address import address_problems

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, token
_CLIENTS_OWN = {"connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
_SHORTEST_WORD = 4  # characters of a word of a header that is masked separately


def link_problems(
    kind: str, base_url: str | None, api_key_env: str | None, headers_env: Mapping[str, str] | None = None
) -> list[str]:
    """List problems of an address and variable names, without possible secrets."""
    problems = address_problems(kind, base_url)
    if api_key_env is not None and not _VARIABLE.fullmatch(api_key_env):
        problems.append(
            f"{kind}: api_key_env must be the name of an environment variable, never the key itself; "
            f"set {kind}.api_key_env=OPENAI_API_KEY, for example"
        )
    return problems + _header_problems(kind, headers_env or {})


def _header_problems(kind: str, headers_env: Mapping[str, str]) -> list[str]:
    problems = []
    for name, variable in headers_env.items():
        if not _HEADER.fullmatch(name) or name.lower() in _CLIENTS_OWN:
            problems.append(
                f"{kind}: headers_env must name headers that a server reads, and not {name!r}; correct or remove it"
            )
        elif not names_a_variable(variable):
            problems.append(
                f"{kind}: headers_env.{name} must be the name of an environment variable, in capitals, never the "
                f"value itself; set '{kind}.headers_env={{{name}: MY_VARIABLE}}'"
            )
    if len({name.lower() for name in headers_env}) < len(headers_env):
        problems.append(f"{kind}: headers_env must name each header once, in capitals or not; remove one of the two")
    return problems


def body_problems(kind: str, extra_body: Mapping[str, Any], own: Mapping[str, str | None]) -> list[str]:
    """List problems of extra fields in the body of a request.

    Args:
        own: fields of every request -> the key that sets each, or None.
    """
    if holds_a_secret(dict(extra_body)):
        return [
            f"{kind}: extra_body must not hold what looks like a secret; put it into an environment variable and its "
            f"name into {kind}.headers_env or {kind}.api_key_env"
        ]
    problems = []
    for name in extra_body:
        if name in own:
            how = f"set {kind}.{own[name]}" if own[name] else "remove it"
            problems.append(f"{kind}: extra_body.{name} must not be set, since ragloom sends {name} itself; {how}")
    try:
        json.dumps(extra_body, allow_nan=False)
    except (TypeError, ValueError) as error:
        problems.append(f"{kind}: extra_body must be JSON ({error}); change the value")
    return problems


def read_key(kind: str, api_key_env: str | None) -> str | None:
    """Read a key from the environment.

    Raises:
        ConfigError: the variable is not set, or holds what cannot be sent as a key. The value is never shown.
    """
    if api_key_env is None:
        return None
    return _value(kind, api_key_env, "the provider's API key", "a key of printable ASCII letters", blanks=False)


def read_headers(kind: str, headers_env: Mapping[str, str]) -> dict[str, str]:
    """Read headers from the environment.

    Raises:
        ConfigError: a variable is not set, or holds what cannot be sent in a header. No value is shown.
    """
    letters = "printable ASCII letters, to be sent as the header"
    return {
        name: _value(kind, variable, f"the header {name}", f"{letters} {name}", blanks=True)
        for name, variable in headers_env.items()
    }


def _value(kind: str, variable: str, content: str, form: str, *, blanks: bool) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(
            f"{kind}: the environment variable {variable} must hold {content}; it is not set: export {variable}=..."
        )
    if not (value.isascii() and value.isprintable()) or (" " in value and not blanks):
        raise ConfigError(f"{kind}: the environment variable {variable} must hold {form}; set it again")
    return value


def secrets_of(api_key_env: str | None, headers_env: Mapping[str, str]) -> list[str]:
    """List the secrets to mask: key, headers' values and words, longest first."""
    values = {os.environ.get(name, "").strip() for name in (api_key_env or "", *headers_env.values())}
    words = {word for value in values for word in value.split() if len(word) >= _SHORTEST_WORD} - {"Bearer", "Basic"}
    return sorted((values | words) - {""}, key=len, reverse=True)
