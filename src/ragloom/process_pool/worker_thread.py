"""One worker as the parent sees it: a thread that sends it items, keeps its time and replaces its process.

Whether an item is to blame for a death is only said of a process that had no item before: what an earlier one left
behind, or somebody's SIGKILL, must not be put down to it.
"""

from __future__ import annotations

import contextlib
import contextvars
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from ragloom.process_pool.fork_server_client import Ending, Nursery, Process
from ragloom.process_pool.messages import Head, Kind, frame
from ragloom.process_pool.parent_callbacks import Answer, wanted_unless
from ragloom.process_pool.results import OUT_OF_MEMORY, InWorker
from ragloom.process_pool.task_queue import Flow, Task

_STALLED = 60.0
"""Seconds without a byte of a result that is under way after which its worker counts as dead."""
_MOST_DEATHS = 2
"""Workers that an item may take down before it is given up, where it is not known why they died."""
_HINTS = {
    "SIGABRT": ": what a library does that gets no more memory",
    "SIGKILL": ": what a system does that has no more memory",
}


class Lane(threading.Thread):
    """A thread and the process that works for it.

    Args:
        answer: answers what the function asks.
        context: of the caller: what answering records belongs to it.
    """

    def __init__(self, flow: Flow, nursery: Nursery, answer: Answer | None, context: contextvars.Context) -> None:
        super().__init__(name="ragloom-worker", daemon=True)
        self._flow, self._nursery, self._answer, self._context_of_caller = flow, nursery, answer, context
        self._process: Process | None = None
        self._sent: deque[Task] = deque()
        self._unsent: list[Task] = []
        self._finished = 0  # items, by this process
        self._deadline = 0.0

    def run(self) -> None:
        """Works until the pool is closed."""
        try:
            self._context_of_caller.run(self._work)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._flow.broke(error)
        finally:
            if self._process is not None:
                self._process.wire.close()

    def stop(self) -> None:
        """Ends the process where it is at work; called from another thread, when nobody waits for it any more."""
        process = self._process
        if process is not None and self._sent:
            process.wire.cut()

    def _work(self) -> None:
        while (taken := self._flow.take([*self._unsent, *self._sent])) is not None:
            unsent, self._unsent = [*self._unsent, *taken], []
            self._send(task for task in unsent if not task.cancelled)
            if self._sent and self._process is not None:
                self._listen(self._process)

    def _send(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if self._process is None:
                self._process, self._finished = self._nursery.fork(), 0
            task.refused = None
            self._sent.append(task)
            if len(self._sent) == 1:
                self._start_clock()
            with contextlib.suppress(OSError):  # it has died: listening to it says so
                self._process.wire.send(task.message)

    def _start_clock(self) -> None:
        if self._sent:
            self._deadline = time.monotonic() + self._sent[0].seconds

    def _listen(self, process: Process) -> None:
        try:
            head = process.wire.head(max(self._deadline - time.monotonic(), 0.001))
        except TimeoutError:
            self._replace(to_blame=True, reason=_time_reason(self._sent[0]))
            return
        except OSError:
            head = None
        try:
            if head is None:
                self._died()
            elif head.kind is Kind.RETIRE:
                self._replace()
            elif head.kind is Kind.ASK:
                self._reply(process, head)
            else:
                self._flow.hold(self._sent[0], head.size)
                self._finish(head.kind, process.wire.body(head, _STALLED))
        except (OSError, EOFError):
            self._died()

    def _finish(self, kind: Kind, value: Any) -> None:
        task = self._sent.popleft()
        self._finished += 1
        self._start_clock()
        if kind is Kind.OUT_OF_MEMORY:
            self._sent.appendleft(task)
            self._replace(to_blame=self._finished == 1, reason=self._memory_reason())
        elif kind is Kind.RAISED:
            error, traceback = value
            error.__cause__ = InWorker(traceback)
            self._flow.finish(task, kind, task.refused or error)
        else:
            self._flow.finish(task, kind, value)

    def _reply(self, process: Process, head: Head) -> None:
        task, began = self._sent[0], time.monotonic()
        request = process.wire.body(head, _STALLED)
        try:
            if self._answer is None:
                raise RuntimeError("a worker asks, and its pool was given no `answer`")
            with wanted_unless(lambda: task.cancelled or self._flow.closed):
                message = frame(Kind.ANSWER, self._answer(request))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for, and from there in the caller
            task.refused = error
            message = frame(Kind.REFUSAL, None)
        process.wire.send(message)
        self._deadline += time.monotonic() - began

    def _died(self) -> None:
        ending = self._end()
        task = self._sent[0]
        task.deaths += 1
        if ending is not None and ending.status == -signal.SIGALRM:
            self._replace(to_blame=True, reason=_time_reason(task))
        else:
            certain = self._finished == 0 and ending is not None
            self._replace(to_blame=certain or task.deaths == _MOST_DEATHS, reason=self._reason(ending))

    def _replace(self, *, to_blame: bool = False, reason: str = "") -> None:
        """Gives the process up; the next one begins with what it had not finished.

        Args:
            to_blame: the first of these is not tried again, for this reason.
        """
        self._end()
        if to_blame:
            self._flow.finish(self._sent.popleft(), Kind.FAILED, reason)
        self._unsent = [*self._sent]
        self._sent.clear()

    def _end(self) -> Ending | None:
        process, self._process = self._process, None
        return None if process is None else self._nursery.end(process)

    def _memory_reason(self) -> str:
        return f"it needed more than {self._flow.bounds.megabytes:,.0f} MB of memory"

    def _reason(self, ending: Ending | None) -> str:
        if ending is None:
            return "its worker process died"
        if ending.status == OUT_OF_MEMORY:
            return self._memory_reason()
        if ending.status >= 0:
            return f"its worker process ended itself (status {ending.status})"
        used, limit = ending.peak / 1_000_000, self._flow.bounds.megabytes
        near = f", having used {used:,.0f} of the {limit:,.0f} MB of memory that it may" if used > limit / 2 else ""
        name = signal.Signals(-ending.status).name
        return f"its worker process died (signal {-ending.status}, {name}{_HINTS.get(name, '')}){near}"


def _time_reason(task: Task) -> str:
    seconds = task.seconds if task.seconds < 10 else round(task.seconds)
    return f"it took longer than {seconds:,g} s"
