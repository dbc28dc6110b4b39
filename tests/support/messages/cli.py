"""Wording of what the programs print about indexes, projects and prerequisites."""


def quote_is_in_document() -> str:
    return "the quote is in the document"


def nearest_index(name: str) -> str:
    return f"nearest existing index is {name}"


def no_indexes(owner: str = "") -> str:
    return f"no indexes {owner}yet"


def rebuild_command(index: str) -> str:
    return f"indexes.py rebuild {index}"


def promote_command(index: str, alias: str) -> str:
    return f"indexes.py promote {index} {alias}"


def deleted_in_statistics_line(count: int) -> str:
    return f"deleted chunks that still count in BM25 statistics: {count}"


def deleted_count_no_longer(count: int) -> str:
    return f"{count} deleted chunks count no longer"


def alias_names(alias: str, index: str) -> str:
    return f"vector_store.alias={alias} names {index}"


def no_ingest_with_alias(alias: str) -> str:
    return f"--ingest must not go with vector_store.alias={alias}"


def named_by_aliases(*aliases: str) -> str:
    return f"while aliases name it ({', '.join(aliases)})"


def nobody_to_ask() -> str:
    return "nobody is there to ask"


def not_deleted(count: int) -> str:
    return f"{count} index not deleted: {nobody_to_ask()}"


def confirm_deletion(count: int) -> str:
    return f"delete {count} index? type yes: "


def no_index_to_keep(index: str = "") -> str:
    return f"at least one given config must have an index there{f'; none has ({index}' if index else ''}"


def store_of_command() -> str:
    return "must choose the store of the command itself"


def project_file_exists() -> str:
    return "ragloom.yaml exists; give --force to overwrite it"


def nothing_at(setting: str) -> str:
    return f"{setting} must exist; nothing of this name is there"


def no_dataset_file(setting: str) -> str:
    return f"{setting} must be a .jsonl or .json file, or a BEIR folder"


def source_not_given() -> str:
    return "init: --source PATH must be given where no terminal is there to ask on"


def option_of_key(group: str, *options: str) -> str:
    return f"it is one of {group}={', '.join(options)}"


def add_option(group: str, option: str) -> str:
    return f": add {group}={option}"


def store_is_empty() -> str:
    return "the store is empty"


def no_documents(dataset: str) -> str:
    return f"{dataset}brings no documents"


def unknown_flag(flag: str) -> str:
    return f"{flag} is no flag of this program"


def ending() -> str:
    return "ending: what is in flight is finished and committed"


def run_again() -> str:
    return "run the same command again to go on"


def same_command_goes_on() -> str:
    return "same command goes on"


def from_there() -> str:
    return " from there"


def read_documents_needed() -> str:
    return "must hold a document that can be read"


def left_out(count: int) -> str:
    return f"{count} left out, such as"


def not_read(count: int) -> str:
    return f"{count} cannot be read, such as"


def fewer_without_source() -> str:
    return "leave the source out"


def question_wanted() -> str:
    return "a question must be given"


def new_commit(index: str) -> str:
    return f"note: index {index} has a new commit"


def index_stays_open(setting: str) -> str:
    return f"{setting} (now / asked for) must stay while its index is open"


def cancelled() -> str:
    return "cancelled"


def explain_needs_an_answer() -> str:
    return "/explain must follow an answered question"


def no_command(name: str) -> str:
    return f"{name} must be a command"


def give_both(settings: str) -> str:
    return f"give both: {settings}"


def known_aliases(*aliases: str) -> str:
    return f"(known: {', '.join(aliases) or 'none'})"
