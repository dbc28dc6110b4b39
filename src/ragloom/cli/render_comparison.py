"""Terminal output of a comparison: configs, best first, then the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape

from ragloom.cli.table_layout import Column, print_columns
from ragloom.comparison import Comparison
from ragloom.comparison.report import verdict_section
from ragloom.comparison.verdict import number
from ragloom.config.labels import differing_options

_ELSEWHERE = "; verdict.md has them"


def print_comparison(screen: Console, comparison: Comparison, notes: Sequence[str]) -> None:
    """Print the configs, the verdict and the notes.

    Args:
        notes: paths of the written files, and the command that runs the recommended config.
    """
    print_columns(screen, list(_columns(comparison)), _ELSEWHERE)
    section = verdict_section(comparison)
    screen.print(f"\n[bold]{escape(section.title)}[/]", soft_wrap=True)
    for line in section.lines:
        screen.print(line, markup=False, soft_wrap=True)
    screen.print("")
    for note in notes:
        screen.print(note, markup=False, soft_wrap=True)


def _columns(comparison: Comparison) -> Iterator[Column]:
    """Yield the columns: differences, metric, largest loss, cost, latency, role."""
    standings, choice = comparison.choice.standings, comparison.choice
    order = sorted(range(len(standings)), key=lambda row: (-standings[row].mean, row))
    yield Column("", ["*" if row == choice.recommended else "" for row in order])
    differing = differing_options(comparison.runs) or {"config": comparison.labels}
    for group, texts in differing.items():
        yield Column(group, [texts[row] for row in order])
    yield Column(comparison.table.metric, [number(standings[row].mean) for row in order], number=True)
    if any(comparison.table.failed):
        yield Column("failed", [str(comparison.table.failed[row]) for row in order], number=True)
    yield Column("loss at most", [number(max(standings[row].most, 0.0)) for row in order], number=True, rank=1)
    if len({each.cost for each in standings}) > 1:
        unit = "cost $" if choice.cost_of.startswith("US dollars") else "tokens"
        yield Column(unit, [_plain(standings[row].cost, ".6g") for row in order], number=True, rank=2)
    if any(each.milliseconds is not None for each in standings):
        yield Column("p95 ms", [_plain(standings[row].milliseconds, ".1f") for row in order], number=True, rank=3)
    yield Column("is", [_words(comparison, row) for row in order], whole=True)


def _words(comparison: Comparison, row: int) -> str:
    """Describe a config: recommended, baseline, or shown to be as good."""
    verdict, choice = comparison.verdict, comparison.choice
    words = [
        ("recommended", row == choice.recommended),
        ("winner", row == verdict.winner),
        ("baseline", row == verdict.baseline),
        ("as good", choice.standings[row].as_good),
    ]
    return ", ".join(word for word, holds in words if holds)


def _plain(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
