"""Reads single objects over the REST API at a consistency level. The client reads objects only by search, and a search
answers from one replica, which may have been away. Knows settings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx

from ragloom.components.vector_store.weaviate_store.settings import Settings


class Rest:
    """The REST API of a server.

    Args:
        settings: how it is reached.
        key: the API key; None for anonymous access.
        headers: sent with each request.
    """

    def __init__(self, settings: Settings, key: str | None, headers: dict[str, str]) -> None:
        sent = {**headers, **({"Authorization": f"Bearer {key}"} if key else {})}
        self._http = httpx.Client(
            base_url=f"{settings.url.rstrip('/')}/v1",
            headers=sent,
            timeout=settings.query_seconds,
            trust_env=settings.trusts_environment,
        )

    def properties(
        self, collection: str, id: UUID, *, tenant: str | None, consistency_level: str
    ) -> dict[str, Any] | None:
        """Returns an object's properties as that many replicas have them; None where there is none.

        Raises:
            httpx.HTTPError: there was no answer, or an error.
        """
        asked = {"consistency_level": consistency_level, **({"tenant": tenant} if tenant is not None else {})}
        answer = self._http.get(f"/objects/{collection}/{id}", params=asked)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["properties"]
        return found

    def close(self) -> None:
        """Lets go of the connection."""
        self._http.close()
