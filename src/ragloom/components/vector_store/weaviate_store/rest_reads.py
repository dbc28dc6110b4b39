"""Single-object access over the REST API, at a consistency level.

The client reads objects by search only, and a search answers from one replica, which may have missed writes.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx


def read_properties(
    http: httpx.Client, collection: str, id: UUID, *, tenant: str | None, consistency_level: str
) -> dict[str, Any] | None:
    """Read the properties of an object at a consistency level.

    Returns:
        None for a missing object.

    Raises:
        httpx.HTTPError: the request failed.
    """
    query = {"consistency_level": consistency_level, **({"tenant": tenant} if tenant is not None else {})}
    response = http.get(f"/objects/{collection}/{id}", params=query)
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    response.raise_for_status()
    properties: dict[str, Any] = response.json()["properties"]
    return properties
