"""What `ragloom.core.timing` promises."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ragloom.core.run_context import in_context
from ragloom.core.timing import collect, timed


def test_timed_adds_up_the_milliseconds_of_a_stage(monkeypatch):
    clock = iter([1.0, 1.25, 2.0, 2.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with collect() as timings:
        for _ in range(2):
            with timed("dense"):
                pass
    assert timings == {"dense": 250 + 500}


def test_timed_outside_any_collection_does_nothing():
    with timed("dense"):
        pass


def test_timed_records_a_stage_that_fails():
    with collect() as timings, pytest.raises(ValueError, match="broken"), timed("dense"):
        raise ValueError("broken")
    assert "dense" in timings


def test_every_open_collection_gets_the_stage_and_a_closed_one_nothing():
    with collect() as outer:
        with collect() as inner, timed("a"):
            pass
        with timed("b"):
            pass
    with timed("c"):
        pass
    assert (set(outer), set(inner)) == ({"a", "b"}, {"a"})


def _stage(name: str) -> None:
    with timed(name):
        pass


def test_a_pool_s_threads_record_where_the_work_was_given():
    with ThreadPoolExecutor(1) as pool:
        with collect() as timings:
            pool.submit(in_context(_stage), "bm25").result()
            pool.submit(_stage, "lost").result()
        assert set(timings) == {"bm25"}


def test_to_thread_takes_the_collection_along():
    async def run() -> dict[str, float]:
        with collect() as timings:
            await asyncio.gather(asyncio.to_thread(_stage, "a"), asyncio.to_thread(_stage, "b"))
        return timings

    assert set(asyncio.run(run())) == {"a", "b"}


def test_concurrent_questions_do_not_mix():
    ready = threading.Barrier(4)
    found: dict[str, set[str]] = {}

    def question(name: str) -> None:
        with collect() as timings:
            ready.wait(timeout=10)
            _stage(name)
            ready.wait(timeout=10)
        found[name] = set(timings)

    threads = [threading.Thread(target=question, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: {name} for name in "abcd"}
