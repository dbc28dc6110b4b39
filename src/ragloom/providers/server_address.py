"""The address of a server: checks, default, and the provider behind it."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, urlsplit

OPENAI = "https://api.openai.com/v1"
"""OpenAI's own address."""
AZURE_EXAMPLES = (
    "https://RESOURCE.openai.azure.com/openai/v1, or "
    "https://RESOURCE.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21"
)
_VERSION = re.compile(r"[\w.-]*version")
_VERSION_VALUE = re.compile(r"[\w.-]{1,40}")
_CALLS = ("/embeddings", "/chat/completions", "/completions", "/responses")


def address_problems(kind: str, base_url: str | None) -> list[str]:
    """List problems of an address, without possible secrets."""
    url = base_url or "http://localhost"
    try:
        parts = urlsplit(url)
        secret = "@" in parts.netloc or bool(parts.fragment) or not _is_version(parts.query)
        sound = parts.scheme in ("http", "https") and bool(parts.netloc) and parts.port != 0
    except ValueError:  # such as a port that is no number
        secret, sound = any(mark in url for mark in "@?#"), False
    if secret:
        return [
            f"{kind}: base_url must not carry a password or a query; put the key into an environment variable and "
            f"its name into {kind}.api_key_env, or into {kind}.headers_env for a header that the server wants (only "
            "an API version may stand in the query: ?api-version=2024-10-21)"
        ]
    if not sound:
        return [f"{kind}: base_url={base_url!r} must be an address like http://localhost:8000/v1; add what is missing"]
    if call := next((call for call in _CALLS if parts.path.rstrip("/").endswith(call)), None):
        shorter = url.replace(call, "", 1) if url.count(call) == 1 else "the part before it"
        return [
            f"{kind}: base_url={base_url!r} must end before {call}, which is added to it; set {kind}.base_url={shorter}"
        ]
    return []


def _is_version(query: str) -> bool:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        return False
    return all(_VERSION.fullmatch(name) and _VERSION_VALUE.fullmatch(value) for name, value in pairs)


def resolved(base_url: str | None) -> str:
    """Return the address of requests: configured, from OPENAI_BASE_URL, or OpenAI's."""
    return base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI


def split_query(url: str) -> tuple[str, dict[str, str]]:
    """Split an address into base (for a call's path) and query."""
    base, _, query = url.partition("#")[0].partition("?")
    return base, dict(parse_qsl(query, keep_blank_values=True))


def is_openai(url: str) -> bool:
    """Return whether an address is one of OpenAI's own, of any region."""
    host = urlsplit(url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def is_azure(url: str) -> bool:
    """Return whether an address is one of Azure's."""
    return (urlsplit(url).hostname or "").endswith((".azure.com", ".azure.us", ".azure.cn", ".azure-api.net"))


def wants_api_key_header(url: str) -> bool:
    """Return whether a server reads the header `api-key`, as Azure's deployments."""
    return "api-version" in split_query(url)[1]
