"""Single-object access over the REST API, at a consistency level.

The client reads objects by search only, and a search answers from one replica, which may have missed writes.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx

from ragloom.components.vector_store.weaviate_store.settings import ServerSettings, request_headers


class RestReader:
    """HTTP client for the REST API of a server.

    Args:
        settings: address and time-outs.
        key: API key; None for anonymous access.
        headers: further headers of each request.
    """

    def __init__(self, settings: ServerSettings, key: str | None, headers: dict[str, str]) -> None:
        self._http = httpx.Client(
            base_url=f"{settings.url.rstrip('/')}/v1",
            headers=request_headers(key, headers),
            timeout=settings.timeouts["query"],
            trust_env=settings.trusts_environment,
        )

    def properties(
        self, collection: str, id: UUID, *, tenant: str | None, consistency_level: str
    ) -> dict[str, Any] | None:
        """Read the properties of an object at a consistency level.

        Returns:
            None for a missing object.

        Raises:
            httpx.HTTPError: the request failed.
        """
        query = {"consistency_level": consistency_level, **({"tenant": tenant} if tenant is not None else {})}
        response = self._http.get(f"/objects/{collection}/{id}", params=query)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        response.raise_for_status()
        properties: dict[str, Any] = response.json()["properties"]
        return properties

    def close(self) -> None:
        """Close the HTTP connections."""
        self._http.close()
