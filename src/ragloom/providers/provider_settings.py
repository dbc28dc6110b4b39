"""Settings of a provider, as fields of a LlamaIndex component."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, PrivateAttr

from ragloom.providers.openai_client import Provider
from ragloom.providers.rate_limiter import Rates
from ragloom.providers.retry import Kind, Link


class ProviderSettings(BaseModel):
    """Base of a component behind a server with OpenAI's protocol.

    A subclass calls `connect` when it is built.

    Attributes:
        extra_body: sent with each request as well.
        base_url, api_key_env, headers_env, timeout, attempts, deadline: see `ragloom.providers.retry.Link`.
    """

    base_url: str | None
    api_key_env: str | None
    timeout: float
    attempts: int
    deadline: float
    headers_env: dict[str, str] = Field(default_factory=dict)
    extra_body: dict[str, Any] = Field(default_factory=dict)
    _provider: Provider = PrivateAttr()

    def connect(self, kind: Kind, model: str, rates: Rates) -> None:
        """Make the provider; the first request reads the key."""
        settings = {name: getattr(self, name) for name in ProviderSettings.model_fields if name != "extra_body"}
        self._provider = Provider(Link(kind=kind, model=model, rates=rates, **settings))

    @property
    def provider(self) -> Provider:
        """What sends the requests."""
        return self._provider
