"""Wording of the messages of the Weaviate store and of the embedded server."""

from messages import ANY


def no_weaviate_at(address: str) -> str:
    return f"no Weaviate answers at {address} ("


def start_weaviate() -> str:
    return "; start it (docker compose up -d), or set vector_store.url"


def server_silent(seconds: int) -> str:
    return f"did not answer within vector_store.timeouts.connect={seconds} s"


def server_not_ready(status: int, seconds: int) -> str:
    return f"is not ready ({status}) after vector_store.timeouts.connect={seconds} s; wait for it"


def server_too_old(version: str) -> str:
    return f"must be Weaviate 1.30 or newer, and is {version}; update the server"


def server_too_old_for(least: str, version: str) -> str:
    return f"must be Weaviate {least} or newer {ANY} and is {version}; update"


def filter_needs_version(least: str, version: str) -> str:
    return f"needs Weaviate {least} or newer; the server is {version}: update it"


def other_program() -> str:
    return "must be a Weaviate server, and another program answers"


def http_but_no_grpc(address: str, grpc: str) -> str:
    return f"{address} answers over HTTP, but {no_grpc(grpc)}"


def no_grpc(grpc: str) -> str:
    return f"not over gRPC at {grpc}"


def open_grpc_port() -> str:
    return "open that port, or set vector_store.grpc_port"


def plain_http(address: str) -> str:
    return f"must be a TLS server, and it speaks plain HTTP; set vector_store.url={address}"


def https_wanted() -> str:
    return "must begin with https://, the server speaks TLS"


def untrusted_certificate(reason: str) -> str:
    return f"has a certificate that is not trusted ({reason})"


def weaviate_wants_key(address: str) -> str:
    return f"vector_store: {address} wants a key (401); export WEAVIATE_API_KEY=..."


def weaviate_refuses_key(address: str, variable: str) -> str:
    return f"vector_store: {address} refuses the key in {variable} (401); correct its value"


def failed_while(action: str, reason: str) -> str:
    return f"failed while {action}: {reason}"


def see_the_servers_log() -> str:
    return "; look at the server's log"


def key_lacks_right() -> str:
    return "the key lacks a right (403: "


def no_answer_within(timeouts: str) -> str:
    return f"no answer in time ({timeouts}"


def no_answer() -> str:
    return "no answer in time"


def tried_once_in() -> str:
    return "(tried 1 time in "


def too_large_request() -> str:
    return "the request is too large for it"


def lower_megabytes() -> str:
    return "lower vector_store.batch.megabytes"


def takes_no_writes(reason: str) -> str:
    return f"it takes no writes: {reason}"


def did_not_start(reason: str) -> str:
    return f"did not start ({reason}"


def ended_with_code(code: int, output: str) -> str:
    return did_not_start(f"it ended with code {code}): {output}; see ")


def not_ready_in_time() -> str:
    return "was not ready within vector_store.timeouts.connect"


def other_executable_version(wanted: str, found: str) -> str:
    return f"vector_store.version={wanted} must be the executable's, which is {found}"


def version_in_use(wanted: str, running: str) -> str:
    return f"vector_store.version={wanted} must be {running} while another program uses the server"


def folder_not_writable(folder: object) -> str:
    return f"vector_store.path={folder} must be a writable folder"


def folder_in_use(folder: object, process: int) -> str:
    return f"vector_store.path={folder} is in use by process {process} (weaviate"


def end_it_or_other_folder() -> str:
    return "end it, or choose another folder"


def port_in_use(port: int, key: str) -> str:
    return f"port {port} is already in use (vector_store.{key}={port})"


def no_executable() -> str:
    return f"vector_store.binary_path={ANY}must be Weaviate's executable or its folder"


def unsupported_system() -> str:
    return f"must run on Linux or macOS{ANY}Docker{ANY}lancedb"


def hnsw_needed() -> str:
    return "must go with index.type=hnsw"


