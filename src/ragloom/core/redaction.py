"""Redaction of secrets in every text that is printed or saved.

Secrets come from the environment only. Two things can still leak one: a key like `embedding.api_key=sk-...` that
somebody writes into an override or a yaml, and an error text of a server that repeats the key it was sent.
"""

from __future__ import annotations

import os
import re
from typing import Any

MASK = "***"

_SECRET_KEY = re.compile(
    r"((^|_)(api_?keys?|secrets?|passwords?|passwd|passphrase|credentials?|bearer|authorization|token|auth)"
    r"|[a-z0-9]_keys?)(_?\d+)?$"
)
# The forms in which providers issue keys: OpenAI's `sk-...`, Hugging Face's `hf_...`, a bearer header; and what stands
# for user and password in an address.
_SECRET_VALUE = re.compile(r"\b(sk-[\w-]{6,}|hf_\w{8,}|(?<=Bearer )\S+)|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_HEADERS_KEY = "headers_env"  # its entries are names of variables, whatever the headers are called
_HEADERS_VALUE = re.compile(rf"\{{\s*([\w-]+\s*:\s*{_VARIABLE.pattern}\s*(,\s*|(?=\}})))*\}}")
_INNER_KEY = re.compile(r"[{,]\s*['\"]?([\w-]+)['\"]?\s*:")
_SHORTEST_SECRET = 8


def names_a_secret(key: str) -> bool:
    """Return whether a key or variable name looks like a secret's."""
    return bool(_SECRET_KEY.search(re.split(r"[./]", key)[-1].strip("+~ ").replace("-", "_").lower()))


def names_a_variable(text: str) -> bool:
    """Return whether a text is the name of an environment variable."""
    return bool(_VARIABLE.fullmatch(text))


def holds_a_secret(value: Any) -> bool:
    """Return whether a key at any depth looks like a secret's."""
    if isinstance(value, dict):
        return any(names_a_secret(str(key)) or holds_a_secret(item) for key, item in value.items())
    return isinstance(value, list) and any(map(holds_a_secret, value))


def redact(text: str) -> str:
    """Mask values of secret-looking environment variables, and what looks like a key."""
    values = {value for name, value in os.environ.items() if len(value) >= _SHORTEST_SECRET and names_a_secret(name)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    return _SECRET_VALUE.sub(MASK, text)


def redact_override(override: str) -> str:
    """Mask the value of an override with a secret-looking key."""
    key, equals, value = override.partition("=")
    parts = re.split(r"[./]", key.strip("+~ "))
    if parts[-1] == _HEADERS_KEY and _HEADERS_VALUE.fullmatch(value.strip()):
        return redact(override)
    if parts[-2:-1] == [_HEADERS_KEY] and names_a_variable(value.strip()):
        return redact(override)
    secret = names_a_secret(key) or any(names_a_secret(name) for name in _INNER_KEY.findall(value))
    return f"{key}={MASK}" if equals and secret else redact(override)


def redact_tree(value: Any, key: str = "") -> Any:
    """Copy a config with masked secrets and redacted texts."""
    if isinstance(value, dict):
        shown = {name for name, item in value.items() if key == _HEADERS_KEY and names_a_variable(str(item))}
        return {name: redact_tree(item, "" if name in shown else str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [redact_tree(item, key) for item in value]
    if value is not None and names_a_secret(key):
        return MASK
    return redact(value) if isinstance(value, str) else value
