"""The calls of a provider, whole and streamed, with and without an event loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ragloom.providers.openai_client import Provider
from ragloom.providers.retry import Link

KEY = "sk-planted-0123456789abcdef"
"""The value of OPENAI_API_KEY in tests with the fixture `api_key`."""
HI = [{"role": "user", "content": "hi"}]
Call = Callable[[Provider], Any]


def link(base_url: str | None, **changed: Any) -> Link:
    fields = {"kind": "embedding", "model": "m", "api_key_env": "OPENAI_API_KEY", "timeout": 5.0, "attempts": 4}
    return Link(**({"base_url": base_url, "deadline": 60.0} | fields | changed))


def embed(provider: Provider) -> Any:
    return provider.embeddings(model="m", input=["text"], encoding_format="float")


def aembed(provider: Provider) -> Any:
    return asyncio.run(provider.aembeddings(model="m", input=["text"], encoding_format="float"))


def chat(provider: Provider) -> Any:
    return provider.chat(model="m", messages=HI)


def achat(provider: Provider) -> Any:
    return asyncio.run(provider.achat(model="m", messages=HI))


def stream(provider: Provider) -> Any:
    return list(provider.stream(model="m", messages=HI))


def astream(provider: Provider) -> Any:
    async def pieces() -> list[Any]:
        return [piece async for piece in provider.astream(model="m", messages=HI)]

    return asyncio.run(pieces())


WHOLE: list[Call] = [embed, aembed, chat, achat]
STREAMS: list[Call] = [stream, astream]
every_call = pytest.mark.parametrize("call", [*WHOLE, *STREAMS], ids=lambda call: call.__name__)
every_whole_call = pytest.mark.parametrize("call", WHOLE, ids=lambda call: call.__name__)
every_stream = pytest.mark.parametrize("call", STREAMS, ids=lambda call: call.__name__)
