"""Asks all questions of a set, several at once, and loses none. Knows no engine: it is given what asks one question.

A question that fails is counted, with its error: a configuration must not win because its hard questions crashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ragloom.core.gold import Query
from ragloom.core.redaction import redact
from ragloom.core.timing import in_context
from ragloom.core.usage import BudgetSpent
from ragloom.errors import RagloomError
from ragloom.evaluation.callbacks import QueryProgress
from ragloom.evaluation.query_results import Asked

Item = TypeVar("Item")
Value = TypeVar("Value")

_QUEUED_EACH = 2  # questions handed over for each thread: enough that none waits, few enough to stop soon


def ask_all(
    queries: Sequence[Query], ask: Callable[[Query], Asked], *, concurrency: int, progress: QueryProgress
) -> list[Asked]:
    """Asks each question once, at most `concurrency` at the same time.

    Args:
        queries: all of them.
        ask: asks one; whatever it raises is that question's error, a spent budget aside.
        concurrency: from 1.
        progress: called after each question, in this thread.

    Returns:
        what came of each, in the order of the queries.

    Raises:
        BudgetSpent: a question was not asked since it might have exceeded the budget.
    """
    return each(queries, lambda query: _one(query, ask), lambda asked: asked.error is not None, concurrency, progress)


def each(
    items: Sequence[Item],
    function: Callable[[Item], Value],
    fails: Callable[[Value], bool],
    concurrency: int,
    progress: QueryProgress,
) -> list[Value]:
    """Returns what the function gives for each item, in their order; at most `concurrency` are at work at a time.

    Args:
        fails: whether a value counts as failed.
        progress: called after each item, in this thread.

    Raises:
        whatever the function raises: what is at work then is waited for, and the rest is left.
    """
    values: dict[int, Value] = {}
    failed = 0
    progress(0, len(items), 0)
    for at, value in _concurrently(items, function, concurrency):
        values[at] = value
        failed += fails(value)
        progress(len(values), len(items), failed)
    return [values[at] for at in range(len(items))]


def _one(query: Query, ask: Callable[[Query], Asked]) -> Asked:
    try:
        return ask(query)
    except BudgetSpent:
        raise  # no question's error: all that follow would have it
    except RagloomError as error:
        return Asked(error=redact("; ".join(error.problems)))
    except Exception as error:  # noqa: BLE001 - a crash of one question is that question's zero, named and counted
        return Asked(error=redact(f"{type(error).__name__}: {error}"))


def _concurrently(
    items: Sequence[Item], function: Callable[[Item], Value], concurrency: int
) -> Iterator[tuple[int, Value]]:
    """Yields the place of each item with what the function returns for it, as they come."""
    if concurrency == 1:
        yield from ((at, function(item)) for at, item in enumerate(items))
        return
    with ThreadPoolExecutor(concurrency, thread_name_prefix="ragloom-ask") as pool:
        running: dict[Future[Value], int] = {}
        waiting = iter(enumerate(items))
        try:
            while True:
                while len(running) < concurrency * _QUEUED_EACH and (following := next(waiting, None)) is not None:
                    running[pool.submit(in_context(function), following[1])] = following[0]
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()
