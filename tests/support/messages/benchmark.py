"""Wording of the messages of a benchmark."""

from messages import ANY


def holds_up_to(limit: str, rate: str) -> str:
    return f"p99 <= {limit} ms holds up to {rate} requests/s"


def highest_measured() -> str:
    return ", the highest rate measured"


def does_not_at(rate: str) -> str:
    return f"it does not at {rate}"


def not_settled_at(rate: str) -> str:
    return f"it is not settled at {rate}"


def not_shown_to_hold(limit: str) -> str:
    return f"p99 <= {limit} ms is not shown to hold"


def improve_first(stage: str) -> str:
    return f"improve {stage} first"


def queue_wait() -> str:
    return "are queue wait"


def failed_first_requests(failed: int, requests: int) -> str:
    return f"{failed} of {requests} first requests failed"


def no_verdict() -> str:
    return "no verdict"


def generator_late_at(rate: str) -> str:
    return f"the load generator was late (p99 over {ANY} ms) at {rate} requests/s"


def ingest_had_ended(rate: str) -> str:
    return f"the concurrent ingest had ended when the measurement at {rate} requests/s was over"


def still_grows() -> str:
    return "the backlog grows even at"


def ended_early(child: str, how: str) -> str:
    return f"the {child} ended before the benchmark did ({how})"


def must_be_over_limit(timeout: str, limit: str) -> str:
    return f"benchmark.timeout_ms={timeout} must be more than benchmark.slo_ms={limit}"


def wrong_target(target: str) -> str:
    return f"benchmark.target={target!r} must begin with http://HOST or https://HOST"


def only_measures() -> str:
    return "dry_run=true must not go with benchmark"


def as_benchmark_writes_it() -> str:
    return "must be as `benchmark` writes it"


def times_of_benchmark(rate: str) -> str:
    return f"p99 of the benchmark at {rate} requests/s, open loop"


def too_few_timed(count: int) -> str:
    return f"below {count} timed questions no config is called fastest"


def timed_differently() -> str:
    return "timed in different ways, or not all: no config is called fastest"


def other_programs(cores: str) -> str:
    return f"other programs, a store's server among them, kept {cores} of 2 cores busy"
