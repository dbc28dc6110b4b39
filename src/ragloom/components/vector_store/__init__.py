"""The `vector_store` group: where indexes are stored."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ragloom.components.vector_store import weaviate_config
from ragloom.components.vector_store.weaviate_config import BatchSettings, IndexSettings, TimeoutSettings, is_set
from ragloom.config.builder_keys import OPERATIONAL, Added, Name, NonNegative, Positive, Shapes, code_version
from ragloom.config.key_rules import checked_by

if TYPE_CHECKING:
    from ragloom.components.vector_store.protocols import Analyzer, Database
    from ragloom.components.vector_store.weaviate_store.connection import Connection

Port = Annotated[int, Field(ge=1, le=65_535)]
AnyPort = Annotated[int, Field(ge=0, le=65_535)]
Recall = Annotated[float, Field(gt=0, le=1)]
Consistency = Literal["ONE", "QUORUM", "ALL"]

_WEAVIATE_CODE_VERSION = 1


@code_version(1)
def lancedb(
    analyzer: "Analyzer",
    *,
    path: Annotated[Name, OPERATIONAL],
    retention_minutes: Annotated[NonNegative, OPERATIONAL],
    ann_threshold: Annotated[Positive, OPERATIONAL],  # neither changes what is stored: no reason to embed again
    min_ann_recall: Annotated[Recall, OPERATIONAL],
    alias: Annotated[Name | None, OPERATIONAL],  # read by `assembly.open`
) -> "Database":
    """Build the database of a LanceDB folder, created by the first ingest."""
    from ragloom.components.vector_store.lancedb_store.ann_index import Wanted
    from ragloom.components.vector_store.lancedb_store.database import LanceDatabase

    dense = Wanted(ann_threshold, min_ann_recall)
    return LanceDatabase(path, analyzer, timedelta(minutes=retention_minutes), dense)


@code_version(_WEAVIATE_CODE_VERSION)
@checked_by(weaviate_config.address_rule, weaviate_config.name_rule, weaviate_config.index_rule)
def weaviate(
    analyzer: "Analyzer",
    *,
    url: Annotated[Name, OPERATIONAL],
    grpc_host: Annotated[Name | None, OPERATIONAL],
    grpc_port: Annotated[Port, OPERATIONAL],
    api_key_env: Annotated[Name, OPERATIONAL],
    headers_env: Annotated[Name | None, OPERATIONAL],
    timeouts: Annotated[TimeoutSettings, OPERATIONAL],
    consistency_level: Annotated[Consistency, OPERATIONAL],
    tenant: Annotated[Name | None, Shapes(is_set)],
    alias: Annotated[Name | None, OPERATIONAL],
    collection_prefix: Annotated[Name, OPERATIONAL],
    batch: Annotated[BatchSettings, OPERATIONAL],
    index: Annotated[IndexSettings, Shapes(weaviate_config.immutable)],
    ann_threshold: Annotated[Positive, OPERATIONAL, Added(20_000)],
    min_ann_recall: Annotated[Recall, OPERATIONAL, Added(0.98)],
) -> "Database":
    """Build the database of a Weaviate server, cluster or Weaviate Cloud.

    It connects when it is first used.
    """

    def connect() -> "Connection":
        from ragloom.components.vector_store.weaviate_store.connection import connect
        from ragloom.components.vector_store.weaviate_store.server_settings import ServerSettings

        return connect(ServerSettings(url, grpc_host, grpc_port, api_key_env, headers_env, timeouts))

    from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
    from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions

    code_version = _WEAVIATE_CODE_VERSION
    options = IndexOptions(
        collection_prefix,
        tenant,
        consistency_level,
        dict(index),
        batch,
        timeouts,
        code_version,
        ann_threshold,
        min_ann_recall,
    )
    return WeaviateDatabase(connect, analyzer, options)


@code_version(_WEAVIATE_CODE_VERSION)
@checked_by(weaviate_config.embedded_rule, weaviate_config.name_rule, weaviate_config.index_rule)
def weaviate_embedded(
    analyzer: "Analyzer",
    *,
    path: Annotated[Name, OPERATIONAL],
    version: Annotated[Name, OPERATIONAL],
    binary_path: Annotated[Name | None, OPERATIONAL],
    http_port: Annotated[AnyPort, OPERATIONAL],
    grpc_port: Annotated[AnyPort, OPERATIONAL],
    timeouts: Annotated[TimeoutSettings, OPERATIONAL],
    tenant: Annotated[Name | None, Shapes(is_set)],
    alias: Annotated[Name | None, OPERATIONAL],
    collection_prefix: Annotated[Name, OPERATIONAL],
    batch: Annotated[BatchSettings, OPERATIONAL],
    index: Annotated[IndexSettings, Shapes(weaviate_config.immutable)],
    ann_threshold: Annotated[Positive, OPERATIONAL, Added(20_000)],
    min_ann_recall: Annotated[Recall, OPERATIONAL, Added(0.98)],
) -> "Database":
    """Build the database of a Weaviate server on a local folder.

    The server is started, or a running one found, when it is first used.
    """

    def connect() -> "Connection":
        from ragloom.components.vector_store.weaviate_store.embedded.executable import find

        binary = find(version, binary_path)  # first: the next module needs what Windows has not
        from ragloom.components.vector_store.weaviate_store.embedded.shared_server import EmbeddedServer

        return EmbeddedServer(path, version, binary, http_port, grpc_port).connect(timeouts)

    from ragloom.components.vector_store.weaviate_store.database import WeaviateDatabase
    from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions

    options = IndexOptions(
        collection_prefix,
        tenant,
        "ONE",
        dict(index),
        batch,
        timeouts,
        _WEAVIATE_CODE_VERSION,
        ann_threshold,
        min_ann_recall,
    )
    return WeaviateDatabase(connect, analyzer, options)
