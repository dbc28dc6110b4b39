"""Collections of one generation of an index: created, compared, extended, removed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from weaviate.classes.config import ConsistencyLevel, DataType, Property, Tokenization
from weaviate.classes.tenants import Tenant

from ragloom.components.vector_store.weaviate_store import schema
from ragloom.components.vector_store.weaviate_store.connection import Connection
from ragloom.components.vector_store.weaviate_store.index_options import Options
from ragloom.components.vector_store.weaviate_store.schema import CHUNKS, DOCUMENTS, Label
from ragloom.errors import DataError

if TYPE_CHECKING:
    from weaviate.collections import Collection


class Layout:
    """The collections of one generation of an index, for one tenant.

    Args:
        connection: to the server.
        options: of the store.
        label: of either collection.
    """

    def __init__(self, connection: Connection, options: Options, label: Label) -> None:
        self.connection = connection
        self.options = options
        self.label = label
        self._columns: set[str] | None = None

    @cached_property
    def chunks(self) -> Collection[Any, Any]:
        """The collection of chunks, with tenant and consistency level."""
        return self._collection(CHUNKS)

    @cached_property
    def documents(self) -> Collection[Any, Any]:
        """The collection of documents, with tenant and consistency level."""
        return self._collection(DOCUMENTS)

    def columns(self, *, anew: bool = False) -> set[str]:
        """Returns the names of the chunks' properties; asks the server once, and again when told to."""
        if self._columns is None or anew:
            told = self.connection.call("reading a schema", lambda: self.chunks.config.get(simple=True))
            self._columns = {item.name for item in told.properties}
        return self._columns

    def metadata_columns(self) -> dict[str, str]:
        """Returns the properties that metadata keys have: property -> `text` or `text[]`."""
        told = self.connection.call("reading a schema", lambda: self.chunks.config.get(simple=True))
        schema_own = {item["name"] for item in self._schemas()[CHUNKS]["properties"]}
        return {item.name: item.data_type.value for item in told.properties if item.name not in schema_own}

    def add_columns(self, wanted: dict[str, str]) -> None:
        """Creates the properties of metadata keys that are new, before a value arrives: nothing is left to guessing.

        Args:
            wanted: property -> `text` or `text[]`.

        Raises:
            DataError: there is a property of that name and another type, which somebody else must have made.
        """
        if set(wanted) <= self.columns():
            return
        there = self.metadata_columns()
        for name in sorted(set(wanted) - set(there)):
            made = Property(
                name=name,
                data_type=DataType(wanted[name]),
                tokenization=Tokenization.FIELD,
                index_filterable=True,
                index_searchable=False,
            )
            add = partial(self.chunks.config.add_property, made)
            self.connection.ensure(f"adding property {name}", add, partial(self._has_column, name))
        self.columns(anew=True)
        there = self.metadata_columns()
        for name, kind in wanted.items():
            if there.get(name, kind) != kind:
                raise DataError(
                    f"vector_store: property {name} of {self.name(CHUNKS)} is {there[name]} and must be {kind}; it was "
                    "not made by Ragloom: delete the index and ingest again"
                )

    def _has_column(self, name: str) -> bool:
        return name in self.metadata_columns()

    def create(self) -> None:
        """Creates the collections and the tenant where they are missing; others of that name must be the same.

        Raises:
            DataError: a collection is there with another schema.
        """
        collections = self.connection.client.collections
        for part, made in self._schemas().items():
            name = made["class"]
            exists = partial(self._exists, name)
            if not exists():
                create = partial(collections.create_from_dict, made)
                self.connection.ensure("creating a collection", create, exists)
            # Also where it was just created: an attempt that seemed to fail may have been another one's.
            there = self.connection.call("reading a schema", partial(collections.export_config, name))
            schema.demand_schema(self.label.index, made, there.to_dict())
            if self.options.tenant is not None:
                self._create_tenant(part)

    def has_tenant(self) -> bool:
        """Says whether the tenant (if there is one) is in both collections."""
        return self.options.tenant is None or all(self._tenant_in(part) for part in (CHUNKS, DOCUMENTS))

    def drop(self) -> None:
        """Removes the tenant's data, and the collections when no tenant is left; documents first, so that no manifest
        promises chunks that are gone."""
        collections = self.connection.client.collections
        tenant = self.options.tenant
        for part in (DOCUMENTS, CHUNKS):
            name = self.name(part)
            if not self._exists(name):
                continue
            plain = self._plain(part)
            if tenant is not None:
                remove_tenant = partial(plain.tenants.remove, [tenant])
                self.connection.ensure("removing a tenant", remove_tenant, partial(self._lacks_tenant, part))
                if self.connection.call("listing tenants", plain.tenants.get):
                    continue
            delete = partial(collections.delete, name)
            self.connection.ensure("removing a collection", delete, partial(self._lacks, name))

    def name(self, part: str) -> str:
        """The name of the chunks' or the documents' collection."""
        return replace(self.label, part=part).collection

    def _schemas(self) -> dict[str, dict[str, Any]]:
        return {
            CHUNKS: schema.chunks_schema(replace(self.label, part=CHUNKS), self.options.index),
            DOCUMENTS: schema.documents_schema(replace(self.label, part=DOCUMENTS), self.options.index),
        }

    def _create_tenant(self, part: str) -> None:
        tenant = self.options.tenant
        plain = self._plain(part)
        if not self._tenant_in(part):
            create = partial(plain.tenants.create, [Tenant(name=str(tenant))])
            self.connection.ensure("creating a tenant", create, lambda: self._tenant_in(part))

    def _tenant_in(self, part: str) -> bool:
        look = partial(self._plain(part).tenants.get_by_name, str(self.options.tenant))
        return self.connection.call("looking for a tenant", look) is not None

    def _lacks_tenant(self, part: str) -> bool:
        return not self._tenant_in(part)

    def _lacks(self, name: str) -> bool:
        return not self._exists(name)

    def _exists(self, name: str) -> bool:
        look = partial(self.connection.client.collections.exists, name)
        return self.connection.call("looking for a collection", look)

    def _plain(self, part: str) -> Collection[Any, Any]:
        return self.connection.client.collections.get(self.name(part))

    def _collection(self, part: str) -> Collection[Any, Any]:
        collection = self._plain(part)
        if self.options.tenant is not None:
            collection = collection.with_tenant(self.options.tenant)
        return collection.with_consistency_level(ConsistencyLevel(self.options.consistency_level))
