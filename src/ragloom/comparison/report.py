"""Report of a comparison: sections of lines and tables, and JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ragloom.comparison import Comparison
from ragloom.comparison.breakdown import ChangedQuestion
from ragloom.comparison.next_steps import advice, grouping
from ragloom.comparison.paired_statistics import BOOTSTRAP_GROUPS, BOOTSTRAP_QUERIES, POWER
from ragloom.comparison.recommendation import Standing
from ragloom.comparison.significance import Finding
from ragloom.comparison.verdict import ALL, DEV, TEST, number

_TEXT = 160  # characters of a chunk that are shown
MOST_SAID = 12
"""Sentences of a verdict that people are shown; JSON has all."""
_MOST_TESTS = 40  # shown of the tests, those of the smallest p values; JSON has all


@dataclass(frozen=True)
class Section:
    """A part of the report: lines, then a table.

    Attributes:
        numbers: columns of the table that hold numbers.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    numbers: frozenset[int] = frozenset()


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield the sections in reading order."""
    yield verdict_section(comparison)
    yield _configs(comparison)
    yield _tests(comparison)
    yield _trade(comparison)
    yield from _tags(comparison)
    first, second = (comparison.labels[row] for row in comparison.verdict.pair)
    for word, examples in (("loses most to", comparison.worse), ("gains most over", comparison.better)):
        for place, example in enumerate(examples):
            title = f"Questions on which {first} {word} {second} ({ALL})" if not place else ""
            yield _example(comparison, example, title)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Build the JSON object of a comparison; configs are named by runs."""
    verdict, choice = comparison.verdict, comparison.choice
    names = [run.name for run in comparison.runs]

    def name(row: int | None) -> str | None:
        return None if row is None else names[row]

    shown = {
        "settings": dict(comparison.settings),
        "metric": comparison.table.metric,
        "plan": verdict.plan,
        "half": verdict.half,
        "queries": len(comparison.table.rows),
        "tested_queries": verdict.queries,
        "tested_groups": verdict.groups,
        "windows": comparison.table.windowed,
        "baseline": name(verdict.baseline),
        "best_on_dev": name(verdict.best),
        "winner": name(verdict.winner),
        "verdict": verdict.sentences,
        "notes": [*verdict.notes, *comparison.notes],
        "tests": [
            {**asdict(finding), "pair": [names[row] for row in finding.pair], "shown": finding.shown}
            for finding in verdict.findings
        ],
        "configs": comparison.rows(),
        "cost_of": choice.cost_of or None,
        "time_of": choice.time_of,
        "cheapest": name(choice.cheapest),
        "fastest": name(choice.fastest),
        "recommended": name(choice.recommended),
        "reason": choice.reason,
        "tags": [{**asdict(part), "means": dict(zip(names, part.means, strict=True))} for part in comparison.tags],
        "pair": [names[row] for row in verdict.pair],
        "worse": [asdict(example) for example in comparison.worse],
        "better": [asdict(example) for example in comparison.better],
    }
    return {key: _finite(value) for key, value in shown.items()}


