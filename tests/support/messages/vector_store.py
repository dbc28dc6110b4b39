"""Wording of the messages of every vector store and of the LanceDB store."""

from messages import ANY, NUMBER, WORD


def no_index(name: str) -> str:
    return f"there is no index {name}"


def no_document(name: str) -> str:
    return f"holds no document {name!r}"


def being_written(index: str = ANY, process: int | str = NUMBER) -> str:
    return f"index {index} is being written by process {process}"


def being_written_since(index: str = ANY, process: int | str = NUMBER) -> str:
    return f"{being_written(index, process)} on {WORD} since {NUMBER}-"


def empty_index(name: str = "") -> str:
    return f"{name} is empty: its first ingest ended before a document was stored"


def interrupted_ingest() -> str:
    return "interrupted ingest; ingest again"


def written_by_version(version: int) -> str:
    return f"was written by version {version} of this store"


def written_by(kind: str) -> str:
    return f"was written by {kind!r}"


def written_only_by_ingest() -> str:
    return "is read as it was ingested and cannot be written through LlamaIndex"


def damaged_index(name: str) -> str:
    return f"{name} is damaged {ANY} delete the index and ingest again"


def damaged_aliases() -> str:
    return ".aliases.json is damaged; delete it, and promote the indexes again"


def unwritable_folder() -> str:
    return f"cannot be written {ANY} set vector_store.path to another folder"


def unlistable_folder(folder: str) -> str:
    return f"vector_store.path={folder} cannot be listed"


def failed_read() -> str:
    return "reading a document failed"


def missing_documents(count: int, stored: int) -> str:
    return f"{count} documents were to be touched and {stored} are stored"


def other_source(name: str, root: str) -> str:
    return f"source.name={name} names the documents of {root} "


def wrong_dimensions(stored: int, embedding: int) -> str:
    return f"has {stored} dimensions and the embedding {embedding}"


def metadata_not_text(key: str, document: str) -> str:
    return f"metadata {key!r} of {document} must be text"


def filters_too_deep(levels: int) -> str:
    return f"nested more than {levels} deep"


def half_surrogate(document: str) -> str:
    return f"{document!r} holds half a surrogate pair"


def half_surrogate_in_filter(key: str) -> str:
    return f"filter on {key!r} holds half a surrogate pair"


def node_of_other_document(document: str) -> str:
    return f"does not belong to document {document!r}"


def node_without_embedding(node: str) -> str:
    return f"node {node} of None has no embedding"


def node_dimensions(node: str, dimensions: int) -> str:
    return f"node {node} of None has {dimensions} dimensions"


def unknown_query_mode(mode: str) -> str:
    return f"mode={mode} must be default, text_search or sparse"


def query_needs(part: str) -> str:
    return f"must come with {part}"


def nodes_or_filters_needed() -> str:
    return "delete_nodes must be given node_ids or filters"


def exact_search() -> str:
    return "dense search is exact"


def approximate_search() -> str:
    return "dense search is approximate"


def no_ann_index(reason: str = "") -> str:
    return f"the engine built no index{reason}"


def no_temporary_room(content: str = "") -> str:
    return f"no room for {content}"


def deleted_in_statistics(count: int) -> str:
    return f"{count} deleted chunks still count in the index's BM25 statistics"


def comes_twice() -> str:
    return "comes twice"
