"""Concurrent execution of all queries, with the errors of each.

A failed query counts, with its error: a config must not win because its hard queries crashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from ragloom.core.budget import BudgetSpent
from ragloom.core.gold import Query
from ragloom.core.redaction import redact
from ragloom.core.run_context import in_context
from ragloom.errors import RagloomError
from ragloom.evaluation.callbacks import QueryProgress
from ragloom.evaluation.query_outcome import QueryOutcome

Item = TypeVar("Item")
Value = TypeVar("Value")


def run_queries(
    queries: Sequence[Query], run: Callable[[Query], QueryOutcome], *, concurrency: int, progress: QueryProgress
) -> list[QueryOutcome]:
    """Run each query once, at most `concurrency` at the same time.

    Args:
        queries: of the dataset.
        run: runs one query; its exceptions are errors of that query, `BudgetSpent` aside.
        concurrency: from 1.
        progress: called after each query, in this thread.

    Returns:
        the outcomes, in the order of the queries.

    Raises:
        BudgetSpent: a query was not run, since it might exceed the budget.
    """
    return map_concurrently(
        queries, lambda query: _outcome(query, run), lambda outcome: outcome.error is not None, concurrency, progress
    )


def map_concurrently(
    items: Sequence[Item],
    function: Callable[[Item], Value],
    fails: Callable[[Value], bool],
    concurrency: int,
    progress: QueryProgress = lambda done, total, failed: None,
) -> list[Value]:
    """Apply a function to each item concurrently, with values in order.

    Args:
        fails: whether a value counts as failed.
        progress: called after each item, in this thread.

    Raises:
        the first exception of the function, after the running calls have ended; waiting items are dropped.
    """
    values: dict[int, Value] = {}
    failed = 0
    progress(0, len(items), 0)
    for at, value in _concurrently(items, function, concurrency):
        values[at] = value
        failed += fails(value)
        progress(len(values), len(items), failed)
    return [values[at] for at in range(len(items))]


def _outcome(query: Query, run: Callable[[Query], QueryOutcome]) -> QueryOutcome:
    try:
        return run(query)
    except BudgetSpent:
        raise  # all following queries would have it too
    except RagloomError as error:
        return QueryOutcome(error=redact("; ".join(error.problems)))
    except Exception as error:  # noqa: BLE001 - a bug in one query is its zero score, named and counted
        return QueryOutcome(error=redact(f"{type(error).__name__}: {error}"))


def _concurrently(
    items: Sequence[Item], function: Callable[[Item], Value], concurrency: int
) -> Iterator[tuple[int, Value]]:
    """Yield (position of the item, value) in the order of completion."""
    if concurrency == 1:
        yield from enumerate(map(function, items))
        return
    with ThreadPoolExecutor(concurrency, thread_name_prefix="ragloom-ask") as pool:
        futures = {pool.submit(in_context(function), item): at for at, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()
