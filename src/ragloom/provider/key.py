"""The address of a server and the key to it, before anything is sent. Shows neither a password nor a key.

The key comes from the environment alone.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from ragloom.errors import ConfigError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def link_problems(kind: str, base_url: str | None, api_key_env: str | None) -> list[str]:
    """Says what is wrong with a server's address or its key's name, without repeating what may be a secret."""
    problems = []
    url = base_url or "http://localhost"
    try:
        parts = urlsplit(url)
        secret = "@" in parts.netloc or bool(parts.query)
        sound = parts.scheme in ("http", "https") and bool(parts.netloc) and parts.port != 0
    except ValueError:  # such as a port that is no number
        secret, sound = "@" in url or "?" in url, False
    if secret:
        problems.append(
            f"{kind}: base_url must not carry a password or a query; put the key into an environment variable and "
            f"its name into {kind}.api_key_env"
        )
    elif not sound:
        problems.append(
            f"{kind}: base_url={base_url!r} must be an address like http://localhost:8000/v1; add what is missing"
        )
    if api_key_env is not None and not _VARIABLE.fullmatch(api_key_env):
        problems.append(
            f"{kind}: api_key_env must be the name of an environment variable, never the key itself; "
            f"set {kind}.api_key_env=OPENAI_API_KEY, for example"
        )
    return problems


def read_key(kind: str, api_key_env: str | None) -> str | None:
    """Reads a key from the environment.

    Raises:
        ConfigError: the variable is not set, or holds what cannot be sent as a key. The value is never shown.
    """
    if api_key_env is None:
        return None
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"{kind}: the environment variable {api_key_env} must hold the provider's API key; it is not set: "
            f"export {api_key_env}=..."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{kind}: the environment variable {api_key_env} must hold a key of printable ASCII letters; set it anew"
        )
    return key
