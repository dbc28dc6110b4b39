"""How a Weaviate server is reached: address, time-outs, and what the environment holds for it. Connects to nothing."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ragloom.errors import ConfigError

_CLOUD = ("weaviate.cloud", "weaviate.network", "semi.network")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110


@dataclass(frozen=True)
class Settings:
    """How a server is reached.

    Attributes:
        url: of the REST API, `http(s)://host[:port]`.
        grpc_host: None = the url's host; of Weaviate Cloud, its gRPC host.
        grpc_port: Weaviate Cloud's is always 443.
        api_key_env: name of the environment variable that holds the key; anonymous when it is not set.
        headers_env: name of a variable that holds a JSON object of further headers; None for none.
        connect_seconds: how long a server that is starting is waited for, and one that says nothing.
        query_seconds, insert_seconds: how long one request is waited for.
        retry_seconds: how long a call is tried in total; an attempt that has begun is waited for.
        name: of the server in messages; None = its address.
    """

    url: str
    grpc_host: str | None
    grpc_port: int
    api_key_env: str
    headers_env: str | None
    connect_seconds: float
    query_seconds: float
    insert_seconds: float
    retry_seconds: float
    name: str | None = None

    @property
    def where(self) -> str:
        """The server as messages name it: unless it has a name, its address without user and password."""
        if self.name is not None:
            return self.name
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def trusts_environment(self) -> bool:
        """Says whether proxies and certificates that environment variables name apply: never on this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Host and port of the gRPC API."""
        host = urlsplit(self.url).hostname or ""
        if host.endswith(_CLOUD) and self.url.startswith("https:"):
            name, _, domain = host.partition(".")
            cloud = f"{name}.grpc.{domain}" if host.endswith("weaviate.network") else f"grpc-{host}"
            return self.grpc_host or cloud, 443
        return self.grpc_host or host, self.grpc_port


def api_key(settings: Settings) -> str | None:
    """Reads the API key; None for anonymous access.

    Raises:
        ConfigError: the variable holds what cannot be sent as a key. The value is never shown.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if key and (not (key.isascii() and key.isprintable()) or " " in key):
        raise ConfigError(
            f"vector_store: the environment variable {settings.api_key_env} must hold a key of printable ASCII "
            "letters; set it anew"
        )
    return key or None


def headers(settings: Settings) -> dict[str, str]:
    """Reads the further headers; messages never show their values.

    Raises:
        ConfigError: the variable is not set, or holds something else than texts by header.
    """
    name = settings.headers_env
    if name is None:
        return {}
    rule = f"vector_store: the environment variable {name} must hold a JSON object of headers and texts"
    if not os.environ.get(name, "").strip():
        raise ConfigError(f"{rule}; it is not set: set it, or vector_store.headers_env=null")
    try:
        told = json.loads(os.environ[name])
    except ValueError:
        raise ConfigError(f"{rule}; it holds no JSON") from None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ConfigError(f'{rule}; write {{"X-Name": "value"}}')
    for header, value in told.items():
        if not _HEADER.fullmatch(header) or not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{rule} of printable ASCII letters; header {header[:40]!r} is none")
    return told