def _finite(value: Any) -> Any:
    """Replace numbers without a JSON form (infinite intervals) by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shortened(sentences: Sequence[str]) -> list[str]:
    """Shorten the sentences of a verdict; the JSON has all."""
    left = len(sentences) - MOST_SAID
    more = [f"{left} more differences are shown; --json has all of them"] if left > 0 else []
    return [*sentences[:MOST_SAID], *more]


def verdict_section(comparison: Comparison) -> Section:
    """Say what is shown, what would help, and which config to ship."""
    verdict, table = comparison.verdict, comparison.table
    plans = {
        "baseline": "the baseline against every other, on all questions",
        "split": "the best of the dev half against the baseline, once, on the test half",
        "pairs": "every pair, on all questions",
    }
    lines = [
        *shortened(verdict.sentences),
        f"Tested: {plans[verdict.plan]} ({grouping(comparison)}).{_could(comparison)}",
        *(f"What would help: {text}." for text in advice(comparison)),
        *(f"Note: {note}." for note in [*verdict.notes, *comparison.notes, *_zeros(comparison)]),
        *_shipped(comparison),
        _recommendation(comparison),
    ]
    return Section(f"Verdict on {table.metric}", lines)


def _recommendation(comparison: Comparison) -> str:
    """Describe the recommended config.

    It needs no winner, only a loss that is shown to be small.
    """
    choice = comparison.choice
    if choice.recommended is None:
        return f"Recommended: none; {choice.reason}."
    label = comparison.labels[choice.recommended]
    text = f"Recommended: {label}; {choice.reason}."
    if comparison.verdict.winner is not None or not choice.standings[choice.recommended].as_good:
        return text
    tolerance = number(comparison.settings["tolerance"])
    return (
        f"{text} It need not be the best for that: whichever config is, {label} is shown to lose less than "
        f"{tolerance} to it."
    )


def _could(comparison: Comparison) -> str:
    """Describe the smallest difference that these tests could show."""
    effects = [finding.detectable for finding in comparison.verdict.findings]
    if not effects:
        return ""
    ends = f"{number(min(effects))} to {number(max(effects))}" if len(effects) > 1 else number(effects[0])
    return f" Smallest true difference that this shows with a chance of {POWER:g}: {ends} {comparison.table.metric}."


def _shipped(comparison: Comparison) -> Iterator[str]:
    tolerance, choice = number(comparison.settings["tolerance"]), comparison.choice
    good = [comparison.labels[row] for row, each in enumerate(choice.standings) if each.as_good]
    if not good:
        yield f"None is shown to be as good as any other (a loss of at most {tolerance})."
        return
    yield f"Shown to be as good as any (loss below {tolerance}): {'; '.join(good)}."
    if len(good) < len(choice.standings):
        yield "The others are not shown to be as good."
    if choice.cheapest is not None:
        yield f"Cheapest of these: {comparison.labels[choice.cheapest]} ({choice.cost_of})."
    if choice.fastest is not None:
        yield f"Fastest of these: {comparison.labels[choice.fastest]} ({choice.time_of})."


def _zeros(comparison: Comparison) -> Iterator[str]:
    table = comparison.table
    for row, label in enumerate(comparison.labels):
        for counts, what in (
            (table.failed, "failed"),
            (table.not_judged, "were not judged"),
            (table.not_answered, "were not answered"),
        ):
            if counts[row]:
                yield f"{label}: {counts[row]} of {len(table.rows)} questions {what} and count as zero"


def _by_mean(comparison: Comparison) -> list[tuple[int, Standing]]:
    return sorted(enumerate(comparison.choice.standings), key=lambda item: -item[1].mean)


def _configs(comparison: Comparison) -> Section:
    verdict = comparison.verdict
    halves = bool(verdict.dev)
    rows = [
        [
            comparison.labels[row] + (" (baseline)" if row == verdict.baseline else ""),
            number(each.mean),
            *([number(verdict.dev[row]), number(verdict.test[row])] if halves else []),
            str(comparison.table.failed[row]),
            number(max(each.most, 0.0)),
            "as good" if each.as_good else "not shown to be as good",
            comparison.runs[row].name,
        ]
        for row, each in _by_mean(comparison)
    ]
    head = ["config", "mean", *([DEV, TEST] if halves else []), "failed", "loss, at most", "within tolerance", "run"]
    text = (
        f"{comparison.table.metric} on {ALL} ({len(comparison.table.rows)}). Loss, at most: upper end of the 95 % "
        "interval of the loss to any other config."
    )
    return Section(f"Configs ({ALL})", [text], head, rows, frozenset(range(1, len(head) - 2)))


def _tests(comparison: Comparison) -> Section:
    verdict = comparison.verdict
    findings = sorted(verdict.findings, key=lambda finding: (finding.adjusted, finding.p))
    shown = findings[:_MOST_TESTS]
    enough = verdict.groups >= BOOTSTRAP_GROUPS and verdict.queries >= BOOTSTRAP_QUERIES
    interval = (
        "bootstrap" if enough else f"t, with fewer than {BOOTSTRAP_GROUPS} groups or {BOOTSTRAP_QUERIES} questions"
    )
    lines = [
        f"Difference of means with its 95 % interval ({interval}); p by exchanging labels within groups, adjusted "
        f"after Holm over {len(findings)}. Detectable: smallest true difference that this test shows with a chance of "
        f"{POWER:g}. Needed: questions that would show the difference, or one of the tolerance, so."
    ]
    if len(shown) < len(findings):
        lines.append(f"The {len(shown)} smallest p values of {len(findings)}; the JSON has all.")
    if not findings:
        lines = ["Nothing was tested."]
    head = ["first", "second", "difference", "95 % interval", "p", "adjusted", "detectable", "needed", "shown"]
    rows = [_test_row(comparison, finding) for finding in shown]
    return Section(f"Tests ({verdict.half})", lines, head if rows else [], rows, frozenset(range(2, 8)))


def _test_row(comparison: Comparison, finding: Finding) -> list[str]:
    return [
        *(comparison.labels[row] for row in finding.pair),
        number(finding.difference),
        _interval(finding.low, finding.high),
        _p(finding.p),
        _p(finding.adjusted),
        number(finding.detectable),
        "-" if finding.needed is None else str(finding.needed),
        "yes" if finding.shown else "no",
    ]


def _interval(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if math.isfinite(high - low) else "(one group: no interval)"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else number(value)


def _trade(comparison: Comparison) -> Section:
    rows = []
    for row, each in _by_mean(comparison):
        run = comparison.runs[row]
        fronts = [name for name, on in (("cost", each.best_for_cost), ("latency", each.best_for_time)) if on]
        rows.append(
            [
                comparison.labels[row],
                number(each.mean),
                "unknown" if each.cost is None else f"{each.cost:.6g}",
                *(_plain(run.milliseconds.get(name), ".1f") for name in ("p50", "p95", "p99")),
                _plain(run.index.get("bytes"), ".2f", 1e6),
                _plain(run.index.get("ingest_seconds"), ".1f"),
                " and ".join(fronts) or "-",
            ]
        )
    cost_of = comparison.choice.cost_of or "unknown"
    lines = [
        f"Cost: {cost_of}. On the front: no other config is as good and cheaper (faster).",
        f"Latency: {comparison.choice.time_of}. The columns are of the closed-loop latency pass.",
    ]
    head = ["config", "mean", "cost", "p50 ms", "p95 ms", "p99 ms", "index MB", "ingest s", "on the front of"]
    return Section(f"Quality, cost and latency ({ALL})", lines, head, rows, frozenset(range(1, 8)))


def _plain(value: Any, form: str, unit: float = 1) -> str:
    return "-" if value is None else format(value / unit, form)


def _tags(comparison: Comparison) -> Iterator[Section]:
    first, second = (comparison.labels[row] for row in comparison.verdict.pair)
    for tag in dict.fromkeys(part.tag for part in comparison.tags):
        parts = [part for part in comparison.tags if part.tag == tag]
        rows = [[label, *(number(part.means[row]) for part in parts)] for row, label in enumerate(comparison.labels)]
        gained = [f"{number(part.difference)} {_interval(part.low, part.high)}" for part in parts]
        rows.append([f"{first} minus {second}", *gained])
        lines = ["Means, and a difference with a t interval of these questions alone. Nothing here was tested."]
        head = ["config", *(f"{part.value} ({part.queries})" for part in parts)]
        yield Section(f"By {tag} ({ALL})", lines, head, rows, frozenset(range(1, len(head))))


def _example(comparison: Comparison, example: ChangedQuestion, title: str) -> Section:
    texts = [[_chunk(chunk) for chunk in chunks] for chunks in example.chunks]
    rows = [list(sides) for sides in itertools.zip_longest(*texts, fillvalue="")]
    head = [
        f"{comparison.labels[row]}: {number(score)}"
        for row, score in zip(comparison.verdict.pair, example.scores, strict=True)
    ]
    lines = [f"{example.query} ({example.group}): {example.text}"]
    return Section(title, lines, head, rows or [["nothing", "nothing"]])


def _chunk(chunk: dict[str, Any]) -> str:
    text = " ".join(str(chunk.get("text", "")).split())
    text = text if len(text) <= _TEXT else f"{text[:_TEXT]}..."
    return f"{chunk['rank']}. {chunk['document']} [{chunk['start']}, {chunk['end']}) {text}"
