"""Wording of the messages of the embedding and reranker models, and of what they refuse to embed."""

from messages import ANY, NUMBER


def characters(document: str, start: int, end: int | str = NUMBER) -> str:
    return f"{document}, characters {start} to {end}"


def too_many_tokens(tokens: int | str, model: str, limit: int) -> str:
    return f"{tokens} tokens of {model} must be at most {limit}"


def lower_chunk_size() -> str:
    return "; lower chunking.chunk_size"


def or_truncate() -> str:
    return "; lower chunking.chunk_size, or set embedding.overlong=truncate"


def text_place(at: int, count: int) -> str:
    return f"text {at} of {count}, "


def blank_text(place: str) -> str:
    return f"{place}{ANY} is blank"


def further_problems(count: int) -> str:
    return f"embedding: and {count} more"


def refuses_harmless_text() -> str:
    return "it refuses every text, also a harmless one: look at the embedding's keys"


def fails_at_harmless_text() -> str:
    return "it fails at a harmless text as well: look at the server"


def refused_text(document: str, status: int, words: str = "") -> str:
    return f"{document}: the embedding's server refuses a text of it ({status}: {words}"


def too_many_refused(refused: int, texts: int, share: float, allowed: int) -> str:
    return f"fails at {refused} of {texts} texts{ANY}embedding.max_refused={share} allows {allowed}"


def no_model_pooling() -> str:
    return "pooling=auto must find"


def not_loaded(model: str, reason: str) -> str:
    return f"{model} could not be loaded{reason}"


def loaded_at_first_use() -> str:
    return "; it is downloaded at first use"


def no_local_folder(model: str) -> str:
    return not_loaded(f"model={model!r}", f" ({model} is not a local folder and")


def option_needs_package(option: str) -> str:
    return f"{option} needs "


def wrong_number_of_vectors(texts: int) -> str:
    return f"one vector for each of {texts} texts, but returned"


def wrong_indices(*indices: str) -> str:
    return f"the indices {', '.join(indices)};"


def no_list_of_numbers() -> str:
    return "something that is no list of numbers"


def set_by_ragloom(name: str) -> str:
    return f"extra_body.{name} must not be set"


def model_needed(folder_lacks: str) -> str:
    return f"it lacks {folder_lacks}"


def unreadable_model() -> str:
    return "must hold a readable model.onnx"


def unreadable_tokenizer() -> str:
    return "must be a readable tokenizer.json"


def unknown_tokenizer(tokenizer: str) -> str:
    return f"tokenizer={tokenizer!r} must be "


def pairs_too_long(count: int, pairs: int, limit: int) -> str:
    return f"{count} of {pairs} pairs have more than reranker.max_length={limit} tokens"


def question_too_long(tokens: int) -> str:
    return f"the question has {tokens} tokens"


def located_too_long(document: str, start: int, end: int, problem: str) -> str:
    return f"embedding: {characters(document, start, end)}: {problem}{lower_chunk_size()}"


def not_finite_or_zero() -> str:
    return "not finite or all zero"


def first_wrong_text(number: int) -> str:
    return f"the first being text {number}"
