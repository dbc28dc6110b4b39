"""Wording of the messages and sentences of a comparison of runs."""

from messages import EVALUATE


def better_than(winner: str, other: str) -> str:
    return f"{winner} is better than {other}"


def no_clear_winner() -> str:
    return "no clear winner"


def too_few_groups(groups: int, tests: str) -> str:
    return f"{no_clear_winner()}: {groups} groups are too few for any difference to be significant in {tests}"


def questions_needed(needed: int, now: str) -> str:
    return f"about {needed} questions ({now})"


def taken_for_baseline() -> str:
    return "taken for the baseline"


def nothing_tested() -> str:
    return "nothing was tested"


def nothing_shown() -> str:
    return "nothing was shown"


def no_split(groups: int, least: int) -> str:
    return f"{groups} groups, fewer than {least}: there is no split, and windows"


def groups_for_split(least: int) -> str:
    return f"comparison.plan=split must have at least {least} groups"


def counted_as_zero(count: int, questions: int, what: str) -> str:
    return f"{count} of {questions} questions {what} and count as zero"


def value_missing(run: str, metric: str, query: str) -> str:
    return f"{run} must have {metric} of query {query!r}"


def runs_of_one_config() -> str:
    return "are runs of one config and count once"


def two_configs_needed() -> str:
    return "at least two configs"


def same_score() -> str:
    return "has the same score on every question as"


def must_share(runs: str, what: str) -> str:
    return f"{runs} must share {what}"


def questions_differ(*queries: str) -> str:
    return f"questions, in one order; {', '.join(repr(query) for query in queries)} differ"


def not_a_run() -> str:
    return f"must be a folder that {EVALUATE} wrote; it has no run.json"


def damaged_run() -> str:
    return f"must be as {EVALUATE} writes it"


def unknown_metric(metric: str) -> str:
    return f"comparison.metric={metric} must be "


def unknown_baseline(baseline: str) -> str:
    return f"comparison.baseline={baseline} must name one of the runs"


def others_not_as_good() -> str:
    return "The others are not shown to be as good."


def baseline_stays() -> str:
    return "the baseline stays"


def need_not_be_best() -> str:
    return "It need not be the best for that"


def loses_less_than(difference: str) -> str:
    return f"is shown to lose less than {difference} to it"


def counts_each_question(questions: int) -> str:
    return f"dataset.group=query counts each of the {questions} questions"


def changed_since(group: str) -> str:
    return f"{group} changed since it was evaluated"


def older_runs(run: str) -> str:
    return f"those of {run} are older"


def costs_changed_stage_only() -> str:
    return " costs only the changed stage"


def other_number_searched(first: int, second: int) -> str:
    return f"documents that were searched; {first} are not {second}"


def below_reranker(label: str, metric: str, questions: int) -> str:
    return f"{label}: {metric} looks below what the reranker ordered, on {questions} questions"


def place_of_documents(first: str, second: str) -> str:
    return f"must share the place of the documents; {first} is not {second}"


def more_differences(count: int) -> str:
    return f"{count} more differences are shown; --json has all of them"


def better_than_every_other() -> str:
    return "shown to be better than every other"


def corrected_for(tests: str) -> str:
    return f"Holm over {tests}"


def best_not_tested() -> str:
    return "which of those that beat the baseline is best was not tested"


def p_below(limit: float) -> str:
    return f"p < {f'{limit:g}'.removeprefix('0')}"
