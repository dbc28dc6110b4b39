"""Wording of the messages of an evaluation: budget, judge, documents and plan."""

from messages import ANY


def no_rankings_left() -> str:
    return "must hold what its source holds"


def source_is_empty() -> str:
    return "the source is empty"


def not_ingested(store: str) -> str:
    return f"is not in {store} yet"


def more_than_scored(setting: str, scored: int) -> str:
    return f"{setting} must be more than {scored}"


def next_request_up_to() -> str:
    return "the next request has up to"


def more_than_left(tokens: int, left: int) -> str:
    return f"up to {tokens} of the {left} left"


def dollars_spent(spent: str, request: str) -> str:
    return f"${spent} are spent or held, and the next request may cost ${request}"


def price_needed(limit: str, model: str) -> str:
    return f"{limit} needs the price of each model, and {model} has none"


def budget_not_counted(setting: str, option: str) -> str:
    return f"budget: {setting} must hold for all calls, and {option} does not count"


def budget_exceeded(setting: str) -> str:
    return f"{setting} must not be exceeded"


def no_gold_at_all() -> str:
    return "no gold at all"


def no_gold_in(questions: int) -> str:
    return f"has {no_gold_at_all()} in {questions} questions"


def unread_at_source() -> str:
    return "cannot be read at the source"


def missing_for_every_config() -> str:
    return f"{unread_at_source()} and missing for every config"


def older_versions_in_index() -> str:
    return "older versions of them are in it"


def lost_document(document: str, stage: str, reason: str) -> str:
    return f"{document} ({stage}: {reason})"


def loses_documents() -> str:
    return "a config that loses some would score higher"


def searched_documents() -> str:
    return "the documents that were searched"


def source_compared() -> str:
    return f"the source is compared, and with it {searched_documents()}"


def searched(count: str, names: str) -> str:
    return f"searched {count} ({names})"


def all_trials(problem: str) -> str:
    return f"all trials: {problem}"


def looks_below_reranker() -> str:
    return "looks below what the reranker ordered"


def right_answer(number: int, answer: str) -> str:
    return f"Right answer {number}: {answer}"


def reply_not_json() -> str:
    return "not the JSON object"


def not_judged(score: str, count: int, low: str, high: str) -> str:
    return f"{score} (not judged: {count}; between {low} and {high})"


def no_part_of_cost() -> str:
    return "no part of the cost above"


def judge_needed(option: str) -> str:
    return f"must have an LLM that judges, which judge={option} is not"


def set_judge() -> str:
    return "; set judge=openai or"


def left_by_window(setting: str, limit: int, window: int) -> str:
    return f"{setting} must be at most {limit}, what judge.context_window={window} leaves after"


def abstained_wrongly() -> str:
    return "it says that there is no answer, and there is one"


def failed_trial(label: str, error: str) -> str:
    return f"failed: {label}: {error}"


def planned_requests(requests: int, model: str) -> str:
    return f"answers   {requests} requests to {model}, "


def reply_tokens(tokens: int, price: str) -> str:
    return f"{tokens} replied, {price}"


def in_all(price: str) -> str:
    return f"in all    {price}"


def without_local_time() -> str:
    return "what local computing takes"


def not_estimated(option: str) -> str:
    return f"not estimated: what {option} is asked"


def dry_run_line(texts: int, tokens: int, requests: int, usd: str) -> str:
    return f"{texts} texts, {tokens} tokens, {requests} requests, ${usd}"


def at_least_seconds(seconds: int) -> str:
    return f"at least {seconds} seconds"


def reported_by_provider(answers: int) -> str:
    return f"none reported by the provider in {answers} answers"


def recall_measured(questions: int, chunks: int) -> str:
    return f"{questions} questions at {chunks} chunks"


def retry_failed() -> str:
    return "retry_failed=true tries it again"


def built_by_version(version: int, option: str, release: int) -> str:
    return f"was built by version {version} of {option}, and this release has {release}"


def promote_or_install() -> str:
    return "ingest and promote what that builds, or install the release"


def question_without_text() -> str:
    return f"query: the question {ANY} must hold text"


def no_answer_found(cosine: str, bm25: str) -> str:
    return f"no answer was found; raw scores of the best matches: {cosine}, BM25 score {bm25}"


def metric_counts_apart() -> str:
    return "counted apart"


def closed_loop() -> str:
    return "(closed loop, n "
