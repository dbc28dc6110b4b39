"""Wording of the messages about datasets: gold, quotes and the files that hold them."""

from messages import ANY


def quotes_several_times(quotes: str) -> str:
    return f"{quotes} is found several times"


def quotes_left_out(quotes: str) -> str:
    return f"{quotes} not found and left out"


def too_many_missing(quotes: str, count: int, share: float, allowed: int) -> str:
    return f"{quotes}{ANY} of {count} {ANY}dataset.max_missing={share} allows {allowed}"


def quote_not_at_range(quotes: str = "") -> str:
    return f"{quotes} is not at the range given"


def without_gold(questions: str) -> str:
    return f"{questions} without gold"


def counted_apart() -> str:
    return ": counted apart"


def gold_not_in_corpus(documents: str) -> str:
    return f"{documents} must be in the corpus"


def gold_documents(count: int, *names: str) -> str:
    return f"{count} gold document{'s' if count > 1 else ''} ({', '.join(names)})"


def gold_not_as_stored(documents: str) -> str:
    return f"{documents} must be stored as the dataset has it"


def gold_range_too_far(span: str, query: str, length: int) -> str:
    return f"1 gold range ({span} of query {query}, which has {length})"


def query_not_unique(query: str) -> str:
    return f"query {query!r} must be unique"


def query_missing() -> str:
    return "must have a query"


def further_dataset_problems(count: int) -> str:
    return f"dataset: ... and {count} more"


def unknown_dataset_key(key: str) -> str:
    return f"{key} is no key of a dataset line"


def no_key_of_dataset(key: str) -> str:
    return f"{key} is no key"


def gold_without_place(place: str) -> str:
    return f"{place}: must have a quote or a range"


def gold_range_form(place: str) -> str:
    return f"{place}: range must be [first character"


def gold_of_unanswerable() -> str:
    return "answerable is false, so that there must be no gold"


def qrels_form(place: str) -> str:
    return f"{place}: must be query-id, corpus-id and a whole number"


def graded_twice(place: str, document: str) -> str:
    return f"{place}: must not grade document {document!r} again"


def reference_not_text(row: int) -> str:
    return f"row {row}: a reference's content must be a text"


def corpus_not_a_file(row: int, corpus: str) -> str:
    return f"row {row}: corpus_id {corpus!r} must name a file"


def unknown_split(split: str, *known: str) -> str:
    return f"dataset.split={split} must be one of {', '.join(known)}"


def answer_not_in_context(question: str, answer: str) -> str:
    return f"{question}: the answer {answer!r} is not in its context"


def not_squad() -> str:
    return "must be a file in SQuAD's form"
