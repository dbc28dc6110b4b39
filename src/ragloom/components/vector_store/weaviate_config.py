"""Rules for keys of the Weaviate options, beyond ranges of numbers.

A nested mapping is a `TypedDict`: `config` checks each of its entries by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import TypedDict

from ragloom.config.builder_keys import Positive

Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""Seconds, up to a day."""


class TimeoutSettings(TypedDict):
    """Time-outs in seconds."""

    connect: Seconds
    query: Seconds
    insert: Seconds
    retry: Annotated[float, Field(ge=0, le=86_400)]
    indexing: Seconds


class BatchSettings(TypedDict):
    """Limits of one write request."""

    objects: Annotated[int, Field(gt=0, le=10_000)]
    megabytes: Annotated[float, Field(gt=0, le=100)]


class IndexSettings(TypedDict):
    """Storage and search of a collection, as Weaviate's own settings."""

    type: Literal["hnsw", "flat", "dynamic"]
    distance: Literal["cosine", "dot", "l2-squared"]
    quantization: Literal["none", "rq", "bq", "sq"]
    shards: Positive
    replication: Positive
    ef: Annotated[int, Field(ge=-1)]
    ef_construction: Annotated[int, Field(ge=4)]
    max_connections: Annotated[int, Field(ge=4, le=2_047)]
    bm25_k1: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    bm25_b: Annotated[float, Field(ge=0, le=1)]


_IMMUTABLE = ("type", "distance", "quantization", "shards")


def immutable(index: IndexSettings) -> dict[str, Any]:
    """Return the unchangeable settings, part of the index's name."""
    return {key: index[key] for key in _IMMUTABLE}  # type: ignore[literal-required]


def is_set(value: object) -> bool:
    """Check whether a key has a value: any tenant counts alike."""
    return value is not None


_PREFIX = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+(-(rc|beta|alpha)\.\d+)?")


def name_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Check the form of prefix and tenant."""
    if not _PREFIX.fullmatch(values["collection_prefix"]):
        yield (
            f"vector_store: vector_store.collection_prefix={values['collection_prefix']!r} must be a capital letter "
            "followed by at most 63 letters and digits; write Ragloom, for example"
        )
    if values["tenant"] is not None and not _TENANT.fullmatch(values["tenant"]):
        yield (
            f"vector_store: vector_store.tenant={values['tenant']!r} must be 1 to 64 letters, digits, - and _; "
            "choose another name"
        )


def index_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Check combinations of index settings."""
    index = values["index"]
    if index["ef"] == 0:
        yield "vector_store: vector_store.index.ef=0 must be at least 1, or -1 (the server decides)"
    if index["quantization"] == "sq" and index["type"] != "hnsw":
        yield (
            f"vector_store: vector_store.index.quantization='sq' must go with index.type=hnsw, not {index['type']}; "
            "set vector_store.index.quantization=rq"
        )
    if values["tenant"] is not None and index["shards"] != 1:
        yield (
            f"vector_store: vector_store.index.shards={index['shards']} must be 1 with a tenant: each tenant is a "
            "shard; set vector_store.index.shards=1"
        )


def address_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Check address, ports and names of environment variables."""
    parts = urlsplit(values["url"])
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if "@" in parts.netloc or parts.query:
        yield (
            "vector_store: vector_store.url must not hold a password or a query; put the key into an environment "
            "variable and its name into vector_store.api_key_env"
        )
    elif parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path not in ("", "/"):
        yield (
            f"vector_store: vector_store.url={values['url']!r} must be an address like http://localhost:8080, "
            "without a path; correct it"
        )
    elif values["grpc_host"] in (None, parts.hostname) and values["grpc_port"] == port:
        yield (
            f"vector_store: vector_store.grpc_port={values['grpc_port']} must be another port than the url's; set the "
            "one that the server's gRPC API has (usually 50051)"
        )
    for key, example in (("api_key_env", "WEAVIATE_API_KEY"), ("headers_env", "WEAVIATE_HEADERS")):
        if values[key] is not None and not _VARIABLE.fullmatch(values[key]):
            yield (
                f"vector_store: vector_store.{key} must be the name of an environment variable, never its value; "
                f"set vector_store.{key}={example}, for example"
            )


def embedded_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Check version, ports and index of a single node."""
    if not _VERSION.fullmatch(values["version"]):
        yield (
            f"vector_store: vector_store.version={values['version']!r} must be a version like 1.39.0; write all three "
            "numbers"
        )
    if values["http_port"] == values["grpc_port"] != 0:
        yield (
            f"vector_store: vector_store.grpc_port={values['grpc_port']} must be another port than http_port; "
            "set one of them to 0"
        )
    if values["index"]["type"] == "dynamic":
        yield (
            "vector_store: vector_store.index.type='dynamic' must be hnsw or flat: an embedded server does not index "
            "asynchronously; set vector_store.index.type=hnsw"
        )
    if values["index"]["replication"] != 1:
        yield (
            f"vector_store: vector_store.index.replication={values['index']['replication']} must be 1: "
            "an embedded server is a single node; set vector_store.index.replication=1"
        )