def one_shard_with_tenant() -> str:
    return "must be 1 with a tenant"


def index_type_of_embedded() -> str:
    return "must be hnsw or flat"


def single_node() -> str:
    return "is a single node"


def version_wanted(example: str) -> str:
    return f"must be a version like {example}"


def same_port(other: str) -> str:
    return f"must be another port than {other}"


def ef_zero() -> str:
    return "vector_store.index.ef=0 must be at least 1, or -1 (the server decides)"


def wrong_tenant(tenant: str) -> str:
    return f"vector_store.tenant={tenant!r} must be 1 to 64 letters, digits, - and _"


def wrong_prefix(prefix: str) -> str:
    return f"vector_store.collection_prefix={prefix!r} must be a capital letter followed by"


def removed_key(key: str) -> str:
    return f"{key} must be set; the yaml lacks it or an override removed it"


def variable_name_wanted(key: str) -> str:
    return f"{key} must be the name of an environment variable"


def address_wanted() -> str:
    return "must be an address like http://localhost:8080"


def changed_on_server(key: str, old: float, new: float) -> str:
    return f"{key} was {old} on the server and is now {new}"


def other_distance(stored: str, wanted: str) -> str:
    return f"distance is {stored} and must be {wanted}; delete the index"


def shard_statistics(shards: int) -> str:
    return f"{shards} shards: BM25 statistics are per shard"


def key_too_long(characters: int, limit: int) -> str:
    return f"has {characters} characters {ANY}; the limit on Weaviate is {limit}"


def chunk_refused(chunk: str, document: str) -> str:
    return f"refused chunk {chunk} of {document!r}"


def object_refused(number: int, reason: str) -> str:
    return f"server refused object {number}: {reason}"


def chunk_not_stored(chunk: str, document: str) -> str:
    return f"did not store chunk {chunk} of {document!r} {ANY} does not hold them"


def too_large_document(document: str) -> str:
    return f"too large{ANY}document {document!r}"


def lease_lost(index: str) -> str:
    return f"the write lease on index {index} was lost"


def lease_not_renewed() -> str:
    return "could not be renewed"


def still_holds(count: int, deleted: int) -> str:
    return f"still holds {count} of {deleted} deleted objects"


def changed_during_reads(reads: int) -> str:
    return f"changed during {reads} reads; query again"


def attempts_with_last(attempts: int, objects: int) -> str:
    return f"{attempts} attempts, the last with {objects} object "


def lower_objects(objects: int) -> str:
    return f"lower vector_store.batch.objects={objects}"


def too_many_results(results: int, limit: int) -> str:
    return f"{results} results must be at most {limit}"


def vectors_in_queue() -> str:
    return "vectors were still in the server's queue"


def entries_without_chunk() -> str:
    return "entries of chunks that are not stored"


def not_found_by_search() -> str:
    return "were not found by search"


def written_again() -> str:
    return f"{not_found_by_search()} and were written again"


def not_reached() -> str:
    return "dense search does not reach them"


def stored_but_not_found(rewrites: int) -> str:
    return f"is stored and not found by search after {rewrites} rewrites"


def rebuild_writes_all(index: str) -> str:
    return f"ragloom indexes rebuild {index} writes all of them"


def rebuild_again(index: str) -> str:
    return f"run ragloom indexes rebuild {index} again"


def add_nodes_again() -> str:
    return "delete_nodes() and add() them again"


def add_all_nodes_again() -> str:
    return "clear() the store and add() all nodes again"


def ingest_again() -> str:
    return "run the same ingest command again"


def built_by_former_code(index: str) -> str:
    return f"index {index} was built by former versions of the code"


def index_name_wanted() -> str:
    return "must be the name of an index"


def less_than_wanted(recall: str) -> str:
    return f"that is less than vector_store.min_ann_recall={recall}"


def recall_not_measured() -> str:
    return "recall of dense search was not measured"
