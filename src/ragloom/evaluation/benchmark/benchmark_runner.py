"""The whole benchmark: cold query, warm-up, capacity, rates, recall, verdict."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragloom.config.config import Config
from ragloom.core.budget import BudgetSpent
from ragloom.core.data_frame import data_frame
from ragloom.errors import ConfigError, DataError, ServiceError, require
from ragloom.evaluation.benchmark.arrivals import Load, drawn, planned_offsets
from ragloom.evaluation.benchmark.benchmark_file import load_results, save_results
from ragloom.evaluation.benchmark.capacity import Window, backlog_growth, grows, search_capacity
from ragloom.evaluation.benchmark.child_program import ChildProgram
from ragloom.evaluation.benchmark.concurrent_ingest import ingest_meanwhile
from ragloom.evaluation.benchmark.latency_promise import LatencyPromise, judge
from ragloom.evaluation.benchmark.load_generator import generate
from ragloom.evaluation.benchmark.machine import machine, store_process, usage, used
from ragloom.evaluation.benchmark.percentiles import EXTRA
from ragloom.evaluation.benchmark.rate_summary import lateness_p99_ms, summarize
from ragloom.evaluation.benchmark.request_log import RequestLog
from ragloom.evaluation.benchmark.serving import Subject, describe, serve

if TYPE_CHECKING:
    import pandas

Progress = Callable[[str, int, int], None]
"""Receives the current step, its finished requests and all of them."""
SHARES = (0.25, 0.5, 0.75)
"""Parts of the capacity at which latency is measured."""
_WINDOW_SEED = 1_000
"""Windows of the search draw from seeds from here, rates from 0."""
MAX_WINDOW_LATENESS_MS = 50.0
"""Lateness above which the load generator, not the service, may be why a backlog grows."""
_INGEST_ENDED = (
    "the concurrent ingest had ended when the measurement at {rate:g} requests/s was over: this rate and those after "
    "it ran without it, at least in part"
)
_MOST_FAILED = 0.5
"""Share of failed warm-up requests above which nothing is measured."""


@dataclass
class BenchmarkResult:
    """Result of one benchmark.

    Attributes:
        session: everything but the rates: run, machine, target, index, settings, cold query, capacity, recall.
        rates: figures of each rate, as in benchmark.json.
        promise: the verdict; None where a rate is invalid.
        path: benchmark.json.
    """

    session: dict[str, Any]
    rates: list[dict[str, Any]]
    promise: LatencyPromise | None
    path: Path

    @property
    def invalid(self) -> list[float]:
        """Rates at which the load generator was too late."""
        return [rate["rate"] for rate in self.rates if not rate["valid"]]

    @property
    def failed(self) -> int:
        """Requests that failed or timed out, at all rates."""
        return sum(rate["errors"] + rate["timeouts"] for rate in self.rates)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that `benchmark` prints."""
        promise = None if self.promise is None else asdict(self.promise)
        return {**self.session, "rates": self.rates, "promise": promise, "written": str(self.path)}

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per rate; percentiles are columns such as `p99`.

        Raises:
            ConfigError: pandas is not installed.
        """
        names = ("rate", "valid", "requests", "errors", "timeouts", "within_slo", "saturated")
        rows = []
        for rate in self.rates:
            shares = {name: each["ms"] for name, each in rate["latency_ms"].items() if isinstance(each, dict)}
            rows.append({**{name: rate[name] for name in names}, **shares})
        return data_frame(rows)


def benchmark(config: Config, progress: Progress = lambda step, done, total: None) -> BenchmarkResult:
    """Measure a config and its index under load.

    The result is added to benchmark.json.

    Args:
        config: validated.
        progress: receives progress updates.

    Raises:
        ConfigError: the extra is not installed, or the config is for another verb.
        DataError: the index was not built, or the dataset has no questions.
        ServiceError: most requests fail, or a process of the benchmark ended.
        BudgetSpent: the next request might exceed the budget.
    """
    require("hdrh.histogram", **EXTRA)
    if config.tree["dry_run"]:
        raise ConfigError("config: dry_run=true must not go with benchmark, which only measures; leave it out")
    load_results(_runs(config))  # a file that cannot be added to is an error before minutes of measuring
    with ExitStack() as stack:
        return _Bench(config, progress, stack).run()


@dataclass
class _Bench:
    config: Config
    progress: Progress
    stack: ExitStack
    processes: dict[str, int] = field(default_factory=dict)
    ingested: dict[str, Any] | None = None  # the concurrent ingest's record, once it has ended

    def __post_init__(self) -> None:
        self.settings = self.config.tree["benchmark"]
        self.target: str | None = self.settings["target"]

    def run(self) -> BenchmarkResult:
        """Run all steps."""
        self._start()
        cold = self._closed_loop("cold query", 1, 1)
        warm = self._warm_up()
        ingest = self._start_ingest()
        capacity = None if self.settings["rates"] else self._capacity(warm)
        session = self._session(cold, capacity)
        chosen, rates = self._rates(capacity), []
        for at, rate in enumerate(chosen):
            rates.append(self._measure(at, rate, len(chosen)))
            if ingest is not None and self.ingested is None and self._has_ended(ingest):
                session["notes"].append(_INGEST_ENDED.format(rate=rate))
            save_results(_runs(self.config), [{**session, **rates[-1]}])  # an interruption loses the rate at work
        session["concurrent_ingest"] = self._end_ingest(ingest)
        session["recall"] = self._recall()
        valid = all(rate["valid"] for rate in rates)
        promise = judge(rates, self.settings["slo_ms"]) if valid else None
        path = save_results(_runs(self.config), [{**session, **rate} for rate in rates])
        return BenchmarkResult(session, rates, promise, path)

    def _session(self, cold: RequestLog, capacity: dict[str, Any] | None) -> dict[str, Any]:
        """Return what all rates share; recall and concurrent ingest follow."""
        return {
            "run": self.subject.run,
            "machine": machine(),
            "target": self.target,
            "ingest": self.settings["ingest"],
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": self.settings,
            "answers": self.config.tree["answers"],
            "index": {"documents": self.subject.documents, "chunks": self.subject.chunks},
            "questions": len(self.subject.questions),
            "start_seconds": None if self.target else round(self.subject.seconds, 3),
            "cold_ms": _cold(cold),
            "capacity": capacity,
            "recall": None,
            "concurrent_ingest": None,
            "notes": [*self.subject.notes],
        }

    def _start(self) -> None:
        """Start both processes; wait until the serving one can answer."""
        self.progress("opening the index", 0, 0)
        started = time.monotonic()
        path = "/query" if self.config.tree["answers"] else "/search"
        if self.target is not None:
            self.server = self.stack.enter_context(ChildProgram("reader of the index", describe, self.config, started))
            self.generator = self.stack.enter_context(ChildProgram("load generator", generate, self.target, path))
        else:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                self.server = self.stack.enter_context(
                    ChildProgram("serving process", serve, self.config, started, sockets=[ours])
                )
                self.generator = self.stack.enter_context(
                    ChildProgram("load generator", generate, None, path, sockets=[theirs])
                )
        self.subject: Subject = self.server.receive()
        if not self.subject.questions:
            raise DataError("benchmark: the dataset must have a question; it has none")
        if self.target is None:
            self.processes = {"serving": self.server.pid, **store_process(self.config)}

    def _load(self, step: str, load: Load) -> RequestLog:
        """Run one load.

        Raises:
            ServiceError: a process of the benchmark ended.
            BudgetSpent: the budget refused a request.
        """
        self.generator.send(load)
        while not isinstance(received := self.generator.receive(), RequestLog):
            self.progress(step, received, len(load.questions))
            if self.target is None and self.server.is_ready():
                self.server.receive()  # it says nothing on its own: it has ended
        if received.spent is not None:
            raise BudgetSpent(received.spent)
        if self.target is None:
            self.server.send(("clear", None))
            self.server.receive()
        return received

    def _closed_loop(self, step: str, count: int, in_flight: int) -> RequestLog:
        random = np.random.default_rng((self.settings["seed"], count))
        questions = drawn(self.subject.questions, count, random)
        log = self._load(step, Load(questions, None, in_flight, self._timeout))
        if (~log.good).mean() > _MOST_FAILED:
            first = log.errors[0] if log.errors else f"no reply within {self.settings['timeout_ms']:g} ms"
            raise ServiceError(f"benchmark: {(~log.good).sum()} of {len(log.good)} first requests failed: {first}")
        return log

    def _warm_up(self) -> float:
        """Warm up in a closed loop; return the requests per second.

        They are those of the second half of the requests.
        """
        log = self._closed_loop("warm-up", self.settings["warmup"], self.settings["threads"])
        done = np.sort(log.done[log.good])
        half = done[len(done) // 2 :]
        return (len(half) - 1) / max(1e-6, float(half[-1] - half[0]))

    def _capacity(self, start: float) -> dict[str, Any]:
        windows: list[Window] = []

        def holds(rate: float) -> bool:
            return all(self._window(rate, windows) for _ in range(self.settings["capacity"]["repeats"]))

        capacity = search_capacity(start, self.settings["capacity"]["precision"], holds)
        return {"requests_per_second": round(capacity, 3), "windows": [asdict(window) for window in windows]}

    def _rates(self, capacity: dict[str, Any] | None) -> list[float]:
        """Return the configured rates, or parts of the capacity, 3 digits."""
        if capacity is None:
            return list(map(float, self.settings["rates"]))
        return [float(f"{share * capacity['requests_per_second']:.3g}") for share in SHARES]

    def _window(self, rate: float, windows: list[Window]) -> bool:
        """Try a rate for one window.

        Arrivals are constant, so that only the service makes the backlog vary.
        """
        count = max(2, round(rate * self.settings["capacity"]["seconds"]))
        random = np.random.default_rng((self.settings["seed"], _WINDOW_SEED + len(windows)))
        questions = drawn(self.subject.questions, count, random)
        offsets = planned_offsets(rate, count, "constant", random)
        most = max(50, count // 4)
        log = self._load(f"capacity: {rate:.1f} requests/s", Load(questions, offsets, 0, self._timeout, most))
        failed, lateness = int((~log.good).sum()), lateness_p99_ms(log)
        holding = not grows(log, count) and not failed
        if not holding and lateness > MAX_WINDOW_LATENESS_MS:
            raise ServiceError(
                f"benchmark: the load generator cannot send {rate:.1f} requests/s on this machine (p99 of its lateness "
                f"{lateness:.0f} ms, limit {MAX_WINDOW_LATENESS_MS:g} ms); end other programs, or give rates by "
                "benchmark.rates"
            )
        windows.append(Window(round(rate, 3), backlog_growth(log), failed, round(lateness, 3), holding))
        return holding

    def _measure(self, at: int, rate: float, rates: int) -> dict[str, Any]:
        """Measure one rate."""
        random = np.random.default_rng((self.settings["seed"], at))
        count = self.settings["requests"]
        questions = drawn(self.subject.questions, count, random)
        offsets = planned_offsets(rate, count, self.settings["arrival"], random)
        before = usage(self.processes)
        step = f"rate {at + 1} of {rates}: {rate:g} requests/s"
        log = self._load(step, Load(questions, offsets, 0, self._timeout))
        return {**summarize(rate, questions, log, self.settings["slo_ms"]), **used(before, usage(self.processes))}

    def _recall(self) -> dict[str, Any] | None:
        if not (count := self.settings["recall"]) or self.target is not None:
            return None
        self.progress("recall of dense search", 0, 0)
        random = np.random.default_rng((self.settings["seed"], 0))
        questions = list(dict.fromkeys(drawn(self.subject.questions, 4 * count, random)))[:count]
        self.server.send(("recall", questions))
        recall: dict[str, Any] | None = self.server.receive()
        return recall

    def _start_ingest(self) -> ChildProgram | None:
        if self.settings["ingest"] == "none":
            return None
        return self.stack.enter_context(ChildProgram("concurrent ingest", ingest_meanwhile, self.config))

    def _end_ingest(self, ingest: ChildProgram | None) -> dict[str, Any] | None:
        if ingest is None:
            return None
        self.progress("ending the ingest", 0, 0)
        if not self._has_ended(ingest):
            ingest.send("stop")
            self.ingested = ingest.receive()
        return self.ingested

    def _has_ended(self, ingest: ChildProgram) -> bool:
        """Tell whether the ingest ended on its own, and keep its record.

        Raises:
            RagloomError: it failed.
        """
        if self.ingested is None and ingest.is_ready():
            self.ingested = ingest.receive()
        return self.ingested is not None

    @property
    def _timeout(self) -> float:
        return float(self.settings["timeout_ms"]) / 1000


def _runs(config: Config) -> Path:
    return Path(config.tree["runs"]).expanduser()


def _cold(log: RequestLog) -> dict[str, float]:
    """Return the latency and the stages of the first query, in milliseconds."""
    return {"latency": round(float(log.latency[0]) * 1000, 3), **log.timings_ms[0]}
