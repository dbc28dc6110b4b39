"""Creation, comparison, extension and removal of an index's collections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from weaviate.classes.config import ConsistencyLevel, DataType, Property, Tokenization
from weaviate.classes.tenants import Tenant
from weaviate.collections import Collection

from ragloom.components.vector_store.weaviate_store import schema
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index_settings import IndexOptions
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, CollectionLabel
from ragloom.errors import DataError


@dataclass(eq=False)
class CollectionSetup:
    """Schema of the two collections of one generation and tenant.

    Args:
        connection: to the server.
        options: of the database.
        label: of either collection.
    """

    connection: Connection
    options: IndexOptions
    label: CollectionLabel
    _columns: set[str] | None = field(default=None, init=False)

    @cached_property
    def chunks(self) -> Collection[Any, Any]:
        """Collection of chunks, with tenant and consistency level."""
        return self._collection(CHUNKS)

    @cached_property
    def documents(self) -> Collection[Any, Any]:
        """Collection of documents, with tenant and consistency level."""
        return self._collection(DOCUMENTS)

    def columns(self, *, refresh: bool = False) -> set[str]:
        """Return the names of the chunks' properties, read once or on `refresh`."""
        if self._columns is None or refresh:
            self._columns = {item.name for item in self._properties()}
        return self._columns

    def metadata_columns(self) -> dict[str, str]:
        """Return the properties of metadata keys: property -> `text` or `text[]`."""
        fixed = {item["name"] for item in self._schemas()[CHUNKS]["properties"]}
        return {item.name: item.data_type.value for item in self._properties() if item.name not in fixed}

    def add_columns(self, columns: dict[str, str]) -> None:
        """Create the properties of new metadata keys, with explicit types.

        Args:
            columns: property -> `text` or `text[]`.

        Raises:
            DataError: a property exists with another type, which another program must have created.
        """
        if set(columns) <= self.columns():
            return
        existing = self.metadata_columns()
        for name in sorted(set(columns) - set(existing)):
            self._add_column(name, columns[name])
        self.columns(refresh=True)
        existing = self.metadata_columns()
        for name, kind in columns.items():
            if existing.get(name, kind) != kind:
                raise DataError(
                    f"vector_store: property {name} of {self.name(CHUNKS)} is {existing[name]} and must be {kind}; "
                    "another program created it: delete the index and ingest again"
                )

    def create(self) -> None:
        """Create missing collections and tenants; existing ones must have the same schema.

        Raises:
            DataError: a collection exists with another schema.
        """
        collections = self.connection.client.collections
        for part, wanted in self._schemas().items():
            name = wanted["class"]
            exists = partial(self._exists, name)
            if not exists():
                create = partial(collections.create_from_dict, wanted)
                self.connection.ensure("creating a collection", create, exists)
            # Also after a creation: an attempt that seemed to fail may have been another writer's.
            config = self.connection.call("reading a schema", partial(collections.export_config, name))
            schema.demand_schema(self.label.index, wanted, config.to_dict())
            if self.options.tenant is not None and not self._tenant_exists(part):
                create_tenant = partial(self._plain(part).tenants.create, [Tenant(name=self.options.tenant)])
                self.connection.ensure("creating a tenant", create_tenant, partial(self._tenant_exists, part))

    def has_tenant(self) -> bool:
        """Check whether the tenant (if any) is in both collections."""
        return self.options.tenant is None or all(self._tenant_exists(part) for part in (CHUNKS, DOCUMENTS))

    def drop(self) -> None:
        """Remove the tenant's data, and collections without tenants.

        Documents go first, so that no manifest row promises chunks that are gone.
        """
        for part in (DOCUMENTS, CHUNKS):
            if self._exists(self.name(part)):
                self._drop_part(part)

    def name(self, part: str) -> str:
        """Return the name of the chunks' or the documents' collection."""
        return replace(self.label, part=part).collection

    def _add_column(self, name: str, kind: str) -> None:
        column = Property(
            name=name,
            data_type=DataType(kind),
            tokenization=Tokenization.FIELD,
            index_filterable=True,
            index_searchable=False,
        )
        add = partial(self.chunks.config.add_property, column)
        self.connection.ensure(f"adding property {name}", add, lambda: name in self.metadata_columns())

    def _drop_part(self, part: str) -> None:
        name, tenant = self.name(part), self.options.tenant
        if tenant is not None:
            tenants = self._plain(part).tenants
            remove = partial(tenants.remove, [tenant])
            self.connection.ensure("removing a tenant", remove, lambda: not self._tenant_exists(part))
            if self.connection.call("listing tenants", tenants.get):
                return
        delete = partial(self.connection.client.collections.delete, name)
        self.connection.ensure("removing a collection", delete, lambda: not self._exists(name))

    def _properties(self) -> list[Any]:
        return list(self.connection.call("reading a schema", lambda: self.chunks.config.get(simple=True)).properties)

    def _schemas(self) -> dict[str, dict[str, Any]]:
        return {
            CHUNKS: schema.chunks_schema(replace(self.label, part=CHUNKS), self.options.index),
            DOCUMENTS: schema.documents_schema(replace(self.label, part=DOCUMENTS), self.options.index),
        }

    def _tenant_exists(self, part: str) -> bool:
        read = partial(self._plain(part).tenants.get_by_name, str(self.options.tenant))
        return self.connection.call("looking for a tenant", read) is not None

    def _exists(self, name: str) -> bool:
        read = partial(self.connection.client.collections.exists, name)
        return self.connection.call("looking for a collection", read)

    def _plain(self, part: str) -> Collection[Any, Any]:
        return self.connection.client.collections.get(self.name(part))

    def _collection(self, part: str) -> Collection[Any, Any]:
        collection = self._plain(part)
        if self.options.tenant is not None:
            collection = collection.with_tenant(self.options.tenant)
        return collection.with_consistency_level(ConsistencyLevel(self.options.consistency_level))
