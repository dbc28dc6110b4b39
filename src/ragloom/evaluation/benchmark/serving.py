"""Serving process: answers questions as a service would.

A thread receives requests into a queue; `benchmark.threads` threads answer them, with every cache bypassed.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ragloom.assembly import Assembly
from ragloom.cache.embeddings import bypassed
from ragloom.components.vector_store.protocols import Index
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.config.builder_keys import needs_of
from ragloom.config.config import Config
from ragloom.core.budget import BudgetSpent, within
from ragloom.core.redaction import redact
from ragloom.core.run_context import in_context
from ragloom.errors import RagloomError
from ragloom.evaluation.benchmark.dense_recall import dense_recall
from ragloom.evaluation.index_sync import index_content, text_in
from ragloom.evaluation.runner import run_name
from ragloom.process_pool.messages import MessageKind, MessageSocket, encode


@dataclass(frozen=True)
class Subject:
    """The config and index under test.

    Attributes:
        run: name that `evaluate` gives to a run of them; None: the index of the config is not here.
        questions: of the dataset.
        documents, chunks: of the index.
        seconds: from the start of the process until it can answer.
        notes: sentences about the index.
    """

    run: str | None
    questions: list[str]
    documents: int | None
    chunks: int | None
    seconds: float
    notes: list[str]


def serve(messages: MessageSocket, config: Config, started: float, descriptor: int) -> None:
    """Open the index and answer; entry of the process.

    Args:
        messages: to the parent: a `Subject` goes out; then (`clear`, None) drops all waiting requests, and (`recall`,
            questions) measures recall.
        config: validated.
        started: when the parent started this process (`time.monotonic`).
        descriptor: file descriptor of the socket to the load generator.
    """
    with Assembly(config) as assembly:
        index = assembly.open()
        answering = config.tree["answers"]
        engine = assembly.query_engine(index, answering=answering)
        run = engine.answer if answering else engine.search
        subject = _subject(assembly, index, started)
        llms = [assembly.llm] if answering or "llm" in needs_of(config.builder("reranker")) else []
        with within(assembly.budget(*llms)), bypassed():
            answers = _Answers(socket.socket(fileno=descriptor), lambda question: run(question).timings_ms)
            answers.start(config.tree["benchmark"]["threads"])
            _reply(messages, subject)
            while True:
                _, (request, value) = messages.receive()
                if request == "clear":
                    _reply(messages, answers.clear())
                else:
                    _reply(messages, dense_recall(assembly, index, value))


def describe(messages: MessageSocket, config: Config, started: float) -> None:
    """Send the `Subject` of a target; entry of the process."""
    with Assembly(config) as assembly:
        try:
            subject = _subject(assembly, assembly.open(), started)
        except IndexMissing as error:
            queries = assembly.dataset.queries()
            subject = Subject(None, [query.text for query in queries], None, None, 0.0, list(error.problems))
    _reply(messages, subject)


def _subject(assembly: Assembly, index: Index, started: float) -> Subject:
    seconds = time.monotonic() - started
    checked = assembly.dataset.check(lambda document: text_in(index, document))
    name = run_name(assembly.config, assembly.dataset.name, checked.digest(), index_content(index).content)
    questions = [query.text for query in checked.queries]
    return Subject(name, questions, index.info.documents, index.info.chunks, seconds, list(index.info.notes))


def _reply(messages: MessageSocket, value: object) -> None:
    messages.send(encode(MessageKind.VALUE, value))


class _Answers:
    """Threads that answer what comes in over a socket.

    Args:
        connection: to the load generator.
        run: answers a question; returns stage -> milliseconds.
    """

    def __init__(self, connection: socket.socket, run: Callable[[str], dict[str, float]]) -> None:
        self._messages = MessageSocket(connection)
        self._run = run
        self._waiting: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._sending = threading.Lock()

    def start(self, threads: int) -> None:
        """Start to answer."""
        threading.Thread(target=self._receive, name="ragloom-requests", daemon=True).start()
        for _ in range(threads):
            threading.Thread(target=in_context(self._answer), name="ragloom-serve", daemon=True).start()

    def clear(self) -> int:
        """Drop all waiting requests; return how many there were."""
        dropped = 0
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
                dropped += 1
        return dropped

    def _receive(self) -> None:
        with contextlib.suppress(OSError, EOFError):  # the load generator ended, which the parent reports
            while True:
                self._waiting.put(self._messages.receive()[1])

    def _answer(self) -> None:
        while True:
            number, question = self._waiting.get()
            reply = (number, *self._outcome(question))
            with contextlib.suppress(OSError), self._sending:
                self._messages.send(encode(MessageKind.REPLY, reply))

    def _outcome(self, question: str) -> tuple[dict[str, float], str | None, bool]:
        """Answer a question; return stages, error, whether the budget refused."""
        try:
            return self._run(question), None, False
        except RagloomError as error:
            return {}, redact("; ".join(error.problems)), isinstance(error, BudgetSpent)
        except Exception as error:  # noqa: BLE001 - a bug in one request is its failure, named and counted
            return {}, redact(f"{type(error).__name__}: {error}"), False
