"""Dispatch of documents to the workers of a cluster, with a Ray whose workers die as planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import RayActorError

from ragloom.core.records import Entry
from ragloom.ingestion.read_stage import Job
from ragloom.integrations.executor.ray_cluster import dispatcher
from ragloom.integrations.executor.ray_cluster.cluster import Node
from ragloom.integrations.executor.ray_cluster.dispatcher import Dispatcher, TaskSize
from ragloom.integrations.executor.ray_cluster.task_records import IngestTask, TaskReport
from weaviate_tools import FakeClock

pytestmark = pytest.mark.extra
NODE = Node("node", "127.0.0.1", 1, 0, is_driver=True)


class DyingRay:
    """Ray in this process: a worker dies in a task where `dies` says so.

    Attributes:
        deaths: how often each document was in work when a worker died.
    """

    def __init__(self, dies: Callable[[list[str]], bool]) -> None:
        self._dies = dies
        self.deaths: Counter[str] = Counter()

    def start(self, node: Node) -> Any:
        return SimpleNamespace(
            open=SimpleNamespace(remote=lambda: "opened"),
            run=SimpleNamespace(remote=lambda task: task),
            close=SimpleNamespace(remote=lambda: "closed"),
        )

    def get(self, call: Any, timeout: float) -> TaskReport | None:
        if not isinstance(call, IngestTask):
            return None
        names = names_of(call)
        if self._dies(names):
            self.deaths.update(names)
            raise RayActorError
        return TaskReport()

    def wait(self, calls: list[Any], num_returns: int, timeout: float) -> None:
        assert calls

    def kill(self, actor: Any) -> None:
        pass

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": NODE.id, "Alive": True}]


class Listening:
    """Notes what becomes of the documents."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.reasons: dict[str, str] = {}

    def done(self, task: IngestTask, result: TaskReport, node: Node) -> None:
        self.taken += names_of(task)

    def lost(self, job: Job, reason: str) -> None:
        assert job.entry.id not in self.reasons
        self.reasons[job.entry.id] = reason

    def counts(self) -> tuple[int, int]:
        return 0, 0

    def waiting(self) -> None:
        pass


def names_of(task: IngestTask) -> list[str]:
    return [job.entry.id for job in task.jobs]


def dispatched(dies: Callable[[list[str]], bool], documents: int, of_a_task: int) -> tuple[Listening, DyingRay]:
    ray, listening = DyingRay(dies), Listening()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "ray_module", lambda: ray)
        patch.setattr(dispatcher, "time", FakeClock())
        running = Dispatcher([NODE], ray.start, TaskSize(of_a_task, 1e9), listening, seconds=60)
        running.run(Job(Entry(str(number), f"{number}.md", 1, 1), None) for number in range(documents))
        running.close()
    return listening, ray


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.sets(st.integers(0, 11)))
def test_documents_that_kill_workers_are_named_and_all_others_are_taken_in_once(
    documents: int, of_a_task: int, poisoned: set[int]
) -> None:
    bad = {str(number) for number in poisoned if number < documents}
    listening, _ = dispatched(lambda names: bool(bad.intersection(names)), documents, of_a_task)
    assert listening.reasons.keys() == bad
    assert all("2 workers died with it alone in work" in reason for reason in listening.reasons.values())
    assert sorted(listening.taken) == sorted({str(number) for number in range(documents)} - bad)


def test_document_beside_others_and_alone_at_two_unrelated_deaths_is_not_blamed() -> None:
    planned = [["0", "1"], ["0"]]

    def dies(names: list[str]) -> bool:
        if planned and names == planned[0]:
            planned.pop(0)
            return True
        return False

    listening, ray = dispatched(dies, documents=4, of_a_task=2)
    assert ray.deaths == {"0": 2, "1": 1}
    assert listening.reasons == {}
    assert sorted(listening.taken) == ["0", "1", "2", "3"]
