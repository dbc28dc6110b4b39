"""Address, time-outs and credentials of a Weaviate server."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from ragloom.components.vector_store.weaviate_config import TimeoutSettings
from ragloom.errors import ConfigError

_CLOUD = ("weaviate.cloud", "weaviate.network", "semi.network")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110


@dataclass(frozen=True)
class ServerSettings:
    """Address and time-outs of a server.

    Attributes:
        url: of the REST API, `http(s)://host[:port]`.
        grpc_host: None = the url's host; of Weaviate Cloud, its gRPC host.
        grpc_port: Weaviate Cloud's is always 443.
        api_key_env: name of the environment variable with the API key; anonymous access when it is not set.
        headers_env: name of the environment variable with further headers, a JSON object; None for none.
        timeouts: seconds: `connect` is the limit for a server that is starting or silent, `query` and `insert` for one
            request, `retry` the total for the attempts of a call; an attempt in progress is not cut off.
        name: of the server in messages; None = its address.
    """

    url: str
    grpc_host: str | None
    grpc_port: int
    api_key_env: str
    headers_env: str | None
    timeouts: TimeoutSettings
    name: str | None = None

    @property
    def where(self) -> str:
        """Name of the server in messages, without user and password."""
        if self.name is not None:
            return self.name
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def trusts_environment(self) -> bool:
        """Whether proxies and certificates from environment variables apply: never on this machine."""
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


def api_key(settings: ServerSettings) -> str | None:
    """Read the API key; None for anonymous access.

    Raises:
        ConfigError: the value cannot be sent as a key; the message does not show it.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if key and (not (key.isascii() and key.isprintable()) or " " in key):
        raise ConfigError(
            f"vector_store: the environment variable {settings.api_key_env} must hold a key of printable ASCII "
            "letters; correct its value"
        )
    return key or None


def extra_headers(settings: ServerSettings) -> dict[str, str]:
    """Read the further HTTP headers; messages never show their values.

    Raises:
        ConfigError: the variable is not set, or does not hold a JSON object of header names and texts.
    """
    name = settings.headers_env
    if name is None:
        return {}
    rule = f"vector_store: the environment variable {name} must hold a JSON object of headers and texts"
    if not os.environ.get(name, "").strip():
        raise ConfigError(f"{rule}; it is not set: set it, or vector_store.headers_env=null")
    try:
        headers = json.loads(os.environ[name])
    except ValueError:
        raise ConfigError(f"{rule}; its value is not JSON: correct it") from None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ConfigError(f'{rule}; write {{"X-Name": "value"}}')
    for header, value in headers.items():
        if not _HEADER.fullmatch(header) or not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{rule} of printable ASCII letters; correct header {header[:40]!r}")
    return headers


def http_client(settings: ServerSettings, key: str | None, headers: dict[str, str], seconds: float) -> httpx.Client:
    """Build the client of the REST API, with authorization for a key."""
    return httpx.Client(
        base_url=f"{settings.url.rstrip('/')}/v1",
        headers={**headers, **({"Authorization": f"Bearer {key}"} if key else {})},
        timeout=seconds,
        trust_env=settings.trusts_environment,
    )
